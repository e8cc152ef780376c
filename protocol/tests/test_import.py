from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded once it has run the code."""
    script = f"import sys\n{code}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import runtimeinfo",
        "from runtimeinfo import *",
        "from runtimeinfo.authoring import is_scalar; is_scalar(1.0)",
        "from runtimeinfo import current_hub; current_hub().get_info('epoch')",
        "import runtimeinfo; from runtimeinfo.authoring import Dispatcher; Dispatcher([runtimeinfo.RuntimeInfoHook()])",
    ],
)
def test_the_protocol_loads_no_framework_and_nothing_of_the_project(code: str) -> None:
    loaded = modules_after(code)
    assert "runtimeinfo" in loaded
    assert not loaded & {"numpy", "torch", "mmengine", "runtimeinfo_adapters", "runtimeinfo_conformance"}


def test_the_protocol_needs_the_standard_library_only() -> None:
    third_party = modules_after("import runtimeinfo") - modules_after("") - set(sys.stdlib_module_names)
    assert third_party == {"runtimeinfo"}
