"""The loop of Avalanche for networks that say more than logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import BasePlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn
from torch.nn import CrossEntropyLoss
from torch.optim import Optimizer

from avalanche_snn.models.expandable import ExpandableOutputs
from avalanche_snn.training.expansion import expandable_of
from avalanche_snn.training.herded_exemplars import HerdedExemplars


class GrowingTemplate(SupervisedTemplate):
    """Avalanche's supervised template for an `ExpandableClassifier`, of which it keeps all outputs in training.

    Args:
        model: an `ExpandableClassifier`.
        optimizer: over the model's parameters.
        method: the plugin that makes the method; it comes first.
        exemplars: the plugin that keeps them; it comes next.
        criterion: loss of the logits; by default the cross-entropy.
        plugins: further plugins.
        template: arguments of `SupervisedTemplate`.

    Attributes:
        exemplars: as given.
        outputs: of the present minibatch in training, else None.

    Raises:
        ValueError: another model.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: Optimizer,
        method: BasePlugin,
        exemplars: HerdedExemplars,
        criterion: Any = None,
        plugins: Sequence[BasePlugin] | None = None,
        **template: Any,
    ) -> None:
        expandable_of(model)
        self.exemplars = exemplars
        self.outputs: ExpandableOutputs | None = None
        super().__init__(
            model=model,
            optimizer=optimizer,
            criterion=CrossEntropyLoss() if criterion is None else criterion,
            plugins=[method, exemplars, *(plugins or ())],
            **template,
        )

    def forward(self) -> Tensor:
        """Return the logits of the present minibatch."""
        if not self.is_training:
            self.outputs = None
            logits: Tensor = super().forward()
            return logits
        self.outputs = self.model(self.mb_x, details=True)
        return self.outputs.logits

    def _obtain_common_dataloader_parameters(self, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = super()._obtain_common_dataloader_parameters(**options)
        # Of several processes, each evaluates on all samples: metrics are not brought together.
        return found if self.is_training else {**found, "distributed_sampling": False}

    def _after_training_iteration(self, **kwargs: Any) -> None:
        self.outputs = None
        super()._after_training_iteration(**kwargs)

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: what is kept between experiences, network and plugins keep."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take nothing over."""
