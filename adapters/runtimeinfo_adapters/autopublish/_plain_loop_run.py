"""The run of an inferred training: its hub, and what is published to it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from runtimeinfo import __version__
from runtimeinfo._scopes import leave_hub
from runtimeinfo.authoring import LearningRates, is_scalar
from runtimeinfo_adapters._adapter import HubInForce, worker_pids
from runtimeinfo_adapters.hub import MessageHub
from runtimeinfo_adapters.sharing import claim_workers

INFERRED = "inferred"
"""The info that marks a run whose values were inferred."""

_LOSS = "train/loss"

Place = tuple[int | None, int | None]
"""The epoch and iteration, each None where it is not known."""

_NOWHERE: Place = (None, None)


class InferredRun:
    """Publishes what is known of one training, and takes back what no longer holds.

    The hub is the current one of this thread from `enter` to `leave`.

    Args:
        torch_version: The version of PyTorch.
    """

    def __init__(self, torch_version: str) -> None:
        self.hub = MessageHub("torch")
        self._in_force = HubInForce()
        self._torch_version = torch_version
        self._place = _NOWHERE
        self._is_training = False
        self._rates: list[tuple[str, weakref.ref[Any]]] = []
        # The rates that were published before a step of their optimizer, by key.
        self._published_early: dict[str, Any] = {}
        self.has_rates = False
        """Whether the rates have their names."""

    def enter(self) -> None:
        """Make the hub the current one, marked as inferred."""
        marks = {INFERRED: True, "runtimeinfo_version": __version__, "torch_version": self._torch_version}
        self.hub.update_info_dict(marks)
        self._in_force.enter(self.hub)

    def leave(self) -> None:
        """Take everything back, and let the hub be the current one no longer."""
        try:
            self.set_training(False)
            self.set_place(*_NOWHERE)
            for key in tuple(self.hub.log_scalars):
                self.hub.pop_scalar(key)
        finally:
            self._in_force.leave()
            leave_hub(self.hub)  # also where another context or thread has entered it

    def claim_workers_of(self, loader: Any) -> None:
        """Take over the persistent workers of a loader that an earlier training has left."""
        claim_workers(self.hub, list(worker_pids(loader)))

    def set_training(self, is_training: bool) -> None:
        """Publish the stage, or take it back."""
        if is_training is not self._is_training:
            self._is_training = is_training
            if is_training:
                self.hub.update_info("loop_stage", "train")
            else:
                self.hub.pop_info("loop_stage")

    def set_place(self, epoch: int | None, iteration: int | None) -> None:
        """Publish how many epochs and iterations are finished; None takes a number back."""
        place = epoch, iteration
        if place == self._place:
            return
        known_epoch, known_iteration = self._place
        self._place = place
        if epoch is None and known_epoch is not None:
            self.hub.pop_info("epoch")
        if iteration is None:
            if known_iteration is not None:
                self.hub.pop_info("iter")
        elif epoch is None or epoch == known_epoch:
            self.hub.update_info("iter", iteration)
        else:
            self.hub.update_info_dict({"iter": iteration, "epoch": epoch})
            return
        if epoch is not None and epoch != known_epoch:
            self.hub.update_info("epoch", epoch)

    def name_rates(self, optimizers: Iterable[Any]) -> None:
        """Name the learning rates of the optimizers, which can be done once it is known which of them train.

        Args:
            optimizers: The optimizers, in the order in which they were made.
        """
        alive = [each for each in optimizers if rate_of(each) is not None]
        names = LearningRates.of_list(alive).get_lr()
        self._rates = [(f"train/{name}", weakref.ref(each)) for name, each in zip(names, alive, strict=True)]
        self.has_rates = True

    def begin_iteration(self, epoch: int | None, iteration: int) -> None:
        """Publish all that is known as an iteration begins."""
        if self._is_training and self._place[0] == epoch and self._place[1] is not None:
            self._place = epoch, iteration
            self.hub.update_info("iter", iteration)
        else:
            self.set_place(epoch, iteration)
            self.set_training(True)
        self.publish_rates()

    def publish_rates(self) -> None:
        """Publish the rates before an iteration."""
        for key, reference in self._rates:
            optimizer = reference()
            rate = None if optimizer is None else optimizer.param_groups[0].get("lr")
            if type(rate) is float or (optimizer is not None and rate_of(optimizer) is not None):
                self._published_early[key] = rate
                self.hub.update_scalar(key, rate)
            else:
                self.hub.pop_scalar(key)

    def publish_changed_rates(self) -> None:
        """Publish the rates if they are not those that were published last."""
        for key, reference in self._rates:
            history = self.hub.log_scalars.get(key)
            optimizer = reference()
            rate = None if optimizer is None else rate_of(optimizer)
            if history is not None and (rate is None or _differ(history.current(), rate)):
                self.publish_rates()
                return

    def withdraw_rates(self) -> None:
        """Take the rates back."""
        for key, _ in self._rates:
            self.hub.pop_scalar(key)
        self._published_early.clear()

    def publish_rate_of_step(self, optimizer: Any) -> None:
        """Publish the rate of a step, unless that was done before the iteration."""
        for key, reference in self._rates:
            each = reference()
            if each is None or each is not optimizer:
                continue
            early = self._published_early.pop(key, None)
            rate = each.param_groups[0].get("lr")
            if rate is early is not None or rate_of(each) is None:
                continue
            if early is not None:
                if not _differ(early, rate):
                    continue
                self.hub.drop_latest(key)  # the script has set another one within the iteration
            self.hub.update_scalar(key, rate)

    def publish_loss(self, loss: Any) -> None:
        """Publish the loss of a step."""
        self.hub.update_scalar(_LOSS, loss)

    def withdraw_loss(self) -> None:
        """Take the losses back."""
        self.hub.pop_scalar(_LOSS)


def rate_of(optimizer: Any) -> Any:
    """Return the learning rate of the first param group, a number or a tensor; None if it has no such rate."""
    rate = optimizer.param_groups[0].get("lr") if getattr(optimizer, "param_groups", None) else None
    return rate if type(rate) is float or is_scalar(rate) else None


def read_loss(tensor: Any) -> Any:
    """Return the value of a loss: a number, or a detached tensor that lies on a device, for which nothing waits."""
    if tensor.is_cpu:
        return tensor.item()
    return None if tensor.is_meta else tensor.detach()


def _differ(rate: Any, other: Any) -> bool:
    """Tell whether two rates differ. Those that are tensors are not read: a device might have to be waited for."""
    return type(rate) is float and type(other) is float and rate != other
