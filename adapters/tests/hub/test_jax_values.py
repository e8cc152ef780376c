"""Scalars of JAX: kept until they are computed, and read then; skipped where JAX is not installed."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtimeinfo import RuntimeInfoHook, ScalarTypeError
from runtimeinfo.authoring import is_scalar, lies_on_device, scalar_value
from runtimeinfo_adapters import MessageHub, ScalarHistory
from runtimeinfo_adapters.hub import _jax_values
from runtimeinfo_adapters.loop import Loop

jax = pytest.importorskip("jax", reason="JAX is not installed")
jnp = jax.numpy
optax = pytest.importorskip("optax", reason="optax is not installed")


@jax.jit
def slow(matrix: Any) -> Any:
    for _ in range(8):
        matrix = matrix @ matrix / len(matrix)
    return matrix[0, 0]


MATRIX = jnp.ones((500, 500))


def not_ready() -> Any:
    """Return a 1.0 that is still being computed."""
    for _ in range(50):
        value = slow(MATRIX)
        if not value.is_ready():
            return value
    pytest.skip("JAX has computed everything at once on this machine")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "bool", "float16"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_real_array_of_one_element(dtype: str, shape: tuple[int, ...]) -> None:
    value = jnp.ones(shape, dtype)
    assert is_scalar(value)
    assert lies_on_device(value)
    assert scalar_value(value) == 1


@pytest.mark.parametrize(
    "make", [lambda: jnp.ones(2), lambda: jnp.ones(0), lambda: jnp.complex64(1), lambda: jax.random.key(0)]
)
def test_any_other_array(make: Any) -> None:
    assert not is_scalar(make())


@pytest.mark.parametrize("transform", [jax.jit, jax.grad, lambda f: lambda x: jax.vmap(f)(x[None])])
def test_tracer_is_refused_with_the_remedy(transform: Any) -> None:
    hub = MessageHub("traced")
    refused = []

    def function(value: Any) -> Any:
        assert not is_scalar(value)
        assert not lies_on_device(value)
        with pytest.raises(ScalarTypeError, match=r"of 'loss' .* JAX transforms .*: publish outside of it") as caught:
            hub.update_scalar("loss", value)
        refused.append(caught.value)
        return value

    transform(function)(jnp.float32(1))
    assert refused
    assert dict(hub.log_scalars) == {}


def test_publishing_waits_for_no_value_and_reading_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = MessageHub("waits")
    hub.update_scalar("loss", 0.5)
    read = []
    monkeypatch.setattr(_jax_values, "scalar_value", lambda value: read.append(value) or scalar_value(value))
    hub.update_scalar("loss", not_ready())
    hub.update_device_scalars({"loss": not_ready()})
    hub.update_scalars({"loss": not_ready()})
    assert read == []
    assert hub.get_scalar("loss").data[0].tolist() == [0.5, 1.0, 1.0, 1.0]
    assert len(read) == 3


def test_a_value_that_is_donated_afterwards_is_kept() -> None:
    hub = MessageHub("donated")
    add = jax.jit(lambda value: value + 1, donate_argnums=0)
    for value in (not_ready(), jnp.float32(1.0).block_until_ready()):
        hub.update_scalar("loss", value)
        add(value)
        assert value.is_deleted()
    assert hub.get_scalar("loss").data[0].tolist() == [1.0, 1.0]


def test_a_value_of_outside_is_published_inside_of_a_function_that_is_traced() -> None:
    hub = MessageHub("traced")
    value = not_ready()

    @jax.jit
    def function(argument: Any) -> Any:
        hub.update_scalar("loss", value)
        return argument

    function(1.0)
    assert hub.get_scalar("loss").data[0].tolist() == [1.0]


def test_a_full_queue_is_read() -> None:
    history = ScalarHistory(max_on_device=2)
    for _ in range(5):
        history.update(not_ready())
    assert len(history._on_device) < 2
    assert history.data[0].tolist() == [1.0] * 5


def test_a_look_takes_over_what_is_ready_only() -> None:
    history = ScalarHistory()
    history.update(0.5)
    value = not_ready()
    history.update(value)
    while not value.is_ready():
        pass
    while (latest := history.latest()) is None or latest.value != 1.0:  # its copy comes right after it
        pass
    assert len(history._on_device) == 0


def test_values_that_wait_are_pickled_and_saved() -> None:
    hub = MessageHub("saved")
    hub.update_scalar("loss", not_ready())
    assert pickle.loads(pickle.dumps(hub)).get_scalar("loss").data[0].tolist() == [1.0]
    hub.update_scalar("loss", not_ready())
    assert np.asarray(hub.state_dict()["log_scalars"]["loss"]["values"]).tolist() == [1.0, 1.0]


class NumbersOnly:
    """A hub that knows neither JAX nor values on a device, as one of a third party."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []

    def update_scalar(self, key: str, value: Any) -> None:
        self.got.append((key, value))

    def pop_info(self, key: str) -> None: ...


