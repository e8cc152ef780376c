"""MLflow's own client reads what was written."""

from __future__ import annotations

import logging
import math
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlflow", reason="no MLflow: pip install 'runtimeinfo[mlflow]'")
pytest.importorskip("sqlalchemy", reason="no SQLAlchemy: pip install 'runtimeinfo[mlflow]'")
pytest.importorskip("alembic", reason="no Alembic: pip install 'runtimeinfo[mlflow]'")

from mlflow import MlflowClient
from mlflow.entities import ViewType

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import MLflowSink, SinkError, SinkWarning
from runtimeinfo_adapters.sinks._mlflow_sink import metric_name

# MLflow and SQLAlchemy leave connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database without a run, which the sink has made: that takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "made" / "empty.db"
    sink = MLflowSink(path)
    sink.open(MessageHub("empty"))
    sink.close()
    return path.read_bytes()


@pytest.fixture
def database(made: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "mlflow.db"
    path.write_bytes(made)
    return path


def runs(path: Path) -> list[Any]:
    client = MlflowClient(tracking_uri=f"sqlite:///{path}")
    experiments = [each.experiment_id for each in client.search_experiments(view_type=ViewType.ALL)]
    return list(client.search_runs(experiments, order_by=["attributes.start_time ASC"]))


def points(path: Path, run: Any) -> dict[str, list[tuple[int, float]]]:
    client = MlflowClient(tracking_uri=f"sqlite:///{path}")
    return {
        key: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
    }


def experiment_of(path: Path, run: Any) -> str:
    return str(MlflowClient(tracking_uri=f"sqlite:///{path}").get_experiment(run.info.experiment_id).name)


def test_a_run_has_metrics_params_and_the_run_id(train: Any, database: Path) -> None:
    loop = train(
        [MLflowSink(database, interval=2)],
        [{"loss": float(number)} for number in range(5)],
        val={"acc": 0.5},
        test={"acc": 0.25},
        cfg="lr = 0.1\n# text",
        seed=7,
        experiment_name="digits/first",
    )
    (run,) = runs(database)
    assert points(database, run) == {
        "train/loss": [(1, 1.0), (3, 3.0), (4, 4.0)],
        "val/acc": [(5, 0.5)],
        "test/acc": [(5, 0.25)],
    }
    assert run.data.params == {"cfg": "lr = 0.1\n# text", "seed": "7"}
    assert run.data.tags["runtimeinfo_run_id"] == loop.message_hub.run_id
    assert (run.info.status, experiment_of(database, run)) == ("FINISHED", "digits/first")


def test_a_resumed_training_goes_on_in_its_run_and_no_step_comes_twice(database: Path) -> None:
    def fit(until: int, state: Any = None, loss: float = 0.0) -> Any:
        loop: Loop[Any] = Loop(
            train_loader=range(2), max_epochs=until, seed=7, cfg="a", hooks=[MLflowSink(database, interval=1)]
        )
        saved: Any = None
        if state is not None:
            loop.load_state_dict(state)
        with loop.run():
            for epoch in loop.epochs():
                for _ in loop.train():
                    loop.log(loss=loss + loop.iter)
                if epoch == 0:
                    saved = loop.state_dict()
        return saved

    state = fit(2)
    fit(3, state, 100.0)
    (run,) = runs(database)
    assert points(database, run)["train/loss"] == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, 104.0), (5, 105.0)]
    assert run.info.status == "FINISHED"
    fit(1)
    assert len(runs(database)) == 2


def test_a_training_that_begins_again_under_the_same_id_is_another_run(
    train: Any, database: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("RUNTIMEINFO_RUN_ID", "job-7")
    for loss in (1.0, 2.0):
        train([MLflowSink(database)], [{"loss": loss}])
    assert [points(database, run) for run in runs(database)] == [{"train/loss": [(0, 1.0)]}, {"train/loss": [(0, 2.0)]}]


def test_an_evaluation_after_a_training_is_of_its_run(train: Any, database: Path) -> None:
    sink = MLflowSink(database)
    hub = train([sink], [{"loss": 1.0}]).message_hub
    loop: Loop[Any] = Loop(hub=hub, hooks=[sink])
    with loop.run(), loop.test() as test:
        test.log_metrics(acc=0.5)
    (run,) = runs(database)
    assert set(points(database, run)) == {"train/loss", "test/acc"}


def test_a_cfg_that_mlflow_would_cut_or_refuse_is_a_file(train: Any, database: Path) -> None:
    long = "x = 1\n" * 2000
    state = train([MLflowSink(database)], [{"loss": 1.0}], cfg=long).state_dict()
    for cfg in (long, "x = 2"):
        loop: Loop[Any] = Loop(train_loader=range(1), max_epochs=2, cfg=cfg, hooks=[MLflowSink(database)])
        loop.load_state_dict(state)
        with loop.run():
            for _ in loop.epochs():
                for _ in loop.train():
                    loop.log(loss=2.0)
    (run,) = runs(database)
    folder = database.with_name("mlflow-artifacts") / run.info.run_id / "artifacts"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"cfg.txt": long, "cfg_at_1.txt": "x = 2"}
    assert "cfg" not in run.data.params
    assert experiment_of(database, run) == "runtimeinfo"


