"""What a user can get wrong is said in the user's words, and before anything is trained."""

from __future__ import annotations

import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from avalanche.benchmarks import benchmark_from_datasets, ni_benchmark
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.core import SupervisedPlugin
from tiny_learners import C, K, Mean, Rasters, T, tiny_benchmark, tiny_network, tiny_sequential, tiny_strategy
from torch import nn

from avalanche_snn.benchmarks import split_classes
from avalanche_snn.datasets import RasterDataset
from avalanche_snn.models import CuttableSequential, RecurrentSNN, TimePooling
from avalanche_snn.neurons import Leaky
from avalanche_snn.spikes import make_codec
from avalanche_snn.training import BudgetTooSmallError, CompressedLatentReplayPlugin, SeenClassesCrossEntropy


class EpochCounter(SupervisedPlugin):
    n_epochs = 0

    def before_training_epoch(self, strategy, **kwargs):
        self.n_epochs += 1


def assert_refused(error, message, replay, network=None, benchmark=None, plugins=(), n_experiences_before=0):
    """Training the next experience is refused before its first epoch, and the weights are what they were."""
    counter = EpochCounter()
    strategy = tiny_strategy(network or tiny_network(), [counter, replay, *plugins])
    stream = (benchmark or tiny_benchmark()).train_stream
    for experience in stream[:n_experiences_before]:
        strategy.train(experience, eval_streams=[])
    counter.n_epochs = 0
    before = {name: tensor.clone() for name, tensor in strategy.model.state_dict().items()}
    with pytest.raises(error, match=re.escape(message)) as caught:
        strategy.train(stream[n_experiences_before], eval_streams=[])
    assert counter.n_epochs == 0
    assert strategy.train_mb_size == 8
    assert all(torch.equal(before[name], tensor) for name, tensor in strategy.model.state_dict().items())
    return caught.value


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"memory": "lots"}, ValueError, "memory must be a number with one of the units B, kB"),
        ({"memory": -1}, ValueError, "memory must not be negative"),
        ({"memory": 1.5}, TypeError, 'memory must be a string like "160 kB" or a number of bytes, but 1.5 came'),
        ({"codec": "zip"}, ValueError, "No codec is called 'zip'. Allowed are 'bits' (lossless)"),
        ({"codec": "any/0"}, ValueError, "No codec is called 'any/0'"),
        ({"codec": None}, ValueError, "No codec is called None"),
        ({"selection": "best"}, ValueError, "must be one of 'random', 'herding', 'coverage', but 'best' came"),
        ({"replay_share": "half"}, ValueError, "replay_share must be 'balanced' or a fraction, but 'half' came"),
        ({"replay_share": 0}, ValueError, "replay_share must lie above 0 and below 1, but 0 came"),
        ({"replay_share": 1.0}, ValueError, "replay_share must lie above 0 and below 1, but 1.0 came"),
        ({"replay_share": float("nan")}, ValueError, "replay_share must lie above 0 and below 1"),
        ({"replay_share": None}, TypeError, "replay_share must be 'balanced' or a fraction, but None came"),
    ],
)
def test_bad_options_are_refused_at_once(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        CompressedLatentReplayPlugin("hidden1", **options)


def test_the_memory_is_not_there_before_the_first_experience():
    replay = CompressedLatentReplayPlugin("hidden1")
    assert replay.memory_bytes == replay.working_bytes == 0
    with pytest.raises(ValueError, match="train one first"):
        _ = replay.memory


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("hidden9", "There is no layer 'hidden9' to cut after; this network has 'hidden1', 'hidden2'."),
        ("readout", "Layer 'readout' is the last one: a cut there leaves nothing to train. Choose from 'hidden1'"),
    ],
)
def test_a_layer_to_cut_after_that_does_not_do(after, message):
    assert_refused(ValueError, message, CompressedLatentReplayPlugin(after))


