"""Train with the libraries that people use, and compare each answer of the hub with an independent count.

    python libraries/run.py [NAMES...] [--environments FOLDER] [--write]

Each script of this folder names its packages at its beginning. It runs in an environment of these packages three
times: as it is, with the adapter attached, and under `runtimeinfo run`, which must change neither what it prints nor
its exit code. With --write the result goes to docs/libraries.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE = ROOT / "docs" / "libraries.md"
VALUES = ("stage", "epoch", "iter", "lr", "loss")
WAYS = ("attached", "run")
_HEADER = re.compile(r"^# /// script\n((?:#.*\n)+?)# ///$", re.MULTILINE)
_LIMIT_S = 900

# The frameworks that an adapter is written for, by the script; the others have none.
ADAPTERS = {
    "trl_sft": "transformers",
    "trl_dpo": "transformers",
    "trl_grpo": "transformers",
    "sentence_transformers_pairs": "transformers",
    "monai_supervised": "ignite",
    "scvi_tools": "lightning",
    "neuralforecast_nhits": "lightning",
    "darts_nbeats": "lightning",
    "keras_tuner_search": "keras",
    "jax_optax": "loop",
    "fastai_learner": None,
    "skorch_net": None,
    "stable_baselines3_ppo": None,
}


class Outcome(NamedTuple):
    """Results of one run of a script.

    Attributes:
        code: Its exit code.
        printed: Its standard output, each number replaced: durations and losses need not repeat.
        errors: The end of its standard error.
        result: The output of `compare.Comparison`, or None if the script did not get so far.
    """

    code: int
    printed: str
    errors: str
    result: dict[str, Any] | None


def packages_of(script: Path) -> list[str]:
    """Return the packages that a script names at its beginning."""
    found = _HEADER.search(script.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{script.name} has no header '# /// script' that names its packages")
    lines = (line.removeprefix("#").removeprefix(" ") for line in found[1].splitlines())
    packages: list[str] = tomllib.loads("\n".join(lines))["dependencies"]
    return packages


def environment_of(packages: list[str], folder: Path) -> Path:
    """Return the interpreter of an environment with these packages and this project; make it if it is missing."""
    name = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:12]
    place = folder / name
    python, stamp = place / "bin" / "python", place / ".installed"
    if not stamp.exists():
        print(f"installing {', '.join(packages)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
        subprocess.run([*install, *packages, "--editable", ROOT], check=True)
        stamp.write_text("\n".join(packages), encoding="utf-8")
    return python


def run_script(script: Path, way: str, python: Path) -> Outcome:
    """Run a script in one way: bare, attached or run."""
    start = ["-m", "runtimeinfo", "run"] if way == "run" else []
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        variables = {"OMP_NUM_THREADS": "1", "RUNTIMEINFO_LIBRARIES_RESULT": str(result), "RUNTIMEINFO_FOLDER": folder}
        found = subprocess.run(
            [python, *start, script, way],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            env=os.environ | variables,
            timeout=_LIMIT_S,
        )
        answers = json.loads(result.read_text(encoding="utf-8")) if result.exists() else None
    return Outcome(
        found.returncode, re.sub(r"-?\d+(\.\d+)?(e-?\d+)?", "0", found.stdout), found.stderr[-2000:], answers
    )


def row(script: Path, python: Path) -> tuple[str, list[str]]:
    """Return the lines of the table for a script, and what was wrong."""
    bare = run_script(script, "bare", python)
    lines, faults = "", list[str]()
    if bare.code or bare.result is None:
        return "", [f"{script.stem} does not train: exit code {bare.code}\n{bare.errors}"]
    packages = ", ".join(packages_of(script)).replace("==", " ")
    for way in WAYS:
        adapter = ADAPTERS[script.stem]
        if way == "attached" and adapter is None:
            continue
        found = run_script(script, way, python)
        if found.result is None:
            faults.append(f"{script.stem}, {way}: exit code {found.code}\n{found.errors}")
            continue
        if way == "run" and (found.code, found.printed) != (bare.code, bare.printed):
            faults.append(f"{script.stem}, {way}: exit code {found.code}, and it prints\n{found.printed}")
        faults.extend(f"{script.stem}, {way}: {fault}" for fault in found.result["faults"])
        answers = found.result["answers"]
        how = f"`{adapter}` attached" if way == "attached" else "`runtimeinfo run`"
        if "AutopublishWarning" in found.errors:
            faults.append(f"{script.stem}, {way}: {found.errors}")
        lines += f"| `{script.stem}` | {packages} | {how} | {' | '.join(cell(answers, each) for each in VALUES)} |\n"
    return lines, faults


def cell(answers: dict[str, int], value: str) -> str:
    """Return how many answers for a value were right of all, and wrong ones, if there are any."""
    counts = {verdict: answers.get(f"{value} {verdict}", 0) for verdict in ("right", "absent", "wrong")}
    total = sum(counts.values())
    if not total:
        return "not asked"
    if counts["absent"] == total:
        return "absent"
    wrong = f", **{counts['wrong']} wrong**" if counts["wrong"] else ""
    return f"{counts['right']} of {total}{wrong}"


def page(lines: list[str]) -> str:
    """Return docs/libraries.md."""
    return f"""# Libraries

People train through libraries that are built on a framework. `make libraries` trains with each of these in an
environment of its own, and compares what `current_hub()` answers in each iteration with a count that the script makes
itself. A cell says how many answers were right; the others were absent, and the hub gave the default. "Attached" means
that the script hands the trainer, or the callback, to the adapter. Under `runtimeinfo run` the script is as its author
wrote it, and it prints the same and exits with the same code.

The scripts are in `libraries/` of the repository. Made on {datetime.now(UTC):%Y-%m-%d} with CPython
{sys.version.split()[0]}.

| script | packages | how | stage | epoch | iter | lr | loss |
|---|---|---|---|---|---|---|---|
{"".join(lines)}
- *not asked*: the library has no epochs, or the script cannot see the loss.
- *absent*: nothing is known, so nothing is said.
- `jax_optax` uses our `Loop`: in JAX nothing can be seen of a training without a line.
"""


def main() -> None:
    """Run the scripts; exit with 1 if an answer was wrong or a script did not train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", default=list(ADAPTERS), help="scripts, without .py; all if left out")
    parser.add_argument("--environments", type=Path, default=ROOT / ".libraries", help="the folder for environments")
    parser.add_argument("--write", action="store_true", help="write docs/libraries.md")
    options = parser.parse_args()
    written, wrong = list[str](), list[str]()
    for name in options.names:
        script = HERE / f"{name}.py"
        lines, faults = row(script, environment_of(packages_of(script), options.environments))
        print(lines, *faults, sep="\n", flush=True)
        written.append(lines)
        wrong += faults
    if options.write:
        PAGE.write_text(page(written), encoding="utf-8")
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
