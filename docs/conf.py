"""Configuration of Sphinx, for `make docs`."""

import os
import sys
from pathlib import Path

from runtimeinfo import __version__

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "extensions"))
os.environ.setdefault("KERAS_BACKEND", "torch")  # the one that its adapter is for

project = "runtimeinfo"
author = "The runtimeinfo authors"
copyright = "the runtimeinfo authors"  # Sphinx's name for it
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docstrings", "links", "names"]
exclude_patterns = ["_build", "extensions", "tests", "generate.py"]

# A page is read on GitHub, too: plain Markdown, whose links to headings are GitHub's.
myst_heading_anchors = 4

# In docstrings a name in backticks is ours, or it is just code.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!runtimeinfo).*"),  # others' names: there is no network at build time, hence no inventory of theirs
    (r"py:.*", r".*\._.*|.*\.B"),  # in a signature: what is private, and a type variable
    (r"py:obj", r"runtimeinfo [\w-]+"),  # a command
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_attr_annotations = False  # the signature has the types
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 200

html_theme = "furo"
html_title = f"runtimeinfo {__version__}"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
