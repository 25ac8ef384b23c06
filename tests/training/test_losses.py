from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from avalanche.training.supervised import JointTraining, Naive
from torch import nn

from avalanche_snn.benchmarks import split_classes
from avalanche_snn.datasets import RasterDataset
from avalanche_snn.training import SeenClassesCrossEntropy


def seen(*labels: int) -> SimpleNamespace:
    """A strategy in the midst of a run, about to be trained on these."""
    return SimpleNamespace(
        adapted_dataset=SimpleNamespace(targets=list(labels)), clock=SimpleNamespace(train_exp_counter=1)
    )


def test_worked_out_by_hand() -> None:
    loss = SeenClassesCrossEntropy()
    loss.before_training_exp(seen(0, 2, 2))
    logits = torch.tensor([[math.log(3.0), 100.0, 0.0]], requires_grad=True)
    # Without class 1 the probabilities are 3/4 and 1/4.
    value = loss(logits, torch.tensor([0]))
    assert value.item() == pytest.approx(-math.log(0.75))
    value.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.0, 0.25]]))


def test_classes_add_up_over_experiences() -> None:
    loss = SeenClassesCrossEntropy()
    loss.before_training_exp(seen(1, 1))
    loss.before_training_exp(seen(0))
    assert loss.classes == [0, 1]


def test_equals_cross_entropy_once_every_class_was_seen() -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    loss = SeenClassesCrossEntropy()
    torch.testing.assert_close(loss(logits, labels), nn.functional.cross_entropy(logits, labels))
    loss.before_training_exp(seen(0, 1, 2, 3))
    torch.testing.assert_close(loss(logits, labels), nn.functional.cross_entropy(logits, labels))


def test_evaluating_a_class_before_it_comes_gives_a_finite_loss() -> None:
    loss = SeenClassesCrossEntropy()
    loss.before_training_exp(seen(0))
    assert torch.isfinite(loss(torch.randn(3, 5), torch.tensor([0, 3, 4])))


@pytest.mark.parametrize(("template", "classes_after_first"), [(Naive, [0, 1]), (JointTraining, [0, 1, 2, 3])])
def test_weights_of_a_class_stay_as_they_were_until_it_comes(template: type, classes_after_first: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    rasters = torch.randint(0, 2, (24, 3, 5), generator=generator, dtype=torch.uint8).numpy()
    train, test = (
        RasterDataset(rasters, [0, 1, 2, 3] * 6, class_names=list("abcd"), name="Tiny", split=split)
        for split in ("train", "test")
    )
    benchmark = split_classes(train, test, 2, shuffle=False)
    model = nn.Sequential(nn.Flatten(), nn.Linear(15, 4))
    before = model[1].weight.detach().clone()
    loss = SeenClassesCrossEntropy()
    strategy = template(
        model=model, optimizer=torch.optim.SGD(model.parameters(), 0.1), criterion=loss, train_mb_size=4, evaluator=None
    )
    strategy.train(benchmark.train_stream if template is JointTraining else benchmark.train_stream[0])
    assert loss.classes == classes_after_first
    moved = (model[1].weight != before).any(dim=1).nonzero().flatten().tolist()
    assert moved == classes_after_first


def test_smoothing_is_spread_over_seen_classes_only() -> None:
    loss = SeenClassesCrossEntropy(label_smoothing=0.2)
    loss.before_training_exp(seen(0, 2))
    logits = torch.tensor([[math.log(3.0), 100.0, 0.0]], requires_grad=True)
    # Probabilities 3/4 and 1/4; the label is 0.9 and 0.1 of them.
    value = loss(logits, torch.tensor([0]))
    assert value.item() == pytest.approx(-0.9 * math.log(0.75) - 0.1 * math.log(0.25))
    value.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[0.75 - 0.9, 0.0, 0.25 - 0.1]]))


def test_smoothing_equals_torch_once_every_class_was_seen() -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    loss = SeenClassesCrossEntropy(0.3)
    loss.before_training_exp(seen(0, 1, 2, 3))
    torch.testing.assert_close(loss(logits, labels), nn.functional.cross_entropy(logits, labels, label_smoothing=0.3))


def test_a_bad_smoothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label_smoothing must be a share from 0 to 1, but 1\.5 came"):
        SeenClassesCrossEntropy(1.5)
