"""The second stage of networks that grow: the readout alone, trained anew on as many samples of each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from avalanche_snn.models.evaluating import evaluating
from avalanche_snn.models.expandable import ExpandableClassifier
from avalanche_snn.training.data_parallel import average, shared_loader, take_from_first
from avalanche_snn.training.herded_exemplars import HerdedExemplars
from avalanche_snn.training.logit_alignment import LogitAlignment
from avalanche_snn.training.raw_memory import labels_of


@dataclass(frozen=True)
class SecondStage:
    """How the readout is trained.

    Attributes:
        n_epochs: 0 for no second stage.
        learning_rate: of SGD with momentum 0.9 and weight decay 5e-4; a tenth of it from the middle on.
        alignment: shift the logits of new classes adaptively from the middle on, see `LogitAlignment`.
        cache_features: pass each sample through the extractors once, under the transforms of evaluation, instead of
            once an epoch under those of training: a fraction of the time, without augmentation.
    """

    n_epochs: int = 30
    learning_rate: float = 0.1
    alignment: bool = True
    cache_features: bool = False

    def __post_init__(self) -> None:
        if self.n_epochs < 0 or not self.learning_rate > 0:
            raise ValueError(
                "second stage: wanted 0 epochs or more and a learning rate above 0, "
                f"came {self.n_epochs} and {self.learning_rate}"
            )

    def train(
        self,
        model: ExpandableClassifier,
        dataset: Any,
        *,
        minibatch: int,
        device: torch.device,
        generator: torch.Generator,
        **loader_options: Any,
    ) -> float:
        """Train the readout of a network in evaluation mode; nothing else of it changes.

        Args:
            model: whose mode is what it was when this is done.
            dataset: samples under the transforms of training.
            minibatch: samples in one, of all processes together.
            device: of the model.
            generator: of the order of samples.
            loader_options: of the data loader: num_workers, ...

        Returns:
            The shift that the last epoch led to.
        """
        with evaluating(model):
            model.reset_classifier()
            weight = model.classifier.weight
            take_from_first([weight])
            optimizer = torch.optim.SGD([weight], self.learning_rate, momentum=0.9, weight_decay=5e-4)
            scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [self.n_epochs // 2], gamma=0.1)
            features_of: Callable[[Tensor], Tensor] = model.features
            if self.cache_features:
                cached = _features_of(model, dataset, minibatch, device, loader_options)
                loader, features_of = shared_loader(cached, minibatch, generator), nn.Identity()
            else:
                loader = shared_loader(dataset, minibatch, generator, collate_fn=dataset.collate_fn, **loader_options)
            shift = LogitAlignment()
            for epoch in range(self.n_epochs):
                seen: list[tuple[Tensor, Tensor]] = []
                if isinstance(loader.sampler, DistributedSampler):
                    loader.sampler.set_epoch(epoch)
                for batch in loader:
                    labels = batch[1].to(device)
                    with torch.no_grad():
                        features = features_of(batch[0].to(device))
                    with torch.enable_grad():
                        logits = model.readout(features) + shift.gamma * model.newest
                        loss = functional.cross_entropy(logits, labels)
                        optimizer.zero_grad()
                        loss.backward()  # type: ignore[no-untyped-call]
                    average([weight.grad])
                    optimizer.step()
                    seen.append((features, labels))
                scheduler.step()
                if self.alignment and epoch >= self.n_epochs // 2:
                    shift.update(*_mean_logits(model, seen))
            return shift.gamma


def _features_of(
    model: ExpandableClassifier, dataset: Any, minibatch: int, device: torch.device, loader_options: Mapping[str, Any]
) -> TensorDataset:
    """Return features and labels of all samples under the transforms of evaluation, in their order."""
    # A loader without a generator draws from torch's own whenever it begins, and with it all that comes later changes.
    own = torch.Generator()
    loader = DataLoader(dataset.eval(), minibatch, generator=own, collate_fn=dataset.collate_fn, **loader_options)
    features, labels = [], []
    with torch.no_grad():
        for batch in loader:
            features.append(model.features(batch[0].to(device)))
            labels.append(batch[1].to(device))
    return TensorDataset(torch.cat(features), torch.cat(labels))


def _mean_logits(model: ExpandableClassifier, seen: Sequence[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Return the mean logit of the true class of samples of new classes, and of samples of old ones."""
    labels = torch.cat([of_batch for _, of_batch in seen])
    with torch.no_grad():
        true = torch.cat([model.readout(features) for features, _ in seen]).gather(1, labels.unsqueeze(1)).flatten()
    is_new = model.newest[labels]
    sums = torch.stack([true[is_new].sum(), is_new.sum(), true[~is_new].sum(), (~is_new).sum()])
    average([sums])
    of_new, n_new, of_old, n_old = sums.tolist()
    return of_new / n_new, of_old / n_old


def balanced_with(exemplars: HerdedExemplars, dataset: Any, generator: torch.Generator) -> Any:
    """Return exemplars and, of a data set, as many samples of each class that has none, drawn at random.

    Args:
        exemplars: of old classes, of one at least.
        dataset: of new classes, under the transforms that count.
        generator: of the draw.
    """
    most = max(len(group) for group in exemplars.groups.values())
    labels = torch.tensor(labels_of(dataset)[0])
    chosen: list[int] = []
    for label in sorted(set(labels.tolist())):
        if label not in exemplars.groups:
            positions = torch.nonzero(labels == label).flatten()
            chosen += positions[torch.randperm(len(positions), generator=generator)[:most]].tolist()
    return exemplars.joined_to(dataset.subset(chosen))
