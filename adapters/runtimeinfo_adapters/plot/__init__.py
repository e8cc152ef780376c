"""Plot the scalars of runs, and read their curves: the command ``runtimeinfo plot``.

It reads CSV and JSON Lines, event files of TensorBoard, checkpoints that hold the state of a reference hub, and the
boards of live runs. It needs the extra ``plot``.
"""

from runtimeinfo_adapters._framework import import_of_extra

import_of_extra("rich", distribution="rich", extra="plot", used_by="runtimeinfo_adapters.plot")

# After the message that names the extra.
from runtimeinfo_adapters.plot._curves import Curve, RunCurves, SourceError  # noqa: E402
from runtimeinfo_adapters.plot._figure import figure_of  # noqa: E402
from runtimeinfo_adapters.plot._panels import Line, Panel, Picture, PlotOptionError, picture_of  # noqa: E402
from runtimeinfo_adapters.plot._show import plot  # noqa: E402
from runtimeinfo_adapters.plot._sources import read_source  # noqa: E402

__all__ = [
    "Curve",
    "Line",
    "Panel",
    "Picture",
    "PlotOptionError",
    "RunCurves",
    "SourceError",
    "figure_of",
    "picture_of",
    "plot",
    "read_source",
]
