"""`runtimeinfo top`: the live runs of this user, of whatever framework, since it reads nothing but their boards.

It needs the extra ``top``.
"""

from runtimeinfo_adapters.top._moment import Moment
from runtimeinfo_adapters.top._run import Run
from runtimeinfo_adapters.top._runs import Runs
from runtimeinfo_adapters.top._show import show

__all__ = ["Moment", "Run", "Runs", "show"]
