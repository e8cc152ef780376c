"""Random schedules of trainings that interleave, and the answers that their components get.

    python adapters/tests/scopes/schedules.py [--count N] [--first SEED] [--jobs N] [--write [PATH]]
    python adapters/tests/scopes/schedules.py --mix threads=100 fork=20
    python adapters/tests/scopes/schedules.py --show SEED

A schedule is a list of steps that follow from its seed. Each one tells a place (a thread, a generator, a process) what
to do next, so that the interleaving is not left to chance. `truth.Truth` knows by construction to which run the code
belongs that asks; a failure prints its seed, and the fewest steps that still fail.
"""

from __future__ import annotations

import argparse
import contextvars
import json
import multiprocessing
import platform
import random
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from places import Answer, Command, House, PlaceError
from truth import Expected, Place, Run, Step, Truth

PAGE = Path(__file__).resolve().parents[3] / "docs" / "schedules.md"

WAYS = ("right", "nothing", "not known", "missing", "wrong")


@dataclass(frozen=True)
class Profile:
    """What a schedule is made of.

    Attributes:
        steps: How many.
        methods: How processes are started.
        has_torch: Whether there are loops and loaders.
        loader_methods: How the workers of loaders are started.
        frameworks: Which trainers there are.
        weights: How often an operation is drawn.
    """

    steps: int = 30
    methods: tuple[str, ...] = ()
    has_torch: bool = False
    loader_methods: tuple[str | None, ...] = ()
    frameworks: tuple[str, ...] = ()
    weights: dict[str, int] = field(default_factory=dict)


_CODE = {
    "ask": 14, "enter": 7, "leave": 6, "begin": 1, "end": 1, "publish": 3, "publish_here": 1, "keep": 1,
    "thread": 4, "generator": 4, "close": 1, "throw": 1, "pool": 1, "submit": 4, "foreign": 1, "ask_foreign": 1,
    "copy_context": 2, "ask_in_context": 3, "event_loop": 2, "task": 3, "cancel": 1, "to_thread": 1, "in_executor": 1,
}  # fmt: skip
_PROCESSES = _CODE | {"process": 5, "executor": 2, "execute": 3, "ask_hub": 3}
_LOADERS = _CODE | {"step": 8, "loader": 5, "pass": 6, "process": 1}

PROFILES = {
    "threads": Profile(weights=_CODE),
    "fork": Profile(methods=("fork", "os.fork"), weights=_PROCESSES),
    "forkserver": Profile(methods=("forkserver", "fork"), weights=_PROCESSES),
    "spawn": Profile(
        steps=25, methods=("spawn",), weights=_CODE | {"process": 1, "executor": 1, "execute": 4, "ask_hub": 3}
    ),
    "loops": Profile(has_torch=True, loader_methods=(None,), weights=_CODE | {"step": 10, "loader": 1, "pass": 2}),
    "loaders": Profile(methods=("fork",), has_torch=True, loader_methods=("fork", "fork", None), weights=_LOADERS),
    "spawned loaders": Profile(
        steps=25, has_torch=True, loader_methods=("spawn", "forkserver"), weights=_LOADERS | {"loader": 3}
    ),
    "trainers": Profile(
        steps=25,
        methods=("fork",),
        has_torch=True,
        frameworks=("lightning", "ignite", "accelerate", "keras", "transformers"),
        loader_methods=("fork",),
        weights=_LOADERS | {"train": 5},
    ),
}
SHARES = {
    "threads": 0.52, "fork": 0.2, "forkserver": 0.06, "spawn": 0.05, "loops": 0.1, "loaders": 0.05,
    "spawned loaders": 0.003, "trainers": 0.017,
}  # fmt: skip


def profile_of(seed: int) -> str:
    """Return the profile of a seed."""
    return random.Random(seed).choices(list(SHARES), list(SHARES.values()))[0]


