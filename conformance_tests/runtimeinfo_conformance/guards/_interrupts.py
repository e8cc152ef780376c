"""What Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Interrupts:
    """Puts back the handler of SIGINT: Ctrl-C shall stop the kit, whatever a subject has made of it."""

    def __init__(self) -> None:
        self._handler: Any = None

    def begin(self) -> None:
        """Remember the handler."""
        if threading.current_thread() is threading.main_thread():  # others may not set it
            self._handler = signal.getsignal(signal.SIGINT)

    def end(self) -> None:
        """Put it back. None is not ours to set: it stands for another thread, or for a handler in C."""
        if self._handler is not None and signal.getsignal(signal.SIGINT) is not self._handler:
            signal.signal(signal.SIGINT, self._handler)
