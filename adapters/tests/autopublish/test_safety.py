"""A script under ``runtimeinfo run`` behaves as without it: what it prints, how it ends, what it sees of itself."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

SITE = Path(__file__).parents[2] / "runtimeinfo_adapters" / "autopublish" / "_site"

STARTED = "import sys; print('started', flush=True)\n"


def write(folder: Path, text: str, name: str = "train.py") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


ENDS = {
    "code": ("import sys; sys.exit(3)", 3),
    "text": ("import sys; sys.exit('text')", 1),
    "exception": ("def step():\n    raise ValueError('loss')\nstep()", 1),
    "chained": ("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise RuntimeError('x') from error", 1),
    "group": ("raise ExceptionGroup('several', [ValueError(1), TypeError(2)])", 1),
    "syntax": ("def", 1),
    "missing": ("import a_module_that_is_not_there", 1),
    "at once": ("import os; os._exit(5)", 5),
    "atexit": ("import atexit; atexit.register(print, 'bye'); raise SystemExit(4)", 4),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "terminated": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    "interrupted": ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
    "thread": ("import threading; threading.Thread(target=lambda: 1 / 0).start()", 0),
    "excepthook": ("import sys\nsys.excepthook = lambda *told: print(told[0])\n1 / 0", 1),
    "recursion": ("def f(): f()\nf()", 1),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_end_is_the_same(same: Run, tmp_path: Path, end: str) -> None:
    text, code = ENDS[end]
    ended = same(write(tmp_path, f"{STARTED}{text}\n"))
    assert ended.code == code
    assert ended.out.startswith("started" if end != "syntax" else "")


def test_an_exception_of_a_watched_module_has_the_same_traceback(same: Run, tmp_path: Path) -> None:
    write(tmp_path, "import inner\n", "torch/__init__.py")
    write(tmp_path, "raise ImportError('libcudart')\n", "inner.py")
    ended = same(write(tmp_path, f"{STARTED}import torch\n"))
    assert ended.err.count("File") == 3


def test_output_of_a_plain_loop_is_unchanged(same: Run, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parent / "errors_of_a_loop.py", tmp_path)
    ended = same("errors_of_a_loop.py")
    assert ended.code == 1
    assert ended.err.count("Traceback (most recent call last)") >= 15
    assert ended.err.count("UserWarning") == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("is_handled", [False, True])
def test_a_signal_reaches_the_script(tmp_path: Path, number: signal.Signals, is_handled: bool) -> None:
    handler = f"signal.signal({int(number)}, lambda *_: sys.exit(50))" if is_handled else ""
    # On one line, so that it does not matter where in it the signal comes.
    loop = "for _ in itertools.repeat(print('started', flush=True)): time.sleep(0.01)"
    write(tmp_path, f"import itertools, signal, sys, time\n{handler}\n{loop}\n")
    ends = []
    for command in ([], ["-m", "runtimeinfo", "run"]):
        process = subprocess.Popen(
            [sys.executable, *command, "-X", "no_debug_ranges", "train.py"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)  # the process that was started is the script itself
        _, err = process.communicate(timeout=60)
        ends.append((process.returncode, err))
    assert ends[0] == ends[1]
    assert ends[0][0] == (50 if is_handled else -number)
    assert ("KeyboardInterrupt" in ends[0][1]) == (number == signal.SIGINT and not is_handled)


def test_stdin_is_that_of_the_script(same: Run, tmp_path: Path) -> None:
    write(tmp_path, "import sys\nprint(input(), sys.stdin.read(), sys.stdin.isatty())\n")
    assert same("train.py", stdin="first\nsecond\n").out == "first second\n False\n"


SEEN = """
import json, os, sys, threading, warnings
environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "RUNTIMEINFO_AUTOPUBLISH")}
finders = [type(each).__name__ for each in sys.meta_path]
print(json.dumps({
    "environment": environment, "path": sys.path, "finders": finders, "hooks": len(sys.path_hooks),
    "cache": sorted(sys.path_importer_cache), "main": sorted(vars(sys.modules["__main__"])), "argv": sys.argv,
    "file": __file__, "executable": sys.executable, "prefix": sys.prefix, "flags": repr(sys.flags),
    "threads": threading.active_count(), "filters": repr(warnings.filters), "stdout": sys.stdout.line_buffering,
    "excepthook": sys.excepthook is sys.__excepthook__, "trace": repr(sys.gettrace()), "pid": os.getpid() > 0,
    "site": "sitecustomize" in sys.modules, "orig": sys.orig_argv, "modules": sorted(sys.modules),
}))
"""


def test_script_sees_itself_unchanged(bare: Run, published: Run, tmp_path: Path) -> None:
    write(tmp_path, SEEN)
    without, with_us = (json.loads(run("train.py", "--lr", "1").out) for run in (bare, published))
    assert with_us.pop("finders") == ["Finder", *without.pop("finders")]
    # Nothing heavy: no numpy, and nothing of ours but the hook.
    more = {*with_us.pop("modules")} - {*without.pop("modules")} - {"__future__", "warnings"}
    assert {name for name in more if name.partition(".")[0] != "importlib"} == {
        "runtimeinfo_adapters.autopublish._imports"
    }
    assert with_us == without


def test_a_script_without_training_loads_nothing_of_ours(published: Run, tmp_path: Path) -> None:
    write(
        tmp_path,
        "import json, csv, sqlite3, concurrent.futures, asyncio, sys\n"
        "print([name for name in sys.modules if name.startswith(('numpy', 'runtimeinfo'))])\n",
    )
    assert published("train.py").out == "['runtimeinfo_adapters.autopublish._imports']\n"


PICKLED = """
import multiprocessing, os, pickle, sys