class Draw:
    """Draws the next step.

    Args:
        seed: The seed.
        profile: What there is to draw.
    """

    def __init__(self, seed: int, profile: Profile) -> None:
        self._random = random.Random(f"steps of {seed}")
        self._profile = profile
        self._seed = seed
        self._names = Counter[str]()

    def is_rare(self) -> bool:
        """Return True now and then."""
        return self._random.random() < 0.3

    def step(self, truth: Truth) -> Step:
        """Return a step, which need not be possible."""
        draw = self._random
        path = self._path(truth)
        operation = draw.choices(list(self._profile.weights), list(self._profile.weights.values()))[0]
        return Step(path, operation, self._arguments(operation, truth))

    def _path(self, truth: Truth) -> tuple[str, ...]:
        draw = self._random
        bases = [each for each in truth.places.values() if each.kind != "generator"]
        path = path_of(draw.choice([truth.root, truth.root, *bases]))
        generators = [each for each in truth.places.values() if each.kind == "generator"]
        while generators and draw.random() < 0.5:
            longer = (*path, draw.choice(generators).name)
            if truth.resolve(longer) is None:
                break
            path = longer
        return path

    def _new(self, kind: str) -> str:
        self._names[kind] += 1
        return f"{kind}{self._names[kind]}"

    def _any(self, names: Sequence[str]) -> str:
        return self._random.choice(names) if names else ""

    def _arguments(self, operation: str, truth: Truth) -> tuple[Any, ...]:  # noqa: C901  # a table
        draw, profile = self._random, self._profile
        things = {
            kind: [name for name, each in truth.things.items() if isinstance(each, Place) and each.kind == kind]
            for kind in ("pool", "foreign")
        }
        contexts = [name for name in truth.things if name.startswith("context")]
        kept = [name for name in truth.things if name.startswith("kept")]
        runs = list(truth.runs)
        match operation:
            case "enter":
                if runs and draw.random() < 0.25:
                    run = truth.runs[draw.choice(runs)]
                    return run.name, run.kind, run.loader.name if run.loader else None
                kind = "loop" if profile.has_torch and draw.random() < 0.6 else "plain"
                loaders = list(truth.loaders) if kind == "loop" and draw.random() < 0.7 else []
                return f"{self._seed}-{self._new('run')}", kind, self._any(loaders) or None
            case "leave":
                return (draw.random() < 0.4,)
            case "begin":
                return (f"{self._seed}-{self._new('run')}",)
            case "train":
                return f"{self._seed}-{self._new('run')}", draw.choice(profile.frameworks)
            case "end" | "step" | "ask_hub":
                return (self._any(runs),)
            case "publish":
                return self._any(runs), truth.next_epoch()
            case "publish_here":
                return (truth.next_epoch(),)
            case "ask":
                how = draw.choice(("called", "called", "early", "pickled", "copied", "kept"))
                return (how, draw.choice(kept)) if how == "kept" and kept else (how if how != "kept" else "called",)
            case "keep" | "generator" | "pool" | "foreign" | "task":
                return (self._new({"keep": "kept"}.get(operation, operation)),)
            case "copy_context":
                return (self._new("context"),)
            case "ask_in_context":
                return (self._any(contexts),)
            case "ask_foreign":
                return (self._any(things["foreign"]),)
            case "thread":
                how = draw.choice(("bare", "copied", "copied", "context", "pool"))
                thing = {"context": contexts, "pool": things["pool"]}.get(how)
                return (self._new("thread"), how, *([self._any(thing)] if thing is not None else []))
            case "submit":
                return self._any(things["pool"]), draw.choice(("bare", "copied"))
            case "close" | "throw":
                return (self._any([each.name for each in truth.places.values() if each.kind == "generator"]),)
            case "cancel":
                return (self._any([each.name for each in truth.places.values() if each.kind == "task"]),)
            case "process":
                methods = profile.methods or ("fork",)
                hubs = (draw.choice(runs),) if runs and draw.random() < 0.5 else ()
                return self._new("process"), draw.choice(methods), hubs
            case "executor":
                return self._new("executor"), draw.choice([each for each in profile.methods if each != "os.fork"])
            case "execute":
                return (self._any([name for name in truth.things if name.startswith("executor")]),)
            case "loader":
                hub = draw.choice(runs) if runs and draw.random() < 0.2 else None
                keep = draw.choice(kept) if kept and hub is None and draw.random() < 0.4 else None
                return self._new("loader"), draw.choice(profile.loader_methods), draw.random() < 0.6, keep, hub
            case "pass":
                return self._any(list(truth.loaders)), draw.choice((None, None, 1, 2))
            case _:
                return ()


