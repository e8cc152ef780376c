"""Where what a hub holds can go: hooks that only read the hub, for any framework.

An adapter is given them like any other hooks:

    loop = Loop(..., hooks=[JSONLWriter("runs/metrics.jsonl"), ProgressBar()])
"""

from runtimeinfo_adapters.sinks._files import CSVWriter, JSONLWriter
from runtimeinfo_adapters.sinks._progress_bar import ProgressBar
from runtimeinfo_adapters.sinks._row_sink import SinkError, SinkWarning
from runtimeinfo_adapters.sinks._tensorboard_writer import TensorBoardWriter

__all__ = ["CSVWriter", "JSONLWriter", "ProgressBar", "SinkError", "SinkWarning", "TensorBoardWriter"]
