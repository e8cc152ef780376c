#!/usr/bin/env bash
# CPython 3.11 with torch 2.13.0: where a process has used a fork server, its forked children cannot use one.
#
# Guess before: a DataLoader with multiprocessing_context="forkserver" works in a process that was forked, as it does
# in its parent: the child uses the parent's server, or starts its own.
# Seen: the child inherits the process id of the server, takes it for a child of its own, and waits for it:
# ChildProcessError, before a worker is started. If the parent has not used a fork server yet, the same code works.
# 3.12.1 and 3.13.0 behave in the same way.
# Met by: a sweep that trains in a pool of forked processes, in a program that has loaded data by a fork server before.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0
cat > "$folder/finding.py" <<'PYTHON'
import multiprocessing
import platform
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor

warnings.simplefilter("ignore")
import torch
from torch.utils.data import DataLoader


def load():
    loader = DataLoader(range(4), batch_size=2, num_workers=1, multiprocessing_context="forkserver")
    try:
        return [batch.tolist() for batch in loader]
    except ChildProcessError as error:
        return f"ChildProcessError: {error.strerror}"


def load_in_forked_process():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(load).result()


if __name__ == "__main__":
    before = load_in_forked_process()
    here = load()
    after = load_in_forked_process()
    print(f"Python {platform.python_version()}, torch {torch.__version__}: in a forked process {before}")
    print(f"in its parent {here}, and then in a forked process {after}")
    assert sys.version_info[:2] == (3, 11)
    assert torch.__version__.startswith("2.13.0")
    assert before == here == [[0, 1], [2, 3]]
    assert after == "ChildProcessError: No child processes"
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
