"""`runtimeinfo top`: the live runs of this user, of whatever framework, since it reads nothing but their boards.

It needs the extra ``top``.
"""

from runtimeinfo_adapters._framework import import_of_extra
from runtimeinfo_adapters.top._watch import Moment, Run, Runs

import_of_extra("rich", distribution="rich", extra="top", used_by="runtimeinfo_adapters.top")

# After the message that names the extra.
from runtimeinfo_adapters.top._show import show  # noqa: E402

__all__ = ["Moment", "Run", "Runs", "show"]
