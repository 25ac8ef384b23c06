"""Settings that have a name, and recipes of training: what they put into plans, records and labels."""

from __future__ import annotations

import pickle
from dataclasses import asdict

import pytest
import torch
from torch import nn

from avalanche_snn.models import model_settings
from avalanche_snn.training import GradientClipping, LearningRateSchedule, SeenClassesCrossEntropy, SparseSpikes
from benchmarks.catalogue import options_of
from benchmarks.configurations import CONFIGURATIONS, find_configuration
from benchmarks.plans import make_plan
from benchmarks.recipes import Augmentation, make_augmentation, make_loss, make_network, make_optimizer, make_plugins
from benchmarks.records import RESULTS
from benchmarks.runner import record_path, run, shared_network
from benchmarks.settings import Training
from benchmarks.summaries import describe_strategy


def test_plans_without_new_settings_have_the_records_that_they_had():
    plan = make_plan("class_incremental", "naive")
    assert record_path(plan) == RESULTS / f"{plan.identifier}.json"
    assert record_path(plan).exists()
    assert list(plan.training.settings) == [
        "first_epochs", "epochs", "first_learning_rate", "learning_rate", "minibatch", "loss",
    ]  # fmt: skip


def test_a_configuration_stands_between_the_benchmark_and_what_is_typed():
    plan = make_plan(
        "class_incremental", "distilled_latent_replay", configuration="sparse", training={"epochs": 3},
        options={"memory": "16 kB"},
    )  # fmt: skip
    own = find_configuration("sparse")
    assert plan.stream["n_channels"] == own.stream["n_channels"]
    assert plan.stream["n_pretrain_classes"] == 19  # the benchmark's
    assert plan.network == {"model": "delayed"}
    assert plan.training.epochs == 3
    assert plan.training.first_epochs == own.training["first_epochs"]
    assert plan.settings["configuration"] == "sparse"
    assert plan.settings["training"]["augmentation"] == own.training["augmentation"]
    assert plan.options["memory"] == "16 kB"


def test_every_configuration_can_be_planned_and_its_names_exist():
    for name, configuration in CONFIGURATIONS.items():
        assert configuration.name == name
        if "model" in configuration.network:
            model_settings(configuration.network["model"])
        for strategy, options in configuration.options.items():
            assert options.keys() <= options_of(strategy).keys()
        plan = make_plan("class_incremental", "naive", configuration=name)
        model = make_network(plan.network, plan.stream.get("n_channels", 700), 20, 0)
        assert all(layer in dict(model.named_modules()) for layer in plan.training.sparse_spikes)
        make_augmentation(plan.training)
        make_optimizer(plan.training, model)


def test_unknown_names_are_said():
    with pytest.raises(ValueError, match=r"There is no configuration 'dense'; there are .*sparse"):
        make_plan("class_incremental", "naive", configuration="dense")
    with pytest.raises(ValueError, match="There is no augmentation 'flip'; there are channel_shift"):
        Augmentation({"flip": 1})
    with pytest.raises(ValueError, match="There is no optimizer 'sgd'; there are adamax, adam"):
        make_optimizer(Training(optimizer="sgd"), nn.Linear(1, 1))


def test_labels_say_the_name_and_what_is_not_as_it_has_it():
    usual = make_plan("class_incremental", "distilled_latent_replay", configuration="sparse")
    assert describe_strategy(usual.strategy, usual.settings, usual.benchmark) == (
        "distilled latent replay (sparse, 160 kB)"
    )
    other = make_plan(
        "class_incremental", "distilled_latent_replay", configuration="sparse", training={"sparse_spikes": {}},
        options={"distillation": 0.0, "memory": "16 kB"},
    )  # fmt: skip
    label = describe_strategy(other.strategy, other.settings, other.benchmark)
    assert label == "distilled latent replay (sparse, 16 kB, distillation=0.0, sparse_spikes={})"


def test_only_what_decides_the_network_after_the_first_experience_divides_networks():
    def network_of(**training):
        return shared_network(make_plan("class_incremental", "naive", configuration="sparse", training=training))

    assert network_of(epochs=3, schedule="constant", learning_rate=1.0) == network_of()
    for changed in ({"first_epochs": 3}, {"sparse_spikes": {}}, {"augmentation": {}}, {"gradient_norm": 1.0}):
        assert network_of(**changed) != network_of()


def test_a_recipe_makes_its_plugins():
    assert make_plugins(Training()) == []
    training = Training(
        first_schedule="one_cycle", schedule="cosine", gradient_norm=2.0, sparse_spikes={"hidden1": 1.0}
    )
    schedule, clipping, sparse = make_plugins(training)
    assert isinstance(schedule, LearningRateSchedule)
    assert (schedule.first_shape, schedule.shape) == ("one_cycle", "cosine")
    assert isinstance(clipping, GradientClipping)
    assert isinstance(sparse, SparseSpikes)
    assert sparse.n_experiences == 1
    assert not any(isinstance(plugin, SparseSpikes) for plugin in make_plugins(training, first_is_trained=False))
    always = make_plugins(training, always_first=True)
    assert always[0].shape == "one_cycle"
    assert always[2].n_experiences is None
    assert isinstance(make_loss(Training(label_smoothing=0.2)), SeenClassesCrossEntropy)
    assert isinstance(make_optimizer(Training(optimizer="adam"), nn.Linear(1, 1)), torch.optim.Adam)


def test_augmentation_changes_whole_batches_and_can_be_pickled():
    augmentation = Augmentation({"time_shift": 2, "channel_shift": 1})
    assert [type(change).__name__ for change in augmentation.changes] == ["ChannelShift", "TimeShift"]
    rasters = (torch.rand(5, 8, 6) < 0.5).to(torch.uint8)
    torch.manual_seed(0)
    changed = pickle.loads(pickle.dumps(augmentation))(rasters)
    assert changed.shape == rasters.shape
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, rasters)


def test_a_quick_run_of_a_configuration_is_recorded_as_it_was_planned(tmp_path):
    plan = make_plan(
        "class_incremental", "distilled_latent_replay", configuration="sparse", data="synthetic", quick=True,
        training={"first_epochs": 1, "epochs": 1}, options={"memory": "16 kB"},
    )  # fmt: skip
    record = run(plan, tmp_path, cache=tmp_path / "networks")
    assert record["settings"] == plan.settings
    assert record["settings"]["training"] == {
        k: v for k, v in asdict(plan.training).items() if v != () and k in plan.training.settings
    }
    assert 0 < record["memory_bytes"] <= 16_000
