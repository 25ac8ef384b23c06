"""Samples of old classes, chosen by herding, joined to those of each new experience."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from avalanche.benchmarks.utils import concat_datasets
from avalanche.core import SupervisedPlugin
from torch import Tensor, nn

from avalanche_snn.benchmarks.whole_batches import rasters_of
from avalanche_snn.models.evaluating import evaluating
from avalanche_snn.training.data_parallel import unwrapped
from avalanche_snn.training.raw_memory import labels_of
from avalanche_snn.training.selection import herding_order

_CHUNK = 256


class HerdedExemplars(SupervisedPlugin):
    """Keep exemplars of each class in herding order, and train each experience on its own samples and all exemplars.

    The memory of iCaRL (Rebuffi et al. 2017), as class-incremental methods with a growing network use it: exemplars are
    chosen once, by the network as it is after their experience (`features` of an `ExpandableClassifier`, or what is
    given), on L2-normalised features under the benchmark's `eval_transform`. When more classes come, each keeps the
    first of its exemplars. New samples and exemplars are concatenated, so a class with few exemplars is seen rarely
    (but for benchmarks with task labels, which Avalanche's loaders balance task by task).

    Like Avalanche's buffers it refers to samples of the data sets; `avalanche_snn.evaluation.memory_bytes` counts what
    they would take.

    Args:
        n_exemplars: of all classes together; a class gets as many as any other, but for a remainder.
        n_per_class: of each class, however many come, instead of `n_exemplars`.
        features: a module from a minibatch to features `[B, F]`; by default the model's method of that name.

    Attributes:
        groups: class -> its exemplars, a data set in herding order.

    Raises:
        ValueError: numbers below 1, or none of them. In training: fewer exemplars than classes.
        TypeError: a model without a method `features`, and no module either.
    """

    def __init__(
        self,
        n_exemplars: int | None = 2000,
        *,
        n_per_class: int | None = None,
        features: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if n_per_class is not None:
            n_exemplars = None
        number = n_per_class if n_exemplars is None else n_exemplars
        if not isinstance(number, int) or number < 1:
            raise ValueError(
                "HerdedExemplars: wanted n_exemplars or n_per_class, 1 or more, "
                f"came n_exemplars={n_exemplars!r} and n_per_class={n_per_class!r}"
            )
        self.n_exemplars = n_exemplars
        self.n_per_class = n_per_class
        self.groups: dict[int, Any] = {}
        self._features = features

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {"n_exemplars": self.n_exemplars, "n_per_class": self.n_per_class}

    def state_dict(self) -> dict[str, Any]:
        """Return the exemplars."""
        return {"groups": {str(label): dataset for label, dataset in self.groups.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take exemplars over."""
        self.groups = {int(label): dataset for label, dataset in state["groups"].items()}

    def __len__(self) -> int:
        """Return the number of exemplars."""
        return sum(len(group) for group in self.groups.values())

    def joined_to(self, dataset: Any) -> Any:
        """Return a data set with all exemplars behind its own samples, under its present transforms."""
        if not self.groups:
            return dataset
        # Exemplars of several experiences, one behind the other, each under the transforms of training.
        return concat_datasets([dataset, *(group.train() for group in self.groups.values())])

    def before_train_dataset_adaptation(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """See that there may be an exemplar of each class, before an experience is trained for nothing.

        Raises:
            ValueError: fewer exemplars than classes.
        """
        classes = strategy.experience.classes_in_this_experience
        self.quotas(sorted({*self.groups, *(int(label) for label in classes)}))
        self._finder(unwrapped(strategy.model))

    def after_train_dataset_adaptation(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Join the exemplars to what the experience is trained on."""
        strategy.adapted_dataset = self.joined_to(strategy.adapted_dataset)

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Choose exemplars of the experience's classes; classes that have theirs already keep them."""
        dataset = strategy.experience.dataset.eval()
        labels = torch.tensor(labels_of(dataset)[0])
        new = [label for label in sorted(set(labels.tolist())) if label not in self.groups]
        quotas = self.quotas([*self.groups, *new])
        # Old exemplars go before new ones come: the memory is never larger than it may be.
        self.groups = {label: first_of(group, quotas[label]) for label, group in self.groups.items()}
        for label in new:
            positions = torch.nonzero(labels == label).flatten().tolist()
            order = herding_order(self._features_of(strategy, dataset, positions), quotas[label])
            self.groups[label] = dataset.subset([positions[row] for row in order])
        self.cut()

    def quotas(self, labels: Sequence[int]) -> dict[int, int]:
        """Return how many exemplars each class may have at most.

        Raises:
            ValueError: fewer exemplars than classes.
        """
        if self.n_per_class is not None:
            return dict.fromkeys(labels, self.n_per_class)
        number = self.n_exemplars or 0
        each, more = divmod(number, len(labels))
        if not each:
            raise ValueError(
                f"HerdedExemplars: {number} exemplars are too few for {len(labels)} classes: one of each is the least."
            )
        return {label: each + (place < more) for place, label in enumerate(labels)}

    def cut(self) -> None:
        """Let exemplars go that are too many by another measure than their number: none here, for subclasses."""

    def _features_of(self, strategy: Any, dataset: Any, positions: list[int]) -> Tensor:
        """Return the features of some samples, `[n, F]`, in evaluation mode."""
        model = unwrapped(strategy.model)
        find = self._finder(model)
        of_its_own = nullcontext() if self._features is None else evaluating(self._features.to(strategy.device))
        with evaluating(model), of_its_own, torch.no_grad():
            parts = [
                find(rasters_of(dataset, positions[start : start + _CHUNK]).to(strategy.device)).cpu()
                for start in range(0, len(positions), _CHUNK)
            ]
        return torch.cat(parts)

    def _finder(self, model: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return what finds features."""
        find: Callable[[Tensor], Tensor] | None = self._features or getattr(model, "features", None)
        if find is None:
            raise TypeError(
                f"HerdedExemplars chooses by features: {type(model).__name__} has no method `features`; give the "
                "plugin a module, as in features=model[:-1]."
            )
        return find


def first_of(group: Any, n_samples: int) -> Any:
    """Return the first samples of a data set, or the data set where it has no more."""
    return group if len(group) <= n_samples else group.subset(list(range(n_samples)))
