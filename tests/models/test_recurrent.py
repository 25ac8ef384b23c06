from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from avalanche_snn.models import LeakyReadout, RecurrentSNN, TimePooling
from avalanche_snn.neurons import AdaptiveLeaky, DelayedSynaptic, Leaky, Synaptic


def small(**options: object) -> RecurrentSNN:
    """A small network whose layers all spike."""
    model = RecurrentSNN(30, (24, 16), 4, seed=0, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8.0)
    return model


def rasters(n_samples: int = 6, n_steps: int = 40, n_channels: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(n_samples, n_steps, n_channels, generator=generator) < 0.15).float()


def test_defaults_are_the_network_of_the_paper() -> None:
    model = RecurrentSNN()
    assert sum(parameter.numel() for parameter in model.parameters()) == 218_500
    assert [name for name, _ in model.named_children()] == ["hidden1", "hidden2", "hidden3", "readout"]
    assert {name: tuple(parameter.shape) for name, parameter in model.named_parameters()} == {
        "hidden1.weight": (200, 700),
        "hidden1.recurrent_weight": (200, 200),
        "hidden2.weight": (100, 200),
        "hidden2.recurrent_weight": (100, 100),
        "hidden3.weight": (50, 100),
        "hidden3.recurrent_weight": (50, 50),
        "readout.weight": (20, 50),
    }
    for name in ("hidden1", "hidden2", "hidden3"):
        layer = model.get_submodule(name)
        assert isinstance(layer, DelayedSynaptic)
        assert layer.neuron.alpha == pytest.approx(0.8187, abs=1e-4)
        assert layer.neuron.beta == pytest.approx(0.9048, abs=1e-4)
        assert (layer.neuron.threshold, layer.neuron.reset) == (1.0, "zero")
        assert str(layer.neuron.surrogate) == "fast_sigmoid/100"
    readout = model.get_submodule("readout")
    assert isinstance(readout, LeakyReadout)
    assert (readout.reduce, readout.alpha, readout.beta) == ("max", layer.neuron.alpha, layer.neuron.beta)


def test_time_pooling_stands_behind_its_layer_and_shortens_what_follows() -> None:
    model = small(time_pooling={"hidden1": "count/4", "hidden2": "any/5"})
    names = [name for name, _ in model.named_children()]
    assert names == ["hidden1", "hidden1_pooling", "hidden2", "hidden2_pooling", "readout"]
    n_steps = []
    values = rasters()
    for layer in model:
        values = layer(values)
        n_steps.append(values.shape[1])
    assert n_steps[:4] == [40, 10, 10, 2]
    assert isinstance(model.get_submodule("hidden1_pooling"), TimePooling)


def test_pooling_of_a_layer_that_is_not_there_lists_the_layers() -> None:
    with pytest.raises(ValueError, match="no hidden layer 'hidden4'; the layers are hidden1, hidden2, hidden3"):
        RecurrentSNN(time_pooling={"hidden4": "any/5"})
    with pytest.raises(ValueError, match="wanted 'any/W' or 'count/W'"):
        RecurrentSNN(time_pooling={"hidden2": "some/5"})


@pytest.mark.parametrize(
    ("neuron", "cls"), [("delayed_synaptic", DelayedSynaptic), ("synaptic", Synaptic), ("leaky", Leaky)]
)
def test_named_neurons_take_the_constants_of_the_network(neuron: str, cls: type[nn.Module]) -> None:
    model = RecurrentSNN(
        30,
        (8,),
        4,
        neuron=neuron,
        recurrent=False,
        alpha=0.6,
        beta=0.7,
        threshold=0.5,
        reset="subtract",
        surrogate="atan/3",
        kernel="reference",
    )
    layer = model.get_submodule("hidden1")
    assert isinstance(layer, (DelayedSynaptic, Synaptic, Leaky))
    assert isinstance(layer, cls)
    assert layer.neuron.alpha == (0.0 if neuron == "leaky" else 0.6)
    assert (layer.neuron.beta, layer.neuron.threshold, layer.neuron.reset) == (0.7, 0.5, "subtract")
    assert str(layer.neuron.surrogate) == "atan/3"
    assert layer.kernel == "reference"
    assert layer.recurrent_weight is None
    assert model(rasters()).shape == (6, 4)


def test_adaptive_neurons_bring_their_own_decays() -> None:
    model = RecurrentSNN(30, (8,), 4, neuron="adaptive", reset="subtract", surrogate="box/1", threshold=0.5, seed=0)
    layer = model.get_submodule("hidden1")
    assert isinstance(layer, AdaptiveLeaky)
    assert (layer.threshold, layer.reset, str(layer.surrogate)) == (0.5, "subtract", "box/1")
    assert {name for name, _ in layer.named_parameters()} == {"weight", "recurrent_weight", "alpha", "beta", "a", "b"}
    assert model(rasters()).shape == (6, 4)


