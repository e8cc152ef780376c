"""The histories of a hub as one table of pandas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimeinfo_adapters._framework import import_of_extra
from runtimeinfo_adapters.hub._scalar_history import ScalarHistory

if TYPE_CHECKING:
    import pandas as pd


def data_frame_of(histories: Mapping[str, ScalarHistory]) -> pd.DataFrame:
    """Return the values of all histories, one in a row, as `MessageHub.to_pandas` says.

    Raises:
        ModuleNotFoundError: If pandas is not installed; the message names the extra.
    """
    pandas: Any = import_of_extra("pandas", distribution="pandas", extra="pandas", used_by="MessageHub.to_pandas")
    contents = {key: history.data for key, history in histories.items()}
    lengths = [len(values) for values, _ in contents.values()]
    frame: pd.DataFrame = pandas.DataFrame(
        {
            "scalar": pandas.array(np.repeat(np.array(list(contents), dtype=object), lengths), dtype="string"),
            "update": _joined(np.int64, [np.arange(length) for length in lengths]),
            "value": _joined(np.float64, [values for values, _ in contents.values()]),
            "count": _joined(np.float64, [counts for _, counts in contents.values()]),
        }
    )
    return frame


def _joined(dtype: type[np.generic], parts: list[Any]) -> Any:
    # The empty part has the dtype where there is no other one.
    return np.concatenate([np.empty(0, dtype), *(part.astype(dtype, copy=False) for part in parts)])
