"""The adapter for Keras 3: `fit` and `evaluate` of a model.

    from runtimeinfo_adapters.keras import attach

    attach(model, experiment_name="digits")
    model.fit(images, labels, validation_data=validation, epochs=3)

Keras has no event for an exception, so `attach` wraps the two methods of this one model: whatever leaves them closes
all scopes. A `RuntimeInfoCallback` among the `callbacks` alone publishes the same, but learns of an exception only
when the next `fit` begins.

An evaluation inside `fit` is a validation, wherever it sits; one on its own is a test. Tried with the torch backend.
"""

from runtimeinfo_adapters._framework import import_framework

import_framework("keras", distribution="keras", extra="keras", at_least="3.10", below="3.16")

# After the message that names the extra.
from runtimeinfo_adapters.keras._attach import attach  # noqa: E402
from runtimeinfo_adapters.keras._callback import RuntimeInfoCallback  # noqa: E402
from runtimeinfo_adapters.keras._runner import KerasRunner  # noqa: E402

__all__ = ["KerasRunner", "RuntimeInfoCallback", "attach"]
