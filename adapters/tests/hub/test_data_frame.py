"""The histories of a hub as one table of pandas."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import torch

from runtimeinfo_adapters import MessageHub, ScalarHistory

DTYPES = {"scalar": pd.StringDtype(), "update": np.int64, "value": np.float64, "count": np.float64}


def test_each_value_is_a_row() -> None:
    hub = MessageHub("frame")
    for loss in (0.5, float("nan"), float("-inf")):
        hub.update_scalar("train/loss", loss)
    hub.update_scalar("val/acc", torch.tensor(30), count=40)
    frame = hub.to_pandas()
    expected = pd.DataFrame(
        {
            "scalar": ["train/loss"] * 3 + ["val/acc"],
            "update": [0, 1, 2, 0],
            "value": [0.5, np.nan, -np.inf, 30.0],
            "count": [1.0, 1.0, 1.0, 40.0],
        }
    ).astype(DTYPES)
    pd.testing.assert_frame_equal(frame, expected)


def test_integers_and_floats_have_the_same_dtypes() -> None:
    for value in (3, 0.5, True, 2**70):
        hub = MessageHub("frame")
        hub.update_scalar("value", value)
        assert hub.to_pandas().dtypes.to_dict() == DTYPES
        assert hub.to_pandas()["value"].tolist() == [float(value)]


def test_empty_hub_gives_the_same_columns_and_dtypes() -> None:
    frame = MessageHub("frame").to_pandas()
    assert len(frame) == 0
    assert frame.dtypes.to_dict() == DTYPES
    assert frame.dtypes.to_dict() == MessageHub("x", {"empty": ScalarHistory()}).to_pandas().dtypes.to_dict()


def test_history_that_dropped_values_begins_at_zero() -> None:
    hub = MessageHub("frame", {"loss": ScalarHistory([1.0, 2.0, 3.0], max_length=2)})
    assert hub.to_pandas()["update"].tolist() == [0, 1]
    assert hub.to_pandas()["value"].tolist() == [2.0, 3.0]


def test_frame_is_a_copy() -> None:
    hub = MessageHub("frame")
    hub.update_scalar("loss", 1.0)
    frame = hub.to_pandas()
    frame["value"] = 9.0
    hub.update_scalar("loss", 2.0)
    assert len(frame) == 1
    assert hub.to_pandas()["value"].tolist() == [1.0, 2.0]


def test_frame_can_be_made_while_another_thread_writes() -> None:
    hub = MessageHub("frame")
    ended = threading.Event()

    def write() -> None:
        for number in range(3000):
            hub.update_scalar(f"key/{number % 100}", float(number), count=1 + number % 2)
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set():
        frame = hub.to_pandas()
        assert (frame.groupby("scalar")["update"].max() + 1 == frame.groupby("scalar")["value"].count()).all()
    writer.join()
    assert len(hub.to_pandas()) == 3000


def test_missing_pandas_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from runtimeinfo_adapters import MessageHub\n"
        "try:\n    MessageHub('frame').to_pandas()\n"
        "except ModuleNotFoundError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "MessageHub.to_pandas needs pandas: pip install 'runtimeinfo[pandas]'\n"


@pytest.mark.parametrize("statement", ["import runtimeinfo_adapters", "from runtimeinfo_adapters import MessageHub"])
def test_importing_the_hub_does_not_import_pandas(statement: str) -> None:
    code = f"import sys\n{statement}\nprint('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
