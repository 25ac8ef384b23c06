"""What is told of a strategy, and how values become pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from avalanche.evaluation.metric_results import AlternativeValues, TensorImage
from avalanche.training.supervised import DER, JointTraining
from logged_learners import logged_strategy, spiking_network
from matplotlib import pyplot
from PIL import Image
from tiny_learners import tiny_benchmark, tiny_strategy
from torch import nn

from avalanche_snn.logging import JSONLinesLogger, WeightsAndBiasesLogger, read_json_lines
from avalanche_snn.logging.configuration import plain_settings, run_configuration, training_schedule
from avalanche_snn.logging.history_values import history_value
from avalanche_snn.logging.images import heat_map, raster_image, tensor_image
from avalanche_snn.training import CompressedLatentReplayPlugin


def test_settings_are_what_is_public_and_plain():
    class Thing:
        def __init__(self):
            self.rate, self.name, self.on, self.nothing = 0.5, "x", True, None
            self.sizes, self.table, self.device = (1, 2), {3: [4]}, torch.device("cpu")
            self._hidden, self.tensor, self.long, self.module = 1, torch.zeros(2), [0] * 33, nn.Linear(1, 1)

    assert plain_settings(Thing()) == {
        "rate": 0.5,
        "name": "x",
        "on": True,
        "nothing": None,
        "sizes": [1, 2],
        "table": {"3": [4]},
        "device": "cpu",
    }


def test_parameter_groups_and_tensor_learning_rates():
    model = spiking_network()
    first, *rest = model.parameters()
    groups = [{"params": [first], "lr": torch.tensor(0.25)}, {"params": rest}]
    strategy = tiny_strategy(model, optimizer=torch.optim.Adam(groups, lr=0.5))
    first.requires_grad_(False)
    config = run_configuration(strategy)
    assert [group["lr"] for group in config["optimizer"]["groups"]] == [0.25, 0.5]
    assert training_schedule(strategy)["learning_rates"] == [0.25, 0.5]
    n_all, n_trained = config["model"]["n_parameters"], config["model"]["n_trainable_parameters"]
    assert n_all - n_trained == first.numel()


def test_settings_of_a_strategy_and_of_our_plugin():
    strategy = tiny_strategy(spiking_network(), [CompressedLatentReplayPlugin("hidden1", "2 kB")], DER, mem_size=7)
    config = run_configuration(strategy)
    assert (config["strategy"]["class"], config["strategy"]["mem_size"]) == ("DER", 7)
    assert config["plugins"]["CompressedLatentReplayPlugin"]["budget"] == 2000


def test_joint_training(tmp_path):
    """A strategy that takes the whole stream at once has trained on one experience, as its clock says."""
    loggers = [JSONLinesLogger(tmp_path / "log.jsonl"), WeightsAndBiasesLogger(mode="disabled")]
    joint = logged_strategy(loggers, template=JointTraining)
    benchmark = tiny_benchmark()
    joint.train(benchmark.train_stream)
    joint.eval(benchmark.test_stream)
    lines = read_json_lines(tmp_path / "log.jsonl")
    assert {line["experience"] for line in lines if line["phase"] == "eval"} == {joint.clock.train_exp_counter}
    assert len(loggers[1].state_dict()["matrices"]["test"]) == 3


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (torch.tensor([[0.0, 0.5], [1.0, 0.2]]), [[0, 128], [255, 51]]),
        (torch.tensor([[-1.0, 3.0]]), [[0, 255]]),
        (torch.tensor([[7.0, 7.0]]), [[0, 0]]),
        (torch.tensor([[0, 9]], dtype=torch.uint8), [[0, 9]]),
        (torch.tensor([[[0.0]], [[1.0]], [[0.6]]]), [[[0, 255, 153]]]),
        (torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]]), [[0, 255], [255, 0]]),
    ],
)
def test_tensors_as_pixels(image, expected):
    assert np.asarray(tensor_image(image)).tolist() == expected


def test_a_raster_has_time_to_the_right_and_channels_upwards():
    raster = np.zeros((10, 20))
    raster[0, :] = 1  # all channels at the first time step
    raster[:5, 0] = 1  # the first channel for half of the time
    dark = np.asarray(raster_image(raster).convert("L")) < 50
    height, width = dark.shape
    columns, rows = dark.mean(0), dark.mean(1)
    upright, lying = np.flatnonzero(columns > 0.7), np.flatnonzero((rows > 0.35) & (rows < 0.6))
    assert len(upright) > width / 20
    assert upright[: width // 20].max() < width / 3
    assert len(lying) > height / 40
    assert lying.min() > height * 2 / 3


def test_colours_of_a_heat_map_follow_its_limits():
    def colour(values, **options):
        pixels = np.asarray(heat_map(values, **options).convert("RGB")).astype(int)
        return pixels[pixels.shape[0] // 3, pixels.shape[1] // 3]

    half = np.full((1, 1), 0.5)
    assert abs(colour(half, limits=(0.0, 1.0)) - np.array([32, 144, 140])).max() < 8  # the middle of viridis
    assert abs(colour(half, limits=(0.5, 1.0)) - np.array([68, 1, 84])).max() < 8  # its dark end
    assert colour(np.full((1, 1), np.nan), limits=(0.0, 1.0)).tolist() == [255, 255, 255]  # nothing was measured


def test_values_of_a_history():
    assert history_value(torch.tensor([2.5])) == 2.5
    assert history_value(np.int64(3)) == 3
    assert history_value("text") == "text"
    assert history_value(b"weights") is None
    assert history_value(torch.zeros(0)) is None
    assert history_value(AlternativeValues()) is None
    assert history_value(TensorImage(torch.zeros(2, 3, 4, 5))) is None
    assert isinstance(history_value(torch.zeros(3, 3)), Image.Image)
    histogram = history_value(torch.tensor([0.0, 1.0, 1.0, float("nan")]))
    assert sum(histogram.histogram) == 3
    figure, axes = pyplot.subplots()
    axes.plot([1, 2])
    assert isinstance(history_value(AlternativeValues(torch.zeros(2, 2), figure)), Image.Image)
    assert figure.number not in pyplot.get_fignums()


def test_loggers_answer_callbacks_and_nothing_else(tmp_path):
    logger = JSONLinesLogger(tmp_path / "log.jsonl")
    assert callable(logger.after_whatever_comes)
    with pytest.raises(AttributeError, match="'JSONLinesLogger' object has no attribute 'nothing'"):
        _ = logger.nothing
