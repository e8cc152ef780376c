#!/usr/bin/env bash
# MLflow 3.17.2 with a database: an infinite metric is read back as the largest finite float.
#
# Expected: `log_metric(inf)` is refused, or read back as infinity, as NaN is read back as NaN.
# Seen: it is accepted, and read back as 1.7976931348623157e308; minus infinity as its negative. `math.isfinite` of the
# loss of a training that has diverged is True, and so is `loss < inf`.
# Met by: alarms and early stops that read the metrics of a run and ask whether they are finite.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet mlflow-skinny==3.17.2 sqlalchemy alembic
cat > "$folder/finding.py" <<'PYTHON'
import logging
import math
import os
import sys

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
logging.disable(logging.WARNING)
import mlflow

folder = sys.argv[1]
client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/runs.db")
run = client.create_run(client.create_experiment("finding", artifact_location=f"file://{folder}/files")).info.run_id
for step, value in enumerate((math.nan, math.inf, -math.inf)):
    client.log_metric(run, "loss", value, step=step)
read = [point.value for point in client.get_metric_history(run, "loss")]
print(f"MLflow {mlflow.__version__}: nan, inf and -inf are read back as {read}")
assert mlflow.__version__ == "3.17.2"
assert math.isnan(read[0])
assert read[1:] == [sys.float_info.max, -sys.float_info.max]
PYTHON
"$folder/env/bin/python" -W ignore "$folder/finding.py" "$folder"
