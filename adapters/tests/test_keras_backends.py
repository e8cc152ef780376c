"""What Keras publishes on its other backends; skipped where they are not installed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ADAPTERS = Path(__file__).resolve().parents[2] / "docs" / "adapters.md"
SCRIPT = Path(__file__).with_name("keras_on_a_backend.py")

SAME = {
    **{name: {} for name in ("arrays", "eager", "alone", "PyDataset", "endless", "unsized", "unsized, alone")},
    "schedule": True,
    "steps_per_execution": "COUNT-10",
    "ended early": [3, 1, 3, 3],
    "stopped": [3, 1, None],
    "failed": [3, 0, None],
    "same weight": True,
}


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_backend_publishes_what_an_independent_count_says(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    published = json.loads(done.stdout.splitlines()[-1])
    assert {name: published.get(name) for name in SAME} == SAME
    assert published["backend"] == backend
    name = {"jax": "JAX", "tensorflow": "TensorFlow"}[backend]
    assert f"{name} {importlib.import_module(backend).__version__}" in ADAPTERS.read_text(encoding="utf-8")
