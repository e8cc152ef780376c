"""Try each adapter with the lowest versions that its extra of pyproject.toml allows: `make lowest`.

Each extra gets a virtual environment of its own, with the lowest version of everything it names; only torch is the one
of constraints.txt. In there the adapter's tests are run, and it is put to the test. Names of extras are all arguments;
without any, every adapter is tried. Exits with 1 if one does not pass.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
SUBJECTS = ROOT / "conformance_tests" / "runtimeinfo_conformance" / "subjects"
# So many seconds at most for each step.
PATIENCE = 900


def adapters() -> list[str]:
    """Return the extras that are adapters with a framework beside torch."""
    extras = PROJECT["optional-dependencies"]
    return [name for name in extras if name != "torch" and (SUBJECTS / f"{name}.py").exists()]


def lowest(extra: str) -> list[str]:
    """Return what an extra names, each at its lower bound; but torch as in constraints.txt."""
    torch = next(line for line in CONSTRAINTS if line.startswith("torch=="))
    requirements = PROJECT["optional-dependencies"][extra]
    return [torch if re.match(r"torch\b", each) else each.replace(">=", "==") for each in requirements]


def tell(*command: object, cwd: Path = ROOT) -> tuple[int, str]:
    """Run a command, and return its exit code and what it printed."""
    about = {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=os.environ | about,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer within {PATIENCE} s"
    return done.returncode, done.stdout + done.stderr


def last_line(text: str) -> str:
    return next((line.strip("= ") for line in reversed(text.splitlines()) if line.strip()), "")


def try_out(extra: str, folder: Path) -> bool:
    """Make the environment of an extra, run its tests and the kit in it, and print what came out."""
    versions = lowest(extra)
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    tests = ROOT / "adapters" / "tests" / f"test_{extra}.py"
    subject = f"runtimeinfo_conformance.subjects.{extra}:subject"
    steps = {
        "install": (python, "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[conformance]", *versions),
        "tests": (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests),
        "kit": (folder / "bin" / "runtimeinfo", "check", "--profile", "quick", subject),
    }
    print(f"{extra}: {', '.join(versions)}", flush=True)
    good = True
    for name, command in steps.items():
        code, said = tell(*command)
        print(f"  {name:8}{'ok' if code == 0 else f'exit code {code}'}  {last_line(said)[:160]}", flush=True)
        if code != 0:
            good = False
            print("".join(f"      {line[:200]}\n" for line in said.splitlines()[-25:]), flush=True)
            if name == "install":
                break
    return good


def main(extras: list[str]) -> int:
    unknown = set(extras) - set(adapters())
    if unknown:
        print(f"no adapter: {', '.join(sorted(unknown))}; there are {', '.join(adapters())}", file=sys.stderr)
        return 64
    with tempfile.TemporaryDirectory(prefix="runtimeinfo-lowest-") as parent:
        results = {extra: try_out(extra, Path(parent) / extra) for extra in extras or adapters()}
    print("\n".join(f"{extra:14}{'holds' if good else 'DOES NOT HOLD'}" for extra, good in results.items()))
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