class Model:
    def __init__(self, weight): self.weight = weight
    def __eq__(self, other): return self.weight == other.weight

def train(model):
    return Model(model.weight + 1), __name__

if __name__ == "__main__":
    pid = os.fork()
    if pid == 0:
        os._exit(12)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    assert pickle.loads(pickle.dumps(Model(1))) == Model(1)
    print(pickle.dumps(Model(1)).hex(), Model.__module__)
    for method in ("spawn", "fork", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            (model, name), = pool.map(train, [Model(1)])
            print(method, type(model) is Model, model.weight, name)
"""


def test_classes_of_main_are_pickled_and_processes_started(same: Run, tmp_path: Path) -> None:
    ended = same(write(tmp_path, PICKLED))
    assert ended.err == ""
    assert [line.split()[-1] for line in ended.out.splitlines()] == [
        "12",
        "__main__",
        "__mp_main__",
        "__main__",
        "__mp_main__",
    ]


HOOKED = """
import multiprocessing, sys

def finders():
    return [type(each).__module__ for each in sys.meta_path if type(each).__name__ == "Finder"]

if __name__ == "__main__":
    for method in ("spawn", "fork", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.apply(finders))
"""


def test_processes_of_a_script_have_the_hook(published: Run, tmp_path: Path) -> None:
    write(tmp_path, HOOKED)
    hook = "['runtimeinfo_adapters.autopublish._imports']"
    assert published("train.py") == (0, "".join(f"{method} {hook}\n" for method in ("spawn", "fork", "forkserver")), "")


def test_optimized_python_is_optimized(same: Run, tmp_path: Path) -> None:
    write(tmp_path, "assert False\nprint(__debug__, f.__doc__ if 'f' in vars() else None)\n")
    assert same("-OO", "train.py").out == "False None\n"


def test_warnings_that_are_errors_and_bytes_are_no_matter(same: Run, tmp_path: Path) -> None:
    write(tmp_path, "print('trained')\n")
    assert same("-W", "error", "-bb", "-X", "dev", "-B", "train.py") == (0, "trained\n", "")


def test_import_times_are_those_of_the_script(bare: Run, published: Run, tmp_path: Path) -> None:
    def imported(ended: Any) -> list[str]:
        return [line.rpartition("|")[2].strip() for line in ended.err.splitlines() if line.startswith("import time:")]

    write(tmp_path, "import json\nprint('trained')\n")
    without, with_us = bare("-X", "importtime", "train.py"), published("-X", "importtime", "train.py")
    assert (with_us.code, with_us.out) == (without.code, without.out) == (0, "trained\n")
    of_script = imported(without)[imported(without).index("site") + 1 :]
    assert "json" in of_script
    shown = imported(with_us)[imported(with_us).index("site") + 1 :]
    assert [name for name in of_script if name not in shown] == []


SITE_OF_OTHERS = "import sys\nprint('sitecustomize of another', __name__, __file__, sys.path[0])\n"


@pytest.mark.parametrize(
    "text",
    [
        SITE_OF_OTHERS,
        f"{SITE_OF_OTHERS}raise ValueError('broken')\n",
        f"{SITE_OF_OTHERS}import not_there\n",
        f"{SITE_OF_OTHERS}sys.meta_path.append(None) or sys.meta_path.pop()\n",
        "def",
    ],
)
def test_the_sitecustomize_of_another_project_runs(bare: Run, hooked: Run, tmp_path: Path, text: str) -> None:
    write(tmp_path, text, "site/sitecustomize.py")
    write(
        tmp_path,
        "import sys\nmodule = sys.modules.get('sitecustomize')\n"
        "print(module and (module.__file__, module.__spec__.origin, sorted(vars(module))))\n",
    )
    ended = bare("train.py", PYTHONPATH="site")
    assert hooked("train.py", PYTHONPATH="site") == ended
    assert "sitecustomize" in ended.out + ended.err


def test_the_sitecustomize_of_another_project_has_the_hook(hooked: Run, tmp_path: Path) -> None:
    write(tmp_path, "import sys\nprint(type(sys.meta_path[0]).__module__)\n", "site/sitecustomize.py")
    ended = hooked(write(tmp_path, ""), PYTHONPATH="site")
    assert ended == (0, "runtimeinfo_adapters.autopublish._imports\n", "")


def test_a_usercustomize_runs(bare: Run, hooked: Run, tmp_path: Path) -> None:
    write(tmp_path, "print('usercustomize')\n", "site/usercustomize.py")
    write(tmp_path, "print('trained')\n")
    assert hooked("train.py", PYTHONPATH="site") == bare("train.py", PYTHONPATH="site")


TESTS = """
import pickle

import pytest

@pytest.mark.parametrize("value", [1, 2])
def test_value(value):
    assert value == 1, "rewritten"

def test_names(tmp_path, capsys):
    print("printed")
    assert capsys.readouterr().out == "printed\\n"
"""


def test_pytest_is_the_same(bare: Run, published: Run, tmp_path: Path) -> None:
    write(tmp_path, TESTS, "test_values.py")
    options = {"PYTEST_ADDOPTS": "-p no:cacheprovider -p no:randomly -q", "COLUMNS": "80", "NO_COLOR": "1"}
    without, with_us = (run("-m", "pytest", **options) for run in (bare, published))
    assert without.code == with_us.code
    assert "assert 2 == 1" in without.out
    assert re.sub(r"[\d.]+s", "", with_us.out) == re.sub(r"[\d.]+s", "", without.out)
    assert with_us.err == without.err


@pytest.mark.skipif(importlib.util.find_spec("IPython") is None, reason="IPython is not installed")
def test_run_of_ipython_is_the_same(same: Run, tmp_path: Path) -> None:
    write(tmp_path, "import sys\nprint(__name__, sys.argv[1:])\nclass Model: pass\nraise ValueError('loss')\n")
    magic = "get_ipython().run_line_magic('run', 'train.py 1'); print(Model)"
    words = ("-m", "IPython", "--no-banner", "--colors=NoColor", "--no-confirm-exit", "-c", magic)
    ended = same(*words, HOME=str(tmp_path), IPYTHONDIR=str(tmp_path / "ipython"))
    assert "__main__ ['1']" in ended.out
    assert "ValueError: loss" in ended.out


# As where the environment is broken, or has another version of us.
BROKEN = {
    "numpy": {"numpy.py": "raise ImportError('libopenblas')\n"},
    "adapters": {"runtimeinfo_adapters/__init__.py": "raise RuntimeError('half an installation')\n"},
    "protocol": {"runtimeinfo/__init__.py": "raise RuntimeError('half an installation')\n"},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_an_installation_that_is_broken_is_one_warning(hooked: Run, tmp_path: Path, broken: str) -> None:
    for name, text in {**BROKEN[broken], "torch.py": "", "keras.py": "", "transformers.py": ""}.items():
        write(tmp_path, text, name)
    write(
        tmp_path,
        "import sys\nbefore = len(sys.meta_path)\nimport torch, keras, transformers\n"
        "print('trained', before - len(sys.meta_path))\n",
    )
    ended = hooked("train.py")
    assert (ended.code, ended.out) == (0, "trained 1\n")  # and nothing is awaited any more
    assert ended.err.count("AutopublishWarning: the instrumentation of torch was withdrawn because of") == 1
    assert ended.err.count("Warning") == 1


def test_a_start_that_fails_is_one_line(bare: Run, tmp_path: Path) -> None:
    shutil.copytree(SITE, tmp_path / "site")  # without the hook, which is beside the original
    write(tmp_path, "print('trained')\n")
    ended = bare("train.py", PYTHONPATH="site", RUNTIMEINFO_AUTOPUBLISH="1")
    assert (ended.code, ended.out) == (0, "trained\n")
    assert ended.err.startswith("AutopublishWarning: nothing is published: FileNotFoundError: ")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("broken", ["numpy", "protocol"])
def test_a_closed_stderr_is_not_written_to(hooked: Run, tmp_path: Path, broken: str) -> None:
    for name, text in {**BROKEN[broken], "torch.py": ""}.items():
        write(tmp_path, text, name)
    write(tmp_path, "import torch\nprint('trained')\n")
    shell = "import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, 'train.py'])"
    assert hooked("-c", shell) == (0, "trained\n", "")


RANK = """
import os, sys

def train():
    import torch
    from runtimeinfo import current_hub
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in torch.utils.data.DataLoader(torch.ones(3, 1)):
        optimizer.zero_grad()
        model(batch).sum().backward()
        optimizer.step()
    return current_hub().get_info("epoch"), current_hub().get_info("iter")

hook = sys.modules["runtimeinfo_adapters.autopublish._imports"]
with open("rank" + os.environ["RANK"], "w") as file:
    print(train() if sys.argv[1] == "train" else hook.FINDER.is_started, file=file)
"""

TORCHRUN = "torchrun --standalone --nproc-per-node 2"
# On a machine without GPUs, this is the way to more than one process, and `--cpu` that to one.
ACCELERATE = "accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"


@pytest.mark.parametrize(
    ("launcher", "word", "shown"),
    [(TORCHRUN, "train", "(1, 3)\n"), (ACCELERATE, "look", "True\n")],
    ids=["torchrun", "accelerate"],
)
def test_each_rank_of_a_launcher_is_published(
    published: Run, tmp_path: Path, launcher: str, word: str, shown: str
) -> None:
    write(tmp_path, RANK)
    options = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    ended = published(*launcher.split(), "train.py", word, HOME=str(tmp_path), **options)
    assert ended.code == 0, ended.err
    assert [(tmp_path / f"rank{rank}").read_text() for rank in range(2)] == [shown] * 2
