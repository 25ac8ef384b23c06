"""Strategies that hold weights or outputs: with no strength they are Naive, with much of it they are not."""

from __future__ import annotations

import pytest
import torch
from avalanche.training.plugins import MASPlugin, SynapticIntelligencePlugin
from exemplar_strategies import composed, spiking_network
from tiny_learners import seed_everything, tiny_benchmark, tiny_strategy

from strategies.mas import _MemoryAwareSynapses


def weights_after_learning(strategy):
    """Train on three experiences, each from the same state of the generators: some strategies draw in between."""
    for experience in tiny_benchmark().train_stream:
        seed_everything(experience.current_experience)
        strategy.train(experience, eval_streams=[])
    return torch.cat([parameter.detach().flatten() for parameter in strategy.model.parameters()])


@pytest.fixture(scope="module")
def naive_weights():
    return weights_after_learning(composed("naive"))


def options_for(name):
    # The first experience has four steps.
    return {"steps_between_scores": 2} if name == "rwalk" else {}


@pytest.mark.parametrize("name", ["ewc", "online_ewc", "si", "mas", "lwf", "rwalk"])
def test_without_strength_it_is_naive_bit_for_bit(name, naive_weights):
    assert torch.equal(weights_after_learning(composed(name, strength=0.0, **options_for(name))), naive_weights)


@pytest.mark.parametrize(
    ("name", "strength"),
    [("ewc", 10.0), ("online_ewc", 10.0), ("si", 100.0), ("mas", 1.0), ("lwf", 1.0), ("lfl", 0.1), ("rwalk", 1.0)],
)
def test_a_penalty_is_felt(name, strength, naive_weights):
    held = weights_after_learning(composed(name, strength=strength, **options_for(name)))
    assert torch.isfinite(held).all()
    assert not torch.equal(held, naive_weights)


def test_rwalk_says_when_an_experience_is_too_short():
    with pytest.raises(ValueError, match="has 4 steps, too few to score weights every 10"):
        weights_after_learning(composed("rwalk"))


def test_the_fault_that_synaptic_intelligence_works_around_is_there(naive_weights):
    """When this fails, Avalanche has mended its plugin on the CPU, and `strategies/si.py` needs none of its own."""
    with_avalanches = tiny_strategy(spiking_network(), [SynapticIntelligencePlugin(1e9)])
    assert torch.equal(weights_after_learning(with_avalanches), naive_weights)


def test_a_loss_of_zero_is_a_loss_for_mas():
    strategy = composed("mas")
    seed_everything()
    strategy.train(tiny_benchmark().train_stream[0], eval_streams=[])
    strategy.loss = torch.zeros(1)
    (ours,) = (plugin for plugin in strategy.plugins if isinstance(plugin, _MemoryAwareSynapses))
    with pytest.raises(ValueError, match="Loss is not available"):
        MASPlugin.before_backward(ours, strategy)
    ours.before_backward(strategy)
    assert 0 < strategy.loss.item() < 1e-37, "the weights are where they were"


def test_lfl_keeps_the_readout_and_trains_the_rest():
    strategy = composed("lfl", strength=0.1)
    first, second, _ = tiny_benchmark().train_stream
    strategy.train(first, eval_streams=[])
    before = {name: tensor.clone() for name, tensor in strategy.model.state_dict().items()}
    strategy.train(second, eval_streams=[])
    assert strategy.model.training, "evaluation mode is for evaluation"
    for name, tensor in strategy.model.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("readout")


def test_cwr_star_trains_the_readout_alone_and_starts_a_class_from_its_own_weights():
    strategy = composed("cwr_star")
    readout = strategy.model.readout
    first, second, _ = tiny_benchmark().train_stream
    strategy.train(first, eval_streams=[])
    before = {name: tensor.clone() for name, tensor in strategy.model.state_dict().items()}
    strategy.train_epochs = 0
    strategy.train(second, eval_streams=[])
    # Consolidated: what was learned, less its mean; the first two classes as before, two more from what they had.
    expected = before["readout.weight"][2:4] - before["readout.weight"][2:4].mean()
    torch.testing.assert_close(readout.weight[2:4], expected)
    assert torch.equal(readout.weight[:2], before["readout.weight"][:2])
    strategy.train_epochs = 2
    strategy.train(second, eval_streams=[])
    for name, tensor in strategy.model.state_dict().items():
        assert torch.equal(tensor, before[name]) == (not name.startswith("readout"))


def test_streaming_lda_sees_each_sample_once_and_leaves_the_network_alone():
    network = spiking_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    strategy = composed("streaming_lda", network, train_epochs=5)
    benchmark = tiny_benchmark()
    for experience in benchmark.train_stream:
        strategy.train(experience, eval_streams=[])
    assert strategy.num_updates == len(benchmark.train_data)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    with torch.no_grad():
        counts = network[:-1](benchmark.train_data.rasters).sum(1)
    labels = torch.tensor(benchmark.train_data.targets)
    for label in range(6):
        torch.testing.assert_close(strategy.muK[label], counts[labels == label].mean(0))
