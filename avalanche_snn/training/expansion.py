"""How a network that grows is trained: what ALADE-SNN adds to a plain training loop, each part by its name."""

from __future__ import annotations

from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import nn
from torch.nn import functional

from avalanche_snn.models.expandable import ExpandableClassifier, ExpandableOutputs
from avalanche_snn.training.data_parallel import take_from_first, unwrapped
from avalanche_snn.training.herded_exemplars import HerdedExemplars
from avalanche_snn.training.second_stage import SecondStage, balanced_with


class ExpansionPlugin(SupervisedPlugin):
    """Losses, projection and second stage of ALADE-SNN (arXiv 2412.12696) for an `ExpandableClassifier`.

    To the strategy's loss it adds, from the second experience on, the cross-entropy of the auxiliary readout, and the
    Kullback-Leibler divergence of the softmax of old classes from that of the network before, both logits divided by
    the temperature. After each step it sets the weights from old features to new classes to exactly 0. Both readouts
    are drawn anew when an experience has been trained for `head_reset_epoch` epochs. At its end, again from the second
    experience on, the readout alone is trained anew in a second stage, on exemplars of old classes and as many samples
    of each new one.

    It is used by the templates `ALADE` and `DynamicallyExpandable`, whose `forward` keeps what the network says besides
    logits; it stands ahead of the exemplars' own plugin, which chooses new exemplars when the second stage is done.

    Args:
        exemplars: the plugin that keeps them.
        auxiliary: weight of the auxiliary loss; 0 for none.
        distillation: weight of the divergence, which is not multiplied by the squared temperature; 0 for none.
        temperature: by which logits are divided in it, above 0.
        suppression: set the weights from old features to new classes to 0.
        second_stage: how the readout is trained anew.
        head_reset_epoch: epochs after which both readouts are drawn anew in each experience; None for never.
        seed: of the draw of new samples and of their order in the second stage. Readouts are drawn from torch's
            generator.

    Attributes:
        last_shift: of the logits of new classes, at the end of the last second stage.

    Raises:
        ValueError: a weight below 0, a temperature or an epoch that is not above 0. In training: a model that is no
            `ExpandableClassifier`, or a template that does not keep the network's outputs.
    """

    def __init__(
        self,
        exemplars: HerdedExemplars,
        *,
        auxiliary: float = 1.0,
        distillation: float = 1.0,
        temperature: float = 2.0,
        suppression: bool = True,
        second_stage: SecondStage | None = None,
        head_reset_epoch: int | None = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not (auxiliary >= 0 and distillation >= 0 and temperature > 0):
            raise ValueError(
                "ExpansionPlugin: wanted weights of 0 or more and a temperature above 0, came "
                f"auxiliary={auxiliary}, distillation={distillation} and temperature={temperature}"
            )
        if head_reset_epoch is not None and head_reset_epoch < 1:
            raise ValueError(f"head_reset_epoch: wanted 1 or more, or None for never, came {head_reset_epoch}")
        self.exemplars = exemplars
        self.auxiliary = float(auxiliary)
        self.distillation = float(distillation)
        self.temperature = float(temperature)
        self.suppression = suppression
        self.second_stage = second_stage if second_stage is not None else SecondStage()
        self.head_reset_epoch = head_reset_epoch
        self.last_shift = 0.0
        self.frozen = _FrozenExtractors()
        self._generator = torch.Generator().manual_seed(seed)
        self._grows = False

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {
            "auxiliary": self.auxiliary,
            "distillation": self.distillation,
            "temperature": self.temperature,
            "suppression": self.suppression,
            "second_stage": repr(self.second_stage),
            "head_reset_epoch": self.head_reset_epoch,
            "seed": self._generator.initial_seed(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return how far random draws have come; exemplars are saved by their own plugin."""
        return {
            "generator": self._generator.get_state(),
            "last_shift": self.last_shift,
            "frozen_bytes": self.frozen.memory_bytes,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state of another plugin."""
        self._generator.set_state(state["generator"])
        self.last_shift = state["last_shift"]
        self.frozen.memory_bytes = state["frozen_bytes"]

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """See what has been frozen, and set to 0 what is to be 0."""
        model = expandable_of(strategy.model)
        self.frozen.memory_bytes = model.frozen_bytes
        self._grows = bool(self._brought(strategy))
        self._suppress(model)

    def before_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Draw both readouts anew when it is time."""
        if self._grows and strategy.clock.train_exp_epochs == self.head_reset_epoch:
            model = expandable_of(strategy.model)
            model.reset_heads()
            heads = (model.classifier, model.auxiliary)
            take_from_first(parameter for head in heads if head is not None for parameter in head.parameters())
            self._suppress(model)

    def before_backward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Add the auxiliary loss and the distillation.

        Raises:
            ValueError: the template does not keep the network's outputs.
        """
        outputs = getattr(strategy, "outputs", None)
        if not isinstance(outputs, ExpandableOutputs):
            raise ValueError(
                f"The losses of a growing network are of its outputs, which {type(strategy).__name__} does not keep: "
                "use a template of avalanche_snn.training, ALADE or DynamicallyExpandable."
            )
        model = expandable_of(strategy.model)
        if outputs.auxiliary is not None:
            # With a weight of 0, too: a network that several processes train must use all of its parameters.
            wanted = model.auxiliary_labels(strategy.mb_y)
            strategy.loss += self.auxiliary * functional.cross_entropy(outputs.auxiliary, wanted)
        if outputs.old_logits is not None and self.distillation:
            found, before = (
                functional.log_softmax(logits[:, model.old] / self.temperature, dim=1)
                for logits in (outputs.logits, outputs.old_logits)
            )
            divergence = functional.kl_div(found, before, log_target=True, reduction="batchmean")
            strategy.loss += self.distillation * divergence

    def after_update(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Set the weights from old features to new classes to 0."""
        self._suppress(expandable_of(strategy.model))

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Train the readout anew, on as many samples of each class, if there are old ones and new ones."""
        model = expandable_of(strategy.model)
        if not (self._brought(strategy) and self.exemplars.groups and model.old.any() and self.second_stage.n_epochs):
            return
        self.last_shift = self.second_stage.train(
            model,
            balanced_with(self.exemplars, strategy.experience.dataset.train(), self._generator),
            minibatch=strategy.train_mb_size,
            device=strategy.device,
            generator=self._generator,
            num_workers=kwargs.get("num_workers", 0),
        )

    def _brought(self, strategy: Any) -> set[int]:
        """Return the classes of the experience of which there are no exemplars."""
        return set(strategy.experience.classes_in_this_experience) - set(self.exemplars.groups)

    def _suppress(self, model: ExpandableClassifier) -> None:
        # Where nothing has come to suppress, the readout is that of the second stage, which nothing would repair.
        if self._grows and self.suppression and len(model.extractors) > 1:
            model.suppress_old_to_new()


class _FrozenExtractors:
    """Bytes of what a network keeps of its past, which memory metrics count as memory."""

    def __init__(self) -> None:
        self.memory_bytes = 0


def expandable_of(model: nn.Module) -> ExpandableClassifier:
    """Return the growing network, out of a wrapper for several processes.

    Raises:
        ValueError: another model.
    """
    inner = unwrapped(model)
    if not isinstance(inner, ExpandableClassifier):
        raise ValueError(
            "A network that grows was wanted, an avalanche_snn.models.ExpandableClassifier, but "
            f"{type(inner).__name__} came: ExpandableClassifier(lambda: extractor, n_classes=...) makes one."
        )
    return inner
