"""Few spikes as a part of the loss."""

from __future__ import annotations

import copy
import pickle
from contextlib import nullcontext

import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import LwFPlugin
from tiny_learners import learn, seed_everything, tiny_benchmark, tiny_network, tiny_strategy

from avalanche_snn.models import RecurrentSNN
from avalanche_snn.training import CompressedLatentReplayPlugin, SparseSpikes


class Losses(SupervisedPlugin):
    """Keeps the loss of every step as it is differentiated, and what it would be without a term for spikes."""

    def __init__(self):
        super().__init__()
        self.whole, self.plain, self.spikes = [], [], []

    def after_forward(self, strategy, **kwargs):
        with torch.no_grad():
            layer = strategy.model.hidden1
            mode = layer.training
            self.spikes.append(layer.eval()(strategy.mb_x.float()).mean().item() if strategy.mb_x.dim() == 3 else None)
            layer.train(mode)

    def before_backward(self, strategy, **kwargs):
        self.plain.append(strategy._criterion(strategy.mb_output, strategy.mb_y).item())

    def after_backward(self, strategy, **kwargs):
        self.whole.append(strategy.loss.item())


def plain_network():
    return RecurrentSNN(12, (9, 7), 6, neuron="leaky", threshold=0.3, readout="mean", seed=0)


def test_the_loss_has_the_mean_of_the_spikes_times_the_weight():
    losses = Losses()
    learn(tiny_strategy(plain_network(), [SparseSpikes({"hidden1": 2.0}), losses]), tiny_benchmark())
    n_first = 4
    for whole, plain, spikes in zip(losses.whole[:n_first], losses.plain, losses.spikes, strict=False):
        assert whole == pytest.approx(plain + 2.0 * spikes)
    # From the second experience on nothing is added.
    assert losses.whole[n_first:] == pytest.approx(losses.plain[n_first:])


def test_all_experiences_where_that_is_asked_for_but_no_frozen_front():
    losses = Losses()
    plugin = SparseSpikes({"hidden1": 2.0}, n_experiences=None)
    learn(tiny_strategy(plain_network(), [plugin, losses]), tiny_benchmark())
    assert all(whole > plain for whole, plain in zip(losses.whole, losses.plain, strict=True))
    losses = Losses()
    replay = CompressedLatentReplayPlugin("hidden1", "unlimited")
    learn(tiny_strategy(plain_network(), [replay, plugin, losses]), tiny_benchmark())
    assert losses.whole[4:] == pytest.approx(losses.plain[4:])


def test_a_weight_makes_spikes_fewer():
    density = {}
    for weight in (0.0, 30.0):
        network = plain_network()
        strategy = tiny_strategy(network, [SparseSpikes({"hidden1": weight})], train_epochs=20)
        seed_everything()
        benchmark = tiny_benchmark()
        strategy.train(benchmark.train_stream[0])
        with torch.no_grad():
            density[weight] = network.hidden1(benchmark.train_data.rasters).mean().item()
    assert density[30.0] < density[0.0] / 2


def test_nothing_is_left_on_the_network():
    network = tiny_network()
    learn(
        tiny_strategy(network, [SparseSpikes({"hidden1": 1.0}, n_experiences=None), LwFPlugin(1, 2)]), tiny_benchmark()
    )
    assert all(not module._forward_hooks for module in network.modules())
    pickle.dumps(network)
    copy.deepcopy(network)


@pytest.mark.parametrize("moment", ["after_training_epoch", "after_update"])
def test_nothing_is_left_where_training_ends_early_or_breaks_off(moment):
    class Ends(SupervisedPlugin):
        pass

    def end(self, strategy, **kwargs):
        if moment == "after_update":
            raise KeyboardInterrupt
        strategy.stop_training()

    setattr(Ends, moment, end)
    network = tiny_network()
    strategy = tiny_strategy(network, [SparseSpikes({"hidden1": 1.0}), Ends()])
    with pytest.raises(KeyboardInterrupt) if moment == "after_update" else nullcontext():
        strategy.train(tiny_benchmark().train_stream[0])
    assert all(not module._forward_hooks for module in network.modules())


def test_unknown_layers_and_bad_weights_are_refused():
    strategy = tiny_strategy(tiny_network(), [SparseSpikes({"hidden9": 1.0})])
    with pytest.raises(ValueError, match="There is no layer 'hidden9' to make sparse; this network has 'hidden1'"):
        strategy.train(tiny_benchmark().train_stream[0])
    with pytest.raises(ValueError, match="The weight of layer 'hidden1' must be 0 or more, but -1"):
        SparseSpikes({"hidden1": -1})