def path_of(place: Place) -> tuple[str, ...]:
    """Return the way to a place from the first main thread; to a generator, by its main thread."""
    if place.process is None:
        return ()
    return (*path_of(place.process), *([place.host.name] if place.host and place.host.name else []), place.name)


class Drawn(Iterator[Step]):
    """The steps of a seed, and at last those that end all that is left.

    Args:
        truth: The state that the schedule is in.
        source: Returns the next step, or None.
    """

    def __init__(self, truth: Truth, source: Any) -> None:
        self._truth = truth
        self._source = source

    def __next__(self) -> Step:
        step: Step | None = next(self._source, None)
        if step is None:
            step = self._end()
        if step is None:
            raise StopIteration
        return step

    def _end(self) -> Step | None:
        truth = self._truth
        order = ("generator", "thread", "process")
        left = sorted(
            (each for each in truth.places.values() if each.kind in order),
            key=lambda each: (order.index(each.kind), -len(path_of(each))),
        )
        for place in left:
            if place.kind == "generator":
                base = path_of(place)[:-1]
                return Step(base, "close", (place.name,))
            return _leave(place)
        return _leave(truth.root) if truth.root.frames else None


def _leave(place: Place) -> Step:
    last = place.frames[-1] if place.frames else None
    if last is not None and last.operation == "begin":
        return Step(path_of(place), "end", (last.run.name,))
    return Step(path_of(place), "leave", (False,))


@dataclass(frozen=True)
class Fault:
    """An answer that is not right, in step `number`."""

    number: int
    step: Step
    way: str
    expected: str
    answer: Answer


class Finished(Exception):  # noqa: N818
    """There are no more steps."""


