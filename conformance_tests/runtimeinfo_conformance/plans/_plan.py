"""A plan for runners: one small training as data."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from runtimeinfo.authoring import is_scalar
from runtimeinfo_conformance.plans._fault import Fault, PlanError
from runtimeinfo_conformance.plans._moments import notify_batch_begin
from runtimeinfo_conformance.plans._planned_data import PlannedDataset, PlannedLoader, SizedPlannedLoader
from runtimeinfo_conformance.plans._short_repr import ShortRepr
from runtimeinfo_conformance.plans._values import make_value

Values = tuple[tuple[str, str], ...]
"""Names and kinds of outputs or metrics."""


_LEAST = {
    0: ("max_epochs", "batches", "val_batches", "test_batches", "resume_after", "resume_batch", "hook_order"),
    1: ("iterations", "val_loaders", "val_interval", "groups", "accumulation"),
}

# Options that `again` excludes, because some frameworks would make several runs of such a training, or because a
# resumed training is not repeatable as one.
_NOT_AGAIN = ("lengths", "val_before", "val_after")

Company = Literal["strangers", "around", "beside", "nested", "in_turn", "forked", "spawned", "served"]
"""The other runs and processes that exist while a run is open.

Runs of the kit open and close in the process, or one is open around the run. Or the subject trains a second time:
concurrently in another thread, nested in the first training, or in turn with it. Or the run has a worker process that
was forked, spawned, or started by a fork server, with runs of the kit as well.
"""

# Options that `company` excludes, because such a training is one run, or one and a copy of it.
_NOT_IN_COMPANY = ("again", "repeat", "resume_after", "resume_from")

# Maximum number of an optimizer's param groups. With more, two optimizers would have the same rates.
_MOST_GROUPS = 8

# Options that depend on a common length of all epochs: some frameworks refuse them, others count by one length.
_NOT_CHANGING = ("iterations", "val_interval", "stop_after", "resume_after")


@dataclass(frozen=True, kw_only=True, repr=False)
class Plan(ShortRepr):
    """One small training. A subject's `run` must follow it as far as its capabilities allow.

    Attributes:
        max_epochs: Epochs of the whole training.
        iterations: Number of iterations to request in place of `max_epochs`, or None to request epochs.
        batches: Batches per epoch, possibly 0.
        lengths: Batches of each epoch, in place of `batches`. Empty if all epochs have the same length.
        sized: Whether the training loader has a length.
        val_batches: Batches of the validation after each epoch, or None for no validation.
        val_loaders: Number of validation loaders. Each has one batch more than the previous one.
        val_interval: Validate inside the epoch instead, after every n-th batch, or None to validate after the epoch.
        val_before: Whether to validate once more before the first epoch.
        val_after: Whether to validate once more after the training.
        test_batches: Batches of the test after the training, or None for no test.
        outputs: Names and kinds of the outputs of a training step, see `Batch.outputs`.
        metrics: Names and kinds of the metrics, see `metrics_of`.
        optimizers: Names of the optimizers. Empty for a single unnamed one.
        groups: Param groups of each optimizer.
        schedule: Whether each iteration halves the learning rate, see `lr_of`.
        accumulation: Batches for one optimizer step.
        stop_after: Number of iterations after which the training is asked to stop, see `Batch.stop`, or None for never.
        again: Whether the training is run twice, each time from its start, with every object that the user can keep:
            the same trainer, or a new one with the same callback.
        metainfo: The metainfo of the training dataset, or None if it has none.
        seed: The seed of the run, or None if the user gives none. It is only published, because nothing here is random.
        experiment_name: The name of the run, or None if the user gives none.
        resume_after: Used by the kit only: number of epochs after which the training is saved and resumed in a new
            runner.
        resume_batch: Used by the kit only: number of batches of the next epoch after which that happens. If it is all
            of them, the training is saved after the last batch, and not again at the end of that epoch.
        later_resumes: Used by the kit only: numbers of epochs, and of batches of the next one, after which the resumed
            training is saved and resumed again.
        stopped_by: Used by the kit only: the way in which the saved training ends: ``"interrupt"`` as the next
            iteration or epoch starts, ``"stop"`` as by `stop_after`, or ``"iterations"`` if it is only asked for that
            many.
        repeat: Used by the kit only: run the training once more from the start, in the same process. With a `fault`, a
            failing run comes in between.
        fault: Used by the kit only: the exception to raise, after the last resume if the training is resumed. With
            `again`, occurrences are counted across both trainings. A fault at ``"before_save_checkpoint"`` makes the
            training save after each epoch, and also after each iteration if it was resumed in mid-epoch.
        hook_order: Used by the kit only: the order in which the hooks are passed.
        company: Used by the kit only, except for ``"in_turn"``: other runs while the run is open, see `Company`. With
            ``"in_turn"``, `run` returns a generator that trains on one batch per step.
        salt: Used by the kit only: shifts the values of outputs and metrics, so that no two runs share them.
        start_epoch: Completed epochs of a resumed training.
        start_batch: Completed batches of the next epoch.
        checkpoint: Where to save a checkpoint after each epoch, or None.
        checkpoint_epochs: Whether to save it after each epoch. If False, it is saved after each iteration only.
        checkpoint_iterations: Whether to save it also after each iteration.
        resume_from: The checkpoint to resume from, or None.

    Raises:
        PlanError: If such a training is impossible.
    """

    max_epochs: int = 1
    iterations: int | None = None
    batches: int = 1
    lengths: tuple[int, ...] = ()
    sized: bool = True
    val_batches: int | None = None
    val_loaders: int = 1
    val_interval: int | None = None
    val_before: bool = False
    val_after: bool = False
    test_batches: int | None = None
    outputs: Values = ()
    metrics: Values = ()
    optimizers: tuple[str, ...] = ()
    groups: int = 1
    schedule: bool = False
    accumulation: int = 1
    stop_after: int | None = None
    again: bool = False
    metainfo: dict[str, Any] | None = None
    seed: int | None = 0
    experiment_name: str | None = "conformance"
    resume_after: int | None = None
    resume_batch: int = 0
    later_resumes: tuple[tuple[int, int], ...] = ()
    stopped_by: Literal["interrupt", "stop", "iterations"] = "interrupt"
    repeat: bool = False
    fault: Fault | None = None
    hook_order: int = 0
    company: Company | None = None
    salt: int = 0
    start_epoch: int = 0
    start_batch: int = 0
    checkpoint: Path | None = None
    checkpoint_epochs: bool = True
    checkpoint_iterations: bool = False
    resume_from: Path | None = None

    def __post_init__(self) -> None:
        for least, names in _LEAST.items():
            for name in names:
                value = getattr(self, name)
                if value is not None and value < least:
                    raise PlanError(f"{name} must be at least {least}, but is {value}: give that or more")
        if self.stop_after is not None and not 1 <= self.stop_after <= self.max_iters:
            raise PlanError(
                f"stop_after must be one of the {self.max_iters} iterations, but is {self.stop_after}: give one"
            )
        is_stopped = self.stop_after is not None or (bool(self.resumes) and self.stopped_by == "stop")
        if self.iterations is not None and is_stopped:
            raise PlanError(
                "iterations is a bound already, and with a second one frameworks end the last epoch differently: "
                "leave out stop_after, and stopped_by='stop'"
            )
        if self.iterations is not None and (self.batches == 0 or self.accumulation > 1 or self.optimizers):
            raise PlanError(
                "iterations goes with batches, each of which makes one optimizer step: leave out accumulation and "
                "optimizers"
            )
        if self.lengths and (
            len(self.lengths) != self.max_epochs
            or min(self.lengths) < 1
            or any(getattr(self, name) is not None for name in _NOT_CHANGING)
            or not self.sized
        ):
            raise PlanError(
                f"lengths has a number from 1 for each of the {self.max_epochs} epochs, and goes with a loader that "
                f"has a length, and without {', '.join(_NOT_CHANGING)}: give as many, and leave out the others"
            )
        others = any(getattr(self, name) for name in _NOT_AGAIN) or self.resume_after is not None
        if self.again and (not self.max_iters or others or self.test_batches is not None):
            raise PlanError(
                f"again goes with a training alone: leave out {', '.join(_NOT_AGAIN)}, resume_after and test_batches, "
                "and give epochs and batches"
            )
        self._check_company()
        self._check_resume()

    def _check_company(self) -> None:
        if self.company is not None and any(
            getattr(self, name) is not None and getattr(self, name) is not False for name in _NOT_IN_COMPANY
        ):
            raise PlanError(f"company goes with a training in one go: leave out {', '.join(_NOT_IN_COMPANY)}")
        if self.company == "beside" and self.fault is not None and self.fault.kind == "interrupt":
            raise PlanError(
                f"company={self.company!r} trains in another thread, to which no Ctrl-C comes: give another kind"
            )
        if self.company == "in_turn" and self.fault is not None and self.fault.kind == "stop_iteration":
            raise PlanError(
                "company='in_turn' is stepped as an iterator, which a StopIteration ends: give another kind"
            )
        if self.lacks_identity and (self.company is not None or self.repeat or self.again):
            raise PlanError(
                "experiment_name and seed tell runs apart, and stay the same when a training is repeated: give both, "
                "or leave out company, repeat and again"
            )

    def _check_resume(self) -> None:
        done = (self.resume_after or 0, self.resume_batch)
        if self.resume_after is not None and not (0, 0) < done < (self.epochs, 0):
            raise PlanError(
                f"resume_after must lie within the training of {self.epochs} epochs, but is {done[0]}: give another"
            )
        if self.resume_batch and (self.resume_after is None or self.resume_batch > self.batches):
            raise PlanError(
                "resume_batch goes with resume_after, and must not be more than batches: give both, or leave it out"
            )
        if 0 < self.resume_batch == self.batches and (self.outputs or self.stop_after is not None):
            raise PlanError("resume_batch is all the batches, and goes without outputs and stop_after: leave them out")
        if self.later_resumes:
            self._check_later_resumes(done)
            done = self.later_resumes[-1]
        if self.iterations is not None and self.resume_after is not None:
            # After the last epoch, work remains only if the training was not saved at the end of that epoch.
            most = self.iterations - (done[1] < self.batches)
            if self.iteration_of(*done) > most:
                raise PlanError(
                    f"resume_after and resume_batch must lie within the {self.iterations} iterations, but are "
                    f"{done[0]} and {done[1]}: give others"
                )
        if (
            self.stop_after is not None
            and self.resume_after is not None
            and self.iteration_of(*done) >= self.stop_after
        ):
            raise PlanError(
                f"stop_after must come after the {self.iteration_of(*done)} iterations that are saved, but is "
                f"{self.stop_after}: give more"
            )
        if self.stopped_by != "interrupt" and not all(batch for _, batch in self.resumes):
            # The spec leaves open whether an epoch counts if its last batch ends the training.
            raise PlanError(
                f"stopped_by={self.stopped_by!r} ends an epoch, with its last batch at the latest: give resume_batch, "
                "which may be the last batch"
            )
        if self.stopped_by == "iterations" and self.iterations is None:
            raise PlanError("stopped_by='iterations' goes with iterations: give them")
        if self.iterations is not None and self.resume_after is not None and not self.sized:
            raise PlanError(
                "iterations goes with resume_after only if the length of the loader tells where an epoch ends: leave "
                "out sized=False"
            )

    def _check_later_resumes(self, first: tuple[int, int]) -> None:
        moments = (first, *self.later_resumes)
        grows = all(before < after for before, after in itertools.pairwise(moments))
        # The spec leaves open whether the next leg reopens an epoch whose batches are all done, so counts are unknown.
        is_inside = all(0 <= batch < self.batches for _, batch in moments)
        # Some frameworks keep the previous leg's bound, or its number of optimizer steps, in the checkpoint.
        is_inside = is_inside and self.iterations is None and self.accumulation == 1
        if self.resume_after is None or not grows or not is_inside or moments[-1] >= (self.epochs, 0):
            raise PlanError(
                f"later_resumes goes with resume_after, and takes later moments of the {self.epochs} epochs that do "
                f"not follow the last batch of one, but is {self.later_resumes}, and excludes accumulation and "
                "iterations: give others, or leave it out"
            )

    # -- members for subjects

    def train_dataset(self) -> PlannedDataset:
        """Return the training data, for a framework that creates its own loader (one item per batch, in order)."""
        return PlannedDataset(self, "train", self.lengths or (self.batches,))

    def train_dataloader(self) -> PlannedLoader:
        """Return a loader of the training data."""
        dataset = self.train_dataset()
        return SizedPlannedLoader(dataset) if self.sized else PlannedLoader(dataset)

    def val_dataset(self, loader: int = 0) -> PlannedDataset:
        """Return the data of a validation loader, by its index from 0."""
        return PlannedDataset(self, "val", (self.val_length(loader),))

    def val_dataloader(self, loader: int = 0) -> PlannedLoader:
        """Return a validation loader, by its index from 0."""
        return SizedPlannedLoader(self.val_dataset(loader))

    def test_dataset(self) -> PlannedDataset:
        """Return the test data."""
        return PlannedDataset(self, "test", (self.test_batches or 0,))

    def test_dataloader(self) -> PlannedLoader:
        """Return a loader of the test data."""
        return SizedPlannedLoader(self.test_dataset())

    def on_batch_begin(self) -> None:
        """Inspect the run as a component does. Call this in a handler for the start of a training batch."""
        notify_batch_begin(self.run_name)

    def outputs_of(self, iteration: int) -> dict[str, Any]:
        """Return the outputs of an iteration's training step, which `Batch.outputs` also provides."""
        return {name: make_value(kind, iteration, self.salt) for name, kind in self.outputs}

    def metrics_of(self, turn: int) -> dict[str, Any]:
        """Return the metrics of a validation loader. `turn` is the number of evaluations before it in this run.

        A test uses turn 0.
        """
        return {name: make_value(kind, turn, self.salt) for name, kind in self.metrics}

    def lr_of(self, iteration: int, group: int = 0, optimizer: int = 0) -> float:
        """Return the learning rate of an iteration, of a param group of an optimizer.

        Args:
            iteration: The index of the iteration in the whole training, from 0.
            group: The index of the param group, from 0.
            optimizer: The index of the optimizer's name in `optimizers`, 0 if it is the only one.
        """
        # Odd numbers over powers of two are exact in float32, and halving never turns one into another.
        odd = 1 + 2 * (group + _MOST_GROUPS * optimizer)
        rate: float = odd / 2 ** (odd.bit_length() - 1) * (0.5**iteration if self.schedule else 1.0)
        return rate

    def validates_after(self, batch: int) -> bool:
        """Return whether `val_interval` demands a validation after the batch with this index."""
        return self.val_batches is not None and self.val_interval is not None and (batch + 1) % self.val_interval == 0

    @property
    def validates_after_epoch(self) -> bool:
        """True if a validation follows each epoch."""
        return self.val_batches is not None and self.val_interval is None

    @property
    def start_iteration(self) -> int:
        """The number of iterations completed before a resume."""
        return self.iteration_of(self.start_epoch, self.start_batch)

    @property
    def run_name(self) -> str:
        """The name by which the data identifies its run: the experiment name, if there is one."""
        if self.experiment_name is not None:
            return self.experiment_name
        return f"unnamed-{self.salt}-{self.start_epoch}-{self.start_batch}"

    @property
    def saved_name(self) -> str:
        """The name of a saved training, kept in the checkpoint even if the resumed training has none."""
        return f"saved-{self.salt}" if self.experiment_name is None else self.experiment_name

    # -- members for the kit

    @property
    def lacks_identity(self) -> bool:
        """True if the user gives no name or no seed. A framework may then make one up, or refuse to run."""
        return self.experiment_name is None or self.seed is None

    @property
    def needs(self) -> frozenset[str]:
        """The capabilities that the plan requires."""
        used = {
            "val": self.val_batches is not None,
            "val_loaders": self.val_loaders > 1,
            "val_inside": self.val_interval is not None,
            "val_before": self.val_before,
            "val_after": self.val_after,
            "test": self.test_batches is not None,
            "outputs": bool(self.outputs),
            "metrics": bool(self.metrics),
            "metainfo": self.metainfo is not None,
            "unsized": not self.sized,
            "scheduler": self.schedule,
            "optimizers": bool(self.optimizers),
            "accumulation": self.accumulation > 1,
            "changing_length": bool(self.lengths),
            "iterations": self.iterations is not None,
            "again": self.again,
            "early_stop": self.stop_after is not None or (self.resume_after is not None and self.stopped_by == "stop"),
            "resume": self.resume_after is not None or self.saves_at_the_end,
            "beside": self.company == "beside",
            "nested": self.company == "nested",
            "in_turn": self.company == "in_turn",
            "share": self.company in {"forked", "spawned", "served"},
            # A training that is not stopped by an interrupt is saved where it stops, which is inside an epoch.
            "resume_mid_epoch": self.resume_after is not None
            and (
                any(batch > 0 for _, batch in self.resumes)
                or self.iterations is not None
                or self.stopped_by != "interrupt"
            ),
        }
        return frozenset(name for name, is_used in used.items() if is_used)

    @property
    def for_subject(self) -> Plan:
        """The plan for the subject, without the kit's own options, so that no subject can prepare for them."""
        company: Company | None = "in_turn" if self.company == "in_turn" else None
        return replace(self, fault=None, hook_order=0, repeat=False, company=company)

    @property
    def resumes(self) -> tuple[tuple[int, int], ...]:
        """The numbers of epochs, and of batches of the next one, after which the training is saved and resumed."""
        return () if self.resume_after is None else ((self.resume_after, self.resume_batch), *self.later_resumes)

    @property
    def saves_at_the_end(self) -> bool:
        """True if the training is saved after each epoch only so that saving can fail."""
        return self.fault is not None and self.fault.event == "before_save_checkpoint"

    @property
    def epochs(self) -> int:
        """Epochs of the whole training. If iterations are requested, the last epoch may be cut short."""
        return self.max_epochs if self.iterations is None else -(-self.iterations // self.batches)

    @property
    def max_iters(self) -> int:
        """Iterations of the whole training."""
        return self.iteration_of(self.max_epochs) if self.iterations is None else self.iterations

    def length_of(self, epoch: int) -> int:
        """Return the number of batches of an epoch."""
        return self.lengths[epoch] if self.lengths else self.batches

    def iteration_of(self, epoch: int, batch: int = 0) -> int:
        """Return the number of iterations before a batch of an epoch."""
        return (sum(self.lengths[:epoch]) if self.lengths else epoch * self.batches) + batch

    @property
    def is_cut_short(self) -> bool:
        """True if the training may end in the middle of an epoch by design."""
        return self.stop_after is not None or self.iterations is not None

    @property
    def is_resumed_at_end_of_epoch(self) -> bool:
        """True if a resumed training has completed all batches of the next epoch, but not the epoch itself.

        A framework may reopen that epoch, or start with the one after it.
        """
        return 0 < self.batches == self.start_batch

    @property
    def is_alone(self) -> bool:
        """True if no other run is open at its events. Between events, there may be one."""
        return self.company not in {"around", "beside", "nested", "in_turn"}

    def val_length(self, loader: int) -> int:
        """Return the number of batches of a validation loader."""
        return (self.val_batches or 0) + loader

    @property
    def validations(self) -> int:
        """The number of validations in this run, unless it is stopped early."""
        if self.val_batches is None:
            return 0
        epochs = range(self.start_epoch, self.epochs)
        inside = sum(
            self.validates_after(batch)
            for epoch in epochs
            for batch in range(self.start_batch if epoch == self.start_epoch else 0, self.batches)
        )
        return inside + self.validates_after_epoch * len(epochs) + self.val_before + self.val_after

    def scalar_outputs(self, iteration: int) -> dict[str, Any]:
        """Return the scalar outputs of an iteration."""
        return {name: value for name, value in self.outputs_of(iteration).items() if is_scalar(value)}
