"""Show the live runs of this user in a terminal: the command ``runtimeinfo top``.

It reads only the boards of the runs, so it works under every framework. It needs the extra ``top``.
"""

from runtimeinfo_adapters._framework import import_of_extra
from runtimeinfo_adapters.top._watch import Run, Runs, Timestamp

import_of_extra("rich", distribution="rich", extra="top", used_by="runtimeinfo_adapters.top")

# After the message that names the extra.
from runtimeinfo_adapters.top._json import schema  # noqa: E402
from runtimeinfo_adapters.top._show import show  # noqa: E402

__all__ = ["Run", "Runs", "Timestamp", "schema", "show"]
