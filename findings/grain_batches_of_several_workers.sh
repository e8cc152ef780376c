#!/usr/bin/env bash
# Grain 0.2.18: which elements a batch holds, and how many batches there are, depends on the number of workers.
#
# Guess before: over a source that is read by index, in order, a `DataLoader` with `Batch(4)` gives the same batches for
# every `worker_count`, as PyTorch's DataLoader does for a map-style dataset.
# Seen: each worker takes every n-th index and makes its batches of those. Ten elements are 3 batches without workers, 0
# to 3 first; 4 batches with two workers, of 4, 4, 1 and 1 elements, 0, 2, 4, 6 first; with three workers 3 batches, of
# 4, 3 and 3. Where a `MapDataset` is batched before `mp_prefetch` is asked for workers, the batches stay as they are.
# Met by: schedules by the number of batches in an epoch; comparisons of runs on machines with other numbers of CPUs.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet grain==0.2.18 absl-py==2.5.1
cat > "$folder/finding.py" <<'PYTHON'
from importlib.metadata import version

import grain.python as grain
from absl import app


class Source:
    def __len__(self):
        return 10

    def __getitem__(self, index):
        return int(index)


def by_loader(workers):
    sampler = grain.IndexSampler(10, shard_options=grain.NoSharding(), shuffle=False, num_epochs=1)
    return grain.DataLoader(data_source=Source(), sampler=sampler, operations=[grain.Batch(4)], worker_count=workers)


def batched_before(workers):
    stream = grain.MapDataset.source(Source()).batch(4).to_iter_dataset()
    return stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))


def main(arguments):
    in_order = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    seen = {workers: [batch.tolist() for batch in by_loader(workers)] for workers in (0, 2, 3)}
    before = [batch.tolist() for batch in batched_before(2)]
    print(f"grain {version('grain')}: the batches of the elements 0 to 9")
    for workers, batches in seen.items():
        print(f"DataLoader with {workers} workers: {batches}")
    print(f"batched before two workers are asked for: {before}")
    assert version("grain") == "0.2.18"
    assert seen[0] == before == in_order
    assert seen[2] == [[0, 2, 4, 6], [1, 3, 5, 7], [8], [9]]
    assert seen[3] == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]


if __name__ == "__main__":
    app.run(main)
PYTHON
"$folder/env/bin/python" -W ignore "$folder/finding.py"
