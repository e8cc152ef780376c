"""Hooks that write what a hub holds: CSV, JSON Lines, TensorBoard, MLflow, Weights & Biases, a progress bar.

They only read the hub, so they work under every framework. An adapter takes them like any other hooks:

    loop = Loop(..., hooks=[JSONLWriter("runs/metrics.jsonl"), ProgressBar()])

To write somewhere else, inherit from `RowSink`.
"""

from runtimeinfo_adapters.sinks._files import CSVWriter, JSONLWriter
from runtimeinfo_adapters.sinks._mlflow_sink import MLflowSink
from runtimeinfo_adapters.sinks._progress_bar import ProgressBar
from runtimeinfo_adapters.sinks._row_sink import Row, RowSink, SinkError, SinkWarning
from runtimeinfo_adapters.sinks._tensorboard_writer import TensorBoardWriter
from runtimeinfo_adapters.sinks._wandb_sink import WandbSink

__all__ = [
    "CSVWriter",
    "JSONLWriter",
    "MLflowSink",
    "ProgressBar",
    "Row",
    "RowSink",
    "SinkError",
    "SinkWarning",
    "TensorBoardWriter",
    "WandbSink",
]
