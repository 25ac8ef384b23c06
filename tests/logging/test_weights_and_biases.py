"""A real offline run of W&B, read back with W&B's own reader."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import wandb
from avalanche.training.plugins import EWCPlugin, ReplayPlugin
from logged_learners import learn_and_test, logged_strategy, pictures, weights
from offline_runs import OfflineRun
from PIL import Image
from tiny_learners import K, Silence, tiny_benchmark

from avalanche_snn.logging import WeightsAndBiasesLogger

TEST_ACCURACY = "Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp00{}"
RASTER = np.tri(8, 12)


def plugins():
    return [EWCPlugin(0.5), ReplayPlugin(8), ReplayPlugin(12)]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """One run with everything in it, as it was reported and as it was logged."""
    folder = tmp_path_factory.mktemp("logged") / "new"
    logger = WeightsAndBiasesLogger(
        "tiny",
        name="first",
        group="seeds",
        tags=["naive", "tiny"],
        config={"seed": 0, "data": {"split": "merged"}},
        dir=folder,
        mode="offline",
        log_model=True,
    )
    strategy = logged_strategy([logger], plugins(), metrics=pictures())
    with logger:
        reports = learn_and_test(strategy, tiny_benchmark())
        logger.log_raster("latents", torch.from_numpy(RASTER))
        assert logger.run.id == logger.run_id
    logger.finish()
    assert logger.run is None
    return SimpleNamespace(run=OfflineRun(folder), strategy=strategy, reports=reports, logger=logger)


def scalars(metrics):
    return {name: value for name, value in metrics.items() if isinstance(value, (int, float))}


def test_the_history_is_what_the_strategy_computed(logged):
    everything = logged.strategy.evaluator.get_all_metrics()
    names = [name for name, (_, values) in everything.items() if isinstance(values[0], (int, float))]
    assert len(names) > 10
    for name in names:
        values = [value for _, value in logged.run.curve(name, logged.run.step_metrics[name])]
        assert values == pytest.approx(everything[name][1], rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "axis", "xs"),
    [
        # 12 samples and 8 replays an experience, in minibatches of 8 and 8: two iterations an epoch.
        ("Top1_Acc_MB/train_phase/train_stream/Task000", "iteration", list(range(8))),
        ("Loss_MB/train_phase/train_stream/Task000", "iteration", list(range(8))),
        ("Top1_Acc_Epoch/train_phase/train_stream/Task000", "epoch", [1, 2, 3, 4]),
        ("Loss_Epoch/train_phase/train_stream/Task000", "epoch", [1, 2, 3, 4]),
        (TEST_ACCURACY.format(0), "experience", [1, 2, 3]),
        ("Top1_Acc_Stream/eval_phase/test_stream/Task000", "experience", [1, 2, 3]),
        ("StreamForgetting/eval_phase/test_stream", "experience", [1, 2, 3]),
        ("MemoryBytes/train_phase/train_stream/Exp001", "experience", [2]),
        ("accuracy_matrix/test_stream.path", "experience", [1, 2, 3]),
        ("latents.path", "experience", [3]),
    ],
)
def test_every_curve_has_its_own_axis(logged, metric, axis, xs):
    assert logged.run.step_metrics[metric.removesuffix(".path")] == axis
    assert [x for x, _ in logged.run.curve(metric, axis)] == xs


def test_the_summary_is_the_final_figures(logged):
    final = scalars(logged.reports[-1])
    assert len(final) > 10
    assert {name: logged.run.about["summary"][name] for name in final} == pytest.approx(final, rel=1e-12)


def test_the_accuracy_matrix(logged):
    expected = [[report[TEST_ACCURACY.format(number)] for number in range(3)] for report in logged.reports]
    assert logged.logger.state_dict()["matrices"] == {
        "test": [[row + 1, str(row), column, expected[row][column]] for row in range(3) for column in range(3)]
    }
    with Image.open(logged.run.image("accuracy_matrix/test_stream")) as picture:
        assert min(picture.size) > 100


def test_images(logged):
    for name in (
        "ConfusionMatrix_Stream/eval_phase/test_stream",
        "images/train_phase/train_stream/Task000",
        "latents",
    ):
        with Image.open(logged.run.image(name)) as picture:
            assert picture.format == "PNG"
    # Avalanche's own W&B metric emits a chart, which is a table and a plot of it.
    assert any(name.startswith("W&BConfusionMatrix_Stream") for name in logged.run.about["summary"])


def test_the_configuration(logged):
    config = logged.run.about["config"]
    assert config["seed"] == 0
    assert config["data"] == {"split": "merged"}
    assert config["strategy"] == {
        "class": "Naive",
        "device": "cpu",
        "eval_every": -1,
        "eval_mb_size": 16,
        "retain_graph": False,
        "train_epochs": 2,
        "train_mb_size": 8,
    }
    assert list(config["plugins"]) == ["EWCPlugin", "ReplayPlugin", "ReplayPlugin_2"]
    assert config["plugins"]["EWCPlugin"]["ewc_lambda"] == 0.5
    assert [config["plugins"][name]["mem_size"] for name in ("ReplayPlugin", "ReplayPlugin_2")] == [8, 12]
    assert config["criterion"] == "CrossEntropyLoss"
    assert config["optimizer"]["class"] == "SGD"
    assert (config["optimizer"]["lr"], config["optimizer"]["momentum"]) == (0.05, 0.9)
    model = logged.strategy.model
    assert config["model"]["class"] == "RecurrentSNN"
    assert config["model"]["n_parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert config["model"]["architecture"] == str(model)
    settings = {"train_mb_size": 8, "learning_rates": [0.05]}
    assert config["schedule"] == [
        {"from_experience": 0, "train_epochs": 2, **settings},
        {"from_experience": 1, "train_epochs": 1, **settings},
    ]


def test_the_run_itself(logged):
    about = logged.run.about
    assert (about["project"], about["name"], about["tags"]) == ("tiny", "first", ["naive", "tiny"])
    assert logged.run.run["run_group"] == "seeds"
    assert about["run_id"] == logged.logger.run_id
    assert (about["state"], about["exit_code"]) == ("finished", 0)


def test_models_are_artifacts(logged):
    models = [artifact for artifact in logged.run.artifacts if artifact["type"] == "model"]
    assert len({model["name"] for model in models}) == 1
    assert [sorted(model["aliases"]) for model in models] == [[f"experience-{n}", "latest"] for n in range(3)]
    states = []
    for model in models:
        (file,) = model["manifest"]["contents"]
        states.append(torch.load(file["local_path"], weights_only=True))
    for name, tensor in logged.strategy.model.state_dict().items():
        assert torch.equal(states[-1][name], tensor)
    assert not torch.equal(states[0]["readout.weight"], states[1]["readout.weight"])


def test_logging_changes_nothing(logged):
    silent = logged_strategy([Silence()], plugins(), metrics=pictures())
    reports = learn_and_test(silent, tiny_benchmark())
    assert [scalars(report) for report in reports] == [scalars(report) for report in logged.reports]
    assert torch.equal(weights(silent), weights(logged.strategy))


@pytest.mark.slow
def test_two_runs_at_once_and_a_resumed_one(tmp_path):
    """Each logger has a run of its own; the one from a pickle goes on with the run that it was pickled in."""
    benchmark = tiny_benchmark()
    loggers = [WeightsAndBiasesLogger(dir=tmp_path / name, mode="offline") for name in ("one", "other")]
    strategy = logged_strategy(loggers)
    learn_and_test(strategy, benchmark, epochs=(2,))
    assert loggers[0].run_id != loggers[1].run_id
    pickled = pickle.dumps(loggers[0])
    for logger in loggers:
        logger.finish()
    resumed = pickle.loads(pickled)
    assert resumed.run is None
    strategy.evaluator.loggers = [resumed]
    strategy.train(benchmark.train_stream[1], eval_streams=[])
    strategy.eval(benchmark.test_stream)
    assert resumed.run_id == loggers[0].run_id
    assert [len(matrix) for matrix in resumed.state_dict()["matrices"].values()] == [6]
    resumed.finish()
    assert OfflineRun(tmp_path / "other").about["run_id"] == loggers[1].run_id
    ids = [path.name.split("-")[-1] for path in tmp_path.glob("one/wandb/offline-run-*")]
    assert set(ids) == {resumed.run_id}


def test_disabled(tmp_path):
    with WeightsAndBiasesLogger(dir=tmp_path / "run", mode="disabled", log_model=True) as logger:
        learn_and_test(logged_strategy([logger], metrics=pictures()), tiny_benchmark(), epochs=(1,))
        logger.log_raster("input", RASTER)
    assert list(tmp_path.glob("run/**/*.wandb")) == []


class Run:
    """W&B's run, as far as the logger uses it, remembering what it was told."""

    def __init__(self, **options):
        self.options = options
        self.id = options["id"] or "made-up"
        self.rows = []
        self.config = SimpleNamespace(update=lambda settings, allow_val_change: None)

    def define_metric(self, name, **options):
        pass

    def log(self, row):
        self.rows.append(row)

    def log_artifact(self, artifact, aliases):
        pass

    def finish(self, exit_code):
        self.exit_code = exit_code


