#!/usr/bin/env bash
# MLflow 3.17.2: after a rollback the metric of a run is that of the steps that were given up.
#
# Guess before: `run.data.metrics["loss"]`, which is what tables of runs show and `search_runs` compares, is the value
# that was logged last.
# Seen: it is the value of the largest step; of equal steps that of the latest time stamp, and of equal time stamps the
# largest value. A run that logs the losses 5, 4, 3, 2, 9 at the steps 0 to 4, goes back to step 1, and logs 1 at step 2
# has the loss 9, and a search for `metrics.loss < 2` does not find it. A run that logs 9 and then 1 for one step within
# a millisecond has the loss 9, too.
# Met by: resumes from a checkpoint that is older than the last log, until the training is beyond it; searches for the
# best run in the meantime, or after an early end.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet mlflow==3.17.2
cat > "$folder/finding.py" <<'PYTHON'
import logging
import os
import sys

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
logging.disable(logging.WARNING)
import mlflow

mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}")


def logged(values):
    """Log the values, each with its step and its time stamp, and return the run's metric and whether it is found."""
    with mlflow.start_run() as run:
        for value, step, timestamp in values:
            mlflow.log_metric("loss", value, step=step, timestamp=timestamp)
    found = mlflow.search_runs(filter_string="metrics.loss < 2", output_format="list")
    return mlflow.get_run(run.info.run_id).data.metrics["loss"], run.info.run_id in [each.info.run_id for each in found]


before = [(5.0, 0, 1000), (4.0, 1, 1001), (3.0, 2, 1002), (2.0, 3, 1003), (9.0, 4, 1004)]
rolled_back = logged([*before, (1.0, 2, 2000)])
beyond = logged([*before, (1.0, 2, 2000), (1.5, 3, 2001), (1.25, 4, 2002)])
one_millisecond = logged([(9.0, 4, 1000), (1.0, 4, 1000)])
print(f"MLflow {mlflow.__version__}: the metric of a run, and whether a search for a loss below 2 finds the run")
print(f"the losses 5, 4, 3, 2, 9 at the steps 0 to 4, then 1 at step 2: {rolled_back}")
print(f"and then 1.5 and 1.25 at the steps 3 and 4: {beyond}")
print(f"9 and then 1 at one step, in one millisecond: {one_millisecond}")
assert mlflow.__version__ == "3.17.2"
assert rolled_back == (9.0, False)
assert beyond == (1.25, True)
assert one_millisecond == (9.0, False)
PYTHON
"$folder/env/bin/python" -W ignore "$folder/finding.py" "$folder/runs.db"
