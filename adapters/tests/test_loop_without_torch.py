"""`Loop` in a process that cannot import PyTorch: only what the base install has."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

WITHOUT_TORCH = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "jax", "tensorflow"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH + program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


RESUME = """
import json
import pickle
import random
import warnings

import numpy as np

from runtimeinfo_adapters.pytorch import Loop

warnings.simplefilter("error")

class Shuffled:
    # Python's and NumPy's global generators, and one that is an attribute.
    def __init__(self):
        self.rng = np.random.default_rng(0)
    def __len__(self):
        return 6
    def __iter__(self):
        order = list(self.rng.permutation(6) + 10 * np.random.permutation(6))
        random.shuffle(order)
        return iter([int(each) for each in order])

def train(loop, count=None):
    drawn = []
    with loop.run():
        for _ in loop.epochs():
            for batch in loop.train():
                drawn.append(batch)
                loop.log(loss=np.float32(batch))
                if len(drawn) == count:
                    return drawn, loop.state_dict()
    return drawn, loop.state_dict()

def seed(number):
    random.seed(number); np.random.seed(number)

seed(0)
whole, _ = train(Loop(lambda step: 0.1, Shuffled(), max_epochs=2))
seed(0)
first, state = train(Loop(lambda step: 0.1, Shuffled(), max_epochs=2), 8)
copies = [state, json.loads(json.dumps(state)), pickle.loads(pickle.dumps(state))]
for copied in copies:
    seed(99)
    loop = Loop(lambda step: 0.1, Shuffled(), max_epochs=2)
    loop.load_state_dict(copied)
    rest, _ = train(loop)
    print(first + rest == whole, loop.iter, len(loop.message_hub.get_scalar("train/loss").data[0]), end="; ")
print(loop.framework_name, loop.framework_version, loop.message_hub.get_info("numpy_version"), "torch" in sys.modules)
"""


def test_shuffled_epoch_resumes_from_a_state_and_its_json_and_its_pickle() -> None:
    numpy = metadata.version("numpy")
    assert run(RESUME).split() == f"{'True 12 12; ' * 3}numpy {numpy} {numpy} False".split()


def test_both_names_are_one_class() -> None:
    assert run("from runtimeinfo_adapters import loop, pytorch; print(loop.Loop is pytorch.Loop)") == "True\n"
