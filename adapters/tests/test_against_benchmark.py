import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

# Writes down that it has trained, instead of what a framework does.
FRAMEWORKS = """\
from pathlib import Path
from timing import Window

def _ignite():
    def training(kind):
        def train(clock):
            print("progress")
            for _ in range(clock.iterations):
                clock.tick()
            with open({log!r}, "a") as log:
                print({tree!r}, kind, clock.iterations, file=log)
        return train
    return {{kind: training(kind) for kind in ("bare", "ours", "own")}}

def _keras():
    return {{"bare": lambda clock: 1 / 0}}
"""


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def make_tree(root, log, name):
    """Make a tree that has all that is measured of one."""
    for package in ("protocol/runtimeinfo", "adapters/runtimeinfo_adapters"):
        (root / package).mkdir(parents=True, exist_ok=True)
        (root / package / "__init__.py").touch()
    (root / "benchmarks").mkdir(exist_ok=True)
    (root / "benchmarks" / "frameworks.py").write_text(FRAMEWORKS.format(log=str(log), tree=name), encoding="utf-8")
    return root


def git(root, *arguments):
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository of which one commit is the tree "before", and the working tree is "now"."""
    root, log = tmp_path / "repository", tmp_path / "log"
    make_tree(root, log, "before")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "Before")
    return make_tree(root, log, "now")


def test_durations_leave_out_the_first_tenth(benchmark, monkeypatch):
    timing = benchmark("timing")
    moments = iter([0.0, 5.0, *(float(second) for second in range(10, 28))])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(moments))
    clock = timing.Clock(20)
    for _ in range(clock.iterations):
        clock.tick()
    assert clock.durations() == [1.0] * 17


def test_low_cost_is_a_percentile_of_iterations_and_median_is_one_of_windows(benchmark):
    timing = benchmark("timing")
    windows = [[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0], [11.0, 11.0, 11.0, 11.0, 1_000.0]]
    cost = timing.Cost.of(windows)
    assert cost.low == pytest.approx(2.4)  # a tenth of the way from the least of fifteen to the greatest
    assert cost.median == 8.0
    assert timing.Cost(5.0, 7.0) - timing.Cost(2.0, 3.0) == timing.Cost(3.0, 4.0)


def test_every_second_round_runs_backwards(benchmark):
    order = []
    windows = {name: lambda name=name: order.append(name) or len(order) for name in "abc"}
    assert benchmark("timing").in_turns(windows, 3) == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}
    assert order == list("abccbaabc")


def test_unknown_commit_is_named(benchmark, repository):
    trees = benchmark("trees")
    with pytest.raises(trees.UnknownCommitError, match="'nowhere' is not a commit of"):
        trees.commit_id("nowhere", repository)
    assert trees.commit_id("HEAD", repository) == git(repository, "rev-parse", "HEAD")


def test_commit_is_checked_out_for_as_long_as_the_context_lasts(benchmark, repository):
    trees = benchmark("trees")

    def leave_by_an_error():
        with trees.checked_out("HEAD", repository) as tree:
            assert "'before'" in (tree / "benchmarks" / "frameworks.py").read_text(encoding="utf-8")
            seen.append(tree)
            raise KeyError

    seen = []
    with pytest.raises(KeyError):
        leave_by_an_error()
    assert not seen[0].exists()
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert "'now'" in (repository / "benchmarks" / "frameworks.py").read_text(encoding="utf-8")


def test_worker_rejects_packages_of_another_tree(benchmark, tmp_path):
    trees = benchmark("trees")
    make_tree(tmp_path, tmp_path / "log", "without a protocol")
    (tmp_path / "protocol" / "runtimeinfo" / "__init__.py").unlink()
    (tmp_path / "protocol" / "runtimeinfo").rmdir()
    worker = trees.Worker(tmp_path)
    with pytest.raises(trees.WrongTreeError, match=r"runtimeinfo.__init__\.py was imported, which is not in"):
        worker.check_tree()
    worker.close()


def test_worker_that_ends_is_reported(benchmark, tmp_path):
    trees = benchmark("trees")
    worker = trees.Worker(make_tree(tmp_path, tmp_path / "log", "broken"))
    worker.check_tree()
    with pytest.raises(trees.WorkerError, match="ended with 1"):
        worker.train("Keras", "bare", 10)
    worker.close()


def test_worker_answers_with_the_durations_of_one_training(benchmark, tmp_path):
    trees = benchmark("trees")
    worker = trees.Worker(make_tree(tmp_path, tmp_path / "log", "now"))
    worker.check_tree()
    durations = [worker.train("Ignite", kind, 100) for kind in ("bare", "ours")]
    worker.close()
    assert [len(each) for each in durations] == [89, 89]
    assert (tmp_path / "log").read_text(encoding="utf-8") == "now bare 100\nnow ours 100\n"


def test_both_trees_train_in_turns(benchmark, repository, tmp_path):
    against, effort = benchmark("against"), benchmark("effort")
    two_rounds = effort.Effort(**{**effort_fields(effort.QUICK), "trainings": 2, "processes": 1, "batches": 30})
    now, before = against.measure(two_rounds, "HEAD", ["Ignite"], root=repository)
    assert before.commit == git(repository, "rev-parse", "HEAD")
    assert before.measured.startswith("Measured on ")
    assert (now.keys(), before.figures.keys()) == ({"Ignite"}, {"Ignite"})
    assert now["Ignite"].own is not None
    assert before.figures["Ignite"].own is None
    forwards = ["before bare 30", "now bare 30", "before ours 30", "now ours 30", "now own 30"]
    warming = forwards
    log = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert log == [*warming, *forwards, *reversed(forwards)]


def effort_fields(effort):
    return {name: getattr(effort, name) for name in effort.__dataclass_fields__}


def test_without_a_base_only_the_working_tree_trains(benchmark, repository, tmp_path):
    against, effort = benchmark("against"), benchmark("effort")
    now, before = against.measure(effort.QUICK, None, ["Ignite"], root=repository)
    assert before is None
    assert now.keys() == {"Ignite"}
    trained = {line.split()[0] for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()}
    assert trained == {"now"}


def figures_of(benchmark, bare, ours, own):
    """Return figures whose medians are twice the low percentiles; all in microseconds."""
    cost = benchmark("timing").Cost
    return benchmark("against").Figures(*(cost(us * 1e-6, 2e-6 * us) for us in (bare, ours, own)))


def before_of(benchmark, commit, bare, ours):
    against = benchmark("against")
    return against.Before(commit, "Measured then.", {"Ignite": figures_of(benchmark, bare, ours, bare)})


def test_kept_figures_are_read_as_they_were_written(benchmark, tmp_path):
    against = benchmark("against")
    path = tmp_path / "before.json"
    before_of(benchmark, "abcdef0123", 4.0, 14.25).write(path)
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "commit": "abcdef0123",
        "measured": "Measured then.",
        "microseconds": {
            "Ignite": {"bare": {"low": 4.0, "median": 8.0}, "ours": {"low": 14.25, "median": 28.5}},
        },
    }
    read = against.Before.read(path)
    assert (read.commit, read.name, read.measured) == ("abcdef0123", "abcdef0", "Measured then.")
    assert read.figures["Ignite"].added.low == pytest.approx(10.25e-6)
    assert read.figures["Ignite"].added.median == pytest.approx(20.5e-6)


def test_kept_figures_of_the_repository_have_every_framework_and_aim(benchmark):
    against = benchmark("against")
    before = against.Before.read()
    assert before.figures.keys() == against.OWN_LOGS.keys()
    assert all(each.added.low > each.noise.low for each in before.figures.values())


@pytest.mark.parametrize(("ours", "ratio", "verdict"), [(8.0, "0.40 x", "reached"), (12.0, "0.80 x", "not reached")])
def test_row_beside_the_base_commit_has_the_ratio_and_the_aim(benchmark, ours, ratio, verdict):
    against = benchmark("against")
    [(redesign, aims)] = against._AIMS_BESIDE.items()
    assert aims.keys() == against.OWN_LOGS.keys()
    row = against.before_row("Ignite", figures_of(benchmark, 4.0, ours, 6.0), before_of(benchmark, redesign, 4.0, 14.0))
    assert row.cells() == (
        "added to an iteration, in Ignite",
        f"{ours - 4:.2f} µs (median {2 * ours - 8:.2f} µs)",
        f"{redesign[:7]} 10.00 µs (median 20.00 µs)",
        f"{ratio} (median {ratio})",
        "at most 0.7 x",
        verdict,
    )


def test_row_beside_another_commit_has_no_aim(benchmark):
    before = before_of(benchmark, "abcdef0123", 4.0, 14.0)
    row = benchmark("against").before_row("Ignite", figures_of(benchmark, 4.0, 9.0, 6.0), before)
    assert row.cells()[3:] == ("0.50 x (median 0.50 x)", "", "")


def test_noise_is_named_in_the_place_of_a_figure(benchmark):
    before = before_of(benchmark, "abcdef0123", 100.0, 101.0)
    row = benchmark("against").before_row("Ignite", figures_of(benchmark, 100.0, 99.0, 100.0), before)
    assert row.cells()[1:4] == (
        "within the noise (median within the noise)",
        "abcdef0 within the noise (median within the noise)",
        "within the noise (median within the noise)",
    )


@pytest.mark.parametrize(
    ("framework", "ours", "own", "said", "aim"),
    [
        ("Ignite", 14.0, 24.0, "2.0 x less", ("less than its own log", "reached")),
        ("Ignite", 24.0, 14.0, "2.0 x more", ("less than its own log", "not reached")),
        ("Ignite", 14.0, 4.0, "more", ("less than its own log", "not reached")),
        ("Ignite", 4.0, 14.0, "less", ("less than its own log", "reached")),
        ("Keras", 14.0, 4.0, "more", ("", "")),
        ("Keras", 4.0, 4.0, "nothing", ("", "")),
    ],
)
def test_row_beside_the_own_log_compares_what_each_adds(benchmark, framework, ours, own, said, aim):
    against = benchmark("against")
    row = against.own_log_row(framework, figures_of(benchmark, 4.0, ours, own))
    assert row.is_headline
    assert row.cells() == (
        f"iteration, in {framework}, bare 4.00 µs (median 8.00 µs)",
        f"with us {ours:.2f} µs (median {2 * ours:.2f} µs)",
        f"with {against.OWN_LOGS[framework]} {own:.2f} µs (median {2 * own:.2f} µs)",
        f"adds {said} (median {said})",
        *aim,
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["caffe"], "unknown: caffe"),
        (["--keep"], "--keep needs --base, and every framework"),
        (["--keep", "--base", "HEAD", "ignite"], "--keep needs --base, and every framework"),
        (["--base", "nowhere"], "'nowhere' is not a commit of"),
    ],
)
def test_command_refuses_what_it_cannot_measure(benchmark, monkeypatch, capsys, arguments, error):
    against = benchmark("against")
    monkeypatch.setattr(sys, "argv", ["against.py", *arguments])
    try:
        status = against.main()
    except SystemExit as usage:
        status = usage.code
    assert status != 0
    assert error in capsys.readouterr().err
