"""Everything a strategy reports, as lines of JSON that outlive crashes."""

from __future__ import annotations

import copy
import json
import math
import multiprocessing
import pickle
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from avalanche.evaluation.metric_results import AlternativeValues, MetricValue, TensorImage
from logged_learners import learn_and_test, logged_strategy, pictures, weights
from matplotlib.figure import Figure
from tiny_learners import Silence, tiny_benchmark

from avalanche_snn.logging import JSONLinesLogger, read_json_lines


def metrics_of(lines, name):
    return [line for line in lines if line["kind"] == "metric" and line["name"].startswith(name)]


def test_every_metric_value_has_a_line(tmp_path):
    logger = JSONLinesLogger(tmp_path / "new" / "log.jsonl")
    strategy = logged_strategy([logger], metrics=pictures())
    learn_and_test(strategy, tiny_benchmark())
    lines = read_json_lines(logger.path)
    everything = strategy.evaluator.get_all_metrics()
    assert {line["name"] for line in lines if line["kind"] == "metric"} == set(everything)
    for name, (xs, values) in everything.items():
        written = [line for line in lines if line.get("name") == name]
        assert [line["x"] for line in written] == xs
        if isinstance(values[0], (int, float)):
            assert [line["value"] for line in written] == values
    matrices = metrics_of(lines, "ConfusionMatrix_Stream")
    expected = everything["ConfusionMatrix_Stream/eval_phase/test_stream"][1]
    assert [line["value"] for line in matrices] == [value.alternatives[1].tolist() for value in expected]
    assert metrics_of(lines, "images")[0]["value"] == {"left_out": "TensorImage", "shape": [2, 8, 12]}
    assert metrics_of(lines, "W&B")[0]["value"] == {"left_out": "CustomChart"}


def test_lines_tell_where_training_is(tmp_path):
    logger = JSONLinesLogger(tmp_path / "log.jsonl")
    learn_and_test(logged_strategy([logger]), tiny_benchmark())
    lines = read_json_lines(logger.path)
    assert [line["event"] for line in lines if line["kind"] == "event"][:9] == [
        "before_training",
        "before_training_exp",
        "before_training_epoch",
        "after_training_epoch",
        "before_training_epoch",
        "after_training_epoch",
        "after_training_exp",
        "after_training",
        "before_eval",
    ]
    # 12 samples an experience in minibatches of 8: two iterations an epoch, two epochs and then one an experience.
    assert [(line["iteration"], line["epoch"]) for line in metrics_of(lines, "Top1_Acc_Epoch")] == [
        (2, 1),
        (4, 2),
        (6, 3),
        (8, 4),
    ]
    assert [line["iteration"] for line in metrics_of(lines, "Top1_Acc_MB")] == list(range(8))
    assert {line["axis"] for line in metrics_of(lines, "Top1_Acc_MB")} == {"iteration"}
    assert {line["axis"] for line in metrics_of(lines, "Top1_Acc_Epoch")} == {"epoch"}
    tested = metrics_of(lines, "Top1_Acc_Exp")
    assert {line["axis"] for line in tested} == {"experience"}
    assert [(line["experience"], line["current_experience"]) for line in tested] == [
        (trained, number) for trained in (1, 2, 3) for number in (0, 1, 2)
    ]
    assert {(line["phase"], line["stream"]) for line in tested} == {("eval", "test")}
    ended = [line for line in lines if line["event"] == "after_training_exp" and line["kind"] == "event"]
    assert [(line["phase"], line["stream"], line["current_experience"]) for line in ended] == [
        ("train", "train", number) for number in (0, 1, 2)
    ]
    kept = metrics_of(lines, "MemoryBytes")
    assert [line["experience"] for line in kept] == [1, 2, 3]
    times = [line["time"] for line in lines]
    assert times == sorted(times)


def test_evaluations_within_an_experience_stand_at_the_fraction_of_its_epochs(tmp_path):
    logger = JSONLinesLogger(tmp_path / "log.jsonl")
    strategy = logged_strategy([logger], eval_every=1, train_epochs=4)
    for experience in tiny_benchmark().train_stream[:2]:
        strategy.train(experience)
    lines = read_json_lines(logger.path)
    within = [line["experience"] for line in metrics_of(lines, "Top1_Acc_Stream")]
    assert within == [0, 0.25, 0.5, 0.75, 1, 1, 1.25, 1.5, 1.75, 2]


