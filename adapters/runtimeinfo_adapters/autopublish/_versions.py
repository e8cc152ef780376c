"""Leave a framework alone whose version its adapter was not tried with."""

from __future__ import annotations

import sys

from runtimeinfo._user_warning import warn_user
from runtimeinfo_adapters._framework import FRAMEWORKS, is_tried
from runtimeinfo_adapters.autopublish._guard import AutopublishWarning, Part


def is_tried_here(part: Part, name: str, package: str) -> bool:
    """Tell whether an adapter was tried with the version that is loaded; otherwise warn, and withdraw.

    Args:
        part: What is withdrawn.
        name: The row in the table of frameworks.
        package: The package that is loaded.
    """
    version = str(getattr(sys.modules.get(package), "__version__", "unknown"))
    framework = FRAMEWORKS[name]
    if is_tried(framework, version):
        return True
    part.withdraw()
    warn_user(
        f"{package} {version} publishes nothing: its adapter was tried with {framework.at_least} or newer, below "
        f"{framework.below}. Install one of these, or attach the adapter in the code",
        AutopublishWarning,
    )
    return False
