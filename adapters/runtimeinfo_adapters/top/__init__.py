"""`runtimeinfo top`: the live runs of this user, of whatever framework, since it reads nothing but their boards.

It needs the extra ``top``.
"""

from runtimeinfo_adapters.top._moment import Moment
from runtimeinfo_adapters.top._run import Run
from runtimeinfo_adapters.top._runs import Runs

try:
    from runtimeinfo_adapters.top._show import show
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "rich":
        raise
    raise ModuleNotFoundError(
        "runtimeinfo_adapters.top needs rich: pip install 'runtimeinfo[top]'", name=_error.name
    ) from None

__all__ = ["Moment", "Run", "Runs", "show"]