@pytest.fixture
def runs(monkeypatch):
    started = []

    def init(**options):
        started.append(Run(**options))
        return started[-1]

    monkeypatch.setattr(wandb, "init", init)
    return started


def test_a_copy_logs_to_the_same_run(runs):
    logger = WeightsAndBiasesLogger()
    strategy = logged_strategy([logger])
    learn_and_test(strategy, tiny_benchmark(), epochs=(1,))
    other = copy.deepcopy(logger)
    assert other.run is logger.run
    n_rows = len(runs[0].rows)
    strategy.evaluator.loggers = [other]
    learn_and_test(strategy, tiny_benchmark(), epochs=(1,))
    assert len(runs) == 1
    assert [row["epoch"] for row in runs[0].rows[n_rows:] if any("Epoch" in name for name in row)] == [2]
    assert (logger.state_dict()["epochs"], other.state_dict()["epochs"]) == (1, 2)


def test_a_run_is_resumed_by_its_id(runs):
    first = WeightsAndBiasesLogger(run_id="seed-3")
    learn_and_test(logged_strategy([first]), tiny_benchmark(), epochs=(2,))
    second = WeightsAndBiasesLogger()
    second.load_state_dict(first.state_dict())
    learn_and_test(logged_strategy([second]), tiny_benchmark(), epochs=(1,))
    assert [(run.options["id"], run.options["resume"]) for run in runs] == [("seed-3", "allow")] * 2
    assert [row["epoch"] for row in runs[1].rows if any("Acc_Epoch" in name for name in row)] == [3]
    assert len(first.state_dict()["matrices"]["test"]) == 3
    # A run of its own otherwise.
    learn_and_test(logged_strategy([WeightsAndBiasesLogger()]), tiny_benchmark(), epochs=(1,))
    assert (runs[-1].options["id"], runs[-1].options["resume"]) == (None, None)