def test_metrics_of_evaluation_minibatches_have_an_axis_of_their_own(tmp_path):
    from avalanche.evaluation.metric_definitions import GenericPluginMetric
    from avalanche.evaluation.metrics import Accuracy

    class EvaluationMinibatchAccuracy(GenericPluginMetric):
        def __init__(self):
            super().__init__(Accuracy(), reset_at="iteration", emit_at="iteration", mode="eval")

        def update(self, strategy):
            self._metric.update(strategy.mb_output, strategy.mb_y)

        def __str__(self):
            return "EvalMB"

    logger = JSONLinesLogger(tmp_path / "log.jsonl")
    learn_and_test(
        logged_strategy([logger], metrics=[EvaluationMinibatchAccuracy()], eval_mb_size=6),
        tiny_benchmark(),
        epochs=(1,),
    )
    lines = metrics_of(read_json_lines(logger.path), "EvalMB")
    assert {line["axis"] for line in lines} == {"total_iteration"}
    assert [line["total_iteration"] for line in lines] == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (True, True),
        ("text", "text"),
        (None, None),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (torch.tensor(3), 3),
        (torch.tensor([1.5, math.nan], dtype=torch.bfloat16), [1.5, "nan"]),
        (np.float32(0.25), 0.25),
        (np.eye(2, dtype=np.int64), [[1, 0], [0, 1]]),
        (torch.zeros(64, 64), [[0.0] * 64] * 64),
        (torch.zeros(65, 64), {"left_out": "Tensor", "shape": [65, 64]}),
        (TensorImage(torch.zeros(3, 4, 5)), {"left_out": "TensorImage", "shape": [3, 4, 5]}),
        (b"weights", {"left_out": "bytes"}),
        (AlternativeValues(Figure(), torch.tensor([1])), [1]),
        (AlternativeValues(Figure()), {"left_out": "Figure"}),
    ],
)
def test_values(tmp_path, value, expected):
    logger = JSONLinesLogger(tmp_path / "log.jsonl")
    clock = SimpleNamespace(train_iterations=0, total_iterations=0, train_exp_counter=0)
    strategy = SimpleNamespace(clock=clock, is_eval=True, experience=None)
    logger.after_eval_iteration(strategy, [MetricValue(None, "a", value, 7), MetricValue(None, "b", {"c": 1}, 7)])
    first, second = read_json_lines(logger.path)
    assert first["value"] == expected
    assert type(first["value"]) is type(expected)
    assert (first["name"], first["x"], second["name"], second["value"]) == ("a", 7, "b/c", 1)


def test_half_a_line_is_dropped(tmp_path):
    logger = JSONLinesLogger(tmp_path / "log.jsonl")
    learn_and_test(logged_strategy([logger]), tiny_benchmark(), epochs=(1,))
    logger.close()
    logger.close()
    whole = logger.path.read_bytes()
    before = read_json_lines(logger.path)
    for torn in (b'{"kind": "metric", "na', b"{", json.dumps(before[0]).encode()):
        logger.path.write_bytes(whole + torn)
        assert read_json_lines(logger.path) == before
        JSONLinesLogger(logger.path)
        assert logger.path.read_bytes() == whole
    logger.path.write_bytes(b'{"ki')  # the first line of all
    assert read_json_lines(logger.path) == []
    JSONLinesLogger(logger.path)
    assert logger.path.read_bytes() == b""