def test_a_callable_makes_the_layers() -> None:
    model = RecurrentSNN(30, (8, 6), 4, neuron=lambda n_inputs, n_outputs: Leaky(n_inputs, n_outputs, bias=True))
    layers = [model.get_submodule(name) for name in ("hidden1", "hidden2")]
    assert [tuple(layer.get_parameter("bias").shape) for layer in layers] == [(8,), (6,)]
    assert model(rasters()).shape == (6, 4)


def test_each_hidden_layer_can_be_recurrent_or_not() -> None:
    for recurrent, expected in (
        (True, [True, True, True]),
        (False, [False, False, False]),
        ((False, True, False), [False, True, False]),
        ([True, False, True], [True, False, True]),
    ):
        model = RecurrentSNN(30, (8, 6, 5), 4, recurrent=recurrent)
        layers = [model.get_submodule(name) for name in ("hidden1", "hidden2", "hidden3")]
        assert [layer.recurrent_weight is not None for layer in layers] == expected
        assert model(rasters()).shape == (6, 4)


@pytest.mark.parametrize("recurrent", [(), (True,), (True, False, True), (1, 0), "no", ("yes", "no")])
def test_recurrence_of_another_number_of_layers_is_refused(recurrent: object) -> None:
    with pytest.raises(ValueError, match="recurrent: wanted True or False, or one of them for each of the 2 hidden"):
        small(recurrent=recurrent)


def test_one_hidden_layer_is_enough_and_none_is_not() -> None:
    model = RecurrentSNN(30, (8,), 4)
    assert [name for name, _ in model.named_children()] == ["hidden1", "readout"]
    with pytest.raises(ValueError, match=r"at least one hidden layer, as in hidden=\(200,\)"):
        RecurrentSNN(30, (), 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"neuron": "lif"},
            "unknown neuron 'lif': choose one of 'delayed_synaptic', .*, 'adaptive', or give",
        ),
        ({"readout": "sum"}, "unknown readout 'sum'"),
        ({"surrogate": "relu"}, "unknown surrogate 'relu'"),
        ({"reset": "hard"}, "unknown reset 'hard'"),
        ({"kernel": "cuda"}, "unknown kernel 'cuda'"),
        ({"beta": 1.5}, "beta .* came 1.5"),
    ],
)
def test_unknown_names_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_another_number_of_channels_is_named() -> None:
    with pytest.raises(ValueError, match=r"wanted an input \[B, T, 700\].* came \[2, 10, 140\]"):
        RecurrentSNN()(torch.zeros(2, 10, 140))


@pytest.mark.parametrize("kernel", ["torch", "auto"])
@pytest.mark.parametrize("readout", ["max", "mean"])
@pytest.mark.parametrize("pooling", [None, {"hidden1": "any/5"}])
def test_kernels_agree_on_a_whole_network(kernel: str, readout: str, pooling: dict[str, str] | None) -> None:
    reference = small(kernel="reference", readout=readout, time_pooling=pooling).double()
    fast = small(kernel=kernel, readout=readout, time_pooling=pooling).double()
    targets = torch.tensor([0, 1, 2, 3, 0, 1])
    losses = []
    for model in (reference, fast):
        loss = nn.functional.cross_entropy(model(rasters()), targets)
        loss.backward()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    for (name, expected), found in zip(reference.named_parameters(), fast.parameters(), strict=True):
        assert expected.grad is not None
        assert expected.grad.abs().max() > 0, name
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
@pytest.mark.parametrize("neuron", ["delayed_synaptic", "adaptive"])
def test_saving_memory_changes_no_logit_and_no_gradient(kernel: str, neuron: str) -> None:
    plain, saving = (
        small(kernel=kernel, neuron=neuron, time_pooling={"hidden1": "any/5"}, save_memory=save_memory).double()
        for save_memory in (False, True)
    )
    saving.load_state_dict(plain.state_dict())
    batch, targets = rasters(n_samples=37), torch.arange(37) % 4
    losses = []
    for model in (plain, saving):
        loss = nn.functional.cross_entropy(model(batch), targets)
        loss.backward()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    for (name, expected), found in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert expected.grad is not None
        assert expected.grad.any() or neuron == "adaptive", name
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-9, atol=1e-10)
    with torch.no_grad():
        assert torch.equal(saving(batch), plain(batch))


