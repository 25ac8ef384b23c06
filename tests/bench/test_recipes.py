"""What settings of training come to, and that what was recorded and trained before there were so many is found."""

from __future__ import annotations

from pathlib import Path

import avalanche
import pytest
import torch

import avalanche_snn
from avalanche_snn.training import SameClassBlending, SeenClassesPrediction
from benchmarks.plans import make_plan
from benchmarks.pretraining import key_of
from benchmarks.recipes import make_augmentation, make_plugins
from benchmarks.runner import run
from benchmarks.settings import Training, digest_of
from benchmarks.summaries import describe_strategy


def test_a_record_of_the_first_days_has_its_name_still():
    assert make_plan("class_incremental", "naive").identifier == "class_incremental-naive-shd-33c445f7-seed0"


def test_networks_that_were_trained_before_are_found():
    plan = make_plan("class_incremental", "naive", seed=1)
    assert key_of(plan, "of the data") == digest_of(
        {
            "benchmark": "class_incremental",
            "data": "shd",
            "data_sha256": "of the data",
            "stream": plan.stream,
            "network": plan.network,
            "epochs": 40,
            "learning_rate": 1e-3,
            "minibatch": 64,
            "loss": "seen",
            "seed": 1,
            "versions": [avalanche_snn.__version__, torch.__version__, avalanche.__version__],
        }
    )


@pytest.mark.parametrize(
    ("strategy", "predict", "n_plugins"),
    [
        ("distilled_latent_replay", "seen", 1),
        ("gdumb", "seen", 1),
        ("alade", "all", 0),
        ("icarl", "all", 0),
        ("joint", "all", 0),
    ],
)
def test_networks_that_grow_are_compared_with_none_that_tell_what_has_not_come(strategy, predict, n_plugins):
    growing = make_plan("split_classes", strategy, configuration="growing")
    training = growing.training
    assert training.predict == predict
    assert training.settings.get("predict", "all") == predict
    assert sum(isinstance(plugin, SeenClassesPrediction) for plugin in make_plugins(training)) == n_plugins
    assert make_plan("split_classes", strategy).training.predict == "all"
    assert "predict" not in describe_strategy(strategy, growing.settings, "split_classes")


@pytest.mark.parametrize(
    ("training", "same"),
    [
        ({"first_minibatch": 64}, True),
        ({"minibatch": 32, "first_minibatch": 64}, True),
        ({"schedule": "cosine"}, True),
        ({"epochs": 3, "learning_rate": 1.0}, True),
        ({"predict": "seen"}, True),
        ({"first_minibatch": 32}, False),
        ({"first_schedule": "cosine"}, False),
        ({"optimizer": "adam"}, False),
        ({"gradient_norm": 1.0}, False),
        ({"label_smoothing": 0.1}, False),
        ({"augmentation": {"blend": 0.5}}, False),
        ({"sparse_spikes": {"hidden1": 1.0}}, False),
    ],
)
def test_a_network_is_shared_where_the_first_experience_is_trained_in_the_same_way(training, same):
    usual = key_of(make_plan("class_incremental", "naive"), "")
    assert (key_of(make_plan("class_incremental", "naive", training=training), "") == usual) == same


def test_blending_is_a_plugin_and_no_transform():
    training = Training(augmentation={"blend": 0.25})
    assert make_augmentation(training) == {}
    (blending,) = make_plugins(training)
    assert isinstance(blending, SameClassBlending)
    assert blending.share == 0.25
    both = Training(augmentation={"blend": 0.25, "time_shift": 2})
    assert [type(change).__name__ for change in make_augmentation(both)["train_transform"].changes] == ["TimeShift"]


@pytest.mark.parametrize("strategy", ["naive", "joint", "compressed_latent_replay"])
def test_runs_with_everything_in_their_recipe(strategy, small_plan, tmp_path: Path):
    training = {
        "first_epochs": 1, "epochs": 1, "minibatch": 32, "first_minibatch": 48, "optimizer": "adam",
        "first_schedule": "one_cycle", "schedule": "cosine", "gradient_norm": 1.0, "label_smoothing": 0.1,
        "sparse_spikes": {"hidden1": 0.1},
        "augmentation": {"channel_shift": 2, "time_shift": 1, "time_stretch": 0.1, "event_drop": 0.1, "blend": 0.5},
    }  # fmt: skip
    options = {"after": "hidden1", "memory": "4 kB"} if strategy == "compressed_latent_replay" else {}
    plan = small_plan("class_incremental", strategy, training=training, options=options)
    record = run(plan, tmp_path, cache=tmp_path / "networks")
    assert record["settings"]["training"] == {
        **training,
        "first_learning_rate": 1e-3,
        "learning_rate": 1e-3,
        "loss": "seen",
    }
