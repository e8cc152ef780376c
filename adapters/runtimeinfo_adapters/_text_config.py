"""A configuration for whoever has none of a framework's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runtimeinfo.authoring import Config


class TextConfig:
    """Satisfies `runtimeinfo.authoring.Config` with any text, or a mapping written out as JSON.

    Args:
        data: The text, or a mapping such as ``vars(args)``; a value that JSON has no word for is shown by its repr.

    Example:
        >>> print(TextConfig({"lr": 0.1, "epochs": 3}).pretty_text)
        {
          "lr": 0.1,
          "epochs": 3
        }

    Source: META-01.
    """

    def __init__(self, data: str | Mapping[str, Any] = "") -> None:
        # Written out at once: whoever changes the mapping later does not change what the run was started with.
        self._text = data if isinstance(data, str) else json.dumps(data, indent=2, default=repr, skipkeys=False)

    @property
    def pretty_text(self) -> str:
        """The configuration as text."""
        return self._text

    @classmethod
    def of(cls, cfg: Config | str | Mapping[str, Any] | None) -> Config:
        """Return a configuration as it is if it satisfies `Config`, otherwise wrapped; None is empty."""
        if cfg is None:
            return cls()
        if isinstance(cfg, str | Mapping):
            # A mapping may have a pretty_text of its own: mmengine's Config has.
            return cfg if isinstance(cfg, Config) else cls(cfg)
        return cfg
