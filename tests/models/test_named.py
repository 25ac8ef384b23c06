from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avalanche_snn.models import MODELS, DelayedCopies, RecurrentSNN, TimePooling, make_model, model_settings
from avalanche_snn.neurons import AdaptiveLeaky, DelayedSynaptic, SpikingLayer

C, K = 30, 5


def rasters() -> Tensor:
    return (torch.rand(6, 40, C, generator=torch.Generator().manual_seed(1)) < 0.15).to(torch.uint8)


def hidden_layers(model: RecurrentSNN) -> dict[str, SpikingLayer]:
    return {name: layer for name, layer in model.named_children() if isinstance(layer, SpikingLayer)}


@pytest.mark.parametrize("name", MODELS)
def test_every_named_model_classifies_and_learns(name: str) -> None:
    model = make_model(name, C, K, seed=0)
    assert type(model) is RecurrentSNN
    logits = model(rasters())
    assert logits.shape == (6, K)
    nn.functional.cross_entropy(logits, torch.arange(6) % K).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_every_named_model_can_be_cut_behind_its_first_layer(name: str) -> None:
    model = make_model(name, C, K, seed=0).eval()
    model.cut("hidden1", rasters())
    assert model.latent_shape[1] == hidden_layers(model)["hidden1"].n_outputs
    assert torch.equal(model(model.encode(rasters())), model(rasters()))


@pytest.mark.parametrize("name", MODELS)
def test_settings_are_plain_and_make_the_model(name: str) -> None:
    settings = model_settings(name)
    assert json.loads(json.dumps(settings)) == settings
    by_name, by_settings = make_model(name, C, K, seed=3), RecurrentSNN(C, n_classes=K, seed=3, **settings)
    assert str(by_name) == str(by_settings)
    for key, tensor in by_settings.state_dict().items():
        assert torch.equal(by_name.state_dict()[key], tensor)


@pytest.mark.parametrize("name", MODELS)
def test_a_description_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    description = MODELS[name].description
    assert "arXiv" in description or "Bittar & Garner" in description


def test_paper_is_the_network_of_the_paper() -> None:
    model = make_model("paper", 700, 20)
    assert str(model) == str(RecurrentSNN())
    assert sum(parameter.numel() for parameter in model.parameters()) == 218_500
    assert all(isinstance(layer, DelayedSynaptic) for layer in hidden_layers(model).values())


def test_adaptive_has_two_recurrent_layers_of_adaptive_neurons() -> None:
    model = make_model("adaptive", C, K)
    layers = hidden_layers(model)
    assert [layer.n_outputs for layer in layers.values()] == [128, 128]
    for layer in layers.values():
        assert isinstance(layer, AdaptiveLeaky)
        assert (layer.reset, str(layer.surrogate)) == ("subtract", "box/1")
        assert layer.recurrent_weight is not None
        assert layer.batch_norm is not None


def test_delayed_has_delays_ahead_of_its_first_layer_and_recurrence_in_the_last() -> None:
    model = make_model("delayed", C, K)
    layers = hidden_layers(model)
    delays, pooling = model.get_submodule("hidden1_delays"), model.get_submodule("hidden1_pooling")
    assert isinstance(delays, DelayedCopies)
    assert isinstance(pooling, TimePooling)
    assert layers["hidden1"].n_inputs == C * len(delays.delays)
    assert [layer.recurrent_weight is not None for layer in layers.values()] == [False, True]


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({"dropout": 0.0}, "hidden1_dropout", None),
        ({"delays": None}, "hidden1_delays", None),
        ({"delays": {"hidden2": (0, 3)}}, "hidden2_delays", "DelayedCopies(0, 3)"),
        ({"time_pooling": {"hidden1": "count/2"}}, "hidden1_pooling", "TimePooling(count/2)"),
    ],
)
def test_changes_take_the_place_of_settings(changes: dict[str, Any], name: str, expected: str | None) -> None:
    changed = dict(make_model("delayed", C, K, **changes).named_children())
    usual = dict(make_model("delayed", C, K).named_children())
    assert (repr(changed[name]) if name in changed else None) == expected
    assert repr(usual.get(name)) != expected
    assert usual["readout"].weight.shape == changed["readout"].weight.shape


def test_changes_can_add_what_the_named_model_does_not_set() -> None:
    model = make_model("paper", C, K, hidden=(16, 8), neuron="leaky", kernel="reference")
    assert [layer.kernel for layer in hidden_layers(model).values()] == ["reference", "reference"]
    assert model.get_parameter("readout.weight").shape == (K, 8)


def test_settings_belong_to_who_asked_for_them() -> None:
    expected = model_settings("delayed")
    mine = model_settings("delayed")
    mine["delays"]["hidden1"].append(99)
    mine["hidden"].clear()
    assert model_settings("delayed") == expected
    with pytest.raises(TypeError):
        MODELS["mine"] = MODELS["paper"]  # type: ignore[index]


def test_an_unknown_name_lists_those_there_are() -> None:
    message = "unknown model 'transformer': choose one of 'paper', 'adaptive', 'delayed'"
    with pytest.raises(ValueError, match=message):
        make_model("transformer", C, K)
    with pytest.raises(ValueError, match=message):
        model_settings("transformer")


def test_changes_that_do_not_fit_the_other_settings_are_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"recurrent: wanted True or False, or one .* each of the 1 hidden layers?, came \[False, True\]",
    ):
        make_model("delayed", C, K, hidden=(64,))