class Schedule:
    """Takes the steps, in the place of the main thread, and compares the answers.

    Args:
        truth: The state, which nothing has happened to.
        steps: The steps; those that are not possible are left out.
    """

    def __init__(self, truth: Truth, steps: Iterator[Step]) -> None:
        self.truth = truth
        self._steps = steps
        self.house = House(self)
        self.taken: list[Step] = []
        self.faults: list[Fault] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self._histories: dict[str, list[Any]] = {}
        self._now: tuple[Step, Any] | None = None

    def run(self) -> None:
        try:
            # A generator that another thread has closed leaves its scope in a context.
            contextvars.Context().run(self.house.serve, self)
        except Finished:
            pass
        except Exception as error:
            raise PlaceError(f"it stops\n{show(self)}") from error
        finally:
            self.house.close()
        if (left := [run.name for run in self.truth.runs.values() if run.is_open]) or is_any_run_open():
            raise PlaceError(f"runs are left open: {left}\n{show(self)}")

    # -- as the place of the main thread

    def receive(self) -> Command:
        for step in self._steps:
            expected = self.truth.apply(step)
            if expected is None:
                continue
            self.taken.append(step)
            command = step.path, step.operation, step.arguments
            self._now = step, expected
            if (answer := self.house.relay(command)) is None:
                return command
            self.reply(answer)
        raise Finished

    async def receive_in_loop(self) -> Command:
        return self.receive()

    def reply(self, answer: Any) -> None:
        assert self._now is not None
        step, expected = self._now
        if answer[0] != "ok":
            raise PlaceError(f"{step}: {answer[1]}")
        for run in self.truth.runs.values():
            if run.home is self.truth.root and run.name in self.house.hubs:
                epoch = self.house.hubs[run.name].get_info("epoch")
            else:
                epoch = run.epoch
            history = self._histories.setdefault(run.name, [0])
            if history[-1] != epoch:
                history.append(epoch)
        if isinstance(expected, Expected):
            self._compare(step, expected, answer[1])
        elif isinstance(expected, list):
            if step.operation == "step" and not answer[1]:
                self.truth.runs[step.arguments[0]].pass_epochs = ()
            for each in answer[1]:
                self._compare(step, expected[0], each)

    def _compare(self, step: Step, expected: Expected, answer: Answer) -> None:
        name, epoch = answer
        run = next((each for each in expected.right if each.name == name), None)
        if name is None and epoch is None:
            way = "nothing" if not expected.right else "not known" if expected.may_be_unknown else "missing"
        elif run is None:
            way = "wrong"
        else:
            # In another process, what a framework publishes is not known here.
            is_known = run.home is self.truth.root or run.kind == "plain"
            way = "right" if not is_known or epoch in self._epochs_of(run, step, expected) else "wrong"
        self.counts[expected.kind, way] += 1
        if way in ("missing", "wrong"):
            names = ", ".join(sorted(f"{each.name} {self._histories[each.name]}" for each in expected.right))
            self.faults.append(Fault(len(self.taken), step, way, names or "no run", answer))

    def _epochs_of(self, run: Run, step: Step, expected: Expected) -> list[Any]:
        history = self._histories[run.name]
        # Workers fetch ahead; a hub that was kept has what its run had last, as far as the worker has seen it.
        is_behind = step.operation == "step" or (expected.kind.startswith("hub kept") and not run.is_open)
        return history if is_behind else history[-1:]


def is_any_run_open() -> bool:
    """Tell whether any run is open in this process."""
    from runtimeinfo import _scopes

    return bool(_scopes._open_scopes)


def run_seed(seed: int, name: str | None = None) -> Schedule:
    """Run the schedule of a seed."""
    profile = PROFILES[name or profile_of(seed)]
    truth = Truth()
    draw = Draw(seed, profile)

    def drawn() -> Iterator[Step]:
        for _ in range(100 * profile.steps):
            if len(schedule.taken) >= profile.steps:
                return
            step = draw.step(truth)
            if len(truth.places) >= 9 and step.operation in ("thread", "generator", "task", "process"):
                continue
            place = (truth.resolve(step.path) or [truth.root])[-1]
            is_end = step.operation == "leave" and not place.frames
            if not is_end or (place.kind != "process" and draw.is_rare()):
                yield step

    schedule = Schedule(truth, Drawn(truth, drawn()))
    schedule.run()
    return schedule


def run_steps(steps: Sequence[Step]) -> Schedule:
    """Run given steps."""
    truth = Truth()
    schedule = Schedule(truth, Drawn(truth, iter(steps)))
    schedule.run()
    return schedule


