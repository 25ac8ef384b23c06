"""Networks that grow where users lead them: whole streams at once, classes that come again, groups of parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EvaluationPlugin
from growing_learners import N_FEATURES, Ordinary, Watch, composed, learn
from tiny_learners import N_EACH, C, K, tiny_benchmark, tiny_network, tiny_strategy
from torch import nn
from torch.nn import functional

from avalanche_snn.checkpointing import resume
from avalanche_snn.models import ExpandableClassifier
from avalanche_snn.training import ALADE, WA, DataParallel, HerdedExemplars, SecondStage, SeenClassesCrossEntropy


def test_a_whole_stream_in_one_call_grows_as_experience_by_experience() -> None:
    apart = learn(composed())
    together = composed()
    together.train(tiny_benchmark().train_stream)
    assert len(together.model.extractors) == 3
    assert together.model.seen.all()
    assert together.model.extractors[-1].training
    for name, tensor in apart.model.state_dict().items():
        assert torch.equal(tensor, together.model.state_dict()[name]), name


def test_features_that_are_computed_once_give_the_same_readout_with_fewer_passes() -> None:
    def learned(cache_features: bool) -> tuple[Any, int]:
        strategy, calls = composed(cache_features=cache_features, second_stage_epochs=4), 0

        def count(*_: Any) -> None:
            nonlocal calls
            calls += 1

        strategy.model.extractors[0].register_forward_hook(count)
        return learn(strategy).model.state_dict(), calls

    (usual, n_usual), (cached, n_cached) = learned(False), learned(True)
    assert n_cached < n_usual
    assert cached.keys() == usual.keys()
    for name, tensor in usual.items():
        # Rows of features are the same in whichever minibatch they are computed, but for the order of sums.
        torch.testing.assert_close(cached[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def three_groups(model: ExpandableClassifier) -> list[dict[str, Any]]:
    """Biases, weights of the extractor, the readout."""
    biases = [parameter for name, parameter in model.named_parameters() if name.endswith("bias")]
    weights = [parameter for name, parameter in model.extractors.named_parameters() if name.endswith("weight")]
    readout = {"params": [model.classifier.weight], "lr": 0.05}
    return [{"params": biases, "weight_decay": 0.0}, {"params": weights}, readout]


def test_parameters_of_a_new_extractor_are_in_the_group_of_the_one_that_it_was_copied_from() -> None:
    strategy = learn(composed(groups_of=three_groups))
    groups = [[id(parameter) for parameter in group["params"]] for group in strategy.optimizer.param_groups]
    found = {
        name: [place for place, group in enumerate(groups) if id(parameter) in group]
        for name, parameter in strategy.model.named_parameters()
    }
    for name, places in found.items():
        of_the_readouts = name.startswith(("classifier", "auxiliary"))
        assert places == [2 if of_the_readouts else 0 if name.endswith("bias") else 1], name
    assert len(found) == 3 * 4 + 1 + 2


def test_a_network_that_has_grown_is_resumed_with_its_groups(tmp_path: Path) -> None:
    benchmark = tiny_benchmark()
    strategy = composed(groups_of=three_groups)
    assert resume(tmp_path / "run", strategy, benchmark) == 0
    learn(strategy, benchmark)
    again = composed(groups_of=three_groups)
    # What the file holds is the state in which the last experience began, with two extractors.
    assert resume(tmp_path / "run", again, benchmark) == 2
    again.train(benchmark.train_stream[2])
    for name, tensor in strategy.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name


def test_classes_that_come_again_leave_the_readout_to_the_first_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    original = SecondStage.train
    monkeypatch.setattr(
        SecondStage, "train", lambda self, *args, **kwargs: trained.append(1) or original(self, *args, **kwargs)
    )
    strategy = composed()
    first, second, _ = tiny_benchmark().train_stream
    strategy.train([first, first])
    assert not trained, "there is no old class"
    strategy.train(second)
    assert len(trained) == 1
    strategy.train(first)
    assert len(trained) == 1, "there is no new class"
    assert len(strategy.model.extractors) == 2


@pytest.mark.parametrize(("template", "expand"), [(ALADE, True), (WA, False)])
@pytest.mark.parametrize("eval_every", [0, 1, 2])
def test_what_training_returns_is_what_evaluation_says_afterwards(template: Any, expand: bool, eval_every: int) -> None:
    evaluator = EvaluationPlugin(accuracy_metrics(experience=True), loggers=[])
    strategy = composed(template, expand=expand, evaluator=evaluator, eval_every=eval_every)
    benchmark = tiny_benchmark()
    for experience in benchmark.train_stream[:2]:
        said = strategy.train(experience, eval_streams=[benchmark.test_stream])
    found = strategy.eval(benchmark.test_stream)
    accuracies = {name: value for name, value in found.items() if name.startswith("Top1_Acc_Exp")}
    assert len(accuracies) == 3
    assert {name: said[name] for name in accuracies} == accuracies


def test_several_processes_share_minibatches_before_anything_else_is_done() -> None:
    wrapper, watch = DataParallel(), Watch(lambda _: None, "before_training")
    plugins = composed(plugins=[watch, wrapper]).plugins
    assert plugins[0] is wrapper
    assert plugins.index(watch) > 2


def test_labels_are_not_smoothed_over_classes_that_have_not_come() -> None:
    with pytest.raises(ValueError, match=r"SeenClassesCrossEntropy\(label_smoothing=0.1\) does not"):
        composed(criterion=nn.CrossEntropyLoss(label_smoothing=0.1))
    losses: list[float] = []
    watch = Watch(lambda strategy: losses.append(float(strategy.loss)), "before_backward")
    learn(composed(criterion=SeenClassesCrossEntropy(label_smoothing=0.1), plugins=[watch]))
    assert max(losses) < 20


def test_without_expansion_readouts_that_are_drawn_anew_keep_the_rows_of_old_classes() -> None:
    strategy = composed(expand=False, head_reset_epoch=1, second_stage_epochs=0)
    first, second, _ = tiny_benchmark().train_stream
    strategy.train(first)
    strategy.train(second)
    model = strategy.model
    before = model.classifier.weight.detach().clone()
    model.reset_heads()
    same = (model.classifier.weight == before).all(dim=1)
    assert same.tolist() == [True, True, False, False, True, True]


def test_too_few_exemplars_are_noticed_before_an_experience_is_trained() -> None:
    strategy = composed(n_exemplars=3)
    first, second, _ = tiny_benchmark().train_stream
    strategy.train(first)
    before = {name: tensor.clone() for name, tensor in strategy.model.state_dict().items()}
    with pytest.raises(ValueError, match="3 exemplars are too few for 4 classes"):
        strategy.train(second)
    assert all(torch.equal(tensor, before[name]) for name, tensor in strategy.model.state_dict().items())


def test_each_exemplar_brings_the_mean_of_the_chosen_as_near_as_any_would() -> None:
    exemplars = HerdedExemplars(n_per_class=3)
    benchmark = tiny_benchmark()
    strategy = composed(exemplars=exemplars, second_stage_epochs=0)
    strategy.train(benchmark.train_stream[0])
    rasters = benchmark.train_data.rasters[N_EACH : 2 * N_EACH]  # class 1
    with torch.no_grad():
        features = functional.normalize(strategy.model.eval().features(rasters).double(), dim=1)
    rows = [
        next(row for row, raster in enumerate(rasters) if torch.equal(raster.float(), sample[0].float()))
        for sample in exemplars.groups[1]
    ]
    so_far = torch.zeros(N_FEATURES, dtype=torch.float64)
    left = list(range(len(rasters)))
    for n, row in enumerate(rows, start=1):
        distances = {one: ((so_far + features[one]) / n - features.mean(dim=0)).norm() for one in left}
        assert distances[row] <= min(distances.values()) + 1e-12
        so_far += features[row]
        left.remove(row)


def test_a_state_without_extractors_leaves_the_shape_alone_and_a_frozen_copy_stays_frozen() -> None:
    model = learn(composed()).model
    model.load_state_dict({"classifier.weight": model.classifier.weight.detach().clone()}, strict=False)
    assert len(model.extractors) == 3
    frozen = ExpandableClassifier(Ordinary, K)
    frozen.load_state_dict(model.state_dict())
    assert any(parameter.requires_grad for parameter in frozen.parameters())
    frozen.requires_grad_(False)
    frozen.load_state_dict(model.state_dict())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert frozen.eval()(torch.zeros(2, 3, C)).shape == (2, K)


def test_an_experience_without_new_classes_leaves_what_the_second_stage_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: ExpandableClassifier) -> None:
        raise AssertionError("drawn anew")

    strategy, benchmark = composed(head_reset_epoch=1), tiny_benchmark()
    learn(strategy, benchmark)
    readout = strategy.model.classifier.weight.detach().clone()
    strategy.train_epochs = 0
    strategy.train(benchmark.train_stream[0])
    assert torch.equal(strategy.model.classifier.weight, readout)
    monkeypatch.setattr(ExpandableClassifier, "reset_heads", refuse)
    strategy.train_epochs = 3
    strategy.train(benchmark.train_stream[0])
    assert not torch.equal(strategy.model.classifier.weight, readout)


def test_weights_are_aligned_for_new_classes_only() -> None:
    strategy, benchmark = composed(WA, expand=False), tiny_benchmark()
    learn(strategy, benchmark)
    factor = strategy.plugins[0].last_factor
    strategy.train(benchmark.train_stream[0])
    assert strategy.plugins[0].last_factor == factor


def test_a_model_without_features_is_refused_before_it_is_trained() -> None:
    exemplars, network = HerdedExemplars(6), tiny_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(TypeError, match="RecurrentSNN has no method `features`"):
        tiny_strategy(network, [exemplars]).train(tiny_benchmark().train_stream[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_module_that_finds_features_is_left_as_it_is() -> None:
    finder = nn.Sequential(Ordinary(), nn.Dropout(0.5))
    before = {name: tensor.clone() for name, tensor in finder.state_dict().items()}
    tiny_strategy(tiny_network(), [HerdedExemplars(6, features=finder)]).train(tiny_benchmark().train_stream[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in finder.state_dict().items())
    assert finder.training
