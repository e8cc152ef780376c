#!/usr/bin/env bash
# torch 2.13.0: tensors of seven dtypes can be pickled, but the pickle cannot be read.
#
# Guess before: what `pickle.dumps` accepts, `pickle.loads` gives back, for each dtype of a dense tensor on the CPU, as
# `torch.save` does.
# Seen: for uint16, uint32, uint64, complex32, float8_e4m3fn, float8_e5m2 and float8_e8m0fnu the
# writer is silent, and the reader raises AttributeError: 'UntypedStorage' has no attribute 'dtype'. `torch.save` in its
# default format keeps them; in its legacy format, which is what a pickle of a tensor holds, it does not. So a state
# with an array of images in 16 bits is lost when it is needed, not when it is written.
# Met by: a component that publishes such a tensor, in a hub that is pickled to another process.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0
cat > "$folder/finding.py" <<'PYTHON'
import io
import pickle
import warnings

warnings.simplefilter("ignore")
import torch


def is_read(write, read):
    try:
        return torch.equal(read(write(tensor)).view(torch.uint8), tensor.view(torch.uint8))
    except AttributeError as error:
        assert "'torch.storage.UntypedStorage' has no attribute 'dtype'" in str(error), error
        return False


def saved(tensor, zipped):
    file = io.BytesIO()
    torch.save(tensor, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def loaded(data):
    return torch.load(io.BytesIO(data), weights_only=False)


lost = []
for name in (
    "uint8 uint16 uint32 uint64 int16 int64 float16 bfloat16 float32 complex64 complex32 "
    "float8_e4m3fn float8_e5m2 float8_e8m0fnu"
).split():
    tensor = torch.zeros(4, dtype=torch.uint8).view(torch.uint8).repeat(4).view(getattr(torch, name))
    by_pickle = is_read(pickle.dumps, pickle.loads)
    legacy = is_read(lambda each: saved(each, False), loaded)
    assert is_read(lambda each: saved(each, True), loaded), name
    assert by_pickle == legacy, name
    if not by_pickle:
        lost.append(name)
print(f"torch {torch.__version__}: pickled without an error, and cannot be read: {', '.join(lost)}")
assert torch.__version__.startswith("2.13.0")
assert lost == ["uint16", "uint32", "uint64", "complex32", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"], lost
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
