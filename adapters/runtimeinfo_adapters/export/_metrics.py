"""The exported metrics: their names, units, labels and meaning.

The names follow Prometheus' guide: base units, with the unit as the suffix. There is no counter: an iteration counter
is set to any value by a training that resumes, and restarted by the next one, so a rate over it would be wrong.

Source: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

RUN_LABELS = ("experiment", "run", "rank", "job_id")
"""The labels of every metric of a run. ``job`` is not among them: Prometheus sets it to the name of the scrape job, and
renames an exported one to ``exported_job``."""

STATES = ("live", "ended", "dead")
STAGES = ("train", "val", "test", "other")
"""The stages as label values. Any other text that a run publishes is ``other``, so that it cannot make new series."""

LEFT_OUT_REASONS = ("limit", "superseded")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, which is a gauge.

    Attributes:
        name: The full name.
        help: The meaning, in one sentence.
        labels: The names of its labels.
        unit: The unit, in UCUM as OpenTelemetry has it: ``"s"``, ``"1"`` for a ratio, empty for a number of things.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    unit: str = ""


def _of_run(name: str, help: str, *labels: str, unit: str = "") -> Metric:
    return Metric(f"runtimeinfo_run_{name}", help, (*RUN_LABELS, *labels), unit)


def _of_exporter(name: str, help: str, *labels: str, unit: str = "") -> Metric:
    return Metric(f"runtimeinfo_exporter_{name}", help, labels, unit)


INFO = _of_run(
    "info", "1 for each run, with what is known of it.", "host", "user", "pid", "local_rank", "world_size", "scheduler"
)
STATE = _of_run("state", "1 for the state that the run is in, 0 for the others.", "state")
STALLED = _of_run("stalled", "1 if the run is live, but has written nothing for far longer than usual.")
STAGE = _of_run("stage", "1 for the stage that the run is in, 0 for the others.", "stage")
EPOCH = _of_run("epoch", "Completed epochs.")
MAX_EPOCHS = _of_run("max_epochs", "Epochs of the whole training.")
ITER = _of_run("iter", "Completed iterations.")
MAX_ITERS = _of_run("max_iters", "Iterations of the whole training.")
PROGRESS = _of_run("progress_ratio", "Completed iterations over those of the whole training, from 0 to 1.", unit="1")
RATE = _of_run("iterations_per_second", "Iterations per second while the run trains.")
REMAINING = _of_run("remaining_seconds", "Time that the remaining iterations take at this rate.", unit="s")
UPDATE_AGE = _of_run("update_age_seconds", "Time since the run has written anything.", unit="s")
START = _of_run("start_timestamp_seconds", "When the run began to share, in seconds since 1970.", unit="s")
SCALAR = _of_run("scalar", "The latest value of a scalar.", "scalar")
# Only for those: a 0 for each of the others would be a third of all samples.
SCALAR_NOT_FINITE = _of_run(
    "scalar_not_finite", "1 for each scalar whose latest value is NaN or infinite; others have none.", "scalar"
)
SCALARS_LEFT_OUT = _of_run("scalars_left_out", "Selected scalars that exceed the maximum for one run.")

BOARDS = _of_exporter("boards", "Boards that were found.")
BOARDS_UNREADABLE = _of_exporter("boards_unreadable", "Boards that are damaged, foreign or of another version.")
RUNS_LEFT_OUT = _of_exporter(
    "runs_left_out", "Runs that exceed the maximum, or that a later run with the same labels has superseded.", "reason"
)
LOOK = _of_exporter("look_seconds", "Time that it took to read the boards.", unit="s")
FOLDER_USABLE = _of_exporter("folder_usable", "1 if the folder for boards can be read and trusted.")
EXPORTER_INFO = _of_exporter("info", "1, with the version of the exporter.", "version")

METRICS = MappingProxyType({metric.name: metric for metric in tuple(globals().values()) if isinstance(metric, Metric)})
"""All metrics by their names, in the order in which they are exported."""
