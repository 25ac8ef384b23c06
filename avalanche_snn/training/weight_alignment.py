"""Weight alignment: a readout whose new classes weigh as much as its old ones (Zhao et al. 2020)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import BasePlugin, SupervisedPlugin
from avalanche.training.plugins.evaluation import default_evaluator
from torch import nn
from torch.nn import functional
from torch.optim import Optimizer

from avalanche_snn.models import ExpandableClassifier
from avalanche_snn.training.expansion import expandable_of
from avalanche_snn.training.growing_template import GrowingTemplate
from avalanche_snn.training.herded_exemplars import HerdedExemplars


class WeightAlignment(SupervisedPlugin):
    """Distil from the network before, and align the weights of new classes at the end of each experience.

    Zhao et al. (2020, "Maintaining Discrimination and Fairness in Class Incremental Learning"): with n old and m new
    classes the loss is m / (n + m) times the strategy's and n / (n + m) times the cross-entropy of the softmax of old
    classes, logits divided by the temperature, against that of the network before. At the end the readout's rows of new
    classes are multiplied by the mean norm of old rows over the mean norm of new ones. (Their restriction to weights
    above 0 is left out, as in most comparisons.) That supposes that new rows have become the longer ones, as with SGD
    and weight decay they do; where old rows grow on, as with Adam without decay, the factor is above 1 and new classes
    gain what they should lose: look at `last_factor`.

    Args:
        temperature: of the distillation, above 0.
        distillation: False to align only.
        alignment: False to distil only.

    Attributes:
        last_factor: by which the rows of new classes were multiplied last.

    Raises:
        ValueError: a temperature that is not above 0. In training: a model that is no `ExpandableClassifier`, or one
            that expands.
    """

    def __init__(self, temperature: float = 2.0, *, distillation: bool = True, alignment: bool = True) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"WeightAlignment: wanted a temperature above 0, came {temperature}")
        self.temperature = float(temperature)
        self.distillation = distillation
        self.alignment = alignment
        self.last_factor = 1.0
        self._before: ExpandableClassifier | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {"temperature": self.temperature, "distillation": self.distillation, "alignment": self.alignment}

    def state_dict(self) -> dict[str, Any]:
        """Return the network before."""
        return {"before": self._before, "last_factor": self.last_factor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the network before over."""
        self._before, self.last_factor = state["before"], state["last_factor"]

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """See that the model is one network."""
        if expandable_of(strategy.model).expand:
            raise ValueError("Weight alignment is for one network: ExpandableClassifier(..., expand=False) was wanted.")

    def before_backward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Mix the distillation into the loss."""
        if self._before is None or not self.distillation:
            return
        model = expandable_of(strategy.model)
        old = self._before.seen
        share = float(old.sum() / model.seen.sum())
        with torch.no_grad():
            wanted = functional.softmax(self._before(strategy.mb_x)[:, old] / self.temperature, dim=1)
        found = functional.log_softmax(strategy.mb_output[:, old] / self.temperature, dim=1)
        strategy.loss = (1 - share) * strategy.loss - share * (wanted * found).sum(dim=1).mean()

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Align the weights, and keep the network for the next experience."""
        model = expandable_of(strategy.model)
        brought = self._before is None or bool((model.seen & ~self._before.seen).any())
        if self.alignment and model.old.any() and brought:
            with torch.no_grad():
                norms = model.classifier.weight.norm(dim=1)
                factor = norms[model.old].mean() / norms[model.newest].mean()
                model.classifier.weight[model.newest] *= factor
            self.last_factor = float(factor)
        if self.distillation:
            self._before = copy.deepcopy(model).eval().requires_grad_(False)


class WA(GrowingTemplate):
    """Weight alignment (Zhao et al. 2020): one network, herded exemplars, distillation, and a readout set right.

    Args:
        model: an `ExpandableClassifier` with `expand=False`.
        optimizer: over the model's parameters.
        criterion: loss of the logits.
        n_exemplars: samples of old classes, all together.
        n_exemplars_per_class: of each class instead.
        exemplars: a plugin of one's own instead of these.
        temperature: of the distillation.
        distillation: False to do without.
        alignment: False to do without.
        plugins: further plugins.
        evaluator: metrics and loggers.
        others: as in Avalanche: train_mb_size, train_epochs, eval_mb_size, device, ...

    Raises:
        ValueError: another model, or an argument that is out of range.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: Any = None,
        n_exemplars: int = 2000,
        n_exemplars_per_class: int | None = None,
        exemplars: HerdedExemplars | None = None,
        temperature: float = 2.0,
        distillation: bool = True,
        alignment: bool = True,
        plugins: Sequence[BasePlugin] | None = None,
        evaluator: Any = default_evaluator,
        **others: Any,
    ) -> None:
        if exemplars is None:
            exemplars = HerdedExemplars(n_exemplars, n_per_class=n_exemplars_per_class)
        super().__init__(
            model=model,
            optimizer=optimizer,
            method=WeightAlignment(temperature, distillation=distillation, alignment=alignment),
            exemplars=exemplars,
            criterion=criterion,
            plugins=plugins,
            evaluator=evaluator,
            **others,
        )