def test_no_name_and_no_number_is_lost(train: Any, database: Path) -> None:
    strange = {
        "": 1.0, "a<b": 2.0, "a>b": 3.0, "../x": 4.0, "a//b": 5.0, "\ud800": 6.0, "x" * 400: 7.0, "ä b": 8.0,
        "nan": math.nan, "large": 1e300, "int": 2**60, "inf": math.inf, "minus": -math.inf,
    }  # fmt: skip
    train([MLflowSink(database)], [strange], cfg="\ud800", experiment_name="e" * 600)
    (run,) = runs(database)
    found = {key: value for key, [(_, value)] in points(database, run).items()}
    assert len(found) == len(strange)
    for key, value in strange.items():
        name = metric_name(f"train/{key}")
        if math.isinf(value):  # MLflow's database has no infinity
            assert run.data.tags[f"not_finite/{name}"] == f"{value} at step 0"
        else:
            assert found[name] == value or math.isnan(found[name]) is math.isnan(value) is True
    assert run.data.params["cfg"] == "\\ud800"


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("boom"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_run_says_how_it_ended(error: BaseException, status: str, train: Any, database: Path) -> None:
    with pytest.raises(type(error)):
        train([MLflowSink(database)], [{"loss": 1.0}, {"loss": 2.0}, error])
    (run,) = runs(database)
    assert (run.info.status, points(database, run)) == (status, {"train/loss": [(2, 2.0)]})


def test_a_file_that_is_not_a_database_is_named_before_the_training(train: Any, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 1000)
    with pytest.raises(SinkError, match=r"MLflowSink cannot write to .*notes\.txt: .*Give it a path"):
        train([MLflowSink(path)], [AssertionError("it trained")])
    assert path.read_text() == "no database " * 1000


def test_a_database_that_fails_stops_the_sink_and_not_the_run(train: Any, database: Path) -> None:
    class Break:
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):  # type: ignore[no-untyped-def]
            if batch_idx == 1:
                with sqlite3.connect(database) as connection:
                    connection.execute("ALTER TABLE metrics RENAME TO gone")

    with pytest.warns(SinkWarning, match=r"MLflowSink stops, .*no such table") as caught:
        loop = train([Break(), MLflowSink(database, interval=1)], [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}])
    assert (len([each for each in caught if each.category is SinkWarning]), loop.iter) == (1, 3)


def test_a_deleted_experiment_is_restored(train: Any, database: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    client.delete_experiment(client.create_experiment("gone"))
    train([MLflowSink(database)], [{"loss": 1.0}], experiment_name="gone")
    assert [experiment_of(database, run) for run in runs(database)] == ["gone"]


def test_other_loggers_stay_as_they_are(train: Any, database: Path) -> None:
    logger = logging.getLogger("of the training")
    before = logging.root.level, list(logging.root.handlers)
    train([MLflowSink(database)], [{"loss": 1.0}])
    assert not logger.disabled
    assert (logging.root.level, logging.root.handlers) == before


KILLED = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
from runtimeinfo_adapters.loop import Loop
from runtimeinfo_adapters.sinks import MLflowSink

loop = Loop(train_loader=range(10), max_epochs=1, hooks=[MLflowSink(sys.argv[1], interval=1)])
with loop.run():
    for _ in loop.epochs():
        for batch in loop.train():
            if batch == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            loop.log(loss=float(batch))
"""


def test_sigterm_loses_no_row(database: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(database)], check=False, capture_output=True)
    assert done.returncode == -15, done.stderr
    (run,) = runs(database)
    assert [step for step, _ in points(database, run)["train/loss"]] == [0, 1, 2, 3, 4]