def test_a_broken_line_elsewhere_is_an_error(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "event"}\n{"kind": \n{"kind": "event"}\n')
    with pytest.raises(ValueError, match=r"Line 2 of .*must be a JSON object"):
        read_json_lines(path)
    path.write_text('{"kind": "event"}\n[1]\n')
    with pytest.raises(ValueError, match="Line 2"):
        read_json_lines(path)
    with pytest.raises(FileNotFoundError):
        read_json_lines(tmp_path / "none")


def test_files_of_others_are_left_alone(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        JSONLinesLogger(tmp_path)
    path = tmp_path / "notes.txt"
    path.write_text("first\nsecond")
    with pytest.raises(ValueError, match="not written by a JSONLinesLogger"):
        JSONLinesLogger(path)
    assert path.read_text() == "first\nsecond"


def test_a_resumed_run_goes_on_with_its_epochs(tmp_path):
    """A new logger on the same file, and a strategy that resumed at an earlier moment than the file reaches."""
    path = tmp_path / "log.jsonl"
    benchmark = tiny_benchmark()
    strategy = logged_strategy([JSONLinesLogger(path)])
    learn_and_test(strategy, benchmark, epochs=(2, 1))
    n_lines = len(read_json_lines(path))
    clock = copy.deepcopy(strategy.clock)
    learn_and_test(strategy, benchmark, epochs=(3,))  # lost in a crash
    for logger in (JSONLinesLogger(path), JSONLinesLogger(path)):
        resumed = logged_strategy([logger])
        resumed.clock.__dict__.update(clock.__dict__)
        resumed.train_epochs = 1
        resumed.train(benchmark.train_stream[2], eval_streams=[])
        line = [line for line in read_json_lines(path) if line["event"] == "after_training_exp"][-1]
        assert (line["epoch"], line["experience"], line["iteration"]) == (4, 3, 8)
    # What was there is still there.
    assert read_json_lines(path)[n_lines]["iteration"] == 6
    # With a state instead of the file.
    logger = JSONLinesLogger(tmp_path / "other.jsonl")
    logger.load_state_dict(json.loads(json.dumps({"experiences": 2, "epochs": 3, "fraction": 0.0})))
    resumed = logged_strategy([logger])
    resumed.clock.__dict__.update(clock.__dict__)
    resumed.train(benchmark.train_stream[2], eval_streams=[])
    assert read_json_lines(logger.path)[-1]["epoch"] == 5
    assert logger.state_dict() == {"experiences": 3, "epochs": 5, "fraction": 0.0}


def test_copies_and_pickles_continue_the_file(tmp_path):
    logger = JSONLinesLogger(tmp_path / "log.jsonl")
    strategy = logged_strategy([logger])
    benchmark = tiny_benchmark()
    learn_and_test(strategy, benchmark, epochs=(2,))
    n_lines = len(read_json_lines(logger.path))
    for other in (copy.deepcopy(logger), pickle.loads(pickle.dumps(logger))):
        strategy.evaluator.loggers = [other]
        learn_and_test(strategy, benchmark, epochs=(1,))
        lines = read_json_lines(logger.path)
        assert len(lines) > n_lines
        assert metrics_of(lines, "Top1_Acc_Epoch")[-1]["epoch"] == 3
        n_lines = len(lines)


def test_nothing_is_drawn_from_the_random_generators(tmp_path):
    trained = []
    for loggers in ([Silence()], [JSONLinesLogger(tmp_path / "log.jsonl")]):
        strategy = logged_strategy(loggers)
        learn_and_test(strategy, tiny_benchmark())
        trained.append(weights(strategy))
    assert torch.equal(*trained)


def log_for_ever(path):
    clock = SimpleNamespace(train_iterations=0, total_iterations=0, train_exp_counter=0)
    strategy = SimpleNamespace(clock=clock, is_eval=False, experience=None)
    logger = JSONLinesLogger(path)
    while True:
        logger.after_training_iteration(strategy, [MetricValue(None, "loss", [0.125] * 5000, clock.train_iterations)])
        clock.train_iterations += 1


def test_a_killed_run_leaves_whole_lines(tmp_path):
    """A real process, killed while it writes lines longer than a buffer as fast as it can."""
    path = tmp_path / "log.jsonl"
    process = multiprocessing.get_context("fork").Process(target=log_for_ever, args=(path,))
    process.start()
    while not path.exists() or path.stat().st_size < 500_000:
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    lines = read_json_lines(path)
    assert [line["x"] for line in lines] == list(range(len(lines)))
    JSONLinesLogger(path).close()
    assert read_json_lines(path) == lines
    assert path.read_bytes().endswith(b"\n")
