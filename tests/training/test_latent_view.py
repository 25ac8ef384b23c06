"""Views of latents, sample by sample and batch by batch, and what dtype and loader change: nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from avalanche.benchmarks.utils.classification_dataset import TaskAwareSupervisedClassificationDataset
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.supervised import DER, Cumulative, Naive
from tiny_learners import C, K, T, learn, tiny_benchmark, tiny_network, tiny_strategy
from torch.utils.data import DataLoader, default_collate

from avalanche_snn.benchmarks import split_classes
from avalanche_snn.datasets import RasterDataset
from avalanche_snn.spikes import pack
from avalanche_snn.training import CompressedLatentReplayPlugin
from avalanche_snn.training.latent_view import seen_through_view


def first_channels(rasters):
    """As a network would put them out: binary, and packed."""
    return pack((rasters[..., :9] > 0).float())


@pytest.mark.parametrize("group", ["train", "eval"])
def test_batches_of_a_view_are_its_samples_one_by_one(group):
    experience = tiny_benchmark(task_labels=True).train_stream[1]
    lent, cache = seen_through_view(experience)
    view = lent.dataset.with_transforms(group)
    indices = [5, 0, 11, 5]
    for filled in (False, True):
        if filled:
            cache.fill(first_channels, torch.device("cpu"))
        ordinary = TaskAwareSupervisedClassificationDataset([view], collate_fn=default_collate)
        for dataset, one_by_one in ((view, ordinary), (view.subset(indices[:3]), ordinary.subset(indices[:3]))):
            positions = indices if len(dataset) == len(view) else [2, 0, 1, 2]
            expected = default_collate([one_by_one[index] for index in positions])
            batch = dataset.collate_fn([dataset[index] for index in positions])
            loaded = next(iter(DataLoader(dataset, batch_size=3)))
            assert loaded[0].dim() == (4 if filled else 3)
            assert [values.tolist() for values in batch] == [values.tolist() for values in expected]
            assert [values.dtype for values in batch] == [values.dtype for values in expected]
    rasters = torch.stack([experience.dataset[index][0] for index in range(12)])
    assert torch.equal(cache.latents, first_channels(rasters))
    assert len(cache) == len(view) == 12
    # The user's own data stay as they are.
    assert experience.dataset[0][0].shape == (T, C)


def test_latents_are_those_of_the_transforms_for_evaluation():
    def inverted(raster):
        return (raster == 0).float()

    files = arrays(torch.float32)
    lent, cache = seen_through_view(split_classes(*files, 3, shuffle=False, train_transform=inverted).train_stream[1])
    plain = split_classes(*files, 3, shuffle=False).train_stream[1].dataset
    rasters = torch.stack([plain[index][0] for index in range(24)])
    assert torch.equal(lent.dataset.read_samples(np.arange(24)).rasters, inverted(rasters))
    cache.fill(first_channels, torch.device("cpu"))
    for dataset in (lent.dataset, lent.dataset.eval()):
        assert torch.equal(dataset.read_samples(np.arange(24)).rasters, first_channels(rasters))


def stream(dtype):
    return split_classes(*arrays(dtype), 3, shuffle=False, split="merged")


def arrays(dtype):
    generator = np.random.default_rng(0)
    targets = np.arange(12 * K) % K
    rates = generator.random((K, 1, C))[targets]
    rasters = ((generator.random((len(targets), T, C)) < rates) * generator.integers(1, 4, (1, T, C))).astype(np.uint8)
    return [
        RasterDataset(rasters, targets, class_names=list("abcdef"), name="Mine", split=split, dtype=dtype)
        for split in ("train", "test")
    ]


RUNS = {
    "latents": (Naive, lambda: [CompressedLatentReplayPlugin("hidden1", 600, replay_share=0.5)], {}),
    "herded latents": (Naive, lambda: [CompressedLatentReplayPlugin("hidden1", 600, "rice", selection="herding")], {}),
    "rasters": (Naive, lambda: [CompressedLatentReplayPlugin("input", 900, "count/2")], {}),
    "replay of views": (Naive, lambda: [CompressedLatentReplayPlugin("hidden1", 600), ReplayPlugin(9)], {}),
    "der": (DER, lambda: [CompressedLatentReplayPlugin("hidden1", 0)], {"mem_size": 12, "batch_size_mem": 4}),
    "cumulative": (Cumulative, lambda: [CompressedLatentReplayPlugin("hidden1", 0)], {}),
}


@pytest.mark.parametrize("name", RUNS)
def test_weights_do_not_depend_on_dtype_and_loader(name, monkeypatch):
    template, plugins, options = RUNS[name]

    def weights(dtype):
        return learn(tiny_strategy(tiny_network(), plugins(), template, **options), stream(dtype)).state_dict()

    states = [weights(torch.float32), weights(torch.uint8)]
    for place in ("benchmarks.scenarios", "training.latent_view"):
        monkeypatch.setattr(f"avalanche_snn.{place}.with_whole_batches", lambda dataset: dataset)
    states.append(weights(torch.float32))
    for state in states[1:]:
        assert {key for key in state if not torch.equal(state[key], states[0][key])} == set()