def test_another_hub_gets_numbers() -> None:
    hub: Any = NumbersOnly()
    hook, runner = RuntimeInfoHook(), SimpleNamespace(message_hub=hub)
    for _ in range(2):
        hook.after_train_iter(runner, 0, outputs={"loss": not_ready(), "acc": jnp.int32(3)})
    hook.after_val_epoch(runner, metrics={"acc": jnp.float32(0.5)})
    assert hub.got == [("train/loss", 1.0), ("train/acc", 3), ("train/loss", 1.0), ("train/acc", 3), ("val/acc", 0.5)]
    assert {type(value) for _, value in hub.got} == {int, float}


def test_arrays_and_tensors_of_one_iteration() -> None:
    torch = pytest.importorskip("torch")
    hub = MessageHub("both")
    hook = RuntimeInfoHook()
    loop: Loop[Any] = Loop(hub=hub)
    for number in range(3):
        outputs = {"jax": jnp.float32(number), "torch": torch.tensor(float(number)), "float": float(number)}
        hook.after_train_iter(loop, number, outputs=outputs)
    assert {key: history.data[0].tolist() for key, history in hub.log_scalars.items()} == {
        f"train/{name}": [0.0, 1.0, 2.0] for name in ("jax", "torch", "float")
    }


# -- learning rates


def train(source: Any, update: Any = None) -> list[float]:
    loop: Loop[Any] = Loop(source, range(3), max_epochs=1)
    with loop.run():
        for _ in loop.train():
            if update is not None:
                update()
    return [round(rate, 6) for rate in loop.message_hub.get_scalar("train/lr").data[0].tolist()]


def test_schedule_of_optax() -> None:
    schedule = optax.exponential_decay(0.5, 1, 0.5)
    assert train(schedule) == train(jax.jit(schedule)) == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("wrap", [lambda sgd: sgd, lambda sgd: optax.chain(optax.clip(1.0), sgd)])
def test_state_of_inject_hyperparams(wrap: Any) -> None:
    optimizer = wrap(optax.inject_hyperparams(optax.sgd)(learning_rate=0.5))
    params = {"weight": jnp.ones(2)}
    state = optimizer.init(params)

    def update() -> None:
        nonlocal state
        _, state = optimizer.update(params, state, params)
        inner = state if hasattr(state, "hyperparams") else state[1]
        inner.hyperparams["learning_rate"] = inner.hyperparams["learning_rate"] / 2

    assert train(lambda: state, update) == [0.5, 0.25, 0.125]


def test_state_of_a_schedule_is_refused_because_it_holds_the_rate_of_the_last_update() -> None:
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=optax.exponential_decay(0.5, 1, 0.5))
    state = optimizer.init({"weight": jnp.ones(2)})
    with pytest.raises(Exception, match=r"follows from a schedule.*give the schedule itself"):
        train(lambda: state)


def test_framework_of_a_loop_of_jax() -> None:
    assert Loop(lambda: 0.1).framework_name == "jax"
    assert Loop(lambda: 0.1).framework_version == jax.__version__
