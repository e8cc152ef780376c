"""The metrics of an evaluation, without what a Trainer puts among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# How fast this machine was is no metric of the model, and the same training would never publish the same twice.
_SPEEDS = frozenset(
    {
        "runtime",
        "samples_per_second",
        "steps_per_second",
        "tokens_per_second",
        "model_preparation_time",
        "jit_compilation_time",
    }
)


def own_metrics(metrics: Mapping[str, Any], usual: str) -> dict[str, Any]:
    """Return the metrics alone, without the usual prefix.

    Args:
        metrics: What a Trainer gives to `on_evaluate` or `on_predict`.
        usual: The prefix that is left out. Another one stays, and so does the name of one of several data sets.

    Example:
        >>> own_metrics({"eval_b_acc": 0.5, "eval_b_runtime": 1.0, "eval_b_loss": 2.0, "epoch": 1.0}, "eval")
        {'b_acc': 0.5, 'b_loss': 2.0}

    Source: SCALAR-06, SCALAR-09.
    """
    # It has always been timed, under the prefix of this evaluation; a metric may be called so as well.
    timed = [key.removesuffix("_runtime") for key in metrics if key.endswith("_runtime")]
    prefix = min(timed, key=len, default=None)
    if prefix is None:
        return {key.removeprefix(f"{usual}_"): value for key, value in metrics.items()}
    start = f"{prefix}_"
    return {
        key.removeprefix(f"{usual}_"): value
        for key, value in metrics.items()
        if key.startswith(start) and key.removeprefix(start) not in _SPEEDS
    }
