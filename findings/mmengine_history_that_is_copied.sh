#!/usr/bin/env bash
# mmengine 0.10.7: each value that is added to a HistoryBuffer copies its whole history, up to 16 MB.
#
# Guess before: `HistoryBuffer.update` takes constant time and memory, as an append does, up to `max_length` (1,000,000)
# and beyond it.
# Seen: it makes two new arrays, of all values and of all counts. An update after 100 values allocates 2 kB, after
# 10,000 values 160 kB, and after 999,000 16 MB, which takes milliseconds. A MessageHub has one buffer for each key
# (losses, learning rate, time, data_time, memory), and each update of each copies. The buffers are a part of each
# checkpoint, which grows with them.
# Met by: trainings of 100,000 iterations and more, most of all with small models; the iteration gets slower as it goes
# on.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 mmengine==0.10.7
cat > "$folder/finding.py" <<'PYTHON'
import pickle
import time
import tracemalloc

import mmengine
import numpy as np
from mmengine.logging import HistoryBuffer

print(f"mmengine {mmengine.__version__}: one update of a HistoryBuffer")
allocated, sizes = {}, {}
for length in (100, 10_000, 999_000):
    buffer = HistoryBuffer(np.ones(length), np.ones(length))
    tracemalloc.start()
    buffer.update(1.0)
    allocated[length] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    begin = time.perf_counter()
    buffer.update(1.0)
    milliseconds = (time.perf_counter() - begin) * 1e3
    sizes[length] = len(pickle.dumps(buffer))
    print(
        f"after {length} values: it allocates {allocated[length]} bytes, takes {milliseconds:.3f} ms,"
        f" and the pickled buffer has {sizes[length]} bytes"
    )
assert mmengine.__version__ == "0.10.7"
assert 1_600 < allocated[100] < 5_000
assert 160_000 < allocated[10_000] < 200_000
assert 15_984_000 < allocated[999_000] < 16_100_000
assert sizes[999_000] > 15_984_000
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