class Squeeze(nn.Module):
    def forward(self, x):
        return x.mean(1)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Linear(C, 7), "Latents after layer 'first' must be spikes or spike counts (whole numbers from 0 to 255)"),
        (nn.Sequential(nn.Linear(C, 7), nn.ReLU()), "Latents after layer 'first' must be spikes or spike counts"),
        (Squeeze(), "Latents after layer 'first' must be [B, T, H], but [12, 12] came"),
    ],
)
@pytest.mark.parametrize("kind", [nn.Sequential, CuttableSequential])
def test_latents_that_are_no_spikes(kind, layer, message):
    network = kind(OrderedDict(first=layer, middle=nn.Linear(7, 7), readout=Mean(7)))
    assert_refused(ValueError, message, CompressedLatentReplayPlugin("first"), network)


def test_latents_that_are_no_spikes_though_the_first_sample_is_empty():
    """An empty sample, which is legal, makes zeros of any layer without a bias."""
    benchmark = tiny_benchmark()
    benchmark.train_data.rasters[0] = 0
    front = nn.Sequential(nn.Linear(C, 7, bias=False), nn.ReLU())
    network = nn.Sequential(OrderedDict(first=front, readout=Mean(7)))
    message = "Latents after layer 'first' must be spikes or spike counts"
    assert_refused(ValueError, message, CompressedLatentReplayPlugin("first"), network, benchmark)


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = tiny_network()

    def forward(self, x):
        return self.network(x)


