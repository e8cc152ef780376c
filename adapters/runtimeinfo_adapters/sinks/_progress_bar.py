"""The sink that shows progress, on a terminal or as lines of a log."""

from __future__ import annotations

import importlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from runtimeinfo import MessageHub
from runtimeinfo_adapters._framework import import_framework
from runtimeinfo_adapters._numbers import whole_number
from runtimeinfo_adapters._rank import global_rank
from runtimeinfo_adapters.sinks._row_sink import SinkWarning

_KNOWN_TOTAL = "{desc}: {percentage:.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_UNKNOWN_TOTAL = "{desc}: {n_fmt} [{elapsed}, {rate_fmt}{postfix}]"

_WIDTH = 80
"""The columns of a terminal that does not say how many it has, as in some containers: tqdm would show nothing."""

_STREAMS = ("stdout", "stderr")


class ProgressBar:
    """Show in one line how far the training is, and its latest values: a bar of tqdm over all iterations.

        train:  40%|████      | 400/1000 [00:08<00:12, 49.8it/s, epoch=2/5, lr=0.1, loss=0.25, val/acc=0.9]

    The bar reads nothing but the hub, and values only when it is drawn: it waits for an accelerator at most every
    `mininterval` seconds. In a validation or test, the stage replaces ``train``, with the number of batches that are
    done. A resumed training continues at its iter.

    Without a terminal, as in the log file of a job, a line is printed every `line_interval` seconds and at the end,
    without control characters. To print beside a bar, use ``tqdm.write``.

    A bar can be copied and pickled at any time. The copy shows its own bar once it hears from a run, on
    the standard output if `file` is that, and otherwise on the standard error: no other open file is copied.

    It needs the extra ``progress``.

    Args:
        keys: The scalars of the hub to show; all of ``train/`` and ``val/`` by default. The prefix ``train/`` is not
            shown.
        mininterval: The seconds between two drawings.
        line_interval: The seconds between two lines, without a terminal.
        file: Where to show the bar; by default `sys.stderr` as it is when the training begins.
        all_ranks: Whether each process of a distributed run shows a bar. Otherwise only the first one does.

    Raises:
        ModuleNotFoundError: If tqdm is not installed; the message names the extra.

    Example:
        >>> import sys
        >>> from runtimeinfo_adapters.pytorch import Loop
        >>> bar = ProgressBar(file=sys.stdout)
        >>> loop = Loop(train_loader=[3.0, 2.0], max_epochs=2, hooks=[bar])
        >>> with loop.run():
        ...     for epoch in loop.epochs():
        ...         for batch in loop.train():
        ...             loop.log(loss=batch)  # doctest: +ELLIPSIS
        train: 100% 4/4 [00:00<00:00, ...it/s, epoch=2/2, loss=2]

    Source: HUB-01, HUB-04, ORDER-02.
    """

    priority = "LOW"

    def __init__(
        self,
        *,
        keys: Iterable[str] | None = None,
        mininterval: float = 0.1,
        line_interval: float = 30.0,
        file: TextIO | None = None,
        all_ranks: bool = False,
    ) -> None:
        _check_installed()
        self._keys = None if keys is None else tuple(keys)
        self._mininterval = mininterval
        self._line_interval = line_interval
        self._file = file
        self._all_ranks = all_ranks
        self._reset()

    def _reset(self) -> None:
        self._run_hub: MessageHub | None = None  # None outside of a run
        self._hub: MessageHub | None = None  # None on a rank without a bar, too
        self._display: Display | None = None
        self._progress = Progress()
        self._drawn = 0.0
        self._epoch: Any = None
        self._has_trained = False
        self._batches = 0

    def __getstate__(self) -> dict[str, Any]:
        streams = (name for name in _STREAMS if self._file is not None and self._file is getattr(sys, name))
        nothing = dict.fromkeys(("_file", "_run_hub", "_hub", "_display"))
        return {**vars(self), **nothing, "_stream": next(streams, None)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        stream = state.pop("_stream")
        vars(self).update(state)
        self._reset()
        if stream is not None:
            self._file = getattr(sys, stream)

    # -- the hook points

    def before_run(self, runner: Any) -> None:
        """Forget the last run."""
        self._close()
        self._has_trained, self._epoch = False, None
        self._run_hub = runner.message_hub
        self._hub = self._run_hub if self._all_ranks or not global_rank() else None

    def before_train(self, runner: Any) -> None:
        """Show a bar of all iterations."""
        self._join(runner)
        if self._hub is not None:
            self._has_trained = True
            iteration = whole_number(self._hub.get_info("iter")) or 0
            self._open(Progress(iteration, whole_number(self._hub.get_info("max_iters"))), "it")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:  # noqa: ARG002
        """Count an iteration, and draw if it is time."""
        if runner.message_hub is not self._run_hub:
            self.before_train(runner)
        hub = self._hub
        if hub is not None:
            iteration = hub.get_info("iter")
            if iteration is not None:
                self._progress.done = iteration + 1
            self._epoch = hub.get_info("epoch")
            self._draw_if_due()

    def after_train(self, runner: Any) -> None:  # noqa: ARG002
        """Show how far the training came: an iteration that failed has ended too, and does not count."""
        if self._hub is not None:
            done = whole_number(self._hub.get_info("iter"))
            self._progress.done = self._progress.done if done is None else done
        self._draw(now=True)

    def before_val(self, runner: Any) -> None:
        """Show that a validation runs."""
        self._join(runner)
        self._enter("val")

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:  # noqa: ARG002
        """Count a batch."""
        self._count()

    def after_val(self, runner: Any) -> None:  # noqa: ARG002
        """Show that the validation is over, and its metrics."""
        self._leave()

    def before_test(self, runner: Any) -> None:
        """Show that a test runs."""
        self._join(runner)
        self._enter("test")

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:  # noqa: ARG002
        """Count a batch."""
        self._count()

    def after_test(self, runner: Any) -> None:  # noqa: ARG002
        """Show that the test is over."""
        self._leave()

    def after_run(self, runner: Any) -> None:  # noqa: ARG002
        """Leave the last line as it is."""
        self._close()

    # -- how

    def _join(self, runner: Any) -> None:
        if runner.message_hub is not self._run_hub:  # copied or registered after the run had begun
            self.before_run(runner)

    def _enter(self, stage: str) -> None:
        if self._hub is None:
            return
        self._batches = 0
        if self._has_trained:
            self._progress.stage = stage
        else:  # outside of a training, there is nothing to count but the batches of this stage
            self._open(Progress(stage=stage), "batch")
        self._draw(values=False)

    def _count(self) -> None:
        self._batches += 1
        if self._has_trained:
            stage = self._progress.stage.partition(" ")[0]
            self._progress.stage = f"{stage} {self._batches}"
        else:
            self._progress.done = self._batches
        self._draw_if_due(values=False)

    def _leave(self) -> None:
        if self._has_trained:
            self._progress.stage = "train"
        self._draw(now=not self._has_trained)

    def _open(self, progress: Progress, unit: str) -> None:
        self._close_display()
        self._progress = progress
        file: Any = sys.stderr if self._file is None else self._file
        if file is None:  # a process without a console
            return
        self._drawn = 0.0
        self._try(lambda: self._show_on(file, unit))

    def _show_on(self, file: Any, unit: str) -> None:
        if file.isatty():
            self._display = TerminalDisplay(_bar_class(), file, self._progress, unit)
        else:
            self._display = LineDisplay(_bar_class(), file, self._progress, unit, self._line_interval)

    def _draw_if_due(self, *, values: bool = True) -> None:
        if time.monotonic() - self._drawn >= self._mininterval:
            self._draw(values=values)

    def _draw(self, *, now: bool = False, values: bool = True) -> None:
        display = self._display
        if display is None or self._hub is None:
            return
        self._drawn = time.monotonic()
        if values:
            self._progress.values = ", ".join(self._values(self._hub))
        self._try(lambda: display.show(self._progress, now=now))

    def _values(self, hub: MessageHub) -> list[str]:
        shown: list[str] = []
        epoch, max_epochs = whole_number(self._epoch), whole_number(hub.get_info("max_epochs"))
        if self._has_trained and epoch is not None:
            shown.append(f"epoch={epoch + 1}" if max_epochs is None else f"epoch={epoch + 1}/{max_epochs}")
        scalars = hub.log_scalars
        stages = ("train/", "val/") if self._has_trained else (f"{self._progress.stage}/",)
        keys = [key for key in scalars if key.startswith(stages)] if self._keys is None else self._keys
        for key in keys:
            if key in scalars:
                with suppress(ValueError):  # a history without a value
                    shown.append(f"{key.removeprefix('train/')}={float(scalars[key].current()):.4g}")
        return shown

    def _close(self) -> None:
        self._draw(now=True)
        self._close_display()
        self._run_hub = self._hub = None

    def _close_display(self) -> None:
        display, self._display = self._display, None
        if display is not None:
            self._try(display.close)

    def _try(self, show: Callable[[], None]) -> None:
        """Call what shows; a terminal that has gone away does not end the run."""
        try:
            show()
        except (OSError, ValueError) as error:  # the latter if the file is closed
            self._display = None
            warnings.warn(
                f"the progress bar stops, because it cannot be shown any more: {error}. The run continues; "
                "leave the bar out where there is no such terminal",
                SinkWarning,
                stacklevel=2,
            )


@dataclass(slots=True)
class Progress:
    """The content of a progress bar.

    Attributes:
        done: The number of completed iterations, including those before a resume.
        total: The number of all iterations; None if that is not known.
        stage: The stage, and how far it is.
        values: Names and values, separated by commas.
    """

    done: int = 0
    total: int | None = None
    stage: str = "train"
    values: str = ""


class Display(Protocol):
    """A place where progress is shown."""

    def show(self, progress: Progress, *, now: bool) -> None:
        """Show progress, if it is time or must be now."""
        ...

    def close(self) -> None:
        """Leave the last line as it is."""
        ...


class TerminalDisplay:
    """A bar of tqdm, redrawn in its line.

    Args:
        tqdm: The class of the bar.
        file: The terminal.
        progress: The progress at the beginning.
        unit: The unit of what is counted.
    """

    def __init__(self, tqdm: Any, file: Any, progress: Progress, unit: str) -> None:
        has_width = _width_of(file) > 0
        self._bar = tqdm(
            total=progress.total,
            initial=progress.done,
            desc=progress.stage,
            file=file,
            unit=unit,
            ncols=None if has_width else _WIDTH,
            dynamic_ncols=has_width,
            mininterval=0,  # drawn whenever `show` is called
            miniters=0,
        )

    def show(self, progress: Progress, *, now: bool) -> None:  # noqa: ARG002
        """Redraw the line: this is never too often."""
        self._bar.set_description_str(progress.stage, refresh=False)
        self._bar.set_postfix_str(progress.values, refresh=False)
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        """Leave the line, and go to the next."""
        self._bar.close()


class LineDisplay:
    """Lines in a file, at intervals and without control characters.

    Args:
        tqdm: The class of the bar.
        file: The file.
        progress: The progress at the beginning.
        unit: The unit of what is counted.
        interval: The seconds between two lines.
    """

    def __init__(self, tqdm: Any, file: Any, progress: Progress, unit: str, interval: float) -> None:
        self._format = tqdm.format_meter
        self._file = file
        self._unit = unit
        self._initial = progress.done
        self._interval = interval
        self._began = self._printed = time.monotonic()
        self._last = ""

    def show(self, progress: Progress, *, now: bool) -> None:
        """Print a line if it is time or must be now, unless nothing has changed."""
        at = time.monotonic()
        if not now and at - self._printed < self._interval:
            return
        line: str = self._format(
            progress.done,
            progress.total,
            at - self._began,
            prefix=progress.stage,
            unit=self._unit,
            initial=self._initial,
            postfix=progress.values,
            bar_format=_UNKNOWN_TOTAL if progress.total is None else _KNOWN_TOTAL,
        )
        content = f"{progress.stage} {progress.done} {progress.values}"
        if content != self._last:
            self._last = content
            self._printed = at
            self._file.write(f"{line}\n")
            self._file.flush()

    def close(self) -> None:
        """Do nothing: each line is complete."""


def _width_of(file: Any) -> int:
    try:
        return os.get_terminal_size(file.fileno()).columns
    except (AttributeError, OSError, ValueError):  # a terminal only in name, such as a notebook's
        return 0


def _check_installed() -> None:
    import_framework("tqdm", distribution="tqdm", extra="progress", at_least="4.66", below="5", used_by="ProgressBar")


def _bar_class() -> Any:
    # tqdm's thread redraws bars that have not been drawn for long: this one is drawn when it should be.
    return type("_Bar", (importlib.import_module("tqdm").tqdm,), {"monitor_interval": 0})
