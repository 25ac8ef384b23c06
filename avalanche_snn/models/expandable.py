"""A classifier that gets one more feature extractor for each group of new classes."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from avalanche.models import DynamicModule
from torch import Tensor, nn
from torch.nn import functional

#: Logit of a class that has not come yet.
UNSEEN = -1000.0


class ExpandableOutputs(NamedTuple):
    """All that an `ExpandableClassifier` says of a minibatch.

    Attributes:
        logits: `[B, K]`, those of classes not seen so far are `UNSEEN`.
        auxiliary: logits `[B, 1 + new classes]` of the newest extractor alone, the first of them for any old class;
            None in the first experience and where the network does not expand.
        old_logits: `[B, K]` of the network as it was before the newest extractor came, without gradient; None as above.
        features: `[B, extractors x n_features]`.
    """

    logits: Tensor
    auxiliary: Tensor | None
    old_logits: Tensor | None
    features: Tensor


class ExpandableClassifier(DynamicModule):
    """Feature extractors side by side, one for each experience with new classes, and one linear readout of all of them.

    The expandable network of Yan et al. (2021, "DER: Dynamically Expandable Representation for Class Incremental
    Learning"), as ALADE-SNN (arXiv 2412.12696) uses it: a new extractor begins as a copy of the newest one, which is
    frozen from then on, with still batch statistics; the readout, without bias, is built anew; a second readout tells
    the new classes from all old ones by the newest extractor's features alone. What the network was before, the teacher
    of a distillation, is its frozen part with the readout of then: its features are never computed twice.

    It grows when Avalanche adapts the model to an experience with classes that it has not seen, in training mode only:
    evaluation, of future experiences too, changes nothing. Rows of the readout belong to class labels, in any order
    in which they may come.

    Input as the extractors take it -> logits `[B, K]`.

    Args:
        make_extractor: returns the first extractor: any module, spiking or not, from a minibatch to features `[B, F]`.
        n_classes: K, of all experiences together.
        n_features: F; the extractor's attribute of that name where it is not given.
        expand: False to go on with the first extractor, trained in every experience; the readout then keeps its rows
            of old classes. No auxiliary readout and no old logits then.

    Attributes:
        extractors: in the order in which they came; all but the last are frozen.
        classifier: the readout, weight `[K, extractors x F]`.
        auxiliary: the readout of the newest extractor alone, or None.
        seen: bool `[K]`, classes that have come, those of the present experience too.
        newest: bool `[K]`, classes that came last.

    Raises:
        ValueError: fewer than one class, or an unknown number of features. In `forward`: features of another shape.
            In adaptation: an experience with a class label that is K or more.
        TypeError: an extractor instead of a function that makes one.
    """

    seen: Tensor
    newest: Tensor
    old_weight: Tensor

    def __init__(
        self,
        make_extractor: Callable[[], nn.Module],
        n_classes: int,
        *,
        n_features: int | None = None,
        expand: bool = True,
    ) -> None:
        super().__init__()
        if n_classes < 1:
            raise ValueError(f"ExpandableClassifier: wanted at least 1 class, came n_classes={n_classes}")
        if isinstance(make_extractor, nn.Module):
            raise TypeError(
                f"ExpandableClassifier: wanted a function that makes extractors, as in lambda: extractor, came a "
                f"{type(make_extractor).__name__}"
            )
        extractor = make_extractor()
        known = n_features if n_features is not None else getattr(extractor, "n_features", None)
        if not isinstance(known, int) or known < 1:
            raise ValueError(
                f"ExpandableClassifier: how many features {type(extractor).__name__} has is not known, n_features is "
                f"{known!r}: give n_features, or the extractor an attribute of that name"
            )
        self.n_classes = n_classes
        self.n_features = known
        self.expand = expand
        self.extractors = nn.ModuleList([extractor])
        self.classifier = nn.Linear(known, n_classes, bias=False)
        self.auxiliary: nn.Linear | None = None
        self.register_buffer("seen", torch.zeros(n_classes, dtype=torch.bool))
        self.register_buffer("newest", torch.zeros(n_classes, dtype=torch.bool))
        # The readout before the newest extractor came; without columns where there was none.
        self.register_buffer("old_weight", torch.zeros(n_classes, 0))
        self.reset_heads()

    @property
    def frozen_bytes(self) -> int:
        """Bytes of the frozen extractors and of the old readout: what a network that does not grow would not have."""
        tensors = [self.old_weight]
        for extractor in self.extractors[:-1]:
            tensors += [*extractor.parameters(), *extractor.buffers()]
        return sum(tensor.nbytes for tensor in tensors)

    @property
    def old(self) -> Tensor:
        """Bool `[K]`: classes that were seen before the present experience."""
        return self.seen & ~self.newest

    def auxiliary_labels(self, labels: Tensor) -> Tensor:
        """Return what the auxiliary readout has to say: 0 for an old class, 1, 2, ... for new ones in label order."""
        return (self.newest.cumsum(0) * self.newest)[labels]

    def adaptation(self, experience: Any) -> None:
        """Grow if the experience has classes that have not been seen, in training mode.

        Raises:
            ValueError: a class label that is K or more.
        """
        super().adaptation(experience)
        if not self.training:
            return
        classes = sorted({int(label) for label in experience.classes_in_this_experience})
        if classes and classes[-1] >= self.n_classes:
            raise ValueError(
                f"The experience has a class {classes[-1]}, but the network was made for {self.n_classes} classes "
                f"(labels 0 to {self.n_classes - 1}): give n_classes as many as all experiences have together."
            )
        new = torch.zeros_like(self.seen)
        new[classes] = True
        new &= ~self.seen
        if not new.any():
            return
        is_first = not self.seen.any()
        self.newest = new
        self.seen = self.seen | new
        if is_first:
            return
        if self.expand:
            self.old_weight = self.classifier.weight.detach().clone()
            self._add_extractor()
            self.classifier = self._make_classifier(len(self.extractors))
            self.auxiliary = self._make_auxiliary(int(new.sum()))
        self.reset_heads()

    def reset_heads(self) -> None:
        """Draw the weights of both readouts anew (Kaiming, normal); without expansion, those of the newest classes."""
        if self.expand or not self.old.any():
            self.reset_classifier()
        else:
            fresh = torch.empty_like(self.classifier.weight)
            nn.init.kaiming_normal_(fresh, nonlinearity="linear")
            with torch.no_grad():
                self.classifier.weight[self.newest] = fresh[self.newest]
        if self.auxiliary is not None:
            nn.init.kaiming_normal_(self.auxiliary.weight, nonlinearity="linear")
            nn.init.zeros_(self.auxiliary.bias)

    def reset_classifier(self) -> None:
        """Draw the weights of the readout of all features anew."""
        nn.init.kaiming_normal_(self.classifier.weight, nonlinearity="linear")

    def suppress_old_to_new(self) -> None:
        """Set the weights from the frozen extractors' features to the newest classes to exactly 0."""
        n_old = (len(self.extractors) - 1) * self.n_features
        with torch.no_grad():
            self.classifier.weight[self.newest, :n_old] = 0.0

    def train(self, mode: bool = True) -> ExpandableClassifier:
        """Set training mode; frozen extractors stay in evaluation mode."""
        super().train(mode)
        for extractor in self.extractors[:-1]:
            extractor.eval()
        return self

    def features(self, batch: Tensor) -> Tensor:
        """Return the features of all extractors, `[B, extractors x F]`.

        Raises:
            ValueError: an extractor returns another shape.
        """
        with torch.no_grad():
            parts = [extractor(batch) for extractor in self.extractors[:-1]]
        parts.append(self.extractors[-1](batch))
        if parts[-1].shape != (len(batch), self.n_features):
            raise ValueError(
                f"Features [{len(batch)}, {self.n_features}] were wanted of the extractor "
                f"{type(self.extractors[-1]).__name__}, but {list(parts[-1].shape)} came."
            )
        return torch.cat(parts, dim=1)

    def forward(self, batch: Tensor, details: bool = False) -> Any:
        """Classify a minibatch.

        Args:
            batch: as the extractors take it.
            details: return all that training wants to know.

        Returns:
            Logits `[B, K]`, or `ExpandableOutputs`.
        """
        features = self.features(batch)
        logits = self.readout(features)
        if not details:
            return logits
        auxiliary = old_logits = None
        if self.auxiliary is not None:
            auxiliary = self.auxiliary(features[:, -self.n_features :])
            with torch.no_grad():
                old_features = features[:, : -self.n_features].detach()
                old_logits = self._masked(functional.linear(old_features, self.old_weight), self.old)
        return ExpandableOutputs(logits, auxiliary, old_logits, features)

    def readout(self, features: Tensor) -> Tensor:
        """Return logits `[B, K]` of features of all extractors."""
        return self._masked(self.classifier(features), self.seen)

    @staticmethod
    def _masked(logits: Tensor, known: Tensor) -> Tensor:
        return logits.masked_fill(~known, UNSEEN)

    def _add_extractor(self) -> None:
        newest = self.extractors[-1]
        # Nothing of an earlier backward pass is to be copied, or to move what is frozen.
        newest.zero_grad(set_to_none=True)
        self.extractors.append(copy.deepcopy(newest))
        newest.requires_grad_(False)
        newest.eval()

    def take_shape(self, state: Mapping[str, Any], prefix: str = "") -> None:
        """Take the shape of a network whose state is about to be loaded; `load_state_dict` does so by itself.

        Args:
            state: tensors by their names.
            prefix: of the names of this network's.
        """
        found = (re.match(re.escape(f"{prefix}extractors.") + r"(\d+)\.", name) for name in state)
        numbers = [int(match.group(1)) for match in found if match]
        if not numbers:
            return
        n_extractors = 1 + max(numbers)
        has_changed = len(self.extractors) != n_extractors
        while len(self.extractors) < n_extractors:
            self._add_extractor()
        while len(self.extractors) > n_extractors:
            del self.extractors[-1]
        if has_changed:
            self.extractors[-1].requires_grad_(True)
        # Parameters that have their shape stay the ones that an optimizer knows.
        auxiliary = state.get(f"{prefix}auxiliary.weight")
        if self.classifier.in_features != n_extractors * self.n_features:
            self.classifier = self._make_classifier(n_extractors)
        if auxiliary is None:
            self.auxiliary = None
        elif self.auxiliary is None or self.auxiliary.weight.shape != auxiliary.shape:
            self.auxiliary = self._make_auxiliary(len(auxiliary) - 1)
        old_weight = state.get(f"{prefix}old_weight")
        if old_weight is not None and old_weight.shape != self.old_weight.shape:
            self.old_weight = torch.empty_like(old_weight, device=self.old_weight.device)

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *others: Any) -> None:
        # A method, and no hook: a copy's hook would be that of its original.
        self.take_shape(state, prefix)
        super()._load_from_state_dict(state, prefix, *others)

    def _make_classifier(self, n_extractors: int) -> nn.Linear:
        like = self.classifier.weight
        n_features = n_extractors * self.n_features
        return nn.Linear(n_features, self.n_classes, bias=False, device=like.device, dtype=like.dtype)

    def _make_auxiliary(self, n_new: int) -> nn.Linear:
        like = self.classifier.weight
        return nn.Linear(self.n_features, 1 + n_new, device=like.device, dtype=like.dtype)
