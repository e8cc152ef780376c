"""What `runtimeinfo export` costs: a scrape, its memory, and the training that it watches.

    python benchmarks/export.py [--quick] [--write [PATH]]

Boards and exporter are in processes of their own. A scrape is one over HTTP in the format that Prometheus asks for.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.request import Request, urlopen

PAGE = Path(__file__).resolve().parent.parent / "docs" / "export.md"
BEGIN, END = "<!-- figures: benchmarks/export.py -->", "<!-- end of figures -->"

SCALARS = 10
COMMAND = "from runtimeinfo_conformance.command_line._cli import main; main()"
ACCEPT = {"Accept": "application/openmetrics-text;version=1.0.0"}

# Makes boards, and writes all of them for each line that it reads.
BOARDS = """
import sys
from runtimeinfo_adapters import MessageHub
count, scalars = int(sys.argv[1]), [f"train/scalar_{number}" for number in range(int(sys.argv[2]))]
infos = {"loop_stage": "train", "epoch": 1, "max_epochs": 4, "max_iters": 1000}
hubs = [MessageHub(str(n), runtime_info=infos | {"experiment_name": f"experiment {n}"}) for n in range(count)]
for iter, _ in enumerate(sys.stdin):
    for hub in hubs:
        for name in scalars:
            hub.update_scalar(name, 1 / (1 + iter))
        hub.update_info_dict({"iter": iter, "epoch": iter})
        if iter == 0:
            hub.share()
    print("written", flush=True)
"""


@dataclass(frozen=True)
class Figures:
    """What was measured: seconds, and bytes."""

    boards: int
    more_boards: int
    scrape_s: float
    scrape_median_s: float
    scrape_cpu_s: float
    scrape_bytes: int
    resident: int
    resident_more: int
    scrapes: int
    resident_early: int
    resident_late: int
    iteration_alone_s: float
    iteration_scraped_s: float


class Boards:
    """A process that has boards."""

    def __init__(self, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOARDS, str(count), str(SCALARS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.write()

    def write(self) -> None:
        """Write all boards."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Exporter:
    """A process of ``runtimeinfo export``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "export", "--port", "0"], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        self._request = Request(self._process.stderr.readline().split()[-1], headers=ACCEPT)

    def scrape(self) -> bytes:
        """Return what a scrape gives."""
        with urlopen(self._request, timeout=60) as response:
            return response.read()

    @property
    def cpu_s(self) -> float:
        """The seconds in which it had a processor."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident(self) -> int:
        """Its resident bytes now."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


@contextmanager
def exported(count: int) -> Iterator[tuple[Boards, Exporter]]:
    """Yield boards and their exporter, in a folder of their own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        os.environ["RUNTIMEINFO_FOLDER"] = str(Path(folder) / "boards")
        boards = Boards(count)
        exporter = Exporter()
        try:
            yield boards, exporter
        finally:
            exporter.close()
            boards.close()
            del os.environ["RUNTIMEINFO_FOLDER"]


def scrapes_of(count: int, times: int) -> tuple[list[float], float, int, int]:
    """Scrape so many boards, all of them written in between.

    Returns:
        The seconds of each scrape, the seconds of processor time of one, the bytes of one, and the most resident bytes.
    """
    with exported(count) as (boards, exporter):
        for _ in range(3):  # the first scrape opens the boards, and from the third on there is a rate
            boards.write()
            exporter.scrape()
        seconds: list[float] = []
        resident = length = 0
        cpu = exporter.cpu_s
        for _ in range(times):
            boards.write()
            begin = time.perf_counter()
            text = exporter.scrape()
            seconds.append(time.perf_counter() - begin)
            assert text.count(b"runtimeinfo_run_scalar{") == count * SCALARS
            resident, length = max(resident, exporter.resident), len(text)
        return seconds, (exporter.cpu_s - cpu) / times, length, resident


def long_run(scrapes: int) -> tuple[int, int]:
    """Return the resident bytes after a tenth of the scrapes, and after all."""
    with exported(8) as (boards, exporter):
        early = 0
        for number in range(scrapes):
            if number % 10 == 0:
                boards.write()
            exporter.scrape()
            if number == scrapes // 10:
                early = exporter.resident
        return early, exporter.resident