def test_an_error_in_the_script_marks_the_run_as_failed(runs):
    logger = WeightsAndBiasesLogger()
    with pytest.raises(ZeroDivisionError), logger:  # noqa: PT012 - what stands before the error is under test
        logger.log_raster("input", RASTER)
        raise ZeroDivisionError
    assert runs[0].exit_code == 1


def test_evaluation_before_and_within_an_experience(runs):
    """The row of the untrained network has no name; what is evaluated within an experience is no row of the matrix."""
    logger = WeightsAndBiasesLogger()
    strategy = logged_strategy([logger], train_epochs=2, eval_every=1)
    benchmark = tiny_benchmark()
    strategy.eval(benchmark.test_stream)
    strategy.train(benchmark.train_stream[0], eval_streams=[benchmark.test_stream])
    rows = logger.state_dict()["matrices"]["test"]
    assert [(row, name, column) for row, name, column, _ in rows] == [
        *((0, "-", column) for column in range(3)),
        *((1, "0", column) for column in range(3)),
    ]
    curve = [row["experience"] for row in runs[0].rows if "Top1_Acc_Stream/eval_phase/test_stream/Task000" in row]
    assert curve == [0, 0, 0.5, 1]
    drawn = [row["experience"] for row in runs[0].rows if "accuracy_matrix/test_stream" in row]
    assert drawn == [0, 0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "on-line"}, "mode must be one of online, offline, disabled"),
        ({"tags": "naive"}, r"write \['naive'\]"),
        ({"tags": ["x" * 65]}, "1 to 64 characters"),
        ({"tags": [""]}, "1 to 64 characters"),
        ({"project": "a/b"}, "project must be a name without"),
        ({"run_id": " "}, "run_id must be a name"),
        ({"run_id": "a:b"}, "run_id must be a name without"),
        ({"config": {"seed": 1, "model": "mine"}}, "config must not contain model"),
        ({"dir": __file__}, "is a file"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        WeightsAndBiasesLogger(**options)


@pytest.mark.parametrize("raster", [np.zeros(8), np.zeros((2, 8, K)), torch.zeros(0, 5)])
def test_bad_rasters(raster):
    with pytest.raises(ValueError, match=r"raster must be of one sample, \[T, C\]"):
        WeightsAndBiasesLogger(mode="disabled").log_raster("input", raster)
