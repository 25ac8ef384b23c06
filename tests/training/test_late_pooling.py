"""Fewer time steps and other thresholds from the freeze on."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_learners import N_EACH, C, K, T, learn, tiny_benchmark, tiny_strategy

from avalanche_snn.models import RecurrentSNN, TimePooling
from avalanche_snn.neurons import AdaptiveLeaky, DelayedSynaptic, Leaky, Synaptic
from avalanche_snn.training import CompressedLatentReplayPlugin


def network(spec="any/4/late"):
    return RecurrentSNN(
        C, (9, 7), K, neuron="leaky", threshold=0.3, readout="mean", time_pooling={"hidden1": spec}, seed=0
    )


def test_a_late_pooling_begins_when_it_is_told_to_and_remembers_it():
    pooling, x = TimePooling.from_spec("any/4/late"), (torch.rand(2, 8, 3) < 0.5).float()
    assert repr(pooling) == "TimePooling(any/4/late)"
    assert pooling(x) is x
    with pooling.started():
        assert pooling(x).shape == (2, 2, 3)
    assert pooling(x) is x
    pooling.start()
    assert torch.equal(pooling(x), TimePooling(4)(x))
    other = TimePooling.from_spec("any/4/late")
    other.load_state_dict(pooling.state_dict())
    assert torch.equal(other(x), pooling(x))
    assert TimePooling(4).state_dict() == {}


@pytest.mark.parametrize("spec", ["any/4/early", "any/4/", "any//late", "any/late"])
def test_other_times_are_refused(spec):
    with pytest.raises(ValueError, match="'any/W/late' to begin when the front is frozen"):
        TimePooling.from_spec(spec)


def test_the_first_experience_has_all_time_steps_and_the_others_fewer():
    steps = []

    class Look(CompressedLatentReplayPlugin):
        def before_backward(self, strategy, **kwargs):
            super().before_backward(strategy, **kwargs)
            steps.append((strategy.clock.train_exp_counter, strategy.model.latent_shape, strategy.mb_x.shape[1:]))

    model, lengths = network(), []
    model.hidden2.register_forward_hook(lambda layer, inputs, output: lengths.append(inputs[0].shape[1]))
    plugin = Look("hidden1", "unlimited")
    learn(tiny_strategy(model, [plugin]), tiny_benchmark())
    assert {shape for _, shape, _ in steps} == {(2, 9)}
    # Rasters first, then latents of two steps, 9 neurons in two bytes, one plane.
    assert {tuple(size) for number, _, size in steps if number == 0} == {(T, C)}
    assert {tuple(size) for number, _, size in steps if number} == {(2, 2, 1)}
    assert set(lengths) == {T, 2}
    assert plugin.memory.nbytes == 3 * 2 * N_EACH * 3 + 6 * 24  # 18 bits are three bytes


def test_a_copy_and_a_second_network_pool_as_the_first_one_does():
    model = network()
    learn(tiny_strategy(model, [CompressedLatentReplayPlugin("hidden1", 0)]), tiny_benchmark(2))
    x = tiny_benchmark().train_data.rasters[:4]
    model.eval()
    wanted = model(x)
    assert torch.equal(copy.deepcopy(model)(x), wanted)
    fresh = network().eval()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(x), wanted)


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("kind", [Leaky, Synaptic, DelayedSynaptic, AdaptiveLeaky])
def test_a_scaled_threshold_is_that_threshold(kind, reset):
    torch.manual_seed(0)
    layer = kind(C, 9, recurrent=True, bias=True, threshold=1.0, reset=reset).double()
    other = kind(C, 9, recurrent=True, bias=True, threshold=0.25, reset=reset).double()
    other.load_state_dict(layer.state_dict())
    if kind is AdaptiveLeaky:
        with torch.no_grad():  # within its range when it is divided
            for each in (layer, other):
                each.b.copy_(torch.linspace(0.0, 0.5, 9))
    x = (torch.rand(5, 20, C) < 0.5).double()
    layer.scale_threshold(0.25)
    spikes = layer(x)
    assert 0 < spikes.mean() < 1
    assert torch.equal(spikes, other(x))


def test_a_scaled_threshold_of_normalised_currents():
    layer = Leaky(C, 9, batch_norm=True, threshold=1.0).double().eval()
    other = Leaky(C, 9, batch_norm=True, threshold=0.5).double().eval()
    with torch.no_grad():
        layer.batch_norm.running_mean.uniform_(0, 0.2)
        layer.batch_norm.bias.uniform_(0, 0.5)
    other.load_state_dict(layer.state_dict())
    x = (torch.rand(5, 20, C) < 0.5).double()
    layer.scale_threshold(0.5)
    assert torch.equal(layer(x), other(x))
    assert layer(x).mean() > 0


def test_the_plugin_lowers_thresholds_behind_the_cut_once():
    weights = {}
    for scale in (1.0, 0.5):
        model = network("any/4")
        plugin = CompressedLatentReplayPlugin("hidden1", 0, threshold_scale=scale)
        strategy = tiny_strategy(model, [plugin], train_epochs=1)
        torch.manual_seed(0)
        strategy.train(tiny_benchmark().train_stream[0])
        weights[scale] = [model.hidden1.weight.clone(), model.hidden2.weight.clone(), model.readout.weight.clone()]
    for layer, factor in enumerate((1.0, 2.0, 1.0)):
        torch.testing.assert_close(weights[0.5][layer], factor * weights[1.0][layer])


@pytest.mark.parametrize("factor", [0, -1.0, float("nan")])
def test_other_factors_are_refused(factor):
    with pytest.raises(ValueError, match="threshold_scale must lie above 0"):
        CompressedLatentReplayPlugin(threshold_scale=factor)
    with pytest.raises(ValueError, match="factor of a threshold must lie above 0"):
        Leaky(2, 2).scale_threshold(factor)
