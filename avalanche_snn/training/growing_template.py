"""The loop of Avalanche for networks that say more than logits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from avalanche.core import BasePlugin
from avalanche.training.templates import SupervisedTemplate
from avalanche.training.templates.base_sgd import PeriodicEval
from torch import Tensor, nn
from torch.nn import CrossEntropyLoss
from torch.optim import Optimizer

from avalanche_snn.models.expandable import ExpandableOutputs
from avalanche_snn.training.data_parallel import DataParallel
from avalanche_snn.training.expansion import expandable_of
from avalanche_snn.training.herded_exemplars import HerdedExemplars


class GrowingTemplate(SupervisedTemplate):
    """Avalanche's supervised template for an `ExpandableClassifier`, of which it keeps all outputs in training.

    Parameters of a new extractor go to the optimizer's group of the extractor that it was copied from, those of the
    auxiliary readout to the readout's. Periodic evaluation (`eval_every` of 0 or more) always has one at the end of an
    experience, when the method has done what it does behind the last epoch.

    Args:
        model: an `ExpandableClassifier`.
        optimizer: over the model's parameters.
        method: the plugin that makes the method; it comes first, but for a `DataParallel` among the others.
        exemplars: the plugin that keeps them; it comes next.
        criterion: loss of the logits; by default the cross-entropy. With label smoothing, `SeenClassesCrossEntropy`.
        plugins: further plugins.
        template: arguments of `SupervisedTemplate`.

    Attributes:
        exemplars: as given.
        outputs: of the present minibatch in training, else None.

    Raises:
        ValueError: another model, or a loss that smooths labels over classes that have not come yet.
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
        if isinstance(criterion, CrossEntropyLoss) and criterion.label_smoothing:
            raise ValueError(
                f"CrossEntropyLoss(label_smoothing={criterion.label_smoothing}) spreads labels over classes that have "
                f"not come yet: SeenClassesCrossEntropy(label_smoothing={criterion.label_smoothing}) does not."
            )
        given = list(plugins or ())
        wrappers = [plugin for plugin in given if isinstance(plugin, DataParallel)]
        others = [plugin for plugin in given if not isinstance(plugin, DataParallel)]
        self.exemplars = exemplars
        self.outputs: ExpandableOutputs | None = None
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        # Of the parameters that there are at first, the places of their groups in the optimizer.
        self._first_places = {
            names[id(parameter)]: place
            for place, group in enumerate(optimizer.param_groups)
            for parameter in group["params"]
            if id(parameter) in names
        }
        super().__init__(
            model=model,
            optimizer=optimizer,
            criterion=CrossEntropyLoss() if criterion is None else criterion,
            plugins=[*wrappers, method, exemplars, *others],
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

    def make_optimizer(self, **options: Any) -> None:
        """Place what the network has grown by in the optimizer's groups; all else as in Avalanche."""
        groups: list[list[Tensor]] = [group["params"] for group in self.optimizer.param_groups]
        if len(groups) > 1:
            places = {id(parameter): place for place, group in enumerate(groups) for parameter in group}
            known = {**dict(self.model.named_parameters()), **(self.optimized_param_id or {})}
            for name, parameter in self.model.named_parameters():
                if id(known[name]) not in places:
                    like = _first_of_its_kind(name)
                    groups[places.get(id(known.get(like)), self._first_places.get(like, 0))].append(parameter)
        super().make_optimizer(**options)

    def _before_training_exp(self, **kwargs: Any) -> None:
        super()._before_training_exp(**kwargs)
        for plugin in self.plugins:
            if isinstance(plugin, PeriodicEval):
                # Avalanche leaves it out when the last epoch ends with one, which the method then outdates.
                plugin.do_final = plugin.eval_every > -1

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


def _first_of_its_kind(name: str) -> str:
    """Return the name of the parameter that one of a network that has grown was copied from, or is most like."""
    if name.startswith("auxiliary."):
        return "classifier.weight"
    return re.sub(r"^extractors\.\d+\.", "extractors.0.", name)
