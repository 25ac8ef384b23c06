"""Bytes that strategies keep, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_learners
import torch
from avalanche.benchmarks.utils import concat_datasets
from avalanche.core import SupervisedPlugin
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import (
    AGEMPlugin,
    EvaluationPlugin,
    EWCPlugin,
    GDumbPlugin,
    GEMPlugin,
    LwFPlugin,
    MASPlugin,
    ReplayPlugin,
    RWalkPlugin,
    SynapticIntelligencePlugin,
)
from avalanche.training.supervised import DER, ER_ACE, MER, Cumulative, Naive
from tiny_learners import N_EACH, C, K, Silence, T, learn, tiny_network, tiny_strategy
from torch import nn

from avalanche_snn.benchmarks import split_classes
from avalanche_snn.datasets import RasterDataset
from avalanche_snn.evaluation import MemoryMetric, bytes_in_use, memory_bytes, memory_metrics
from avalanche_snn.evaluation.memory import bytes_of_samples
from avalanche_snn.spikes import rice_bytes
from avalanche_snn.training import CompressedLatentReplayPlugin

# A bit a cell, where so many spikes leave nothing to save, and a byte each for that; length and label.
SAMPLE = T * C // 8 + 1 + 2 + 1
# Packed latents of an experience: 12 samples of 8 time steps and 9 features, each with a byte for the label.
LATENTS = 2 * N_EACH * (T * 2 + 1)


def tiny_benchmark(**options):
    """Rasters that are half full, up to the last cell, so that all of them take as many bytes."""
    benchmark = tiny_learners.tiny_benchmark(**options)
    rasters = benchmark.train_data.rasters
    full = torch.rand(rasters.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    full[:, -1, -1] = True
    rasters[:] = full
    return benchmark


def weights():
    return sum(parameter.numel() for parameter in tiny_network().parameters())


def network_bytes():
    """Weights in float32, two running statistics of each feature, and a 64-bit counter for each of two layers."""
    return 4 * (weights() + 2 * (9 + 7)) + 2 * 8


def after_learning(plugins=(), template=Naive, *, benchmark=None, **options):
    strategy = tiny_strategy(tiny_network(), plugins, template, **options)
    assert memory_bytes(strategy) == 0
    learn(strategy, benchmark or tiny_benchmark())
    return memory_bytes(strategy)


def test_the_network_of_these_tests():
    # linear, batch norm, spikes (input and recurrent), of 9 and of 7 neurons, and a readout.
    assert weights() == (12 * 9 + 9 + 18 + 81 + 81) + (9 * 7 + 7 + 14 + 49 + 49) + 7 * K
    assert network_bytes() == sum(tensor.nbytes for tensor in tiny_network().state_dict().values())


@pytest.mark.parametrize(
    ("plugins", "expected"),
    [
        (list, lambda: 0),
        # Importances and old weights of each of three experiences, or of the last one.
        (lambda: [EWCPlugin(1.0)], lambda: 3 * 2 * 4 * weights()),
        (lambda: [EWCPlugin(1.0, mode="online", decay_factor=0.5)], lambda: 2 * 4 * weights()),
        (lambda: [MASPlugin()], lambda: 2 * 4 * weights()),
        # Moving average of importances, scores, penalties and old weights; what is computed between scores comes on top
        # while training.
        (lambda: [RWalkPlugin(delta_t=2)], lambda: 4 * 4 * weights()),
        # The old network, batch statistics and their counters included.
        (lambda: [LwFPlugin()], network_bytes),
        (lambda: [ReplayPlugin(8)], lambda: 8 * SAMPLE),
        (lambda: [ReplayPlugin(1000)], lambda: 36 * SAMPLE),
        # The network that each experience starts from, and the samples.
        (lambda: [GDumbPlugin(14)], lambda: network_bytes() + 14 * SAMPLE),
        # Float32 rasters as GEM stores them, with class and task labels of 8 bytes.
        (lambda: [GEMPlugin(5, 0.5)], lambda: 3 * 5 * (T * C * 4 + 8 + 8)),
        (lambda: [AGEMPlugin(5, 5)], lambda: 3 * 5 * SAMPLE),
        (lambda: [EWCPlugin(1.0), LwFPlugin()], lambda: 3 * 2 * 4 * weights() + network_bytes()),
    ],
)
def test_plugins(plugins, expected):
    assert after_learning(plugins()) == expected()


@pytest.mark.parametrize(
    ("template", "options", "expected"),
    [
        (Cumulative, {}, 36 * SAMPLE),
        (ER_ACE, {"mem_size": 12, "batch_size_mem": 4}, 12 * SAMPLE),
        (MER, {"mem_size": 12, "batch_size_mem": 3, "n_inner_steps": 1}, 12 * SAMPLE),
        # With the logits of each sample.
        (DER, {"mem_size": 12, "batch_size_mem": 4}, 12 * (SAMPLE + 4 * K)),
    ],
)
def test_templates(template, options, expected):
    assert after_learning(template=template, **options) == expected


def test_samples_that_are_no_counts_are_counted_as_they_are():
    benchmark = tiny_benchmark()
    benchmark.train_data.rasters /= 2
    assert after_learning([ReplayPlugin(8)], benchmark=benchmark) == 8 * (4 * T * C + 1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_rasters_are_counted_as_their_code_stores_them(dtype):
    """Of a data set that works it out for itself, and of another one, against the code itself."""
    generator = np.random.default_rng(0)
    rasters = generator.integers(0, 6, (36, T, C), dtype=np.uint8) * (generator.random((36, T, C)) < 0.1)
    targets = np.arange(36) // 6
    files = [
        RasterDataset(rasters, targets, class_names=list("abcdef"), name="Mine", split=split, dtype=dtype)
        for split in ("train", "test")
    ]
    benchmark = split_classes(*files, 3, shuffle=False)
    strategy = tiny_strategy(tiny_network(), template=Cumulative)
    sizes = [n_bytes + 2 + 1 for n_bytes in rice_bytes(torch.from_numpy(rasters)).tolist()]
    assert min(sizes) < max(sizes) < T * C * 3 // 8
    for number, experience in enumerate(benchmark.train_stream, start=1):
        strategy.train(experience, eval_streams=[])
        assert memory_bytes(strategy) == sum(sizes[: 12 * number])
    other = tiny_learners.tiny_benchmark()
    other.train_data.rasters[:] = torch.from_numpy(rasters)
    assert after_learning(template=Cumulative, benchmark=other) == sum(sizes)


def test_synaptic_intelligence_keeps_old_weights_importances_and_paths():
    """Not the weights before and after a step, its gradient and the path of the present experience."""
    plugin = SynapticIntelligencePlugin(1.0)
    strategy = tiny_strategy(tiny_network(), [plugin])
    learn(strategy, tiny_benchmark())
    # Batch norms are left out: weight and bias of 9 and of 7 neurons.
    regularised = weights() - 2 * (9 + 7)
    assert memory_bytes(strategy) == 3 * 4 * regularised
    # On the CPU, weights after a step are the network's own, and not counted.
    assert bytes_in_use(strategy) - memory_bytes(strategy) >= 2 * 4 * regularised


def test_what_a_strategy_hangs_on_the_network_is_counted():
    class Hanging(SupervisedPlugin):
        def before_training(self, strategy, **kwargs):
            strategy.model.saved_weights = {3: np.zeros(7, dtype=np.float32), 4: np.zeros(7, dtype=np.float32)}
            strategy.model.own = strategy.model.readout.weight

    assert after_learning([Hanging()]) == 2 * 7 * 4


def test_samples_cost_what_is_counted_for_them():
    benchmark = tiny_learners.tiny_benchmark(largest=3)
    sizes = bytes_of_samples(concat_datasets([experience.dataset for experience in benchmark.train_stream]))
    assert len(set(sizes.tolist())) > 3
    assert after_learning(template=Cumulative, benchmark=benchmark) == sizes.sum()
    # In the order of the samples, whichever way they are put together.
    first, second = (experience.dataset for experience in benchmark.train_stream[:2])
    mixed = concat_datasets([second.subset([3, 1]), first.subset([0])]).subset([2, 0, 1, 0])
    assert bytes_of_samples(mixed).tolist() == [sizes[0], sizes[15], sizes[13], sizes[15]]


def test_a_sample_is_read_once_however_often_it_is_counted(monkeypatch):
    benchmark = tiny_benchmark()
    strategy = tiny_strategy(tiny_network(), [ReplayPlugin(8)])
    strategy.train(benchmark.train_stream[0], eval_streams=[])
    kept = memory_bytes(strategy)
    read = []
    original = type(benchmark.train_data).__getitem__
    monkeypatch.setattr(
        type(benchmark.train_data), "__getitem__", lambda self, index: read.append(index) or original(self, index)
    )
    assert memory_bytes(strategy) == kept == 8 * SAMPLE
    assert not read


def test_nothing_is_counted_twice():
    class Referring(SupervisedPlugin):
        def after_training_exp(self, strategy, **kwargs):
            self.replay, self.policy, self.buffer = replay, replay.storage_policy, replay.storage_policy.buffer

    replay = ReplayPlugin(8)
    assert after_learning([replay, Referring()]) == 8 * SAMPLE
    assert after_learning([ReplayPlugin(1000), ReplayPlugin(1000), AGEMPlugin(5, 5)]) == 36 * SAMPLE

    class Hoarder(SupervisedPlugin):
        def before_training(self, strategy, **kwargs):
            self.model, self.weight, self.optimizer = strategy.model, strategy.model.readout.weight, strategy.optimizer
            self.row = torch.zeros(10, 100)[3]
            self.same = {"row": self.row, "again": [self.row]}
            self.array = np.zeros(7, dtype=np.int16)
            self.layer = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))

    # 100 floats, 7 small integers, and a layer: 6 + 2 weights, 2 + 2 more, 2 + 2 statistics, a counter.
    assert after_learning([Hoarder()]) == 400 + 14 + 4 * (8 + 4 + 4) + 8


@pytest.mark.parametrize("codec", ["bits", "rice", "any/4", "count/4"])
@pytest.mark.parametrize("after", ["hidden1", "input"])
def test_compressed_latent_replay_keeps_its_memory_and_no_more(after, codec):
    replay = CompressedLatentReplayPlugin(after, 500, codec)
    assert after_learning([replay]) == replay.memory.nbytes == replay.memory_bytes
    assert 200 < replay.memory.nbytes <= 500
    assert replay.working_bytes == 0


def test_a_buffer_of_another_plugin_keeps_the_latents_that_it_refers_to():
    """Avalanche's buffers hold on to whole views; a sample of each of three experiences keeps the latents of all."""
    replay = CompressedLatentReplayPlugin("hidden1", 500)
    assert after_learning([replay, ReplayPlugin(3)]) == replay.memory.nbytes + 3 * LATENTS
    replay = CompressedLatentReplayPlugin("hidden1", 500)
    others = [ReplayPlugin(3), AGEMPlugin(2, 2)]
    assert after_learning([replay, *others]) == replay.memory.nbytes + 3 * LATENTS
    # GEM stores tensors, which are packed latents after the first experience.
    assert after_learning([CompressedLatentReplayPlugin("hidden1", 0), GEMPlugin(5, 0.5)]) == 3 * 5 * (16 + 8 + 8)
    # The old network of LwF knows nothing of the latents.
    replay = CompressedLatentReplayPlugin("hidden1", 500)
    assert after_learning([LwFPlugin(), replay]) == replay.memory.nbytes + network_bytes()


