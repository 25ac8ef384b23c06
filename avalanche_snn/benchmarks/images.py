"""CIFAR-100 as incremental streams: the protocols of class-incremental learning."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import NCScenario, nc_benchmark
from torch import Tensor
from torchvision import transforms

from avalanche_snn.benchmarks.scenarios import replace_streams
from avalanche_snn.datasets.cifar100 import CIFAR100, LabelledImages

_N_CLASSES = 100
_NORMALISED = (
    transforms.ConvertImageDtype(torch.float32),
    transforms.Normalize((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
)
Transform = Callable[[Tensor], Tensor]


def augmented_image() -> Transform:
    """Return the usual random changes: a crop of 32 x 32 out of 4 pixels of margin, and a flip; then normalised."""
    changes = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), *_NORMALISED]
    composed: Transform = transforms.Compose(changes)
    return composed


def normalised_image() -> Transform:
    """Return what evaluation does to images: to float32, less the mean, over the standard deviation."""
    composed: Transform = transforms.Compose(_NORMALISED)
    return composed


def CIFAR100Incremental(  # noqa: N802 - as Avalanche's benchmarks are named
    n_steps: int = 10,
    *,
    n_base_classes: int = 0,
    class_order: int | Sequence[int] = 0,
    n_classes: int = _N_CLASSES,
    validation: float = 0.0,
    train_transform: Transform | None = None,
    eval_transform: Transform | None = None,
    dataset_root: str | os.PathLike[str] | None = None,
) -> NCScenario:
    """Learn CIFAR-100 class by class: B0 (all classes in `n_steps` equal steps) or B50 (50 first, then the others).

    Labels are in the order of arrival: the first experience has the classes 0, 1, ... Each test experience holds the
    test images of the classes of its training experience.

    Args:
        n_steps: experiences, after the base where there is one: `n_steps=10` is B0 in 10 steps.
        n_base_classes: classes of an experience that comes before these: `n_base_classes=50` is B50.
        class_order: a seed of the order of classes (numpy's `default_rng(seed).permutation(100)`), or the order itself.
        n_classes: only the first so many classes of the order: a small benchmark.
        validation: share of the training images of each class that is held out, as `valid_stream`; drawn with seed 0.
        train_transform: by default `augmented_image()`.
        eval_transform: by default `normalised_image()`.
        dataset_root: folder that holds `cifar-100-python`; else the environment variable `AVALANCHE_SNN_DATA`, else
            Avalanche's dataset folder, to which torchvision downloads it.

    Returns:
        A scenario with `train_stream` and `test_stream` (and `valid_stream`), and the attributes `dataset_name`,
        `dataset_sha256`, `class_order` (original labels) and `class_names`, both in the order of arrival.

    Raises:
        ValueError: classes that cannot be divided into equal steps, or no order of the classes.
    """
    order = _order_of(class_order)[:n_classes]
    n_later = n_classes - n_base_classes
    if not (0 < n_classes <= _N_CLASSES and 0 <= n_base_classes < n_classes and 0 < n_steps <= n_later):
        raise ValueError(
            f"CIFAR-100 has 100 classes: {n_base_classes} base classes and {n_steps} steps with "
            f"{n_classes} classes in all cannot be."
        )
    if n_later % n_steps:
        raise ValueError(f"{n_later} classes cannot be learned in {n_steps} equal steps: choose a divisor.")
    if not 0 <= validation < 1:
        raise ValueError(f"validation is a share of the training images, 0 <= validation < 1, not {validation}")
    train, test = (CIFAR100(dataset_root, train=is_train) for is_train in (True, False))
    training, held_out = _divided(train, order, validation)
    options: dict[str, Any] = {
        "n_experiences": n_steps + bool(n_base_classes),
        "per_exp_classes": {0: n_base_classes} if n_base_classes else None,
        "task_labels": False,
        "shuffle": False,
        "fixed_class_order": list(range(n_classes)),
        "train_transform": augmented_image() if train_transform is None else train_transform,
        "eval_transform": normalised_image() if eval_transform is None else eval_transform,
    }
    scenario = nc_benchmark(training, _chosen(test, order), **options)
    if validation:
        # What Avalanche makes of these images as a test stream, under a name of its own: metrics go by it.
        valid = nc_benchmark(held_out, held_out, **options).stream_definitions["test"]
        replace_streams(scenario, {**scenario.stream_definitions, "valid": valid})
    scenario.dataset_name = "CIFAR-100"
    scenario.dataset_sha256 = train.sha256
    scenario.class_order = order
    scenario.class_names = [train.classes[label] for label in order]
    return scenario


def _order_of(class_order: int | Sequence[int]) -> list[int]:
    if isinstance(class_order, (int, np.integer)):
        drawn: list[int] = np.random.default_rng(class_order).permutation(_N_CLASSES).tolist()
        return drawn
    order = [int(label) for label in class_order]
    if sorted(order) != list(range(_N_CLASSES)):
        raise ValueError(
            f"class_order was wanted as a seed or as the labels 0 to 99 in any order, came {class_order!r}"
        )
    return order


def _chosen(dataset: CIFAR100, order: Sequence[int], mask: Tensor | None = None) -> LabelledImages:
    """Return the images of classes under their places in the order, those of a mask or all."""
    places = torch.full((_N_CLASSES,), -1)
    places[list(order)] = torch.arange(len(order))
    labels = places[torch.tensor(dataset.targets)]
    wanted = labels >= 0
    if mask is not None:
        wanted &= mask
    return LabelledImages(dataset.images[wanted], labels[wanted].tolist())


def _divided(dataset: CIFAR100, order: Sequence[int], validation: float) -> tuple[LabelledImages, LabelledImages]:
    """Return images to train on and images that are held out, the same share of each class."""
    labels = np.array(dataset.targets)
    generator = np.random.default_rng(0)
    held: list[int] = []
    for label in range(_N_CLASSES):
        positions = generator.permutation(np.flatnonzero(labels == label))
        held += positions[: round(validation * len(positions))].tolist()
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[held] = True
    return _chosen(dataset, order, ~mask), _chosen(dataset, order, mask)
