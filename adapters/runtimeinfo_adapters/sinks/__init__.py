"""Where what a hub holds can go: hooks that only read the hub, for any framework.

from runtimeinfo_adapters.sinks import JSONLWriter

loop = Loop(..., hooks=[JSONLWriter("runs/metrics.jsonl")])
"""

from runtimeinfo_adapters.sinks._errors import SinkError, SinkWarning
from runtimeinfo_adapters.sinks._jsonl_writer import JSONLWriter

__all__ = ["JSONLWriter", "SinkError", "SinkWarning"]
