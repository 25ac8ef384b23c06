"""Spikes, synaptic operations and time steps of networks whose every spike was worked out by hand."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn
from worked_networks import COUNTS, SPIKES, n_hooks, pooling_network, relay, small_network

from avalanche_snn.evaluation import record_activity
from avalanche_snn.evaluation.activity import ActivityRecorder
from avalanche_snn.models import ExpandableClassifier, LeakyReadout, RecurrentSNN, SpikingResNet, Stage
from avalanche_snn.neurons import AdaptiveLeaky, DelayedSynaptic, Leaky, LeakyMaps

KERNELS = ("cpp", "torch", "reference")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_spike_and_operation_of_a_small_network(kernel, dtype):
    network = small_network(kernel)
    with record_activity(network) as activity:
        network(torch.tensor([SPIKES, COUNTS], dtype=dtype))
    assert activity.samples == 2
    # Neuron 0 spikes in steps 0 and 3 of the first sample and step 0 of the second; neuron 1 in 1, 3 and 2.
    assert activity.spikes == {"hidden": 4 + 2}
    assert activity.outputs == {"hidden": 2 * 4 * 2}
    # The events of channels 0 and 1 have a fan-out of 1, those of channel 2 none. All spikes but those of step 3 come
    # back to the other neuron. In the readout neuron 0 has a fan-out of 3, neuron 1 of 2.
    assert activity.acs == {"hidden": 2 + 2, "hidden.recurrent": 2 + 2, "readout": (2 * 3 + 2 * 2) + (3 + 2)}
    # The second sample has counts.
    assert activity.macs == {"hidden": 1 + 1, "hidden.recurrent": 0, "readout": 0}
    assert activity.dense == {"hidden": 2 * 4 * 6, "hidden.recurrent": 2 * 4 * 4, "readout": 2 * 4 * 6}
    assert activity.time_steps == {"hidden": 8, "readout": 8}
    assert activity.time_steps_given == 8
    assert activity.uncounted == {}


def test_a_minibatch_counts_what_its_samples_count():
    network = small_network()
    with record_activity(network) as whole:
        network(torch.tensor([SPIKES, COUNTS]))
    with record_activity(network) as one_by_one:
        for sample in (SPIKES, COUNTS):
            network(torch.tensor([sample]))
    assert one_by_one == whole


def test_negative_inputs_and_fractions():
    network = small_network()
    with record_activity(network) as activity:
        network(torch.tensor([SPIKES], dtype=torch.float32) * -1)
    assert (activity.acs["hidden"], activity.macs["hidden"]) == (4, 0)
    assert activity.spikes == {"hidden": 0}
    with record_activity(network) as activity:
        network(torch.tensor([SPIKES], dtype=torch.float32) / 2)
    assert (activity.acs["hidden"], activity.macs["hidden"]) == (0, 4)
    with record_activity(network) as activity:
        network(torch.tensor([SPIKES]) * -2)
    assert (activity.acs["hidden"], activity.macs["hidden"]) == (0, 4)


def test_yes_and_no():
    network = small_network()
    with record_activity(network) as activity:
        network(torch.tensor([SPIKES]).bool())
    assert (activity.acs["hidden"], activity.macs["hidden"]) == (4, 0)


def test_the_published_network_has_a_dense_operation_for_each_weight_and_time_step():
    with record_activity(model := RecurrentSNN()) as activity:
        model(torch.zeros(1, 100, 700, dtype=torch.uint8))
    assert activity.dense.total() == 100 * 218_500
    assert activity.acs.total() == activity.macs.total() == 0


def test_long_sequences():
    network = small_network()
    with record_activity(network) as activity:
        network(torch.ones(1, 700, 3, dtype=torch.uint8))
    assert activity.spikes == {"hidden": 1400}
    assert activity.acs == {"hidden": 1400, "hidden.recurrent": 1398, "readout": 700 * 5}


def test_behind_a_pooling_there_are_fewer_steps_and_counts():
    network = pooling_network()
    with record_activity(network) as activity:
        network(torch.tensor([[[1, 1], [1, 0], [0, 0], [0, 0], [1, 0]]]))
    # Pooled over windows of two steps: (2, 1), (0, 0), (1, 0).
    assert activity.time_steps_given == 5
    assert activity.time_steps == {"first": 5, "second": 3, "readout": 3}
    assert activity.spikes == {"first": 4, "second": 2}
    assert activity.outputs == {"first": 10, "second": 3}
    assert activity.acs == {"first": 4, "second": 0, "readout": 2 * 3}
    assert activity.macs == {"first": 0, "second": 3, "readout": 0}


def test_given_latents_the_back_alone_is_counted():
    network = pooling_network()
    rasters = torch.tensor([[[1, 1], [1, 0], [0, 0], [0, 0], [1, 0]]], dtype=torch.uint8)
    network.cut("first", rasters)
    network.freeze_front()
    with record_activity(network) as from_rasters:
        network(rasters)
    with record_activity(network) as from_latents:
        # What layers do outside of a pass through the network is not counted.
        network(network.encode(rasters))
        network.back(network.front(rasters))
    assert set(from_rasters.spikes) == {"first", "second"}, "a frozen front runs where rasters come"
    assert from_latents.samples == 1
    assert from_latents.time_steps_given == 3
    assert from_latents.time_steps == {"second": 3, "readout": 3}
    for counted in ("spikes", "outputs", "acs", "macs", "dense"):
        behind = {name: n for name, n in getattr(from_rasters, counted).items() if name != "first"}
        assert getattr(from_latents, counted) == behind


def test_neurons_that_are_not_connected_to_themselves():
    torch.manual_seed(0)
    layer = AdaptiveLeaky(3, 4, threshold=0.01)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    network = nn.Sequential(layer, LeakyReadout(4, 2))
    x = torch.ones(1, 6, 3)
    spikes = layer(x)
    assert 0 < spikes[:, :-1].sum() < spikes.sum()
    with record_activity(network) as activity:
        network(x)
    assert activity.acs["0.recurrent"] == 3 * int(spikes[:, :-1].sum())
    assert activity.dense["0.recurrent"] == 6 * 4 * 4


def test_spikes_of_the_last_step_come_back_to_nobody():
    for kind, delay, loop, constants in ((Leaky, 0, 1, {}), (DelayedSynaptic, 2, 3, {"alpha": 0.0})):
        layer = kind(1, 2, recurrent=True, beta=0.0, threshold=0.5, reset="none", **constants)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0], [0.0]]))
            layer.recurrent_weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        x = torch.zeros(1, 7, 1)
        x[0, 0] = 1.0
        assert layer(x)[0].nonzero().tolist() == [[delay, 0], [delay + loop, 1]]
        for n_steps in range(1, 6):
            network = nn.Sequential(layer)
            with record_activity(network) as activity:
                network(x[:, :n_steps])
            assert activity.acs["0.recurrent"] == (1 if n_steps > delay + 1 else 0)


def test_layers_deep_in_a_network_linear_maps_and_convolutions():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv1d(1, 1, 2, bias=True)
            self.inner = nn.ModuleDict({"spikes": relay([[1.0, 1.0, 0.0]])})
            self.classes = nn.Linear(1, 2)
            with torch.no_grad():
                self.convolution.weight.copy_(torch.tensor([[[1.0, 2.0]]]))
                self.convolution.bias.zero_()

        def forward(self, x):
            currents = self.convolution(x.flatten(0, 1).unsqueeze(1)).reshape(*x.shape[:2], 3)
            return self.classes(self.inner["spikes"](currents).mean(1))

    network = Deep()
    with record_activity(network) as activity:
        network(torch.tensor([[[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]]]))
    # The edges of a row of four go through one place of the kernel, what is between through both.
    assert activity.acs["convolution"] == (1 + 1) + 2
    assert activity.dense["convolution"] == 2 * 3 * 2
    # Currents (1, 0, 2) and (2, 1, 0): counts, as far as anyone can tell.
    assert activity.macs["inner.spikes"] == 1 + 2
    assert activity.spikes == {"inner.spikes": 2}
    # One spike in each step: their mean over time is 1.
    assert activity.acs["classes"] == 2
    assert activity.dense["classes"] == 2


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("save_memory", [False, True])
def test_counting_changes_nothing(kernel, save_memory):
    model = RecurrentSNN(12, (9, 7), 6, threshold=0.05, kernel=kernel, save_memory=save_memory, seed=0)
    x = (torch.rand(20, 8, 12, generator=torch.Generator().manual_seed(0)) < 0.3).to(torch.uint8)
    plain = model(x)
    expected = torch.autograd.grad(plain.square().sum(), list(model.parameters()))
    before = torch.get_rng_state()
    with record_activity(model) as activity:
        counted = model(x)
        with torch.no_grad():
            silent = model(x)
    gradients = torch.autograd.grad(counted.square().sum(), list(model.parameters()))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(counted, plain)
    assert torch.equal(silent, plain)
    assert all(map(torch.equal, gradients, expected))
    assert activity.samples == 40
    assert activity.spikes["hidden1"] == 2 * int(model.hidden1(x).sum()) > 0
    assert activity.time_steps["hidden2"] == 40 * 8


def test_hooks_are_there_inside_the_block_only():
    network = small_network()
    with record_activity(network) as activity:
        assert n_hooks(network) == 4
        network(torch.tensor([SPIKES]))
    assert n_hooks(network) == 0
    network(torch.tensor([SPIKES]))
    assert activity.samples == 1
    with pytest.raises(ValueError, match="wanted an input"), record_activity(network):
        network(torch.zeros(1, 4, 5))
    assert n_hooks(network) == 0
    torch.save(copy.deepcopy(network), io.BytesIO())


def test_metrics_share_a_recorder_and_replace_one_that_was_left_behind():
    network, minibatch = small_network(), [torch.tensor([SPIKES])]
    left = ActivityRecorder.on(network, [torch.tensor([SPIKES])])
    recorder = ActivityRecorder.on(network, minibatch)
    assert recorder is not left
    assert ActivityRecorder.on(network, minibatch) is recorder
    assert n_hooks(network) == 4
    network(*minibatch)
    assert (recorder.activity.samples, left.activity.samples) == (1, 0)
    recorder.close()
    recorder.close()
    assert n_hooks(network) == 0


def test_errors():
    with pytest.raises(ValueError, match=r"wanted a network with spiking layers .* but Linear has none"):
        record_activity(nn.Linear(3, 2)).__enter__()
    network = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (1, 6)), relay([[1.0] * 6]))
    with pytest.raises(ValueError, match=r"takes sequences \[B, T, C\], but \[2, 6\]"), record_activity(network):
        network(torch.zeros(2, 6))


def test_neurons_of_feature_maps():
    network = SpikingResNet(5, (Stage(1, 4, 1), Stage(1, 6, 2)), n_time_steps=3, seed=0).eval()
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    fired = {}
    handles = [
        module.register_forward_hook(lambda _, __, spikes, name=name: fired.update({name: spikes}))
        for name, module in network.named_modules()
        if isinstance(module, LeakyMaps)
    ]
    with record_activity(network) as activity:
        network(images)
    for handle in handles:
        handle.remove()
    assert (activity.samples, activity.time_steps_given) == (2, 2 * 3)
    assert len(fired) == 5
    assert activity.spikes == {name: int(spikes.sum()) for name, spikes in fired.items()}
    assert activity.outputs["stem_neurons"] == 2 * 3 * 4 * 8 * 8
    assert set(activity.time_steps.values()) == {6}
    # The first convolution takes an image in once; the second takes spikes in, at every step.
    assert activity.macs["stem.0"] > 0 == activity.acs["stem.0"]
    assert activity.acs["blocks.0.first.0"] > 0 == activity.macs["blocks.0.first.0"]
    assert not activity.uncounted


def test_metrics_of_a_growing_network_of_feature_maps():
    extractor = SpikingResNet(None, (Stage(1, 4, 1),), n_time_steps=2, seed=0)
    network = ExpandableClassifier(lambda: extractor, 5).eval()
    with record_activity(network) as activity:
        network(torch.randn(2, 3, 8, 8))
    assert list(activity.spikes) == [
        f"extractors.0.{name}" for name in ("stem_neurons", "blocks.0.first_neurons", "blocks.0.second_neurons")
    ]