def metrics_of(plugins, template=Naive, **options):
    metric = MemoryMetric()
    evaluator = EvaluationPlugin(accuracy_metrics(epoch=True), metric, loggers=[Silence()])
    strategy = tiny_strategy(tiny_network(), plugins, template, evaluator=evaluator, **options)
    learn(strategy, tiny_benchmark())
    emitted = {
        name: values
        for name, (_, values) in evaluator.get_all_metrics().items()
        if name.startswith(("MemoryBytes", "WorkingBytes"))
    }
    kept, working = (
        [value for number in range(3) for value in emitted[f"{name}/train_phase/train_stream/Exp{number:03d}"]]
        for name in ("MemoryBytes", "WorkingBytes")
    )
    assert len(emitted) == 6
    assert metric.memory_bytes == metric.result() == kept[-1] == memory_bytes(strategy)
    assert metric.working_bytes == max(working)
    assert bytes_in_use(strategy) >= kept[-1]
    return kept, working


def front_bytes():
    """The frozen front: weights of the first layer, two statistics a feature and a counter."""
    return 4 * (12 * 9 + 9 + 18 + 81 + 81 + 2 * 9) + 8


def test_working_bytes_are_cached_latents_restored_exemplars_and_the_copy_of_the_front():
    replay = CompressedLatentReplayPlugin("hidden1", "unlimited")
    kept, working = metrics_of([replay])
    # 9 bytes a sample, two classes more with each experience.
    assert kept == [2 * classes * (N_EACH * 9 + 24) for classes in (1, 2, 3)]
    # The first experience is encoded after its last epoch, when there is no frozen front to look after yet.
    # All earlier samples are exemplars, restored to 16 bytes each.
    exemplars = [old * N_EACH * 16 for old in (2, 4)]
    assert working == [LATENTS, *(LATENTS + front_bytes() + restored for restored in exemplars)]


