#!/usr/bin/env bash
# wandb 0.31.0, offline: a SIGTERM loses what was logged in the last 15 seconds.
#
# Guess before: another process, wandb-core, writes the rows, so that the end of the training by a SIGTERM loses none.
# Seen: that process writes to the file every 15 seconds, and ends without doing so. Of a run that logs ten rows, and
# gets the SIGTERM 3 seconds later, the file has its header of 7 bytes only; nothing else is on the disk.
# Met by: training under a scheduler that ends jobs by SIGTERM, with W&B offline.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet wandb==0.31.0
cat > "$folder/train.py" <<'PYTHON'
import os
import signal
import time

import wandb

run = wandb.init(mode="offline", project="finding", settings=wandb.Settings(console="off", silent=True))
for step in range(10):
    run.log({"loss": float(step)}, step=step)
time.sleep(3)
os.kill(os.getpid(), signal.SIGTERM)
PYTHON
cd "$folder"
env/bin/python train.py || echo "exit status $?"
sleep 20
bytes=$(cat wandb/offline-run-*/*.wandb | wc -c)
echo "wandb $(env/bin/python -c 'import wandb; print(wandb.__version__)'): $bytes bytes of ten rows"
[ "$bytes" = 7 ]
