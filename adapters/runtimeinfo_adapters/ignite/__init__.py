"""The adapter for PyTorch-Ignite: a trainer, and the evaluators that belong to it.

    from runtimeinfo_adapters.ignite import attach

    attach(trainer, optimizer=optimizer, evaluators={"val": evaluator})
    trainer.run(loader, max_epochs=3)

All engines of Ignite are alike, so the roles are said here; an engine that is not named stays unheard. An evaluator
may run anywhere: in a handler of the trainer, in its step, or on its own.

What is published comes from `engine.state`: `output` of an iteration (a mapping as it is, a scalar as ``loss``,
anything else by an `output_transform`), and of `metrics` those that this validation has computed.
"""

from runtimeinfo_adapters._framework import import_framework

import_framework("ignite", distribution="pytorch-ignite", extra="ignite", at_least="0.5.5", below="0.6")

# After the message that names the extra.
from runtimeinfo_adapters.ignite._callback import RuntimeInfoCallback, attach  # noqa: E402
from runtimeinfo_adapters.ignite._runner import IgniteRunner  # noqa: E402

__all__ = ["IgniteRunner", "RuntimeInfoCallback", "attach"]
