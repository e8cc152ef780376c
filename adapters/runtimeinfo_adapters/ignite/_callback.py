"""The handler that makes a trainer and its evaluators publish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from ignite.engine import Engine

from runtimeinfo import LoopError, MessageHub, RunnerError
from runtimeinfo.authoring import Config
from runtimeinfo_adapters._publisher import Publisher
from runtimeinfo_adapters._training_state import load_training, training_state
from runtimeinfo_adapters.hub import MessageHub as ReferenceHub
from runtimeinfo_adapters.ignite._attachment import Attachment, attachment_of
from runtimeinfo_adapters.ignite._evaluator import Evaluator, Evaluators, roles_of
from runtimeinfo_adapters.ignite._runner import IgniteRunner
from runtimeinfo_adapters.ignite._trainer import Trainer, TrainerCounters
from runtimeinfo_adapters.ignite._values import OutputTransform


class RuntimeInfoCallback:
    """Makes a trainer and its evaluators publish through this protocol.

    `Engine.run` of each is wrapped: whatever leaves it closes all scopes. No handler of EXCEPTION_RAISED is
    registered, since one that returns would swallow the exception.

    The handlers stand before those of the user, so that these find what the event publishes. Two come after them:
    ITERATION_STARTED, where Ignite's schedulers set the rate of that very iteration and handlers prepare its
    batch; and EPOCH_COMPLETED of an evaluator, where its metrics are computed.

    It can be saved and loaded by a `Checkpoint`, among its `to_save`. Save the trainer, too.

    Args:
        optimizer: One optimizer, several by name, or None.
        output_transform: Makes of `engine.state.output` a mapping from names to values, a scalar (``loss``), or
            None for nothing.
        hub: Where to publish; a new `runtimeinfo_adapters.MessageHub` if left out.
        hooks: More hooks. `RuntimeInfoHook` runs in any case.
        cfg: The configuration: a mapping, text, or anything with `pretty_text`.
        seed: The random seed that you have set; it is published, not set here.
        experiment_name: The name of the experiment.

    Example:
        >>> from ignite.engine import Engine
        >>> from runtimeinfo import current_hub
        >>> trainer = Engine(lambda engine, batch: {"loss": batch / current_hub().get_info("max_iters")})
        >>> callback = RuntimeInfoCallback(experiment_name="doc-ignite").attach(trainer)
        >>> _ = trainer.run([1.0, 2.0], max_epochs=2)
        >>> callback.message_hub.get_scalar("train/loss").data[0].tolist()
        [0.25, 0.5, 0.25, 0.5]

    Source: LIFE-01 to LIFE-09, FAIL-01 to FAIL-06, RESUME-01 to RESUME-03.
    """

    def __init__(
        self,
        *,
        optimizer: Any = None,
        output_transform: OutputTransform | None = None,
        hub: MessageHub | None = None,
        hooks: Iterable[object] = (),
        cfg: Config | Mapping[str, Any] | str | None = None,
        seed: int | None = None,
        experiment_name: str | None = None,
    ) -> None:
        self.message_hub: MessageHub = ReferenceHub(experiment_name or "ignite") if hub is None else hub
        self.runner: IgniteRunner | None = None
        self._about: dict[str, Any] = {"cfg": cfg, "seed": seed, "experiment_name": experiment_name}
        self._optimizer = optimizer
        self._output_transform = output_transform
        self._hooks = tuple(hooks)
        self._counters = TrainerCounters()
        self._trainer: Trainer | None = None
        self._attached: list[Attachment] = []

    def attach(self, trainer: Engine, evaluators: Evaluators | None = None) -> Self:
        """Listen to a trainer, and to its evaluators.

        Args:
            trainer: The engine that trains.
            evaluators: The engines that validate (``"val"``) and test (``"test"``), one or several of a role. One
                that has both validates while the trainer runs, and tests otherwise.

        Returns:
            This callback.

        Raises:
            RunnerError: If it is attached already, or one of these is no engine or no role.
            HookError, LoopError: If a hook, or the optimizer, cannot be one.

        Source: LIFE-01.
        """
        if self.runner is not None:
            raise RunnerError("this callback is attached already: detach() it first, or make another one")
        roles = roles_of(trainer, evaluators)
        runner = IgniteRunner(trainer, self._counters, optimizer=self._optimizer, hub=self.message_hub, **self._about)
        publisher = Publisher(runner, self._hooks, self._counters)
        for engine in (trainer, *roles):
            before: Attachment | None = attachment_of(engine)
            if before is not None:  # two would publish everything twice
                before.detach()
        self.runner = runner
        self._trainer = Trainer(runner, publisher, self._counters, self._output_transform)
        self._attached = [self._trainer, *(Evaluator(each, runner, publisher, roles[each]) for each in roles)]
        return self

    def detach(self) -> None:
        """Listen no longer: the engines are as they were."""
        for attachment in self._attached:
            attachment.detach()
        self.runner, self._trainer, self._attached = None, None, []

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, the hub's state included.

        Inside an iteration this iteration counts as done, as it does in the trainer's own state.

        Source: RESUME-01, RESUME-02.
        """
        inside = self._trainer is not None and self._trainer.is_open("train_iter")
        counters = self._counters
        return training_state(self.message_hub, epoch=counters.epoch, iter=counters.iter + inside)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state, at the trainer's next `run`.

        If the trainer was loaded from the same checkpoint, the epoch is the one that it goes on in.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.
            LoopError: If the training has begun already.

        Source: RESUME-01, RESUME-02.
        """
        if self._trainer is not None and self._trainer.is_open("train"):
            raise LoopError("the training has begun already: call load_state_dict() before trainer.run()")
        load_training(self.message_hub, self._counters, state_dict)
        self._counters.were_loaded = True


def attach(
    trainer: Engine,
    *,
    optimizer: Any = None,
    evaluators: Evaluators | None = None,
    output_transform: OutputTransform | None = None,
    hub: MessageHub | None = None,
    hooks: Iterable[object] = (),
    cfg: Config | Mapping[str, Any] | str | None = None,
    seed: int | None = None,
    experiment_name: str | None = None,
) -> RuntimeInfoCallback:
    """Make a trainer that was built already publish through this protocol.

    Args:
        trainer: The engine that trains.
        optimizer: As for `RuntimeInfoCallback`, like all that follow.
        evaluators: As for `RuntimeInfoCallback.attach`.
        output_transform: What to publish of an output.
        hub: Where to publish.
        hooks: More hooks.
        cfg: The configuration.
        seed: The random seed.
        experiment_name: The name of the experiment.

    Returns:
        The callback, attached.

    Raises:
        RunnerError, HookError, LoopError: As for `RuntimeInfoCallback.attach`.

    Source: LIFE-01, FAIL-01.
    """
    callback = RuntimeInfoCallback(
        optimizer=optimizer,
        output_transform=output_transform,
        hub=hub,
        hooks=hooks,
        cfg=cfg,
        seed=seed,
        experiment_name=experiment_name,
    )
    return callback.attach(trainer, evaluators)