def test_saving_memory_keeps_the_events_of_the_input_and_no_membrane() -> None:
    kept: list[list[Tensor]] = []
    for save_memory in (False, True):
        model = small(save_memory=save_memory)
        kept.append([])
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept[-1].append(tensor) or tensor, lambda t: t):
            model(rasters(n_samples=8)).sum()
    membranes = [[tensor for tensor in tensors if tensor.shape in ((8, 40, 24), (8, 40, 16))] for tensors in kept]
    assert len(membranes[0]) == 2
    assert not membranes[1]


def test_a_seed_fixes_the_weights_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected_next = torch.rand(1)
    torch.manual_seed(5)
    first = RecurrentSNN(30, (8,), 4, seed=3)
    assert torch.equal(torch.rand(1), expected_next)
    second, other = RecurrentSNN(30, (8,), 4, seed=3), RecurrentSNN(30, (8,), 4, seed=4)
    for name, parameter in first.state_dict().items():
        assert torch.equal(parameter, second.state_dict()[name])
        assert not torch.equal(parameter, other.state_dict()[name])


def test_a_seed_draws_the_layers_from_the_first_to_the_last() -> None:
    """Seeds in records of runs stand for these weights."""
    torch.manual_seed(3)
    layers = {
        "hidden1": Leaky(30, 8, recurrent=True),
        "hidden2": Leaky(8, 6, recurrent=True),
        "readout": LeakyReadout(6, 4),
    }
    expected = {f"{name}.{key}": tensor for name, layer in layers.items() for key, tensor in layer.state_dict().items()}
    found = RecurrentSNN(30, (8, 6), 4, neuron="leaky", time_pooling={"hidden1": "any/5"}, dropout=0.1, seed=3)
    assert list(found.state_dict()) == list(expected)
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, expected[name])


def test_copies_pickles_and_repeated_evaluation_give_the_same_logits() -> None:
    model = small(time_pooling={"hidden1": "any/5"})
    restored = RecurrentSNN(30, (24, 16), 4, time_pooling={"hidden1": "any/5"})
    restored.load_state_dict(model.state_dict())
    expected = model(rasters())
    assert expected.abs().max() > 0
    for other in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), restored, model.eval()):
        assert torch.equal(other(rasters()), expected)


def test_training_reduces_the_loss() -> None:
    # Four classes, each with its own quarter of the channels.
    targets = torch.arange(32) % 4
    own_channels = (torch.arange(30)[None, :] * 4 // 30 == targets[:, None])[:, None, :]
    generator = torch.Generator().manual_seed(2)
    inputs = ((torch.rand(32, 40, 30, generator=generator) < 0.3) & own_channels).float()
    model = small()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5  # chance is ln 4 = 1.39
    assert losses[-1] < 0.3 * losses[0]
    assert (model(inputs).argmax(dim=1) == targets).float().mean() > 0.9


def test_normalisation_and_dropout_stand_where_they_are_said_to() -> None:
    options = {"threshold": 0.2, "time_pooling": {"hidden1": "any/5"}}
    model = RecurrentSNN(30, (24, 16), 4, neuron="adaptive", batch_norm=True, dropout=0.5, seed=0, **options)
    assert [name for name, _ in model.named_children()] == [
        "hidden1", "hidden1_pooling", "hidden1_dropout", "hidden2", "hidden2_dropout", "readout",
    ]  # fmt: skip
    assert {name for name, _ in model.named_buffers()} >= {"hidden1.batch_norm.running_mean"}
    model.cut("hidden1", rasters())
    latents = model.encode(rasters())
    model.freeze_front()
    before = {name: tensor.clone() for name, tensor in model.front_state().items()}
    model.train()
    torch.manual_seed(0)
    first, second = model(latents), model(latents)
    assert not torch.equal(first, second), "the back drops spikes of latents"
    assert all(torch.equal(before[name], tensor) for name, tensor in model.front_state().items())
    model.eval()
    assert torch.equal(model(latents), model(rasters()))


def test_a_minibatch_that_is_normalised_is_not_taken_apart() -> None:
    with pytest.raises(ValueError, match="save_memory=True takes a minibatch apart, batch_norm=True needs it whole"):
        RecurrentSNN(30, (24,), 4, batch_norm=True, save_memory=True)
    with pytest.raises(ValueError, match="dropout"):
        RecurrentSNN(30, (24,), 4, dropout=1.5)


def test_one_number_or_one_window_for_all_layers_is_refused() -> None:
    with pytest.raises(TypeError, match=r"wanted widths, as in hidden=\(32,\), came 32"):
        RecurrentSNN(hidden=32)
    with pytest.raises(TypeError, match=r'layer -> window, as in \{"hidden2": \'any/5\'\}, came a string'):
        RecurrentSNN(time_pooling="any/5")
    with pytest.raises(ValueError, match="time pooling 5: wanted 'any/W'"):
        RecurrentSNN(time_pooling={"hidden2": 5})
