"""HUB and SCALAR-01: a hub beside the model, compared after each operation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from runtimeinfo import MessageHub
from runtimeinfo.authoring import scalar_value
from runtimeinfo_conformance._subject import HubSubject
from runtimeinfo_conformance.judges._hub_model import HubModel
from runtimeinfo_conformance.judges._judge import Finding, RuleFinding
from runtimeinfo_conformance.plans import HubOp, HubPlan, is_resumed, make_value

_NOTHING = "nothing published"
_ABSENT = "nobody published this"
_WINDOWS = (None, 1, 2, 100)


def judge_hub(subject: HubSubject, plan: HubPlan) -> Iterator[RuleFinding]:
    """Run a plan on a fresh hub, and compare it with the model after each operation.

    Stops where an operation fails that must not.
    """
    hub, model = subject.make("conformance"), HubModel()
    yield from _compare(hub, model, 0)
    for at, op in enumerate(plan.ops):
        findings = list(_APPLY[op.name](subject, hub, model, op, at))
        yield from findings
        if any(not finding.holds for _, finding in findings):
            return
        if op.name == "reload":
            hub, model = _reloaded(subject, hub), model.without_unresumed()
        yield from _compare(hub, model, at)


# -- the operations: each yields what its own requirement says of it


def _update_info(_: HubSubject, hub: MessageHub, model: HubModel, op: HubOp, at: int) -> Iterator[RuleFinding]:
    yield _succeeds("HUB-01", at, lambda: hub.update_info(op.key, op.value, is_resumed(op.key)))
    model.infos[op.key] = op.value


def _update_info_dict(_: HubSubject, hub: MessageHub, model: HubModel, op: HubOp, at: int) -> Iterator[RuleFinding]:
    infos = {op.key: op.value, f"{op.key}/too": op.value}
    yield _succeeds("HUB-09", at, lambda: hub.update_info_dict(infos, is_resumed(op.key)))
    model.infos.update(infos)
    for key, value in infos.items():
        yield RuleFinding("HUB-09", Finding(at, value, _listed_info(hub, key)))


def _pop_info(_: HubSubject, hub: MessageHub, model: HubModel, op: HubOp, at: int) -> Iterator[RuleFinding]:
    expected = model.infos.pop(op.key, _NOTHING)
    yield RuleFinding("HUB-03", Finding(at, expected, _answer(lambda: hub.pop_info(op.key, _NOTHING))))
    yield RuleFinding("HUB-03", Finding(at, _NOTHING, _answer(lambda: hub.pop_info(op.key, _NOTHING))))


def _update_scalar(_: HubSubject, hub: MessageHub, model: HubModel, op: HubOp, at: int) -> Iterator[RuleFinding]:
    value = make_value(op.value, op.turn)
    yield _succeeds("SCALAR-01", at, lambda: hub.update_scalar(op.key, value, op.count, is_resumed(op.key)))
    model.append(op.key, scalar_value(value), op.count)


def _update_scalars(_: HubSubject, hub: MessageHub, model: HubModel, op: HubOp, at: int) -> Iterator[RuleFinding]:
    value = make_value(op.value, op.turn)
    entries = {op.key: {"value": value, "count": op.count}, f"{op.key}/too": value}
    yield _succeeds("HUB-15", at, lambda: hub.update_scalars(entries, is_resumed(op.key)))
    model.append(op.key, scalar_value(value), op.count)
    model.append(f"{op.key}/too", scalar_value(value), 1)
    for key in entries:
        yield RuleFinding("HUB-15", Finding(at, _both(model, key), _both_read(hub, key)))


def _refuse_scalar(_: HubSubject, hub: MessageHub, _model: HubModel, op: HubOp, at: int) -> Iterator[RuleFinding]:
    value = make_value(op.value, op.turn)
    before = _snapshot(hub)
    yield _fails("SCALAR-01", at, lambda: hub.update_scalar(op.key, value, 1, is_resumed(op.key)))
    yield RuleFinding("SCALAR-01", Finding(at, before, _snapshot(hub)))


def _flip_resumed(_: HubSubject, hub: MessageHub, model: HubModel, op: HubOp, at: int) -> Iterator[RuleFinding]:
    published = [*model.infos, *model.scalars]
    if not published:
        return
    key = published[op.turn % len(published)]
    before = _snapshot(hub)
    if key in model.infos:
        yield _fails("HUB-08", at, lambda: hub.update_info(key, "flipped", not is_resumed(key)))
    else:
        yield _fails("HUB-08", at, lambda: hub.update_scalar(key, 0.0, 1, not is_resumed(key)))
    yield RuleFinding("HUB-08", Finding(at, before, _snapshot(hub)))


def _reload(subject: HubSubject, hub: MessageHub, model: HubModel, _op: HubOp, at: int) -> Iterator[RuleFinding]:
    expected = model.without_unresumed()
    try:
        fresh = _reloaded(subject, hub)
    except Exception as error:  # noqa: BLE001  # it is the finding
        yield RuleFinding("HUB-11", Finding(at, "loads", f"raises {error!r}"))
        return
    for key, value in expected.infos.items():
        yield RuleFinding("HUB-11", Finding(at, {key: value}, {key: _listed_info(fresh, key)}))
    for key in expected.scalars:
        yield RuleFinding("HUB-11", Finding(at, _both(expected, key), _both_read(fresh, key)))
    for key in (model.infos.keys() | model.scalars.keys()) - (expected.infos.keys() | expected.scalars.keys()):
        held = key in fresh.runtime_info or key in fresh.log_scalars
        yield RuleFinding("HUB-12", Finding(at, f"no {key}", f"{key} is saved" if held else f"no {key}"))


def _load_damaged(_: HubSubject, hub: MessageHub, _model: HubModel, op: HubOp, at: int) -> Iterator[RuleFinding]:
    state = copy.deepcopy(dict(hub.state_dict()))
    fields = sorted(state.keys() - {"version"})
    if not fields:
        return
    del state[fields[op.turn % len(fields)]]
    before = _snapshot(hub)
    yield _fails("HUB-13", at, lambda: hub.load_state_dict(state))
    yield RuleFinding("HUB-13", Finding(at, before, _snapshot(hub)))


_APPLY: dict[str, Callable[[HubSubject, MessageHub, HubModel, HubOp, int], Iterator[RuleFinding]]] = {
    "update_info": _update_info,
    "update_info_dict": _update_info_dict,
    "pop_info": _pop_info,
    "update_scalar": _update_scalar,
    "update_scalars": _update_scalars,
    "refuse_scalar": _refuse_scalar,
    "flip_resumed": _flip_resumed,
    "reload": _reload,
    "load_damaged": _load_damaged,
}


# -- the comparison


def _compare(hub: MessageHub, model: HubModel, at: int) -> Iterator[RuleFinding]:
    for key, value in model.infos.items():
        yield RuleFinding("HUB-01", Finding(at, {key: value}, {key: _info_of(hub, key)}))
    yield RuleFinding("HUB-02", Finding(at, _ABSENT, _answer(lambda: hub.get_info("no such key", _ABSENT))))
    yield _fails("HUB-07", at, lambda: hub.get_scalar("no such key"), KeyError)
    for key in model.scalars:
        if key not in hub.log_scalars:
            yield RuleFinding("HUB-14", Finding(at, f"{key} in log_scalars", "it is not"))
            continue
        yield from _compare_history(hub, model, key, at)
    yield RuleFinding("HUB-14", Finding(at, sorted(model.infos), sorted(hub.runtime_info)))
    yield RuleFinding("HUB-14", Finding(at, sorted(model.scalars), sorted(hub.log_scalars)))


def _compare_history(hub: MessageHub, model: HubModel, key: str, at: int) -> Iterator[RuleFinding]:
    def ask(statistic: str, *window: int | None) -> Any:
        with _with_infinities():
            return _answer(lambda: float(getattr(hub.get_scalar(key), statistic)(*window)))

    for window in _WINDOWS:
        values, counts = model.window(key, window)
        with _with_infinities():
            mean = float(values.sum() / counts.sum())
        yield RuleFinding("HUB-05", Finding(at, {f"mean({window})": mean}, {f"mean({window})": ask("mean", window)}))
        for name, extreme in (("min", float(values.min())), ("max", float(values.max()))):
            call = f"{name}({window})"
            yield RuleFinding("HUB-06", Finding(at, {call: extreme}, {call: ask(name, window)}))
    yield RuleFinding("HUB-04", Finding(at, model.scalars[key][-1][0], ask("current")))
    yield RuleFinding("HUB-10", Finding(at, _both(model, key), _both_of(hub, key)))
    yield RuleFinding("HUB-10", Finding(at, _both(model, key), _both_read(hub, key)))


def _with_infinities() -> np.errstate:
    """Let NumPy add infinities of both signs: where warnings are errors, neither the hub nor the model may raise."""
    return np.errstate(invalid="ignore")


# Each requirement is read in a way of its own where there are two, so that one fault is not found everywhere.


def _both(model: HubModel, key: str) -> list[list[float]]:
    values, counts = model.window(key, None)
    return [values.tolist(), counts.tolist()]


def _both_of(hub: MessageHub, key: str) -> list[list[float]]:
    return _as_lists(hub.log_scalars[key].data) if key in hub.log_scalars else [[], []]


def _both_read(hub: MessageHub, key: str) -> Any:
    return _answer(lambda: _as_lists(hub.get_scalar(key).data))


def _as_lists(data: tuple[Any, Any]) -> list[list[float]]:
    return [[float(each) for each in part] for part in data]


def _snapshot(hub: MessageHub) -> dict[str, Any]:
    return {**dict(hub.runtime_info), "scalars": {key: _both_of(hub, key) for key in hub.log_scalars}}


def _listed_info(hub: MessageHub, key: str) -> Any:
    return _answer(lambda: hub.runtime_info.get(key, _NOTHING))


def _info_of(hub: MessageHub, key: str) -> Any:
    return _answer(lambda: hub.get_info(key, _NOTHING))


def _answer(ask: Callable[[], Any]) -> Any:
    """Return the hub's answer; that it raises is an answer, too."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  # it is the finding
        return f"raises {error!r}"


def _reloaded(subject: HubSubject, hub: MessageHub) -> MessageHub:
    fresh = subject.make("conformance-reloaded")
    fresh.load_state_dict(hub.state_dict())
    return fresh


def _succeeds(requirement: str, at: int, operation: Callable[[], object]) -> RuleFinding:
    try:
        operation()
    except Exception as error:  # noqa: BLE001  # it is the finding
        return RuleFinding(requirement, Finding(at, "accepted", f"raises {error!r}"))
    return RuleFinding(requirement, Finding(at, "accepted", "accepted"))


def _fails(
    requirement: str, at: int, operation: Callable[[], object], kind: type[Exception] = Exception
) -> RuleFinding:
    try:
        operation()
    except kind:
        return RuleFinding(requirement, Finding(at, f"raises {kind.__name__}", f"raises {kind.__name__}"))
    except Exception as error:  # noqa: BLE001  # it is the finding
        return RuleFinding(requirement, Finding(at, f"raises {kind.__name__}", f"raises {error!r}"))
    return RuleFinding(requirement, Finding(at, f"raises {kind.__name__}", "accepted"))
