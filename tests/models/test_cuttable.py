from __future__ import annotations

import copy
import pickle
import re
from collections import OrderedDict

import pytest
import torch
from tiny_learners import C, K, Mean, NormalisedLeaky, Rasters, T, tiny_network, tiny_sequential
from torch import nn

from avalanche_snn.models import CuttableSequential, RecurrentSNN, TimePooling, cut
from avalanche_snn.neurons import Leaky
from avalanche_snn.spikes import pack

POOLINGS = [None, {"hidden1": "any/3"}, {"hidden1": "count/3", "hidden2": "any/2"}]
RASTERS = Rasters(5).rasters


def cut_network(after="hidden1", *, freeze=True, **options):
    network = tiny_network(**options)
    network(RASTERS)  # batch statistics that are not those of a new network
    network.cut(after, RASTERS)
    if freeze:
        network.freeze_front()
    return network


def state_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same_state(state, other):
    assert state.keys() == other.keys()
    assert {name for name in state if not torch.equal(state[name], other[name])} == set()


@pytest.mark.parametrize("time_pooling", POOLINGS)
@pytest.mark.parametrize("after", ["hidden1", "hidden2"])
def test_front_and_back_are_the_whole(after, time_pooling):
    network = cut_network(after, freeze=False, time_pooling=time_pooling).eval()
    latents = network.front(RASTERS)
    assert (len(RASTERS), *network.latent_shape) == tuple(latents.shape)
    assert 0.05 < (latents > 0).float().mean() < 0.95
    assert torch.equal(network.back(latents), network(RASTERS))
    pooled = [name for name in ("hidden1", "hidden2")[: 1 if after == "hidden1" else 2] if name in (time_pooling or {})]
    n_steps = T
    for name in pooled:
        n_steps = -(-n_steps // int(time_pooling[name].split("/")[1]))
    assert network.latent_shape == (n_steps, 9 if after == "hidden1" else 7)


@pytest.mark.parametrize("time_pooling", POOLINGS)
@pytest.mark.parametrize("after", ["hidden1", "hidden2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_packed_latents_are_as_good_as_rasters(after, time_pooling, dtype):
    network = cut_network(after, time_pooling=time_pooling).to(dtype).eval()
    packed = network.encode(RASTERS)
    assert packed.dtype == torch.uint8
    n_planes = 2 if (time_pooling or {}).get(after) == "count/3" else 1
    assert tuple(packed.shape[2:]) == (-(-network.latent_shape[1] // 8), n_planes)
    assert network.decode(packed).dtype == dtype
    assert torch.equal(network.decode(packed), network.front(RASTERS))
    assert torch.equal(network.repack(network.decode(packed)), packed)
    logits = network(RASTERS)
    assert logits.dtype == dtype
    assert torch.equal(network(packed), logits)


def test_dropout_behind_the_cut_draws_the_same_for_rasters_and_latents():
    """Layers hand on tensors of different memory order; what follows the cut must not see which way they came."""
    network = cut_network().train()
    packed = network.encode(RASTERS)
    logits = []
    for batch in (RASTERS, packed):
        torch.manual_seed(0)
        logits.append(network(batch))
    assert torch.equal(*logits)


def test_a_cut_by_the_name_of_the_pooling_is_the_same_cut():
    network = tiny_network(time_pooling={"hidden1": "any/3"})
    network.cut("hidden1", RASTERS)
    names = set(network.front_state())
    assert {name.split(".")[0] for name in names} == {"hidden1"}
    shape = network.latent_shape
    network.cut("hidden1_pooling", RASTERS)
    assert (set(network.front_state()), network.latent_shape) == (names, shape)


@pytest.mark.parametrize(
    ("layers", "largest"),
    [
        ([Leaky(C, 9, threshold=0.1)], 1),
        ([Leaky(C, 9, threshold=0.1), TimePooling(3, "any")], 1),
        ([Leaky(C, 9, threshold=0.1), TimePooling(3, "count")], 3),
        ([Leaky(C, 9, threshold=0.1), TimePooling(4, "count"), TimePooling(2, "any")], 7),
        ([Leaky(C, 9, threshold=0.1), TimePooling(2, "count"), TimePooling(3, "count")], 7),
        ([nn.Identity()], 255),  # rasters are counts here, and nothing says how large they may be
    ],
)
def test_packed_latents_have_room_for_the_counts_that_can_come(layers, largest):
    names = [f"layer{number}" for number in range(len(layers))]
    network = CuttableSequential(OrderedDict(zip(names, layers, strict=True), readout=Mean(9)))
    counts = 2 * RASTERS
    network.cut("layer0", counts)
    assert network.largest_latent == largest
    assert torch.equal(network.decode(network.encode(counts)), network.front(counts))
    network.hold_latents_up_to(2)
    assert network.largest_latent == max(largest, 3)
    network.hold_latents_up_to(300)
    assert network.largest_latent == 511
    assert torch.equal(network.decode(network.encode(counts)), network.front(counts))


@pytest.mark.parametrize("after", ["hidden1", "hidden2"])
def test_a_frozen_front_does_not_move(after):
    network = cut_network(after, freeze=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    labels = torch.arange(len(RASTERS)) % K

    def step(batch):
        network.train()
        optimizer.zero_grad(set_to_none=False)
        nn.functional.cross_entropy(network(batch), labels).backward()
        optimizer.step()

    step(RASTERS)  # momentum, and gradients that are there when the front is frozen
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.freeze_front()
    before, names = state_of(network), set(network.front_state())
    for batch in (RASTERS, network.encode(RASTERS), RASTERS):
        step(batch)
    after_steps = state_of(network)
    assert {name for name in before if torch.equal(before[name], after_steps[name])} == names
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == (name not in names)
        assert (parameter.grad is None) == (name in names)


def test_a_frozen_front_stays_in_evaluation_mode():
    network = cut_network()
    for module in (network, network.train(), network.eval().train(True)):
        assert module.training
        assert not any(layer.training for layer in network.hidden1.modules())
        assert all(layer.training for layer in network.hidden2.modules())
    network.eval()
    assert not any(layer.training for layer in network.modules())


def test_reading_the_front_leaves_modes_and_statistics_alone():
    network = cut_network(freeze=False).train()
    network.hidden1.dropout.eval()
    modes = {name: module.training for name, module in network.named_modules()}
    before = state_of(network)
    torch.manual_seed(0)
    first = network.front(RASTERS)
    assert torch.equal(network.front(RASTERS), first)
    assert torch.equal(network.eval().front(RASTERS), first)
    network.train()
    network.hidden1.dropout.eval()
    assert {name: module.training for name, module in network.named_modules()} == modes
    assert_same_state(before, state_of(network))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
@pytest.mark.parametrize("moment", ["uncut", "cut", "frozen"])
def test_copies_understand_what_the_network_does(moment, copied):
    network = tiny_network(time_pooling={"hidden1": "any/3"})
    network(RASTERS)
    if moment != "uncut":
        network.cut("hidden1", RASTERS)
    if moment == "frozen":
        network.freeze_front()
    other = copied(network)
    assert type(other) is type(network)
    assert (other.is_cut, other.front_is_frozen) == (network.is_cut, network.front_is_frozen)
    assert_same_state(network.state_dict(), other.state_dict())
    network.eval(), other.eval()
    assert torch.equal(network(RASTERS), other(RASTERS))
    if moment != "uncut":
        assert torch.equal(other(network.encode(RASTERS)), network(RASTERS))
    # A copy has layers of its own.
    with torch.no_grad():
        other.hidden1.linear.weight.add_(1.0)
    assert not torch.equal(network.hidden1.linear.weight, other.hidden1.linear.weight)
    # And it can be cut and frozen by itself.
    other.cut("hidden1", RASTERS)
    other.freeze_front()
    assert network.front_is_frozen == (moment == "frozen")
    assert network.hidden1.linear.weight.requires_grad == (moment != "frozen")


def test_state_dicts_fit_before_and_after_cut_and_freezing():
    network = cut_network(time_pooling={"hidden1": "any/3"})
    fresh = tiny_network(time_pooling={"hidden1": "any/3"})
    assert list(fresh.state_dict()) == list(network.state_dict())
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh.eval()(RASTERS), network.eval()(RASTERS))
    # What a network is cut after is not among its weights.
    assert not fresh.is_cut
    fresh.cut("hidden1", RASTERS)
    assert torch.equal(fresh(network.encode(RASTERS)), network(RASTERS))


def test_parameters_have_the_names_of_a_plain_sequential():
    plain, cuttable = tiny_sequential(nn.Sequential), tiny_sequential()
    names = list(plain.state_dict())
    assert list(cuttable.state_dict()) == names
    cuttable.cut("spikes", RASTERS)
    cuttable.freeze_front()
    assert [name for name, _ in cuttable.named_parameters()] == [name for name, _ in plain.named_parameters()]
    plain.load_state_dict(cuttable.state_dict())
    assert torch.equal(plain(RASTERS), cuttable(RASTERS))
    assert set(cuttable.front_state()) == {"spikes.weight"}


@pytest.mark.parametrize("after", ["spikes", "more"])
@pytest.mark.parametrize("kind", [nn.Sequential, CuttableSequential])
def test_any_sequential_can_be_cut_into_two(kind, after):
    network = tiny_sequential(kind)
    front, back = cut(network, after)
    assert torch.equal(back(front(RASTERS)), network(RASTERS))
    assert [name for name, _ in front.named_children()] == ["spikes", "more"][: 1 if after == "spikes" else 2]
    shared = {id(parameter) for part in (front, back) for parameter in part.parameters()}
    assert shared == {id(parameter) for parameter in network.parameters()}


def test_cutting_in_two_leaves_pooling_in_front():
    network = tiny_network(time_pooling={"hidden1": "any/3"})
    front, back = cut(network, "hidden1")
    assert [name for name, _ in front.named_children()] == ["hidden1", "hidden1_pooling"]
    assert [name for name, _ in back.named_children()] == ["hidden2", "readout"]


def test_slices_and_single_layers():
    network = cut_network(time_pooling={"hidden1": "any/3"}).eval()
    assert network[0] is network.hidden1
    assert network[-1] is network.readout
    part = network[:2]
    assert type(part) is CuttableSequential
    assert not part.is_cut
    assert torch.equal(network[2:](part(RASTERS)), network(RASTERS))


@pytest.mark.parametrize("kind", ["method", "function"])
@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("nowhere", "There is no layer 'nowhere' to cut after; this network has 'spikes', 'more'."),
        (
            "readout",
            "Layer 'readout' is the last one: a cut there leaves nothing to train. Choose from 'spikes', 'more'.",
        ),
    ],
)
def test_cuts_that_cannot_be(after, message, kind):
    network = tiny_sequential()
    with pytest.raises(ValueError, match=re.escape(message)):
        network.cut(after, RASTERS) if kind == "method" else cut(network, after)
    assert not network.is_cut


def test_a_cut_that_leaves_only_pooling_behind_is_refused():
    network = CuttableSequential(OrderedDict(spikes=Leaky(C, 9), pooling=TimePooling(2)))
    with pytest.raises(ValueError, match="leaves nothing to train"):
        network.cut("spikes", RASTERS)


def test_a_cut_that_fails_leaves_the_last_one():
    network = CuttableSequential(
        OrderedDict(spikes=Leaky(C, 9, threshold=0.3), linear=nn.Linear(9, 8), readout=Mean(8))
    )
    network.cut("spikes", RASTERS)
    with pytest.raises(ValueError, match=r"must be spikes or spike counts \(whole numbers from 0 to 255\), but values"):
        network.cut("linear", RASTERS)
    with pytest.raises(ValueError, match=r"wanted an input \[B, T, 12\]"):
        network.cut("spikes", RASTERS[..., :5])
    assert network.latent_shape == (T, 9)
    assert torch.equal(network.eval()(network.encode(RASTERS)), network(RASTERS))


@pytest.mark.parametrize("values", [-1.0, 0.5, 256.0])
def test_latents_that_cannot_be_packed_are_refused(values):
    network = CuttableSequential(OrderedDict(same=nn.Identity(), readout=Mean(C)))
    with pytest.raises(ValueError, match="after layer 'same' must be spikes or spike counts"):
        network.cut("same", torch.full((2, T, C), values))


def test_latents_that_are_no_sequence_are_refused():
    network = CuttableSequential(OrderedDict(mean=Mean(C, 5), readout=nn.Linear(5, K)))
    with pytest.raises(ValueError, match=r"after layer 'mean' must be \[B, T, H\], but \[36, 5\] came"):
        network.cut("mean", RASTERS)


def test_latents_need_a_cut():
    network = tiny_network()
    with pytest.raises(ValueError, match=r"Packed latents \[36, 8, 2, 1\] came, but this network is not cut: call cut"):
        network(pack(torch.zeros(36, T, 9)))
    for use in (
        lambda: network.latent_shape,
        lambda: network.largest_latent,
        lambda: network.front(RASTERS),
        lambda: network.back(RASTERS),
        lambda: network.encode(RASTERS),
        lambda: network.decode(pack(torch.zeros(36, T, 9))),
        lambda: network.repack(torch.zeros(36, T, 9)),
        lambda: network.hold_latents_up_to(3),
        network.front_state,
        network.freeze_front,
    ):
        with pytest.raises(ValueError, match="not cut into front and back yet: call cut"):
            use()


@pytest.mark.parametrize("shape", [(4, T, 17), (4, T - 1, 9), (4, T, 8)])
def test_latents_of_another_shape_are_refused(shape):
    network = cut_network()
    with pytest.raises(ValueError, match=r"Packed latents \[B, 8, 2, P\] of 9 features were wanted, but \[4, "):
        network(pack(torch.zeros(shape)))


def test_a_frozen_front_can_be_cut_again_only_where_it_is():
    network = cut_network("hidden1")
    network.cut("hidden1", RASTERS)
    with pytest.raises(ValueError, match="frozen up to 'hidden1' already: cut there, or take a new network"):
        network.cut("hidden2", RASTERS)
    assert network.latent_shape == (T, 9)


def test_layers_cannot_be_named_like_methods():
    with pytest.raises(ValueError, match="cannot be named 'front', as its methods are"):
        CuttableSequential(OrderedDict(front=Leaky(C, 9), readout=Mean(9)))


def test_rasters_of_any_dtype_are_taken():
    network = cut_network().eval()
    for dtype in (torch.uint8, torch.int64, torch.bool, torch.float64):
        assert torch.equal(network(RASTERS.to(dtype)), network(RASTERS))
        assert torch.equal(network.encode(RASTERS.to(dtype)), network.encode(RASTERS))


def test_the_papers_network_can_be_cut_behind_every_layer():
    generator = torch.Generator().manual_seed(0)
    rasters = (torch.rand(3, 40, 700, generator=generator) < 0.1).float()
    network = RecurrentSNN(seed=0, time_pooling={"hidden2": "any/2"}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(8.0)
    expected = network(rasters)
    for after, shape in (("hidden1", (40, 200)), ("hidden2", (20, 100)), ("hidden3", (20, 50))):
        network.cut(after, rasters)
        assert network.latent_shape == shape
        assert network.front(rasters).any()
        assert torch.equal(network(network.encode(rasters)), expected)


def test_batch_statistics_of_this_test_network_do_drift_unless_frozen():
    """The tests above would notice: in training mode, batches of rasters move the statistics of NormalisedLeaky."""
    layer = NormalisedLeaky(C, 9)
    before = layer.norm.running_mean.clone()
    layer(RASTERS)
    assert not torch.equal(layer.norm.running_mean, before)


def test_a_network_that_stays_in_evaluation_mode_trains_as_it_is_evaluated():
    network = RecurrentSNN(12, (9, 7), 5, neuron="adaptive", batch_norm=True, dropout=0.5, readout="mean", seed=0)
    x = (torch.rand(6, 8, 12) < 0.4).to(torch.uint8)
    network.train()
    network(x)  # statistics that are not those of the start
    evaluated = network.eval()(x)
    network.stay_in_evaluation_mode()
    network.train()
    assert network.training
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained = network(x)
    torch.testing.assert_close(trained, evaluated)
    trained.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert copy.deepcopy(network).train().hidden1_dropout.training is False


def test_bytes_pass_a_dropout_that_drops_nothing():
    network = RecurrentSNN(12, (9, 7), 5, neuron="adaptive", dropout=0.5, readout="mean", seed=0).eval()
    x = (torch.rand(6, 8, 12) < 0.4).to(torch.uint8)
    network.cut("hidden1", x)
    network.freeze_front()
    dtypes = []
    network.hidden2.register_forward_pre_hook(lambda layer, inputs: dtypes.append(inputs[0].dtype))
    torch.testing.assert_close(network(network.encode(x)), network(x))
    network.train()
    network(network.encode(x))
    assert dtypes == [torch.uint8, torch.float32, torch.float32]
