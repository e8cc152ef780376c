"""Keras, which has no types."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

keras: Any = importlib.import_module("keras")

if TYPE_CHECKING:

    class Callback:
        """What `keras.callbacks.Callback` has, as far as it is needed here."""

        model: Any
        params: dict[str, Any]

        def set_model(self, model: Any) -> None:
            """Take the model."""

else:
    Callback = keras.callbacks.Callback
