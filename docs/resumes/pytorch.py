"""Plain PyTorch: every stop times every resume point, against a count of its own."""

import io
import random
import signal
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from resumes import Resume
from runtimeinfo import current_hub
from runtimeinfo_adapters.pytorch import FinishedLoopWarning, Loop

SIZE, EPOCHS, BATCHES = 12, 3, 6

# The batch of the whole training at which the state is saved, and where that is done.
PLACES = {
    "in mid-epoch": [(8, "iteration"), (8, "hook"), (8, "after the end")],
    "at the last batch of an epoch": [(12, "iteration"), (12, "hook")],
    "between two epochs": [(12, "after the pass"), (12, "epoch hook"), (12, "validation")],
    "at the last batch of all": [(18, "iteration"), (18, "after the end")],
}


class Stopped(Exception):  # noqa: N818
    """Stops a training."""


class Training:
    """One training, in what is like a process of its own: it counts by itself what it does."""

    def __init__(self, seed: int, workers: int, **bounds: Any) -> None:
        torch.manual_seed(seed)
        random.seed(seed)
        self.loader: Any = DataLoader(range(SIZE), 2, shuffle=True, num_workers=workers)  # type: ignore[arg-type]
        self.loop: Loop[Any] = Loop(None, self.loader, hooks=[self], **bounds)
        self.items: dict[int, list[int]] = {}
        self.batches = 0
        self.ours: list[tuple[object, ...]] = []
        self.theirs: list[tuple[object, ...]] = []
        self.state: bytes | None = None
        self.saves: tuple[int, str] = (0, "")

    def save(self, place: str) -> None:
        if self.saves == (self.batches, place) and self.state is None:
            file = io.BytesIO()
            torch.save(self.loop.state_dict(), file)
            self.state = file.getvalue()

    def after_train_iter(self, runner: Any, batch_idx: int, **_: Any) -> None:  # noqa: ARG002
        self.save("hook")

    def after_train_epoch(self, runner: Any) -> None:  # noqa: ARG002
        self.save("epoch hook")

    def before_val(self, runner: Any) -> None:  # noqa: ARG002
        self.save("validation")

    def note(self, epoch: int) -> None:
        hub = current_hub()
        self.ours.append((hub.get_info("epoch"), hub.get_info("iter")))
        self.theirs.append((epoch, self.batches))

    def run(self, stop: str = "", at: int = -1, epoch: int = 0) -> None:
        """Train from an epoch on, and stop after a number of batches of the whole training."""
        with self.loop.run():
            for _ in self.loop.epochs():
                for batch in self.loop.train():
                    self.note(epoch)
                    self.items.setdefault(epoch, []).extend(batch.tolist())
                    self.batches += 1
                    torch.rand(3)
                    self.save("iteration")
                    if self.batches == at and stop in {"exception", "signal"}:
                        if stop == "signal":
                            signal.raise_signal(signal.SIGTERM)
                        raise Stopped
                    if self.batches == at and stop == "terminate":
                        return
                    if self.batches == at and stop == "early stop":
                        break
                self.save("after the pass")
                with self.loop.val():
                    pass
                epoch += 1
                if self.batches == at and stop == "early stop":
                    break
            self.save("after the end")
            if not stop:
                self.note(epoch)

    def stop(self, how: str, at: int) -> None:
        """Train until it is stopped."""
        before = signal.signal(signal.SIGTERM, _exit)
        try:
            self.run(how, at)
        except (Stopped, SystemExit):
            pass
        finally:
            signal.signal(signal.SIGTERM, before)


def _exit(*_: object) -> None:
    raise SystemExit(143)


def resume(stop: str, point: str, saved_at: tuple[int, str], workers: int, skip: bool | None) -> Resume:
    """Stop a training one batch after its state was saved, or as its bound says, and resume it."""
    last = saved_at[0]
    at = last if stop in {"max_iters", "max_epochs"} or last == EPOCHS * BATCHES else last + 1
    bounds: dict[str, Any] = {"max_epochs": EPOCHS}
    if stop == "max_iters":
        bounds["max_iters"] = at
    if stop == "max_epochs":
        bounds["max_epochs"] = at // BATCHES
    first = Training(1, workers, **bounds)
    first.saves = saved_at
    first.stop(stop, at)
    if first.state is None:
        raise RuntimeError(f"no state was saved at {saved_at} of a training that {stop} stops")
    second = Training(2, workers, max_epochs=EPOCHS)
    state = torch.load(io.BytesIO(first.state), weights_only=True)
    second.loop.load_state_dict(state, skip_batches=skip)
    second.batches = last
    # After the pass its epoch is done; inside its last iteration it is not.
    epoch = last // BATCHES - (last % BATCHES == 0 and saved_at[1] in {"iteration", "hook"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FinishedLoopWarning)
        second.run(epoch=epoch)
    if point != "in mid-epoch":
        return Resume(stop, point, second.ours, second.theirs, [])
    seen = first.items[epoch][: 2 * (last % BATCHES)] + second.items[epoch]
    return Resume(stop, point, second.ours, second.theirs, seen, SIZE)


def resumes() -> Iterator[Resume]:
    """Stop and resume trainings in every way."""
    for stop in ("max_iters", "max_epochs", "exception", "signal", "early stop", "terminate"):
        for point, places in PLACES.items():
            if stop == "max_epochs" and point == "in mid-epoch":
                continue
            for saved_at in places:
                is_late = saved_at[0] == EPOCHS * BATCHES
                # Only max_iters ends the epochs in mid-epoch, and a training that fails does not come to its end.
                ends = stop in {"max_iters", "max_epochs"} or (stop == "early stop" and is_late)
                if saved_at[1] == "after the end" and not ends:
                    continue
                for workers in (0, 1) if point == "in mid-epoch" and stop == "exception" else (0,):
                    for skip in (None, True) if not is_late else (None,):
                        yield resume(stop, point, saved_at, workers, skip)
