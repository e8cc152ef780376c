"""What a worker process does that the kit starts: a module by itself, since a spawned one has to import it."""

from __future__ import annotations

from multiprocessing.connection import Connection

from runtimeinfo import current_hub


def answer(connection: Connection) -> None:
    """Tell the name and the seed of the run as often as the other end asks, until it sends something false."""
    while connection.recv():
        hub = current_hub()
        connection.send((hub.get_info("experiment_name"), hub.get_info("seed")))
