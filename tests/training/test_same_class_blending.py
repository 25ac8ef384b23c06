"""Minibatches of which samples are blended within their class."""

from __future__ import annotations

import pytest
import torch
from avalanche.core import SupervisedPlugin
from tiny_learners import learn, tiny_benchmark, tiny_network, tiny_strategy

from avalanche_snn.spikes import blend_same_class
from avalanche_snn.training import CompressedLatentReplayPlugin, SameClassBlending


class Minibatches(SupervisedPlugin):
    """Keeps every minibatch, and the state of torch's generator, as they are when the turn of this plugin comes."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def before_training_iteration(self, strategy, **kwargs):
        parts = [part.clone() for part in strategy.mbatch]
        self.seen.append((strategy.clock.train_exp_counter, torch.get_rng_state(), parts))


def minibatches(share, *others, **options):
    before, after = Minibatches(), Minibatches()
    strategy = tiny_strategy(tiny_network(), [*others, before, SameClassBlending(share), after], **options)
    learn(strategy, tiny_benchmark(largest=3))
    return before.seen, after.seen


def test_minibatches_are_blended_by_their_labels():
    before, after = minibatches(1.0)
    assert len(before) == 12
    for (_, state, (rasters, labels, *_)), (_, _, (blended, *_)) in zip(before, after, strict=True):
        torch.set_rng_state(state)
        assert torch.equal(blended, blend_same_class(rasters, labels, 1.0))
        assert not torch.equal(blended, rasters)


def test_labels_stay_and_a_share_of_none_changes_nothing():
    for share in (0.0, 1.0):
        for (_, _, parts), (_, _, blended) in zip(*minibatches(share), strict=True):
            assert all(map(torch.equal, parts[1:], blended[1:]))
            assert share or torch.equal(parts[0], blended[0])


@pytest.mark.parametrize("after_layer", ["input", "hidden1"])
def test_replayed_rasters_are_blended_but_no_latents(after_layer):
    replay = CompressedLatentReplayPlugin(after_layer, "unlimited")
    for (number, _, parts), (_, _, blended) in zip(*minibatches(1.0, replay), strict=True):
        latent = after_layer == "hidden1" and number > 0
        assert parts[0].dim() == (4 if latent else 3)
        assert torch.equal(parts[0], blended[0]) == latent


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_other_shares_are_refused(share):
    with pytest.raises(ValueError, match="share: a number from 0 to 1 was wanted"):
        SameClassBlending(share)
