"""Trains for ten million iterations through hook and hub, and prints what each million took, in time and in memory.

    python benchmarks/soak.py [--iterations N] [--write [PATH]]

The hub is shared, as it is in a run, and another reader looks at its board after each part.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from hooked import least_runner

from runtimeinfo import RuntimeInfoHook
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.hub._scalar_history import DEFAULT_MAX_LENGTH

PARTS = 10
PAGE = Path(__file__).resolve().parent.parent / "docs" / "soak.md"


class SoakError(Exception):
    """The hub does not hold what was published."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of the training took.

    Attributes:
        end: How many iterations are complete by now.
        wall: Seconds an iteration.
        processor: Seconds an iteration in which this process had a processor.
        resident: Bytes of the process after it.
        values: How many values each history holds.
    """

    end: int
    wall: float
    processor: float
    resident: int
    values: int


def soak(iterations: int) -> Iterator[Part]:
    """Train, and tell of each of ten parts.

    Raises:
        SoakError: If the hub or its board does not hold what was published.
    """
    hub = MessageHub("soak")
    reader = hub.share()
    runner = least_runner(hub)
    hook = RuntimeInfoHook()
    for _ in range(PARTS):
        count = iterations // PARTS
        wall, processor = time.perf_counter(), time.process_time()
        for batch_idx in range(count):
            loss = float(runner.iter)
            hook.before_train_iter(runner, batch_idx, None)
            hook.after_train_iter(runner, batch_idx, None, {"loss": loss, "loss_aux": -loss})
            runner.iter += 1
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        resident = _resident()  # before the check below, which copies
        values = _check(hub, reader.get_info("iter"), runner.iter)
        yield Part(runner.iter, wall / count, processor / count, resident, values)
    reader.close()
    hub.unshare()


def _check(hub: MessageHub, on_board: object, completed: int) -> int:
    """Compare with what was published, and return how many values there are."""
    values, counts = hub.get_scalar("train/loss").data
    kept = min(completed, DEFAULT_MAX_LENGTH)
    expected = range(completed - kept, completed)
    if on_board != completed - 1 or hub.get_info("iter") != completed - 1:
        raise SoakError(f"after {completed:,} iterations the hub is at {hub.get_info('iter')}, its board at {on_board}")
    if len(values) != kept or (values != expected).any() or (counts != 1).any():
        raise SoakError(f"after {completed:,} iterations the losses are not the last {kept:,}: {values}")
    return len(values)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def render(parts: list[Part]) -> str:
    """Return the table as Markdown."""
    lines = [
        "| iterations | µs an iteration | of processor time | resident | values in each history |",
        "|---|---|---|---|---|",
        *(
            f"| {part.end:,} | {part.wall * 1e6:.2f} | {part.processor * 1e6:.2f} | {part.resident / 2**20:.1f} MiB "
            f"| {part.values:,} |"
            for part in parts
        ),
    ]
    return "\n".join(lines)


def page(parts: list[Part], load: tuple[float, float]) -> str:
    """Return the page of docs that has the table."""
    processor = [part.processor for part in parts]
    full = [part for part in parts if part.values == DEFAULT_MAX_LENGTH] or parts
    growth = (full[-1].resident - full[0].resident) / 2**20
    today = date.today().isoformat()  # noqa: DTZ011
    return f"""# A long run

{parts[-1].end:,} iterations through `RuntimeInfoHook` and the reference hub, each with two learning rates and two losses. The hub is shared, as it is in any run. After each part the hub and its board are compared with what was published. `make soak` writes this page.

Measured on {today}: Python {platform.python_version()}, {os.cpu_count()} cores, load {load[0]:.1f} before and {load[1]:.1f} after, since the machine has other users: the time that counts is the processor's.

{render(parts)}

Time is flat: the slowest part takes {max(processor) / min(processor):.2f} times the processor time of the fastest. Memory is bounded: a history keeps the latest {DEFAULT_MAX_LENGTH:,} values (`max_length`), which is 8 bytes a value; from the part on in which the four histories are full, the process grew by {growth:.1f} MiB.

What threads do to each other is in the tests, `adapters/tests/hub/test_message_hub_threads.py`: sixteen that write and read one hub, while states are taken, lose no value and keep the order of each; and each checkpoint that is saved while training writes loads, and is whole.
"""  # noqa: E501


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=10_000_000)
    parser.add_argument("--write", nargs="?", type=Path, const=PAGE, metavar="PATH", help="write docs/soak.md, or PATH")
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    parts: list[Part] = []
    for part in soak(arguments.iterations):
        parts.append(part)
        print(render([part]).splitlines()[-1], flush=True)
    print(render(parts))
    if arguments.write:
        arguments.write.write_text(page(parts, (before, os.getloadavg()[0])), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