class Doubled(nn.Sequential):
    """A sequence of layers, but not only that."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize("kind", [Wrapped, lambda: tiny_sequential(Doubled)])
def test_models_that_are_no_sequence_of_layers(kind):
    model = kind()
    message = f"a CuttableSequential (RecurrentSNN is one) or an nn.Sequential was wanted, but {type(model).__name__}"
    assert_refused(TypeError, message, CompressedLatentReplayPlugin("spikes"), model)


def longest_rice_row():
    dataset = tiny_benchmark().train_stream[0].dataset
    codec = make_codec("rice", T, C)
    return max(int(codec.row_bytes(codec.encode(dataset[i][0].unsqueeze(0)))) for i in range(len(dataset)))


@pytest.mark.parametrize("after", ["hidden1", "input"])
@pytest.mark.parametrize("codec", ["bits", "rice", "any/4", "count/4"])
def test_a_budget_too_small_for_the_classes_of_the_benchmark(after, codec):
    n_features = 9 if after == "hidden1" else C
    row = {
        "bits": -(-T * n_features // 8),
        # What latents will take shows when the front has been trained; rasters are as they are.
        "rice": 1 + 2 if after == "hidden1" else longest_rice_row() + 2,
        "any/4": -(-2 * n_features // 8),
        "count/4": -(-2 * n_features * 3 // 8),
    }[codec]
    least = K * (row + 24)
    message = (
        f"too small for one exemplar of each of 6 classes with the code '{codec}': at least {least} bytes are needed"
    )
    refused = assert_refused(BudgetTooSmallError, message, CompressedLatentReplayPlugin(after, least - 1, codec))
    assert refused.least_bytes == least
    if codec == "rice" and after == "hidden1":
        least = K * (-(-T * n_features // 8) + 1 + 2 + 24)
    replay = CompressedLatentReplayPlugin(after, least, codec)
    strategy = tiny_strategy(tiny_network(), [replay])
    strategy.train(tiny_benchmark().train_stream, eval_streams=[])
    assert replay.memory.counts == {(label, 0): replay.memory.counts[label, 0] for label in range(K)}
    assert min(replay.memory.counts.values()) >= 1
    assert replay.memory_bytes <= least


def test_a_budget_that_later_classes_or_tasks_make_too_small():
    """A benchmark that does not tell its classes, and one whose classes come again under another task label."""
    data = as_classification_dataset(Rasters(1))
    parts = [data.subset(range(start, start + 12)) for start in (0, 12, 24)]
    message = "too small for one exemplar of each of 4 classes"
    replay = CompressedLatentReplayPlugin("hidden1", 3 * (9 + 24))
    assert_refused(ValueError, message, replay, benchmark=benchmark_from_datasets(train=parts), n_experiences_before=1)
    by_task = ni_benchmark(Rasters(1), Rasters(2), 2, task_labels=True)
    message = "too small for one exemplar of each of 12 classes"
    replay = CompressedLatentReplayPlugin("hidden1", 7 * (9 + 24))
    assert_refused(ValueError, message, replay, benchmark=by_task, n_experiences_before=1)


@pytest.mark.parametrize(
    ("codec", "time_pooling", "message"),
    [
        ("any/9", None, "Codec 'any/9' has windows of 9 time steps, but the latents have 8"),
        ("any/5", {"hidden1": "any/2"}, "Codec 'any/5' has windows of 5 time steps, but the latents have 4"),
    ],
)
def test_codes_that_do_not_suit_the_latents(codec, time_pooling, message):
    replay = CompressedLatentReplayPlugin("hidden1", codec=codec)
    assert_refused(ValueError, message, replay, tiny_network(time_pooling=time_pooling))


def test_codes_that_do_not_suit_raw_data():
    for value, message in ((0.5, "whole numbers, but 0.5 came"), (-1.0, "must not be negative, but -1 came")):
        benchmark = tiny_benchmark()
        benchmark.train_data.rasters[3] = value
        assert_refused(ValueError, message, CompressedLatentReplayPlugin("input"), benchmark=benchmark)


def test_raw_counts_that_outgrow_code_or_budget():
    benchmark = tiny_benchmark()
    benchmark.train_data.rasters[12:] *= 3
    # 12 bytes a row are enough for spikes, but not for counts up to 3, which take 24.
    replay = CompressedLatentReplayPlugin("input", K * (12 + 24))
    assert_refused(ValueError, "too small", replay, benchmark=benchmark, n_experiences_before=1)
    replay = CompressedLatentReplayPlugin("input", K * (24 + 24))
    tiny_strategy(tiny_network(), [replay]).train(benchmark.train_stream, eval_streams=[])
    assert_counts_are_kept(replay)


def test_raw_counts_that_grow_under_a_code_of_their_own_length():
    benchmark = tiny_benchmark()
    benchmark.train_data.rasters[12:] *= 3
    replay = CompressedLatentReplayPlugin("input", "1 kB", codec="rice")
    tiny_strategy(tiny_network(), [replay]).train(benchmark.train_stream, eval_streams=[])
    assert replay.memory.codec.max_count == 3
    assert_counts_are_kept(replay)
    assert replay.memory_bytes <= 1000


def assert_counts_are_kept(replay):
    latents, labels = replay.memory.all_latents()
    assert set(labels.tolist()) == set(range(K))
    assert latents[labels > 1].max() == 3
    assert latents[labels < 2].max() == 1


def test_a_front_frozen_elsewhere():
    network = RecurrentSNN(C, (9, 8, 7), K, seed=0)
    network.cut("hidden2", torch.zeros(1, T, C))
    network.freeze_front()
    message = "A cut after 'hidden1' was asked for, but the front of this network is frozen up to 'hidden2' already"
    assert_refused(ValueError, message, CompressedLatentReplayPlugin("hidden1"), network)


def test_two_plugins_of_this_kind():
    message = "A strategy can have one CompressedLatentReplayPlugin, but more were listed"
    plugins = [CompressedLatentReplayPlugin("input")]
    assert_refused(ValueError, message, CompressedLatentReplayPlugin("hidden1"), plugins=plugins)


def test_layers_named_like_a_method():
    network = nn.Sequential(OrderedDict(front=Leaky(C, 9), back=Mean(9)))
    message = "A layer of a CuttableSequential cannot be named 'front', as its methods are."
    assert_refused(ValueError, message, CompressedLatentReplayPlugin("front"), network)


def test_a_network_that_expects_other_inputs():
    network = CuttableSequential(OrderedDict(spikes=Leaky(C + 1, 9), pooling=TimePooling(2), readout=Mean(9)))
    message = "Leaky wanted an input [B, T, 13]"
    assert_refused(ValueError, message, CompressedLatentReplayPlugin("spikes"), network)
    assert not network.is_cut


def test_a_code_that_restores_more_than_the_rasters_can_hold():
    """Windows of eight time steps with up to 40 spikes each hold up to 320 spikes, more than uint8 does."""
    rasters = np.random.default_rng(0).integers(0, 41, (4 * K, T, C), dtype=np.uint8)
    targets = np.arange(4 * K) % K

    def stream(dtype):
        files = [
            RasterDataset(rasters, targets, class_names=list("abcdef"), name="Mine", split=split, dtype=dtype)
            for split in ("train", "test")
        ]
        return split_classes(*files, 3, shuffle=False)

    message = "The code 'count/8' restores larger counts than the rasters of this data set can hold: 9 bit planes"
    replay = CompressedLatentReplayPlugin("input", "unlimited", f"count/{T}")
    assert_refused(ValueError, message, replay, benchmark=stream(torch.uint8))
    strategy = tiny_strategy(tiny_network(), [CompressedLatentReplayPlugin("input", "unlimited", f"count/{T}")])
    for experience in stream(torch.float32).train_stream:
        strategy.train(experience, eval_streams=[])


def test_a_plugin_of_another_run_is_refused() -> None:
    replay = CompressedLatentReplayPlugin("hidden1", "300 B")
    tiny_strategy(tiny_network(), [replay]).train(tiny_benchmark().train_stream[0], eval_streams=[])
    assert_refused(ValueError, "has seen 1 experiences of another run: give each strategy a plugin of its own", replay)


def test_what_a_subclass_of_sequential_has_of_its_own_would_be_lost() -> None:
    class Named(nn.Sequential):
        pass

    network = Named(OrderedDict(tiny_sequential()._modules))
    replay = CompressedLatentReplayPlugin("spikes", "300 B")
    assert_refused(TypeError, "but Named came. A subclass of nn.Sequential would lose", replay, network)


def test_a_layer_called_input_is_not_taken_for_the_input() -> None:
    network = nn.Sequential(OrderedDict(input=Leaky(C, 9), out=Mean(9)))
    replay = CompressedLatentReplayPlugin("input", "300 B")
    assert_refused(ValueError, "after='input' means rasters, ahead of all layers", replay, network)


class TwoAtOnce(nn.Module):
    """Spikes of two layers together: counts of up to 2, though of 1 at most before it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = Leaky(C, 9, threshold=0.05), Leaky(C, 9, threshold=0.05)
        nn.init.zeros_(self.other.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x) + self.other(x)


