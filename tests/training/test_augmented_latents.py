"""Several latents of each sample, as random changes of its raster give them."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from avalanche.core import SupervisedPlugin
from tiny_learners import N_EACH, Rasters, T, seed_everything, tiny_network, tiny_strategy

from avalanche_snn.benchmarks import split_classes
from avalanche_snn.datasets import RasterDataset
from avalanche_snn.training import CompressedLatentReplayPlugin
from avalanche_snn.training.seeded_draws import seeded_draws


def shifted(raster):
    """Draws from two generators."""
    return torch.roll(raster, int(torch.randint(T, (1,))) + random.randrange(2), dims=0)


def benchmark_of(transform=shifted):
    data = [Rasters(seed) for seed in (1, 2)]
    train, test = (
        RasterDataset(
            part.rasters.to(torch.uint8).numpy(), part.targets, class_names=list("abcdef"), name="Tiny", split=split
        )
        for part, split in zip(data, ("train", "test"), strict=True)
    )
    return split_classes(train, test, 3, shuffle=False, train_transform=transform)


class Seen(SupervisedPlugin):
    """Keeps the new latents of an experience as a set of bytes, and the largest working memory."""

    def __init__(self, replay):
        super().__init__()
        self.replay, self.latents, self.working = replay, set(), 0

    def before_forward(self, strategy, **kwargs):
        if strategy.clock.train_exp_counter:
            self.latents |= {bytes(latent.flatten().tolist()) for latent in strategy.mb_x}
            self.working = max(self.working, self.replay.working_bytes)


def trained(n_augmented, *, memory=0, transform=shifted, seed=0, epochs=12):
    replay = CompressedLatentReplayPlugin("hidden1", memory, n_augmented=n_augmented, seed=seed)
    seen = Seen(replay)
    strategy = tiny_strategy(tiny_network(), [replay, seen], train_epochs=epochs)
    benchmark = benchmark_of(transform)
    seed_everything()
    for experience in benchmark.train_stream[:2]:
        strategy.train(experience)
    return strategy, seen, benchmark


def test_an_epoch_takes_any_of_the_draws():
    strategy, seen, benchmark = trained(0)
    data = benchmark.train_stream[1].dataset.eval()
    plain = {
        bytes(strategy.model.encode(torch.as_tensor(data[i][0])[None]).flatten().tolist()) for i in range(len(data))
    }
    assert seen.latents == plain
    _, with_draws, _ = trained(3)
    assert plain < with_draws.latents
    # Each of 12 samples has one latent and three draws, some of which may be alike.
    assert 12 + 8 < len(with_draws.latents) <= 4 * 12


def test_draws_are_counted_as_working_bytes():
    working = {n: trained(n)[1].working for n in (0, 2)}
    latent = T * 2  # 9 neurons are two bytes a step
    assert working[2] - working[0] == 2 * (2 * N_EACH) * latent


def test_without_a_transform_draws_change_nothing():
    plain, _, _ = trained(0, transform=None, memory="unlimited")
    rich, _, _ = trained(2, transform=None, memory="unlimited")
    for one, other in zip(plain.model.front_state().values(), rich.model.front_state().values(), strict=True):
        assert torch.equal(one, other)


def test_a_memory_keeps_latents_of_the_rasters_as_they_are():
    kept = [trained(n, memory="unlimited")[0].plugins[0].memory.all_latents()[0] for n in (0, 3)]
    assert sorted(map(bytes, kept[0].to(torch.uint8).numpy())) == sorted(map(bytes, kept[1].to(torch.uint8).numpy()))


def test_the_seed_of_the_plugin_decides_the_draws():
    same = [trained(3, seed=seed)[1].latents for seed in (0, 0, 1)]
    assert same[0] == same[1]
    assert same[0] != same[2]


def test_seeded_draws_leave_no_trace():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    draws = []
    for _ in range(2):
        with seeded_draws(5):
            draws.append((torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()))  # noqa: NPY002
    after = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    assert after == (torch.rand(1).item(), np.random.rand(), random.random())  # noqa: NPY002
    assert draws[0] == draws[1]


@pytest.mark.parametrize("number", [-1, 1.5, True])
def test_other_numbers_of_draws_are_refused(number):
    with pytest.raises(ValueError, match="n_augmented must be a whole number from 0"):
        CompressedLatentReplayPlugin(n_augmented=number)