def shrink(steps: list[Step], seconds: float) -> Schedule:
    """Return the schedule with the fewest steps that is found to have a fault still."""
    best = run_steps(steps)
    deadline = time.monotonic() + seconds
    size = max(len(steps) // 2, 1)
    while size and best.faults:
        at = 0
        while at < len(steps):
            if time.monotonic() > deadline:
                return best
            fewer = steps[:at] + steps[at + size :]
            if (found := run_steps(fewer)).faults:
                steps, best = fewer, found
            else:
                at += size
        size //= 2
    return best


def show(schedule: Schedule) -> str:
    """Return the steps and the faults as text."""
    lines = [
        f"  {number:2} {'/'.join(each.path) or 'main'}: {each.operation} {' '.join(map(str, each.arguments))}"
        for number, each in enumerate(schedule.taken, 1)
    ]
    lines += [
        f"  {each.way} in step {each.number} ({each.step.operation}): expected {each.expected}, got {each.answer}"
        for each in schedule.faults
    ]
    return "\n".join(lines)


def prepare() -> None:
    """Make this process one that has had runs before, and whose fork server has loaded what its workers need."""
    warnings.simplefilter("ignore")
    multiprocessing.set_forkserver_preload(["places"])
    run_steps([Step((), "enter", ("first", "plain")), Step((), "leave", (False,)), Step((), "ask", ("called",))])


@dataclass
class Result:
    """What came of a number of schedules.

    Attributes:
        schedules: How many there were, by profile.
        steps: How many steps they had.
        answers: How many answers there were, by the kind of place that asked and by `WAYS`.
        faults: The failures as text, each with its seed.
    """

    schedules: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.schedules += other.schedules
        self.steps += other.steps
        self.answers += other.answers
        self.faults += other.faults

    def to_json(self) -> str:
        answers = [[*key, count] for key, count in self.answers.items()]
        return json.dumps([dict(self.schedules), self.steps, answers, self.faults])

    @classmethod
    def from_json(cls, text: str) -> Result:
        schedules, steps, answers, faults = json.loads(text)
        return cls(Counter(schedules), steps, Counter({(kind, way): count for kind, way, count in answers}), faults)


def run_here(schedules: Iterable[tuple[int, str]], seconds: float = 30) -> Result:
    """Run schedules, each a seed and a profile, in this process, and look so long for the fewest steps of a failure."""
    prepare()
    result = Result()
    for seed, profile in schedules:
        result.schedules[profile] += 1
        try:
            schedule = run_seed(seed, profile)
        except PlaceError as error:
            result.faults.append(f"seed {seed} ({profile}) {error}\n{error.__cause__}")
            continue
        result.steps += len(schedule.taken)
        result.answers += schedule.counts
        if schedule.faults:
            fewest = shrink(schedule.taken, seconds)
            result.faults.append(f"seed {seed} ({profile}):\n{show(fewest if fewest.faults else schedule)}")
    return result


def run_portions(seeds: Sequence[int], jobs: int, size: int = 100) -> Result:
    """Run the schedules of seeds in processes of their own, one for each so many of a profile."""
    by_profile: dict[str, list[int]] = {}
    for seed in seeds:
        by_profile.setdefault(profile_of(seed), []).append(seed)
    portions = [mine[at : at + size] for mine in by_profile.values() for at in range(0, len(mine), size)]
    result = Result()
    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(_run_portion, portions):
            result.add(found)
            print("\n".join([*found.faults, f"{result.schedules.total():,} schedules"]), file=sys.stderr, flush=True)
    return result


def _run_portion(seeds: Sequence[int]) -> Result:
    command = [sys.executable, *(["-O"] if sys.flags.optimize else []), __file__, "--seeds", *map(str, seeds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        return Result.from_json(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        fault = f"seeds {seeds[0]} to {seeds[-1]} ({profile_of(seeds[0])}): their process ended with {done.returncode}"
        return Result(Counter({profile_of(seeds[0]): len(seeds)}), faults=[fault])


def table(result: Result) -> str:
    """Return the answers by kind as Markdown."""
    kinds = sorted({kind for kind, _ in result.answers})
    rows = [("all", [sum(result.answers[kind, way] for kind in kinds) for way in WAYS])]
    rows = [(kind, [result.answers[kind, way] for way in WAYS]) for kind in kinds] + rows
    lines = [f"| code that asks | {' | '.join(WAYS)} |", f"|---{'|---' * len(WAYS)}|"]
    return "\n".join(lines + [f"| {kind} | {' | '.join(f'{count:,}' for count in counts)} |" for kind, counts in rows])


def page(result: Result) -> str:
    """Return the page of docs that has the figures."""
    profiles = "\n".join(f"| {name} | {count:,} |" for name, count in sorted(result.schedules.items()))
    today = date.today().isoformat()  # noqa: DTZ011
    return f"""# Random schedules

{result.schedules.total():,} random schedules of several trainings in one process: {result.steps:,} steps, {result.answers.total():,} answers of `current_hub()` and of hubs that were kept. `make schedules` runs them and writes this page; CI runs some.

A schedule is drawn from a seed, and says step by step which code does what next: threads with and without a copied context, generators that one thread or several step, asyncio tasks, thread pools, processes that are forked by hand or started by `fork`, `spawn` and a fork server, their children, process pools, DataLoader workers, persistent or not, and contexts that are kept and called later. Each of them opens runs, nested and in sequence, leaves them in order or by an exception, publishes, starts others, and asks. Who called or started the code that asks is known by construction, and so is the run that it belongs to.

- *right*: name and epoch are those of the run that the code belongs to.
- *nothing*: the code belongs to no run, or to one that has ended, and the answer is that outside of any run.
- *not known*: the same answer for code that belongs to a run, where the rules do not demand to know it.
- *missing*: the same, where the rules (SCOPE-01 to SCOPE-06) demand an answer. It is a failure, as is:
- *wrong*: the value of another run, an old epoch, or any value after the end of the run.

{table(result)}

{"No answer is wrong, and none is missing." if not result.faults else f"**{len(result.faults)} schedules fail.**"} Measured on {today} with Python {platform.python_version()}.

| schedules with | number |
|---|---|
{profiles}

## What cannot be known

A context holds the scopes that were entered in it, and does not say which of them was at work when it was copied. So these answer "not known":

- a thread or task whose context was copied while a training that is a generator was suspended in it, beside another run;
- a thread without a context, when a second run has been open in its lifetime;
- in a worker that works for a run, a thread without a context while another run is open there.

Two kinds of code could be counted to either of two runs, and may be answered by each:

- the code that steps the only generator in which a run was entered, between two steps: it might be a test that uses a fixture;
- what a generator starts with a copied context after another thread or event loop has gone on with it: the copy is one of the context that steps it, and counts to that.

A worker process belongs to the run that has started it, whatever code gives it its jobs.
"""  # noqa: E501


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--profile", choices=PROFILES, help="of the shown seeds; by default, what the seed says")
    parser.add_argument("--mix", nargs="*", metavar="PROFILE=N", help="run so many of each profile in this process")
    parser.add_argument("--without-torch", action="store_true", help="leave out what needs PyTorch")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="*", help="these, in this process; prints JSON")
    parser.add_argument("--show", type=int, nargs="*", metavar="SEED", help="show the steps of seeds, and the faults")
    parser.add_argument("--write", nargs="?", type=Path, const=PAGE, metavar="PATH", help="write the page, or PATH")
    arguments = parser.parse_args()
    if arguments.show is not None:
        prepare()
        for seed in arguments.show:
            print(f"seed {seed}\n{show(run_seed(seed, arguments.profile))}")
        return 0
    if arguments.seeds is not None:
        print(f"\n{run_here((seed, profile_of(seed)) for seed in arguments.seeds).to_json()}")
        return 0
    start = time.monotonic()
    if arguments.mix:
        counts = {name: int(count) for name, _, count in (each.partition("=") for each in arguments.mix)}
        result = run_here(((seed, name) for name, count in counts.items() for seed in range(count)), seconds=1)
    else:
        seeds = range(arguments.first, arguments.first + arguments.count)
        chosen = [each for each in seeds if not (arguments.without_torch and PROFILES[profile_of(each)].has_torch)]
        result = run_portions(chosen, arguments.jobs)
    print("\n\n".join([*(result.faults if arguments.mix else ()), table(result)]))
    print(f"{result.schedules.total():,} schedules, {time.monotonic() - start:.0f} s, {len(result.faults)} failed")
    if arguments.write:
        arguments.write.write_text(page(result), encoding="utf-8")
    return bool(result.faults)


if __name__ == "__main__":
    sys.exit(main())