@pytest.mark.parametrize("codec", ["bits", "rice"])
def test_counts_that_come_with_training_have_room(codec: str) -> None:
    class Twins(SupervisedPlugin):
        def after_training_epoch(self, strategy, **kwargs):
            with torch.no_grad():
                strategy.model.both.other.weight.copy_(strategy.model.both.one.weight)

    network = CuttableSequential(OrderedDict(both=TwoAtOnce(), out=Mean(9)))
    replay = CompressedLatentReplayPlugin("both", "20 kB", codec)
    strategy, benchmark = tiny_strategy(network, [replay, Twins()]), tiny_benchmark()
    for experience in benchmark.train_stream[:2]:
        strategy.train(experience, eval_streams=[])
    assert strategy.model.largest_latent == 255
    kept, _ = replay.memory.all_latents()
    assert kept.max() == 2
    assert len(kept) == 24


def test_a_loss_forgets_the_classes_of_another_run() -> None:
    loss, benchmark = SeenClassesCrossEntropy(), tiny_benchmark()
    for _ in range(2):
        strategy = tiny_strategy(tiny_network(), criterion=loss)
        strategy.train(benchmark.train_stream[0], eval_streams=[])
        assert loss.classes == [0, 1]
        strategy.train(benchmark.train_stream[1], eval_streams=[])
        assert loss.classes == [0, 1, 2, 3]
    # What goes on with a stream that another strategy began, goes on with its classes.
    tiny_strategy(tiny_network(), criterion=loss).train(benchmark.train_stream[2], eval_streams=[])
    assert loss.classes == [0, 1, 2, 3, 4, 5]
