"""Named instances of a class, as the managers of mmengine keep them."""

from __future__ import annotations

import threading
import warnings
from typing import Any, ClassVar, Self

from runtimeinfo import HubError
from runtimeinfo.authoring import shown


class NamedInstances:
    """A class whose instances can be found by name, from anywhere in the process.

    Each subclass has its own names. A named instance lives as long as the process.

    Args:
        name: A non-empty string.

    Raises:
        HubError: If the name is not a non-empty string.
    """

    _instances: ClassVar[dict[str, Any]]
    _instances_lock = threading.RLock()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._instances = {}

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise HubError(f"a name must be a non-empty string, but is {shown(name)}: give the experiment's")
        self._instance_name = name

    @property
    def instance_name(self) -> str:
        """The name."""
        return self._instance_name

    @classmethod
    def get_instance(cls, name: str, **kwargs: Any) -> Self:
        """Return the instance of a name; create it with these arguments if there is none.

        Raises:
            HubError: If the name is not a non-empty string.
        """
        with cls._instances_lock:
            if name not in cls._instances:
                cls._instances[name] = cls(name, **kwargs)
            elif kwargs:
                warnings.warn(
                    f"{cls.__name__} {name!r} exists already: {', '.join(kwargs)} has no effect. Omit it, or "
                    "take another name",
                    stacklevel=2,
                )
            instance: Self = cls._instances[name]
            return instance

    @classmethod
    def renew_instance(cls, name: str) -> Self:
        """Create an instance, which its name finds from now on, in the place of one that there was.

        Raises:
            HubError: If the name is not a non-empty string.
        """
        with cls._instances_lock:
            instance = cls(name)
            cls._instances.pop(name, None)  # the new one is the latest
            cls._instances[name] = instance
            return instance

    @classmethod
    def get_current_instance(cls) -> Self:
        """Return the instance that was created last; create one if there is none."""
        with cls._instances_lock:
            if not cls._instances:
                return cls.get_instance("runtimeinfo")
            instance: Self = next(reversed(cls._instances.values()))
            return instance

    @classmethod
    def check_instance_created(cls, name: str) -> bool:
        """Return whether there is an instance of this name."""
        return name in cls._instances
