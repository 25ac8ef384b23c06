"""What a user who copies a file of `strategies/` gets."""

from __future__ import annotations

import inspect

import pytest
import torch
from avalanche.training.supervised import Cumulative, JointTraining, Naive
from avalanche.training.templates import SupervisedTemplate

from avalanche_snn.models import RecurrentSNN
from avalanche_snn.training import CompressedLatentReplayPlugin
from benchmarks.catalogue import find_strategy, options_of, strategy_names, takes_seed

CLASSES = {
    "naive": Naive,
    "joint": JointTraining,
    "cumulative": Cumulative,
    "replay": Naive,
    "compressed_latent_replay": Naive,
}


@pytest.mark.parametrize("name", strategy_names())
def test_build_gives_a_strategy_of_avalanche(name: str) -> None:
    model = RecurrentSNN(8, hidden=(4, 3), n_classes=2)
    optimizer = torch.optim.Adamax(model.parameters())
    strategy = find_strategy(name).build(model, optimizer, train_mb_size=7, train_epochs=3, evaluator=None)
    assert isinstance(strategy, SupervisedTemplate)
    assert type(strategy) is CLASSES.get(name, type(strategy))
    if name in ("alade", "icarl", "streaming_lda", "wa"):
        assert model.hidden2 in list(strategy.model.modules()), "all but the readout, with another one behind"
    else:
        assert strategy.model is model
    # The analysis of `streaming_lda` has nothing to optimise.
    assert strategy.optimizer is (None if name == "streaming_lda" else optimizer)
    assert (strategy.train_mb_size, strategy.train_epochs) == (7, 3)


@pytest.mark.parametrize("name", strategy_names())
def test_every_file_says_what_it_is(name: str) -> None:
    module = find_strategy(name)
    assert module.__doc__
    assert inspect.getdoc(module.build)


@pytest.mark.parametrize(("name", "after"), [("replay", "input"), ("compressed_latent_replay", "hidden1")])
def test_replay_strategies_hand_their_options_to_the_plugin(name: str, after: str) -> None:
    model = RecurrentSNN(8, hidden=(4, 3), n_classes=2)
    options = {"memory": "2 kB", "codec": "any/2", "selection": "herding"}
    if "after" in options_of(name):
        options["after"] = after
    strategy = find_strategy(name).build(model, torch.optim.Adamax(model.parameters()), seed=3, **options)
    (plugin,) = [plugin for plugin in strategy.plugins if isinstance(plugin, CompressedLatentReplayPlugin)]
    assert (plugin.cut_after, plugin.budget, plugin.codec) == (after, 2000, "any/2")


def test_options_are_the_named_keywords_of_build() -> None:
    assert options_of("naive") == {}
    assert options_of("compressed_latent_replay") == {
        "after": "hidden2",
        "memory": "160 kB",
        "codec": "bits",
        "selection": "random",
        "replay_share": "balanced",
    }
    assert takes_seed("compressed_latent_replay")
    assert not takes_seed("naive")
