"""Infer how far a plain PyTorch training is, from draws, backwards and steps.

Nothing is said that might be wrong. The rules, and what each value means, stand in the chapter on inferred runs of
docs/spec.md.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from runtimeinfo_adapters.autopublish._plain_loop_losses import Losses
from runtimeinfo_adapters.autopublish._plain_loop_pass import Pass
from runtimeinfo_adapters.autopublish._plain_loop_run import InferredRun


class Counting(Enum):
    """What the iterations of a training are counted by."""

    UNKNOWN = "not known yet"
    DRAWS = "the draws of a loader"
    STEPS = "the steps of the optimizer, because no loader is there"
    NOTHING = "not to be known"


class Training:
    """One training, from its first optimizer to the first one that is made after a step.

    Args:
        make_run: Makes the run that publishes it.
        before: The training before in this thread.
        open_passes: The passes that were open when it ended.
    """

    def __init__(
        self, make_run: Callable[[], InferredRun], before: Training | None = None, open_passes: Iterable[Pass] = ()
    ) -> None:
        self._make_run = make_run
        self.run: InferredRun | None = None
        self.answers: object = None
        """What answers in the thread, as long as its run is the innermost one: its hub."""
        self._optimizers: list[weakref.ref[Any]] = []
        self.ids: set[int] = set()
        """The ids of its optimizers."""
        # All of them, once some were left out that make no step.
        self._before_left_out: list[weakref.ref[Any]] = []
        self._older_passes = list(open_passes)
        self._older_parameters = {} if before is None else before.all_parameters()
        # Whether it trains what a training before has trained: then it might be the rest of that.
        self._is_continued = False
        # Those that it trains, from the first step on, and the last module that was put into evaluation mode.
        self._parameters: dict[int, weakref.ref[Any]] = {}
        self._evaluated: Callable[[], Any] = lambda: None
        self.has_stepped = False
        self._stepped: list[weakref.ref[Any]] = []
        self._stepped_since_backward: set[int] = set()
        self._counting = Counting.UNKNOWN
        self._losses = Losses()
        self._is_usual = False
        self._are_rates_due = False
        # Whether an optimizer of another training makes its steps here too.
        self._is_mixed = False
        self._is_restored = False
        # Of counting by draws: the pass that trains, and the finished passes and iterations before it.
        self._pass: Pass | None = None
        self._last_pass: Pass | None = None
        self._epoch: int | None = 0
        self._before_pass = 0
        self._longest_wait = 1
        self._steps_after_end = 0
        self._has_other_passes = False
        # Of counting by steps.
        self._steps = 0
        self._draws_elsewhere = 0
        self.has_drawn = False

    # -- optimizers

    def add(self, optimizer: Any) -> None:
        """Take an optimizer into the training."""
        if not self.has(optimizer):
            self._optimizers.append(weakref.ref(optimizer))
            self._is_usual = False
            self.ids.add(id(optimizer))

    def has(self, optimizer: Any) -> bool:
        """Tell whether an optimizer belongs to the training."""
        return id(optimizer) in self.ids

    @property
    def optimizers(self) -> list[Any]:
        """The optimizers that are alive."""
        return [each for each in (ref() for ref in self._optimizers) if each is not None]

    def replace(self, outer: Any, inner: Iterable[Any]) -> None:
        """Take an optimizer out that has only called others."""
        self._optimizers = [each for each in self._optimizers if each() is not outer]
        self.ids.discard(id(outer))
        for optimizer in inner:
            self.add(optimizer)

    def parameters(self) -> dict[int, weakref.ref[Any]]:
        """Return the parameters of the optimizers, by their ids."""
        groups = [group for each in self.optimizers for group in each.param_groups]
        return {id(each): weakref.ref(each) for group in groups for each in group["params"]}

    def all_parameters(self) -> dict[int, weakref.ref[Any]]:
        """Return the parameters that are alive of this training and of those before, by their ids."""
        every = self._older_parameters | self._parameters | self.parameters()
        return {key: each for key, each in every.items() if each() is not None}

    # -- the run

    def enter(self) -> InferredRun:
        """Make its hub the current one, if it is not that already."""
        if self.run is None:
            self.run = self._make_run()
            self.run.enter()
            self.answers = self.run.hub
        return self.run

    def end(self) -> None:
        """Take everything back."""
        self._counting = Counting.NOTHING
        self.has_stepped = True
        run, self.run = self.run, None
        self.answers = None
        if run is not None:
            run.leave()

    def lose_count(self) -> None:
        """Say no more how far the training is; the rate and the loss stay."""
        self._counting = Counting.NOTHING
        self._pass = None
        self._is_usual = False
        if self.run is not None:
            self.run.set_training(False)
            self.run.set_place(None, None)

    def note_foreign_step(self) -> None:
        """Note the step of an optimizer that is not of this training: whose rate and loss they are is not known."""
        self._is_mixed = True
        self.lose_count()
        self._losses.withdraw(self.run)
        if self.run is not None:
            self.run.withdraw_rates()
            self.run.name_rates(())

    def note_restored(self, has_rates: bool) -> None:
        """Note that an earlier state of an optimizer, or else of the model, was loaded.

        The next pass might be the first one of a training, after a search for a learning rate, for example. A model
        alone is also restored after an evaluation of its average.
        """
        if not self.has_stepped:
            return
        if self._counting is Counting.STEPS:
            self.lose_count()
        elif has_rates or (self._pass is not None and not self._pass.is_open and not self._pass.is_finished):
            self._is_restored = True

    # -- passes

    def note_pass(self, this: Pass) -> None:
        """Note that a pass begins, before its iterator is made: workers start with it."""
        run = self.run
        if run is None:
            if not this.has_gradients:
                return
            run = self.enter()
        run.set_training(False)
        if getattr(this.loader, "persistent_workers", False):
            run.claim_workers_of(this.loader)
        before = self._pass
        if this.has_gradients and self._is_restored:
            self.lose_count()
        if self._counting is not Counting.DRAWS or before is None:
            return
        if not before.is_finished and not before.is_open and self._epoch is not None:
            self._epoch = None  # the script has left it before its last batch, and goes on
            self._show(self._before_pass + before.draws - 1)
        if this.has_gradients and before.is_finished and self._is_next(before, this):
            self._show(self._before_pass)  # it was taken back if a step came after the end of the pass

    def note_overrun(self, this: Pass) -> None:
        """Note that a pass has more batches than its loader: where an epoch ends, only the loader knows."""
        if this is self._pass or self._counting is Counting.UNKNOWN:
            self._epoch = None

    def note_draw(self, this: Pass) -> None:
        """Note that a batch was drawn."""
        run = self.run
        if this is self._pass and this is self._last_pass and self._counting is Counting.DRAWS and this.has_gradients:
            if self._losses.before:  # no step has come since: its gradients are added to those of this batch
                self._losses.withdraw(self.run)
            if run is not None:
                if self._is_continued:
                    run.set_training(True)
                    run.publish_rates()
                else:
                    run.begin_iteration(self._epoch, self._before_pass + this.draws - 1)
        elif this.has_gradients:
            self._note_draw_of_another(this, run)
        elif run is not None:
            run.set_training(False)

    def _note_draw_of_another(self, this: Pass, run: InferredRun | None) -> None:
        if this is not self._pass and self._counting is not Counting.UNKNOWN and not self._is_own(this):
            self.lose_count()
            if run is not None:  # the training before goes on, or else this one will make the next step
                run.withdraw_rates()
                run.withdraw_loss()
            return
        self.has_drawn = True
        if self._losses.before:
            self._losses.withdraw(self.run)
        self._last_pass = this
        if self._counting is Counting.UNKNOWN or run is None:
            return
        if self._counting is Counting.DRAWS:
            self._note_draw_of_counted(this, run)
        before = self._pass
        might_train = before is None or (not before.is_open and self._is_next(before, this))
        if this is before or (self._are_rates_due and might_train):
            self._are_rates_due = False
            run.publish_rates()
        elif self._are_rates_due:
            run.publish_changed_rates()

    def _is_next(self, before: Pass, this: Pass) -> bool:
        """Tell whether a pass goes over the data of the one before."""
        return this.is_over(before.loader) or this.is_again_over(before)

    def _note_draw_of_counted(self, this: Pass, run: InferredRun) -> None:
        before = self._pass
        if this is before:
            self._show(self._before_pass + this.draws - 1)
            run.set_training(True)
        elif before is None:
            return
        elif before.is_open:  # an evaluation amid the pass, or another loader in turn with this one
            self._has_other_passes |= this.draws > self._longest_wait and this.is_over(before.loader)
            run.set_training(False)
            run.set_place(None, None)
        elif not self._is_next(before, this):
            run.set_training(False)
            self._note_draw_of_other_data(before, this, run)
        elif this.draws > self._longest_wait or this.trained < this.draws - 1:
            self._has_other_passes |= this.is_begun_as(before)  # it makes no steps: an evaluation, for example
            run.set_training(False)
            run.set_place(None, None)
        else:
            is_usual = this.is_begun_as(before) and not self._has_other_passes
            run.set_training(is_usual and not self._is_evaluating())
            if before.is_finished:
                self._show(self._before_pass + this.draws - 1)
            else:
                run.set_place(None, None)  # the pass before was broken off

    def _note_draw_of_other_data(self, before: Pass, this: Pass, run: InferredRun) -> None:
        if not before.is_finished:
            return
        if self._is_evaluating() or (this.draws > 1 and not this.trained):
            self._show(self._before_pass)
        elif this.draws == 1 and this.path == before.path:  # an epoch might be made of several loaders
            run.set_place(None, None if self._is_continued else self._before_pass)
        else:
            run.set_place(None, None)

    def trains(self, module: Any) -> bool:
        """Tell whether the first parameter of a module is trained."""
        return id(next(module.parameters(), None)) in self._parameters

    def note_eval(self, module: Any) -> None:
        """Note that a module was put into evaluation mode. It matters if it is trained."""
        if self.run is None or not self.trains(module):
            return
        self._evaluated = weakref.ref(module)
        self.run.set_training(False)

    def _is_evaluating(self) -> bool:
        module = self._evaluated()
        return module is not None and not module.training

    def note_end(self, this: Pass) -> None:
        """Note that a pass has given its last batch."""
        before, run = self._pass, self.run
        was_finished = this.is_finished
        this.finish()
        if was_finished or run is None:
            return
        run.set_training(False)
        if self._counting is not Counting.DRAWS or before is None:
            return
        if this is before:
            self._before_pass += this.draws
            self._epoch = None if self._epoch is None else self._epoch + 1
            self._steps_after_end = 0
            self._show(self._before_pass)
        elif before.is_finished and not self._steps_after_end and self._is_own(this):
            is_alike = this.has_gradients and this.is_over(before.loader) and this.is_begun_as(before)
            self._has_other_passes |= is_alike
            self._show(self._before_pass)  # the pass has trained nothing

    def note_gone(self, this: Pass) -> None:
        """Note that the iterator of a pass was freed before its last batch: by break, or by an exception."""
        run = self.run
        if this is not self._pass or run is None:
            return
        run.set_training(False)
        if self._counting is Counting.DRAWS and this.draws == this.draws_at_step:
            # After a break the iteration is finished. After an exception it is not. Whether the pass counts as an epoch
            # is for the script to say.
            self._epoch = None
            self._show(None)

    def _show(self, iteration: int | None) -> None:
        if self.run is not None and not self._is_continued:
            self.run.set_place(self._epoch, iteration)

    # -- backwards and steps

    def note_backward(self, loss: Any, is_within: bool) -> None:
        """Note a backward: its loss, None where it is not known, and whether a step has called it."""
        if self.has_stepped and len(self._stepped_since_backward) < len(self._optimizers) > 1:
            self._losses.withdraw(self.run)  # each optimizer might have its own
        self._stepped_since_backward.clear()
        losses = self._losses
        if is_within:
            losses.note_backward_within(loss)
        else:
            losses.before += 1
            losses.loss = loss
        last = self._last_pass
        if last is not None and last.last_trained != last.draws:
            last.last_trained = last.draws
            last.trained += 1

    def note_skipped_step(self) -> None:
        """Note that a GradScaler has skipped a step."""
        if self._losses.before or self._losses.within:
            self._losses.take(self.run)
            if self._counting is Counting.STEPS:
                self._count_step()

    def note_step(self, optimizer: Any, passes: Iterable[Pass], draws_elsewhere: int) -> None:
        """Note that an optimizer has made a step.

        Args:
            optimizer: The optimizer.
            passes: The passes of this thread.
            draws_elsewhere: The number of draws in other threads, so far.
        """
        losses, run, this = self._losses, self.run, self._pass
        if (
            self._is_usual
            and losses.before == 1
            and not losses.within
            and run is not None
            and this is not None
            and this is self._last_pass
            and this.is_open
            and this.draws == this.draws_at_step + 1
        ):
            this.draws_at_step = this.draws
            loss = losses.loss
            losses.before, losses.loss = 0, None
            self._stepped_since_backward.add(id(optimizer))
            self._are_rates_due = True
            run.publish_rate_of_step(optimizer)
            if loss is None:
                self._losses.withdraw(self.run)
            elif losses.is_known:
                run.publish_loss(loss)
        else:
            self._note_any_step(optimizer, passes, draws_elsewhere)

    def _note_any_step(self, optimizer: Any, passes: Iterable[Pass], draws_elsewhere: int) -> None:
        has_backward = bool(self._losses.before or self._losses.within)
        is_joint = bool(self._stepped_since_backward) and id(optimizer) not in self._stepped_since_backward
        if not has_backward and not is_joint:
            if self._counting is Counting.STEPS:
                self.lose_count()
            return
        self._stepped_since_backward.add(id(optimizer))
        self.has_stepped = True
        run = self.run or self.enter()
        if self._counting is Counting.UNKNOWN:
            self._decide(optimizer, [each for each in passes if each.is_open and each.draws], draws_elsewhere)
        if not run.has_rates and self._counting is not Counting.UNKNOWN:
            run.name_rates(() if self._is_mixed else self.optimizers)
            for each in self.optimizers:
                if each is not optimizer:
                    run.publish_rate_of_step(each)
        if self._counting is Counting.DRAWS:
            self._count_draws(run)
        elif self._counting is Counting.STEPS:
            if draws_elsewhere != self._draws_elsewhere or self.has_drawn:
                self.lose_count()
            else:
                self._count_step()
        self._are_rates_due = True
        run.publish_rate_of_step(optimizer)
        if has_backward:
            self._losses.take(self.run)
        # Then the next step needs few checks: it comes once for each batch, with one loss, in the pass that trains.
        this = self._pass
        is_counted = self._counting is Counting.DRAWS and this is not None and this.has_stepped
        self._is_usual = is_counted and len(self._optimizers) == 1

    def _decide(self, optimizer: Any, open_passes: list[Pass], draws_elsewhere: int) -> None:
        """Decide by what iterations are counted, at the first step of each optimizer."""
        is_first_step = all(each() is not optimizer for each in self._stepped)
        if is_first_step:
            self._stepped.append(weakref.ref(optimizer))
        own = [each for each in open_passes if self._is_own(each)]
        self._parameters, older = self.parameters(), self._older_parameters
        self._is_continued |= any(older[key]() is each() for key, each in self._parameters.items() if key in older)
        if self._pass is None and len(own) == 1 and self._is_trained(own[0]):
            self._pass = own[0]
        elif self._pass is None and not open_passes and not self.has_drawn:
            self._counting = Counting.STEPS if len(self.optimizers) == 1 else Counting.NOTHING
            self._draws_elsewhere = draws_elsewhere
            return
        elif self._pass is None or (self._pass.is_open and self._last_pass is not self._pass):
            self._counting = Counting.NOTHING
            return
        elif not self._pass.is_open:
            if is_first_step or own != [self._last_pass] or not self._can_leave_out(self._pass, own[0]):
                self._counting = Counting.NOTHING
                return
            self._leave_out(self._pass, own[0])
        stepped = [each() for each in self._stepped]
        if all(any(each is one for one in stepped) for each in self.optimizers):
            self._counting = Counting.DRAWS
            self._longest_wait = max(self._pass.draws, 1)

    def _can_leave_out(self, before: Pass, this: Pass) -> bool:
        is_whole = before.is_finished and before.trained == before.draws
        return is_whole and this.is_over(before.loader) and this.is_begun_as(before) and self._is_trained(this)

    def _leave_out(self, before: Pass, this: Pass) -> None:
        """Leave the optimizers out that have made no step in the whole first pass."""
        self._before_left_out = self._optimizers
        self._optimizers = self._stepped[:]
        self.ids = {id(each) for each in self.optimizers}
        self._before_pass, self._epoch = before.draws, 1
        self._pass = this
        self._losses.begin_again()

    def take_back(self, optimizer: Any) -> bool:
        """Note a step of an optimizer that might have been left out; tell whether it was."""
        if all(each() is not optimizer for each in self._before_left_out):
            return False
        self._optimizers, self._before_left_out = self._before_left_out, []
        self.ids = {id(each) for each in self.optimizers}
        self.lose_count()
        self._losses.withdraw(self.run)
        if self.run is not None:
            self.run.withdraw_rates()
            self.run.has_rates = False
        return True

    def _is_trained(self, this: Pass) -> bool:
        is_complete = this.trained == this.draws  # otherwise batches are drawn ahead, or several at once
        return is_complete and this.has_gradients and this.is_of_one_thread and this is self._last_pass

    def _is_own(self, this: Pass) -> bool:
        return this.training is self or (this.training is None and this not in self._older_passes)

    def _count_draws(self, run: InferredRun) -> None:
        """Show the place at a step, and follow it into another pass over the loader."""
        before, last = self._pass, self._last_pass
        if before is None or last is None:
            return
        if last is before and before.is_open and before.draws_at_step < before.draws:
            wait = before.draws - before.draws_at_step
            if wait > self._longest_wait:
                self._longest_wait = wait
            before.draws_at_step = before.draws
            if before.has_stepped:
                return  # it is shown already
        elif last is not before and self._is_own(last):
            has_drawn = last.draws > last.draws_at_step
            if last.is_open and has_drawn and self._can_follow(before, last):
                self._go_over(before, last)
                before = last
            elif not before.is_open or before.draws == before.draws_at_step:
                self.lose_count()
                return
        elif not before.is_open:
            self._steps_after_end += 1
            run.set_training(False)
            run.set_place(None, None)
            if self._steps_after_end > len(self.optimizers) or not before.is_finished:
                self.lose_count()
            return
        if before.draws > before.draws_at_step:
            self._longest_wait = max(self._longest_wait, before.draws - before.draws_at_step)
        before.draws_at_step = before.draws
        before.has_stepped = True
        self._show(self._before_pass + before.draws - 1)
        run.set_training(True)

    def _can_follow(self, before: Pass, this: Pass) -> bool:
        """Tell whether the iterations of the pass before are known, once another one trains, and whether they go on."""
        if not before.is_finished and (before.is_open or before.draws - before.trained > 1):
            return False
        return this.is_over(before.loader) or (this.path == before.path and this.trained == this.draws)

    def _go_over(self, before: Pass, this: Pass) -> None:
        """Let a further pass be the one that trains."""
        if not before.is_finished:
            self._before_pass += before.trained
        if not before.is_finished or not self._is_next(before, this):
            self._epoch = None  # an epoch might be made of both
        self._pass = this
        self._steps_after_end = 0

    def _count_step(self) -> None:
        self._steps += 1
        if self.run is not None and not self._is_continued:
            self.run.set_place(None, self._steps)
