"""Print what a GPU is tried with: the device, and the versions of PyTorch and of the frameworks that are there.

python benchmarks/versions.py
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

FRAMEWORKS = ("accelerate", "keras", "lightning", "mmengine", "pytorch-ignite", "transformers")


def main() -> None:
    for name, found in versions().items():
        print(f"{name}: {found}")


def versions() -> dict[str, str]:
    """Return the device, and the version of each package or that it is missing."""
    found = {"device": _device(), "Python": platform.python_version()}
    for package in ("torch", "numpy", "pytest", *FRAMEWORKS):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _device() -> str:
    try:
        import torch
    except ModuleNotFoundError:
        return "unknown without torch"
    if not torch.cuda.is_available():
        return "no CUDA device"
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


if __name__ == "__main__":
    main()
