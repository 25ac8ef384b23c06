"""A network that grows: when it does, what is frozen, and what its teacher says."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from avalanche.models.dynamic_modules import avalanche_model_adaptation
from torch import Tensor, nn

from avalanche_snn.models import ExpandableClassifier, RecurrentSNN, SpikeRates
from avalanche_snn.models.expandable import UNSEEN

N_INPUTS, N_FEATURES, N_CLASSES = 5, 4, 6


def extractor() -> nn.Module:
    """An ordinary network, with batch statistics and dropout."""
    return nn.Sequential(nn.Linear(N_INPUTS, N_FEATURES), nn.BatchNorm1d(N_FEATURES), nn.Dropout(0.3), nn.ReLU())


def network(**options: object) -> ExpandableClassifier:
    torch.manual_seed(0)
    return ExpandableClassifier(extractor, N_CLASSES, n_features=N_FEATURES, **options)


def experience(*classes: int) -> SimpleNamespace:
    return SimpleNamespace(classes_in_this_experience=list(classes))


def inputs(n: int = 16) -> Tensor:
    return torch.randn(n, N_INPUTS, generator=torch.Generator().manual_seed(1))


def train(model: ExpandableClassifier, labels: list[int], n_steps: int = 5) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.5, momentum=0.9, weight_decay=0.01)
    targets = torch.tensor(labels).repeat(16)[:16]
    for _ in range(n_steps):
        optimizer.zero_grad()
        outputs = model(inputs(), details=True)
        loss = nn.functional.cross_entropy(outputs.logits, targets)
        if outputs.auxiliary is not None:
            loss = loss + nn.functional.cross_entropy(outputs.auxiliary, model.auxiliary_labels(targets))
        loss.backward()
        optimizer.step()


def after_two(**options: object) -> ExpandableClassifier:
    model = network(**options)
    for classes in ([4, 1], [0, 5]):
        model.train()
        avalanche_model_adaptation(model, experience(*classes))
        train(model, classes)
    return model


def test_it_grows_by_a_copy_and_freezes_what_it_was() -> None:
    model = network()
    avalanche_model_adaptation(model, experience(4, 1))
    assert len(model.extractors) == 1
    assert model.auxiliary is None
    train(model, [4, 1])
    before = copy.deepcopy(model.state_dict())
    avalanche_model_adaptation(model, experience(0, 5))
    assert len(model.extractors) == 2
    assert model.classifier.weight.shape == (N_CLASSES, 2 * N_FEATURES)
    assert model.auxiliary is not None
    assert model.auxiliary.weight.shape == (3, N_FEATURES)
    for name, tensor in model.extractors[1].state_dict().items():
        assert torch.equal(tensor, before[f"extractors.0.{name}"])
    train(model, [0, 5, 4])
    avalanche_model_adaptation(model, experience(2))
    train(model, [2, 0])
    for name, tensor in model.extractors[0].state_dict().items():
        assert torch.equal(tensor, before[f"extractors.0.{name}"]), name
    assert not any(parameter.requires_grad for parameter in model.extractors[:2].parameters())
    assert not any(module.training for old in model.extractors[:2] for module in old.modules())
    assert all(module.training for module in model.extractors[2].modules())


def test_evaluation_and_classes_that_are_known_grow_nothing() -> None:
    model = after_two()
    before = copy.deepcopy(model.state_dict())
    model.eval()
    avalanche_model_adaptation(model, experience(2, 3))  # a future experience
    model.train()
    avalanche_model_adaptation(model, experience(0, 5))  # the present one again
    avalanche_model_adaptation(model, experience(4))  # one that brings no class
    assert len(model.extractors) == 2
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_shared_teacher_is_a_copy_of_the_network_before() -> None:
    model = network()
    avalanche_model_adaptation(model, experience(4, 1))
    train(model, [4, 1])
    for classes in ([0, 5], [2]):
        teacher = copy.deepcopy(model).eval()
        model.train()
        avalanche_model_adaptation(model, experience(*classes))
        train(model, classes)
        outputs = model(inputs(), details=True)
        assert outputs.old_logits is not None
        assert not outputs.old_logits.requires_grad
        torch.testing.assert_close(outputs.old_logits, teacher(inputs()))


def test_logits_of_classes_that_have_not_come_are_out_of_reach() -> None:
    model = after_two().eval()
    logits = model(inputs())
    assert (logits[:, [2, 3]] == UNSEEN).all()
    assert (logits[:, [0, 1, 4, 5]] > UNSEEN).all()
    assert model.old.tolist() == [False, True, False, False, True, False]
    assert model.newest.tolist() == [True, False, False, False, False, True]


def test_auxiliary_labels_are_0_for_old_classes_and_count_the_new_ones() -> None:
    assert after_two().auxiliary_labels(torch.tensor([4, 0, 5, 1, 5])).tolist() == [0, 1, 2, 0, 2]


def test_suppression_is_of_old_features_for_new_classes_alone() -> None:
    model = after_two()
    model.suppress_old_to_new()
    is_zero = model.classifier.weight == 0
    assert is_zero[[0, 5], :N_FEATURES].all()
    assert not is_zero[:, N_FEATURES:].any()
    assert not is_zero[[1, 4], :N_FEATURES].any()


def test_without_expansion_rows_of_old_classes_stay() -> None:
    model = network(expand=False)
    avalanche_model_adaptation(model, experience(4, 1))
    train(model, [4, 1])
    before = model.classifier.weight.detach().clone()
    avalanche_model_adaptation(model, experience(0))
    assert len(model.extractors) == 1
    assert torch.equal(model.classifier.weight[[1, 4]], before[[1, 4]])
    assert not torch.equal(model.classifier.weight[0], before[0])
    outputs = model(inputs(), details=True)
    assert outputs.auxiliary is None
    assert outputs.old_logits is None
    assert model.frozen_bytes == 0


def test_a_fresh_network_takes_the_shape_of_a_state() -> None:
    grown, fresh = after_two(), network()
    fresh.load_state_dict(grown.state_dict())
    torch.testing.assert_close(fresh.eval()(inputs()), grown.eval()(inputs()))
    inside = nn.Sequential(network())
    inside.load_state_dict(nn.Sequential(grown).state_dict())
    torch.testing.assert_close(inside.eval()(inputs()), grown(inputs()))
    # And back again: parameters that have their shape are kept, for whoever holds them.
    kept = grown.classifier.weight
    grown.load_state_dict(fresh.state_dict())
    assert grown.classifier.weight is kept
    grown.load_state_dict(network().state_dict())
    assert len(grown.extractors) == 1
    assert grown.auxiliary is None


def test_loading_into_a_copy_leaves_the_original_alone_and_it_can_be_pickled() -> None:
    grown, original = after_two(), network()
    copied, pickled = copy.deepcopy(original), pickle.loads(pickle.dumps(original))
    for one in (copied, pickled):
        one.load_state_dict(grown.state_dict())
        assert len(one.extractors) == 2
    assert len(original.extractors) == 1


def test_what_is_frozen_is_counted() -> None:
    floats = N_INPUTS * N_FEATURES + N_FEATURES  # linear
    floats += 4 * N_FEATURES  # batch statistics, scale and shift
    floats += N_CLASSES * N_FEATURES  # the old readout
    assert after_two().frozen_bytes == 4 * floats + 8  # and the number of batches


def test_a_spiking_extractor_says_how_many_features_it_has() -> None:
    spiking = RecurrentSNN(3, (4, 2), 5, threshold=0.05, seed=0)
    model = ExpandableClassifier(lambda: SpikeRates(spiking), 5)
    assert model.n_features == 2
    rasters = torch.ones(2, 9, 3)
    spikes = spiking.hidden2(spiking.hidden1(rasters)).sum(dim=1)
    assert spikes.any()
    torch.testing.assert_close(model.features(rasters), spikes / 9 * 10)  # in ten of the nine time steps
    torch.testing.assert_close(SpikeRates(spiking, per_steps=1)(rasters), spikes / 9)


def test_errors_say_what_was_wanted() -> None:
    with pytest.raises(ValueError, match="at least 1 class, came n_classes=0"):
        ExpandableClassifier(extractor, 0, n_features=4)
    with pytest.raises(ValueError, match="how many features Sequential has is not known"):
        ExpandableClassifier(extractor, 3)
    with pytest.raises(ValueError, match=r"Features \[16, 3\] were wanted .* but \[16, 4\] came"):
        ExpandableClassifier(extractor, 3, n_features=3)(inputs())
    with pytest.raises(ValueError, match="has a class 7, but the network was made for 6 classes"):
        avalanche_model_adaptation(network(), experience(7))
    with pytest.raises(ValueError, match="ends in a readout with `n_inputs`"):
        SpikeRates(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="per_steps above 0 was wanted, 0 came"):
        SpikeRates(RecurrentSNN(3, (4, 2), 5), per_steps=0)


def test_an_extractor_in_the_place_of_a_function_is_refused() -> None:
    with pytest.raises(TypeError, match="a function that makes extractors, as in lambda: extractor, came a Linear"):
        ExpandableClassifier(nn.Linear(3, 2), 4)