def iteration(blocks: int, length: int) -> tuple[float, float]:
    """Return the seconds of an iteration of a shared hub without and with scrapes, in turns in one process."""
    from hooked import least_runner

    from runtimeinfo import RuntimeInfoHook
    from runtimeinfo_adapters import MessageHub

    with exported(1) as (_, exporter):
        hub = MessageHub("training")
        hub.share()
        runner, hook = least_runner(hub), RuntimeInfoHook()
        is_scraping, is_over = threading.Event(), threading.Event()

        def scrape() -> None:
            while not is_over.is_set():
                if is_scraping.wait(0.05):
                    exporter.scrape()
                    time.sleep(0.1)  # a hundred times as often as is usual

        thread = threading.Thread(target=scrape)
        thread.start()
        costs: dict[bool, list[float]] = {False: [], True: []}
        for block in range(2 * blocks):
            scraped = block % 2 == 1
            (is_scraping.set if scraped else is_scraping.clear)()
            for _ in range(length):
                begin = time.perf_counter()
                hook.before_train_iter(runner, 0, None)
                hook.after_train_iter(runner, 0, None, {"loss": 0.5})
                runner.iter += 1
                costs[scraped].append(time.perf_counter() - begin)
        is_over.set()
        is_scraping.set()
        thread.join()
        hub.unshare()
    alone, scraped_s = (statistics.quantiles(costs[each], n=10)[0] for each in (False, True))
    return alone, scraped_s


def measure(*, quick: bool) -> Figures:
    """Measure all."""
    times, scrapes = (3, 100) if quick else (30, 10_000)
    boards, more_boards = (20, 40) if quick else (500, 1000)
    seconds, cpu, length, resident = scrapes_of(boards, times)
    *_, resident_more = scrapes_of(more_boards, times)
    early, late = long_run(scrapes)
    alone, scraped = iteration(4 if quick else 40, 200 if quick else 5_000)
    return Figures(
        boards=boards,
        more_boards=more_boards,
        scrape_s=min(seconds),
        scrape_median_s=statistics.median(seconds),
        scrape_cpu_s=cpu,
        scrape_bytes=length,
        resident=resident,
        resident_more=resident_more,
        scrapes=scrapes,
        resident_early=early,
        resident_late=late,
        iteration_alone_s=alone,
        iteration_scraped_s=scraped,
    )


def render(found: Figures, load: float) -> str:
    """Return the figures as Markdown."""
    today = date.today().isoformat()  # noqa: DTZ011
    mib = 2**20
    return f"""Measured by `benchmarks/export.py` on {today}: Python {platform.python_version()}, {os.cpu_count()} cores at load {load:.1f}, which other programs cause; each board has {SCALARS} scalars, and is written between two scrapes.

| | |
|---|---|
| a scrape of {found.boards} boards | {found.scrape_cpu_s * 1e3:.0f} ms of processor time; at this load {found.scrape_s * 1e3:.0f} ms at best and {found.scrape_median_s * 1e3:.0f} ms in the median; {found.scrape_bytes / mib:.1f} MiB of text |
| memory with {found.boards} boards | {found.resident / mib:.0f} MiB |
| memory with {found.more_boards:,} boards | {found.resident_more / mib:.0f} MiB |
| memory over {found.scrapes:,} scrapes of 8 boards | {found.resident_early / mib:.1f} MiB after a tenth of them, {found.resident_late / mib:.1f} MiB after all |
| an iteration of a training that is scraped every 0.1 s | {found.iteration_scraped_s * 1e6:.2f} µs, and without scrapes {found.iteration_alone_s * 1e6:.2f} µs |"""  # noqa: E501


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few boards and few scrapes: to try the script")
    parser.add_argument(
        "--write", nargs="?", type=Path, const=PAGE, metavar="PATH", help="write docs/export.md, or PATH"
    )
    arguments = parser.parse_args()
    text = render(measure(quick=arguments.quick), os.getloadavg()[0])
    print(text)
    if arguments.write:
        page = arguments.write.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        arguments.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
