"""To which run each place belongs, by construction: who called its code, or who started it.

Nothing here looks at the product. `Truth.apply` takes a step of a schedule, says whether it is possible, and what may
be answered to the questions in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """What a place does: the way to it from the main thread, an operation, and its arguments."""

    path: Path
    operation: str
    arguments: tuple[Any, ...] = ()


@dataclass(eq=False)
class Run:
    """A training; it is open while a scope of it is."""

    name: str
    kind: str
    home: Place
    epoch: int | None = 0
    scopes: list[Scope] = field(default_factory=list)
    claims: set[Origin] = field(default_factory=set)
    loader: Loader | None = None
    pass_epochs: tuple[int, ...] = ()

    @property
    def is_open(self) -> bool:
        return bool(self.scopes)


@dataclass(eq=False)
class Scope:
    """One entering of a run."""

    run: Run
    place: Place
    is_open: bool = True
    operation: str = "enter"
    is_over_generator: bool = False

    @property
    def is_suspendable(self) -> bool:
        return self.place.kind == "generator"


@dataclass(frozen=True)
class Expected:
    """Which answers are right.

    Attributes:
        right: The runs that may answer.
        may_be_unknown: Whether the answer may be that of no run. Where `right` is empty it has to be.
        kind: The kind of place that asks.
    """

    right: frozenset[Run]
    may_be_unknown: bool
    kind: str = ""


@dataclass(eq=False)
class Origin:
    """Where a worker process comes from.

    Attributes:
        started: What was right where it was started.
        process: The process that started it.
        entered: How many enterings that process had had by then.
        is_clean: Whether it was started outside of any run for sure.
        method: How it was started.
    """

    started: Expected
    process: Place
    entered: int
    is_clean: bool
    method: str
    hubs: tuple[str, ...] = ()


@dataclass(eq=False)
class Loader:
    name: str
    method: str | None
    is_persistent: bool
    kept_hub: Run | None
    process: Place
    origin: Origin | None = None


@dataclass(eq=False)
class Place:
    """A place that runs code.

    Attributes:
        name: Its name.
        kind: process, thread, task, generator, pool or foreign.
        process: The process that it is in; None for the first one.
        host: Of a task: the thread of its event loop.
        frames: What it has entered and not left: scopes, and None for an event loop.
        scopes: The scopes among them, the one at work last: a loop that is stepped is at work again.
        contexts: The scopes that were pushed to its context; one more context inside an event loop.
        owners: The scopes whose code started it.
        is_unsure: Whether that cannot be told from its context.
        has_context: Whether it began with a copy of a context.
        lifetime: The runs that were open while it lived.
        log: Of a process: the runs entered in it, in order.
        origin: Of a process: where it comes from.
    """

    name: str
    kind: str
    process: Place | None
    host: Place | None = None
    frames: list[Scope | None] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    contexts: list[list[Scope]] = field(default_factory=lambda: [[]])
    owners: tuple[Scope, ...] = ()
    is_unsure: bool = False
    has_context: bool = False
    lifetime: set[Run] = field(default_factory=set)
    log: list[Run] = field(default_factory=list)
    origin: Origin | None = None
    copied: tuple[Scope, ...] = ()
    pool: str = ""
    is_loop_mixed: bool = False
    before_loop: tuple[Scope, ...] = ()

    @property
    def context(self) -> list[Scope]:
        return self.contexts[-1]

    @property
    def own_process(self) -> Place:
        return self if self.process is None or self.kind == "process" else self.process

    @property
    def is_in_event_loop(self) -> bool:
        return None in self.frames

    @property
    def is_lost(self) -> bool:
        """Tell whether an event loop has a copied context that does not show which scope is at work."""
        return self.is_loop_mixed and None in self.frames[self.frames.index(self.scopes[-1]) :]

    def name_of_kind(self) -> str:
        if self.kind == "process" and self.origin is not None:
            return f"process ({self.origin.method})"
        if self.kind == "process":
            return "main thread"
        if self.kind == "thread":
            return "thread, copied context" if self.has_context else "thread, no context"
        return self.kind


_EARLIER = Run("earlier", "plain", Place("", "process", None))
_NONE: frozenset[Run] = frozenset()


class Truth:
    """The state of a schedule, and what is right in it."""

    def __init__(self) -> None:
        self.root = Place("", "process", None, lifetime={_EARLIER})
        self.places: dict[str, Place] = {}
        self.runs: dict[str, Run] = {}
        self.things: dict[str, Any] = {}
        self.loaders: dict[str, Loader] = {}
        self.epochs = 1000  # each published epoch is another one

    # -- places

    def resolve(self, path: Path) -> list[Place] | None:
        """Return the places on a way, the main thread first; None if there is no such way now."""
        found = [self.root]
        for name in path:
            place, last = self.places.get(name), found[-1]
            if place is None or not self._is_reachable(place, last, found):
                return None
            found.append(place)
        return found

    @staticmethod
    def _is_reachable(place: Place, last: Place, found: list[Place]) -> bool:
        if place.kind in ("process", "thread"):
            return last.kind == "process" and place.process is last
        if place.kind == "task":
            return place.host is last and last.is_in_event_loop
        return place.kind == "generator" and place.process is last.own_process and place not in found

    @staticmethod
    def base(places: list[Place]) -> Place:
        """Return the place that has the context: no generator."""
        return next(each for each in reversed(places) if each.kind != "generator")

    @classmethod
    def callers(cls, places: list[Place]) -> list[Place]:
        """Return the places on the call stack of the last one, itself first."""
        return places[places.index(cls.base(places)) :][::-1]

    @staticmethod
    def _around(context: list[Scope], places: list[Place]) -> set[Run]:
        """Return the runs of generators that are suspended in a context."""
        return {each.run for each in context if each.is_open and each.is_suspendable and each.place not in places}

    @staticmethod
    def _open_of(owners: tuple[Scope, ...], context: list[Scope]) -> set[Run]:
        """Return the runs of owners, as long as they are open in the context."""
        return {
            each.run
            for each in owners
            if each.is_open or any(other.is_open and other.run is each.run for other in context)
        }

    @staticmethod
    def _of_moved(owners: tuple[Scope, ...], context: list[Scope]) -> set[Run]:
        """Return the run of a copied context whose maker was a generator that had been entered in another one.

        By definition the copy counts to the context: see `docs/schedules.md`.
        """
        if not owners or owners[-1] in context:
            return set()
        return {each.run for each in context[-1:] if each.is_open}

    def living(self, process: Place) -> list[Place]:
        return [each for each in (self.root, *self.places.values()) if each.own_process is process]

    def open_runs(self, process: Place) -> set[Run]:
        return {each for each in self.runs.values() if each.is_open and each.home is process}

    # -- what is right

    def expected(self, places: list[Place]) -> Expected:
        """Return which answers are right for the code of the last place on a way."""
        for place in self.callers(places):
            if place.scopes:
                kind = "nested" if len(place.scopes) > 1 else place.kind
                kind = {"process": "main thread"}.get(kind, kind)
                return Expected(frozenset({place.scopes[-1].run}), place.is_lost, kind=f"own run: {kind}")
        base = self.base(places)
        if base.kind == "process":
            right, may_be_unknown = self._of_main_thread(base)
        elif base.has_context and base.owners and base.copied:
            right = frozenset(self._open_of(base.owners, base.context))
            may_be_unknown = base.is_unsure or not all(each.is_open for each in base.owners)
            right |= self._of_moved(base.owners, list(base.copied))
            may_be_unknown |= base.is_in_event_loop and base.is_loop_mixed
            suspended = any(each.is_suspendable for each in base.owners)
            if suspended and len({each.run for each in base.context if each.is_open}) > 1:
                may_be_unknown = True
        else:
            right, may_be_unknown = self._by_lifetime(base)
        around = self._around(base.context, places)
        if len(around) > 1:
            around = self._around([each for each in base.context if each in base.copied], places)
        # The code that steps the only generator in which a run was entered may count as that of the run: as the test
        # that uses a fixture. Of several, it is in none.
        if len(around) == 1 and (may_be_unknown or not right):
            right, may_be_unknown = right | around, True
        return Expected(right, may_be_unknown or not right, kind=base.name_of_kind())

    def _of_main_thread(self, place: Place) -> tuple[frozenset[Run], bool]:
        if place.origin is None:
            return self._by_lifetime(place)
        found = self.expected_of(place.origin)
        mine = self.open_runs(place)
        if found.right or not mine:
            return found.right, found.may_be_unknown or bool(mine) or bool(place.context)
        right, may_be_unknown = self._by_lifetime(place)
        return right, may_be_unknown or bool(place.origin.started.right)

    def _by_lifetime(self, place: Place) -> tuple[frozenset[Run], bool]:
        process = place.own_process
        owners = {each.run for each in place.owners if each.run.is_open}
        if not place.lifetime and process.origin is not None:
            found = self.expected_of(process.origin)
            return found.right | owners, found.may_be_unknown or bool(place.context) or place.is_unsure
        if len(place.lifetime) == 1:
            (only,) = place.lifetime
            if only.is_open and (not place.owners or only in owners):
                origin = process.origin
                has_other = origin is not None and bool(origin.started.right or self.expected_of(origin).right)
                return frozenset({only}), place.is_unsure or bool(place.context) or has_other
        right = frozenset(owners)
        if process.origin is not None:  # all that it does is done for the run that started it
            right |= self.expected_of(process.origin).right
        return right, True

    def expected_of(self, origin: Origin) -> Expected:
        """Return which answers are right in a worker process."""
        for run in self.runs.values():
            if run.is_open and origin in run.claims:
                return Expected(frozenset({run}), may_be_unknown=False)
        if origin.started.right:
            right = frozenset(each for each in origin.started.right if each.is_open)
            return Expected(right, may_be_unknown=origin.started.may_be_unknown or not right)
        process = origin.process
        if process.origin is not None:
            found = self.expected_of(process.origin)
            return Expected(found.right, found.may_be_unknown or not origin.is_clean or bool(process.log))
        since = set(process.log[origin.entered :])
        right = frozenset(each for each in since if each.is_open and len(since) == 1)
        was_entered_before = bool(since & set(process.log[: origin.entered]))
        return Expected(right, may_be_unknown=not right or not origin.is_clean or was_entered_before)

    def origin(self, places: list[Place], method: str) -> Origin:
        """Return the origin of a process that is started at a place now."""
        started, process, base = self.expected(places), places[-1].own_process, self.base(places)
        in_worker = process.origin is not None
        is_clean = not base.context and not self.open_runs(process) and not (in_worker and base.is_unsure)
        if in_worker and not any(each.scopes for each in self.callers(places)) and not base.owners:
            # Where none of the runs here counts, it works for what its process works for.
            own = frozenset(each for each in started.right if each.home is process)
            started = Expected(own, may_be_unknown=True)
        return Origin(started, process, len(process.log), is_clean, method)

    def owners(self, places: list[Place]) -> tuple[tuple[Scope, ...], bool]:
        """Return the scopes whose code the last place on a way is, and whether that is unsure."""
        for place in self.callers(places):
            if place.scopes:
                return (place.scopes[-1],), place.is_lost
        base = self.base(places)
        return base.owners, base.is_unsure or self.expected(places).may_be_unknown

    # -- what happens

    def open(self, run: Run, places: list[Place], operation: str = "enter") -> None:
        below = self.base(places).context
        is_over = any(each.is_open and each.is_suspendable and each.run is not run for each in below)
        scope = Scope(run, places[-1], operation=operation, is_over_generator=is_over)
        process = places[-1].own_process
        run.scopes.append(scope)
        process.log.append(run)
        places[-1].frames.append(scope)
        places[-1].scopes.append(scope)
        self.base(places).context.append(scope)
        for place in [*self.living(process), *self.things.values()]:
            if isinstance(place, Place) and place.own_process is process:
                place.lifetime.add(run)

    def close(self, scope: Scope, places: list[Place]) -> None:
        scope.is_open = False
        scope.run.scopes.remove(scope)
        scope.place.frames.remove(scope)
        scope.place.scopes.remove(scope)
        if not scope.run.is_open:
            scope.run.claims.clear()
            scope.run.pass_epochs = ()
        context = self.base(places).context
        if scope in context:
            context.remove(scope)

    def leave_all(self, place: Place, places: list[Place]) -> None:
        for scope in [each for each in reversed(place.frames) if each is not None]:
            self.close(scope, places)

    def forget(self, place: Place) -> None:
        self.places.pop(place.name, None)

    def next_epoch(self) -> int:
        self.epochs += 1
        return self.epochs

    def apply(self, step: Step) -> Expected | list[Expected] | bool | None:
        """Take a step, and return what is right to answer, or True if nothing is asked; None if it is impossible."""
        places = self.resolve(step.path)
        if places is None:
            return None
        result: Expected | list[Expected] | bool | None = getattr(self, f"_{step.operation}")(places, *step.arguments)
        return result

    # -- the steps, as in `places.House`

    def _enter(self, places: list[Place], name: str, kind: str, loader: str | None = None) -> bool | None:
        run, process = self.runs.get(name), places[-1].own_process
        if run is not None and (run.kind != kind or run.home is not process or (run.is_open and kind != "plain")):
            return None
        if loader is not None and (loader not in self.loaders or self.loaders[loader].process is not process):
            return None
        if run is None:
            run = self.runs[name] = Run(name, kind, process)
            run.loader = self.loaders[loader] if loader else None
        self.open(run, places)
        return True

    def _train(self, places: list[Place], name: str, framework: str) -> bool | None:
        if name in self.runs or places[-1].kind not in ("process", "thread") or places[-1].is_in_event_loop:
            return None
        self.runs[name] = Run(name, framework, places[-1].own_process, epoch=None)
        self.open(self.runs[name], places)
        return True

    def _leave(self, places: list[Place], is_aborted: bool) -> bool | None:
        place = places[-1]
        if not place.frames:
            return self._end_place(place, places)
        frame = place.frames[-1]
        if frame is not None and frame.operation == "begin":
            return None
        if frame is None:
            for task in [each for each in self.places.values() if each.host is place]:
                self.leave_all(task, [task])
                self.forget(task)
            place.frames.pop()
            place.contexts.pop()
            place.copied = ()
            # The turns that loops had in the event loop do not show outside of it.
            place.scopes.sort(key=lambda each: place.before_loop.index(each) if each in place.before_loop else 0)
        else:
            self.close(frame, places)
        return True

    def _end_place(self, place: Place, places: list[Place]) -> bool | None:
        if place is self.root:
            return None
        if place.kind == "process":
            others = [each for each in self.places.values() if each is not place and each.process is place]
            # The generators of a process go with it.
            if any(each.kind != "generator" or each.scopes for each in others) or self.open_runs(place):
                return None
            for each in others:
                self.forget(each)
            self.things = {
                name: each
                for name, each in self.things.items()
                if (each.own_process if isinstance(each, Place) else each[0]) is not place
            }
            for name in [name for name, each in self.loaders.items() if each.process is place]:
                del self.loaders[name]
        if place.pool and place.pool in self.things:
            self.things[place.pool].frames.clear()
        self.forget(place)
        return True

    def _begin(self, places: list[Place], name: str) -> bool | None:
        place = places[-1]
        if name in self.runs or place.kind in ("generator", "task"):
            return None
        self.runs[name] = Run(name, "plain", place.own_process)
        self.open(self.runs[name], places, "begin")
        return True

    def _end(self, places: list[Place], name: str) -> bool | None:
        frames = places[-1].frames
        begun = [each for each in frames if each is not None and each.run.name == name and each.operation == "begin"]
        if not begun or None in frames[frames.index(begun[0]) :]:
            return None
        self.close(begun[0], places)
        return True

    def _event_loop(self, places: list[Place]) -> bool | None:
        place = places[-1]
        if place.kind not in ("process", "thread") or place.is_in_event_loop:
            return None
        place.is_loop_mixed = self._is_mixed(place.context) or any(
            each.is_over_generator or not each.is_open for each in place.context
        )
        place.contexts.append(list(place.context))
        place.copied = tuple(place.context)
        place.before_loop = tuple(place.scopes)
        place.frames.append(None)
        return True

    def _task(self, places: list[Place], name: str) -> bool | None:
        base = self.base(places)
        host = base.host if base.kind == "task" else base
        if host is None or not host.is_in_event_loop:
            return None
        self._start(Place(name, "task", host.own_process, host), places, has_context=True)
        return True

    def _cancel(self, places: list[Place], name: str) -> bool | None:
        place, me = self.places.get(name), places[-1]
        host = me.host if me.kind == "task" else me
        if place is None or place.kind != "task" or place.host is not host or place is me:
            return None
        if me.kind == "generator" or (me is host and not me.is_in_event_loop):
            return None
        self.leave_all(place, [place])
        self.forget(place)
        return True

    def _start(self, place: Place, places: list[Place], *, has_context: bool) -> None:
        place.owners, place.is_unsure = self.owners(places)
        if not has_context or not self.base(places).context:  # what a run has left running works for none
            place.owners = tuple(each for each in place.owners if each.is_open)
        place.has_context = has_context
        place.lifetime = set(self.open_runs(place.own_process))
        if has_context:
            place.contexts = [list(self.base(places).context)]
            place.copied = tuple(place.context)
            place.is_unsure |= self._is_unsure_copy(place)
        if place.kind in ("pool", "foreign"):
            place.owners = ()
            self.things[place.name] = place
        else:
            self.places[place.name] = place

    def _is_unsure_copy(self, place: Place) -> bool:
        """Tell whether a copied context does not show whose code made the copy: a generator is stepped in another."""
        context = place.context
        if not place.owners:
            return self._is_mixed(context)
        owner = place.owners[-1]
        return self._is_mixed(context) or owner.is_over_generator or not context or context[-1] is not owner

    @staticmethod
    def _is_mixed(context: list[Scope]) -> bool:
        """Tell whether a context has several runs, and one of a generator: which is at work does not show in a copy."""
        return any(each.is_suspendable for each in context) and len({each.run for each in context}) > 1

    def _thread(self, places: list[Place], name: str, how: str, thing: str | None = None) -> bool | None:
        place = Place(name, "thread", places[-1].own_process)
        if how == "pool":
            pool = self._thing(thing, "pool", places)
            if pool is None or pool.frames:
                return None
            self._start(place, places, has_context=False)
            pool.frames.append(None)  # it is busy
            place.pool = pool.name
            if pool.pool:  # its thread has lived before
                place.lifetime = pool.lifetime
            pool.pool = "has a thread"
            pool.lifetime = place.lifetime
        elif how == "context":
            kept = self.things.get(thing or "")
            if not isinstance(kept, tuple) or kept[0] is not place.own_process:
                return None
            self._start(place, places, has_context=True)
            _, place.owners, place.is_unsure, context = kept
            place.contexts, place.copied = [list(context)], tuple(context)
            if not context:
                place.owners = tuple(each for each in place.owners if each.is_open)
        else:
            self._start(place, places, has_context=how == "copied")
        return True

    def _thing(self, name: str | None, kind: str, places: list[Place]) -> Place | None:
        found = self.things.get(name or "")
        is_it = isinstance(found, Place) and found.kind == kind and found.process is places[-1].own_process
        return found if is_it else None

    def _generator(self, places: list[Place], name: str) -> bool:
        self.places[name] = Place(name, "generator", places[-1].own_process)
        return True

    def _close(self, places: list[Place], name: str) -> bool | None:
        place = self.places.get(name)
        if place is None or self.resolve((*(each.name for each in places[1:]), name)) is None:
            return None
        if place.kind != "generator":
            return None
        self.leave_all(place, places)
        self.forget(place)
        return True

    def _throw(self, places: list[Place], name: str) -> bool | None:
        place = self.places.get(name)
        if place is None or place.kind != "generator" or not place.frames:
            return None if place is None or place.kind != "generator" else self._close(places, name)
        if self.resolve((*(each.name for each in places[1:]), name)) is None:
            return None
        scope = place.frames[-1]
        if scope is None:
            return None
        self.close(scope, places)
        return True

    def _copy_context(self, places: list[Place], name: str) -> bool:
        owners, is_unsure = self.owners(places)
        context = list(self.base(places).context)
        copied = Place(name, "thread", places[-1].own_process, owners=owners, contexts=[context])
        self.things[name] = places[-1].own_process, owners, is_unsure or self._is_unsure_copy(copied), context
        return True

    def _ask_in_context(self, places: list[Place], name: str) -> Expected | None:
        kept = self.things.get(name)
        if not isinstance(kept, tuple) or kept[0] is not places[-1].own_process or len(kept) != 4:
            return None
        caller = self.expected(places)
        _, owners, _, context = kept
        of_context = self._open_of(owners, context) | self._of_moved(owners, context)
        around = {each.run for each in context if each.is_open and each.is_suspendable}
        also = of_context | (around if len(around) == 1 else set())
        is_closed = not any(each.is_open for each in context)
        if not context:
            process, lifetime = places[-1].own_process, self.base(places).lifetime
            also |= self._by_lifetime(Place("", "thread", process, lifetime=lifetime))[0]
        # Otherwise what tells is the context, which is another one; and so it does in an event loop in a run.
        is_own = any(each.scopes and not each.is_in_event_loop for each in self.callers(places))
        return Expected(
            caller.right | also,
            caller.may_be_unknown or not is_closed or not is_own,
            kind="context that is called",
        )

    def _keep(self, places: list[Place], name: str) -> bool:
        self.things[name] = places[-1].own_process, "proxy"
        return True

    def _ask(self, places: list[Place], how: str, kept: str | None = None) -> Expected | None:
        if kept is not None:
            found = self.things.get(kept)
            if not isinstance(found, tuple) or len(found) != 2 or found[0] is not places[-1].own_process:
                return None
        return self.expected(places)

    def _publish(self, places: list[Place], name: str, epoch: int) -> bool | None:
        run = self.runs.get(name)
        if run is None or run.home is not places[-1].own_process:
            return None
        run.epoch = epoch
        return True

    def _publish_here(self, places: list[Place], epoch: int) -> Expected | None:
        found = self.expected(places)
        if places[-1].own_process is not self.root:
            return None
        for run in found.right:
            run.epoch = None  # whichever it was
        return Expected(found.right, found.may_be_unknown, "publishes")

    def _pool(self, places: list[Place], name: str) -> bool:
        self._start(Place(name, "pool", places[-1].own_process), places, has_context=False)
        return True

    def _submit(self, places: list[Place], name: str, how: str) -> Expected | None:
        pool = self._thing(name, "pool", places)
        if pool is None or pool.frames:
            return None
        if not pool.pool:
            pool.pool = "has a thread"
            pool.lifetime = set(self.open_runs(places[-1].own_process))
        owners, is_unsure = self.owners(places)
        asking = Place(name, "pool", places[-1].own_process, lifetime=pool.lifetime, owners=owners, is_unsure=is_unsure)
        if how != "copied":
            asking.owners = tuple(each for each in owners if each.is_open)
        else:
            context = list(self.base(places).context)
            asking.contexts, asking.has_context, asking.copied = [context], True, tuple(context)
            if not context:
                asking.owners = tuple(each for each in owners if each.is_open)
            asking.is_unsure |= self._is_unsure_copy(asking)
        found = self.expected([asking])
        return Expected(found.right, found.may_be_unknown, f"pool, {'copied' if how == 'copied' else 'no'} context")

    def _to_thread(self, places: list[Place]) -> Expected | None:
        if places[-1].kind == "generator" or not (places[-1].is_in_event_loop or places[-1].kind == "task"):
            return None
        owners, is_unsure = self.owners(places)
        context = list(self.base(places).context)
        asking = Place("", "thread", places[-1].own_process, owners=owners, is_unsure=is_unsure, has_context=True)
        asking.contexts, asking.copied = [context], tuple(context)
        asking.is_unsure |= self._is_unsure_copy(asking)
        return self._in_helper(asking, "asyncio.to_thread")

    def _in_executor(self, places: list[Place]) -> Expected | None:
        if places[-1].kind == "generator" or not (places[-1].is_in_event_loop or places[-1].kind == "task"):
            return None
        owners, is_unsure = self.owners(places)
        asking = Place("", "thread", places[-1].own_process, owners=owners, is_unsure=is_unsure)
        return self._in_helper(asking, "run_in_executor")

    def _in_helper(self, place: Place, kind: str) -> Expected:
        place.lifetime = self.open_runs(place.own_process)
        if not place.has_context or not place.context:
            place.owners = tuple(each for each in place.owners if each.is_open)
        found = self.expected([place])
        # The thread may have lived before.
        return Expected(found.right, found.may_be_unknown or not place.has_context or not place.owners, kind)

    def _foreign(self, places: list[Place], name: str) -> bool:
        self._start(Place(name, "foreign", places[-1].own_process), places, has_context=False)
        return True

    def _ask_foreign(self, places: list[Place], name: str) -> Expected | None:
        place = self._thing(name, "foreign", places)
        if place is None:
            return None
        caller, process = self.expected(places), places[-1].own_process
        runs = self.open_runs(process)
        # A thread that another library has started works for the code that waits for it.
        also = runs if len(runs) == 1 else set()
        if process.origin is not None:
            also = also | self.expected_of(process.origin).right
        is_only = len(runs) == 1 and caller.right == runs and process.origin is None
        return Expected(caller.right | also, not is_only or caller.may_be_unknown, "foreign thread")

    def _process(self, places: list[Place], name: str, method: str, hubs: tuple[str, ...]) -> bool | None:
        if any(run not in self.runs or self.runs[run].home is not places[-1].own_process for run in hubs):
            return None
        place = Place(name, "process", places[-1].own_process)
        if not self._can_start(places, method):
            return None
        place.origin = self.origin(places, method)
        place.origin.hubs = hubs
        self.places[name] = place
        return True

    def _ask_hub(self, places: list[Place], name: str) -> Expected | None:
        run, process = self.runs.get(name), places[-1].own_process
        if run is None or process.origin is None or name not in process.origin.hubs:
            return None
        return Expected(frozenset({run}), may_be_unknown=False, kind="hub kept in a worker")

    @staticmethod
    def _can_start(places: list[Place], method: str) -> bool:
        """Tell whether a process can be started: a forked one cannot use the fork server of its parent."""
        origin = places[-1].own_process.origin
        return method != "forkserver" or origin is None or "server" in origin.method or origin.method == "spawn"

    def _executor(self, places: list[Place], name: str, method: str) -> bool | None:
        if not self._can_start(places, method):
            return None
        self.things[name] = places[-1].own_process, "executor", method, None, None
        return True

    def _execute(self, places: list[Place], name: str) -> Expected | None:
        found = self.things.get(name)
        if not isinstance(found, tuple) or found[0] is not places[-1].own_process or found[1] != "executor":
            return None
        process, _, method, origin, _ = found
        if origin is None:
            origin = self.origin(places, method)
            self.things[name] = process, "executor", method, origin, None
        expected, caller = self.expected_of(origin), self.expected(places)
        is_same = caller.right == expected.right
        return Expected(
            expected.right | caller.right,
            expected.may_be_unknown or not is_same,
            f"executor ({method})",
        )

    def _loader(
        self, places: list[Place], name: str, method: str | None, persistent: bool, kept: str | None, run: str | None
    ) -> bool | None:
        if self._ask(places, "kept", kept) is None:
            return None
        process = places[-1].own_process
        if run is not None and (run not in self.runs or self.runs[run].home is not process):
            return None
        if method is None and persistent:
            return None
        self.loaders[name] = Loader(name, method, persistent, self.runs[run] if run else None, process)
        return True

    def _pass(self, places: list[Place], name: str, count: int | None) -> list[Expected] | None:
        loader = self.loaders.get(name)
        if loader is None or loader.process is not places[-1].own_process:
            return None
        if any(each.loader is loader and each.is_open and each.pass_epochs for each in self.runs.values()):
            return None  # a loop is in the middle of a pass over it
        return [self._of_loader(loader, places)] * (3 if count is None else count)

    def _of_loader(self, loader: Loader, places: list[Place], claimed_by: Run | None = None) -> Expected:
        if loader.method is None and loader.kept_hub is not None:
            return Expected(frozenset({loader.kept_hub}), may_be_unknown=False, kind="hub kept in a loader")
        if loader.method is None:
            found = self.expected(places)
            return Expected(found.right, found.may_be_unknown, "loader without workers")
        if loader.origin is None or not loader.is_persistent:
            loader.origin = self.origin(places, loader.method)
        elif claimed_by is not None:
            for each in self.runs.values():
                each.claims.discard(loader.origin)
            claimed_by.claims.add(loader.origin)
        kind = f"loader ({loader.method}{', persistent' if loader.is_persistent else ''})"
        if loader.kept_hub is not None:
            return Expected(frozenset({loader.kept_hub}), may_be_unknown=False, kind=f"hub kept in a {kind}")
        found = self.expected_of(loader.origin)
        return Expected(found.right, found.may_be_unknown, kind)

    def _step(self, places: list[Place], name: str) -> list[Expected] | None:
        run, place = self.runs.get(name), places[-1]
        if run is None or run.kind != "loop" or not run.is_open or run.scopes[0] not in place.frames:
            return None
        scope = run.scopes[0]
        above = place.scopes[place.scopes.index(scope) + 1 :]
        if any(each.run.kind != "loop" for each in above):
            return None
        loader = run.loader
        if loader is not None and not run.pass_epochs:
            if any(each.loader is loader and each.is_open and each.pass_epochs for each in self.runs.values()):
                return None
            run.pass_epochs = (1,)
        place.scopes.remove(scope)  # the loop that is stepped is at work
        place.scopes.append(scope)
        context = self.base(places).context
        if above:
            context[:] = [*(each for each in context if each is not scope), scope]
        if loader is None:
            found = self.expected(places)
            return [Expected(frozenset({run}), found.may_be_unknown, kind="data of a loop")]
        return [self._of_loader(loader, places, claimed_by=run)]