def test_working_bytes_without_a_working_memory():
    assert metrics_of([]) == ([0, 0, 0], [0, 0, 0])
    assert metrics_of([CompressedLatentReplayPlugin("input", "unlimited")])[1] == [0, 0, 0]
    kept, working = metrics_of([EWCPlugin(1.0)])
    assert kept == [n * 2 * 4 * weights() for n in (1, 2, 3)]
    assert working == [0, 0, 0]


def test_latents_that_others_keep_are_not_working_bytes():
    replay = CompressedLatentReplayPlugin("hidden1", 0)
    kept, working = metrics_of([ReplayPlugin(3), replay])
    assert kept == [LATENTS, 2 * LATENTS, 3 * LATENTS]
    assert working == [0, front_bytes(), front_bytes()]


def test_what_a_minibatch_leaves_behind_is_working_memory():
    """A gradient of each earlier experience, as GEM computes it for every minibatch."""
    kept, working = metrics_of([GEMPlugin(5, 0.5)])
    assert kept == [n * 5 * (T * C * 4 + 8 + 8) for n in (1, 2, 3)]
    assert working == [0, 4 * weights(), 2 * 4 * weights()]


def test_the_metric_is_made_as_avalanche_makes_metrics():
    (metric,) = memory_metrics()
    assert isinstance(metric, MemoryMetric)
    assert str(metric) == "MemoryBytes"
    assert metric.result() == metric.working_bytes == 0
