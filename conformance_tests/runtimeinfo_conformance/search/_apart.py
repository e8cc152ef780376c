"""Keep Hypothesis apart from the user's project while it draws plans."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from hypothesis import configuration

_PROVIDERS = "hypothesis.internal.conjecture.providers"


@contextmanager
def apart() -> Generator[None]:
    """Draw without a folder ``.hypothesis`` in the working directory, and without the source of the user's modules.

    Hypothesis reads the source of each module of the project for constants, which takes seconds, and writes them into
    that folder. No plan has a use for them. Whatever else it writes goes into a temporary folder.
    """
    # These names are private. Where a version lacks one, it has no constants to find, or its folder is the default.
    home: Any = getattr(configuration, "__hypothesis_home_directory", None)
    providers: Any = sys.modules.get(_PROVIDERS)
    find_constants: Any = getattr(providers, "_get_local_constants", None)
    known: Any = getattr(providers, "_local_constants", None)
    with tempfile.TemporaryDirectory(prefix="runtimeinfo-") as folder:
        configuration.set_hypothesis_home_dir(folder)
        if find_constants is not None:
            providers._get_local_constants = lambda: known
        try:
            yield
        finally:
            if find_constants is not None:
                providers._get_local_constants = find_constants
            configuration.set_hypothesis_home_dir(home)
