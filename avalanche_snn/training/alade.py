"""ALADE-SNN and what it was built on: templates for networks that grow with their classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import BasePlugin
from avalanche.training.plugins.evaluation import default_evaluator
from torch import nn
from torch.optim import Optimizer

from avalanche_snn.training.expansion import ExpansionPlugin
from avalanche_snn.training.growing_template import GrowingTemplate
from avalanche_snn.training.herded_exemplars import HerdedExemplars
from avalanche_snn.training.second_stage import SecondStage

_N_EXEMPLARS = 2000


class ALADE(GrowingTemplate):
    """ALADE-SNN (arXiv 2412.12696): one spiking feature extractor for each experience, logits aligned adaptively.

    In each experience a copy of the newest extractor is trained, the older ones are frozen; see `ExpandableClassifier`
    for the network, `ExpansionPlugin` for losses, suppression and second stage, `HerdedExemplars` for the memory. Each
    part can be switched off by its argument; `expand` is one of the network, without which there is nothing for
    auxiliary loss, distillation and suppression to act on. The publication trains for 170 epochs with
    SGD at 0.1 (momentum 0.9, weight decay 5e-4), a tenth of it at 110 and 130 (`LearningRateSchedule("steps")`), in
    minibatches of 64.

    Args:
        model: an `ExpandableClassifier`.
        optimizer: over the model's parameters.
        criterion: loss of the logits.
        n_exemplars: samples of old classes, all together.
        n_exemplars_per_class: of each class instead.
        exemplars: a plugin of one's own instead of these.
        auxiliary: weight of the auxiliary loss; 0 for none.
        distillation: weight of the divergence from the previous network; 0 for none.
        temperature: of the distillation.
        suppression: keep the weights from old features to new classes at 0.
        second_stage_epochs: 0 for no second stage.
        second_stage_learning_rate: of the second stage.
        alignment: align logits in the second stage.
        cache_features: compute features once in the second stage, without augmentation, see `SecondStage`.
        head_reset_epoch: epochs after which both readouts are drawn anew; None for never.
        seed: of draws in the second stage.
        train_mb_size: samples in a minibatch.
        train_epochs: of each experience, ahead of the second stage.
        eval_mb_size: samples in a minibatch of evaluation.
        device: of the model.
        plugins: further plugins.
        evaluator: metrics and loggers.
        eval_every: as in Avalanche.
        others: as in Avalanche.

    Raises:
        ValueError: a model that does not grow, or an argument that is out of range.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: Any = None,
        n_exemplars: int = _N_EXEMPLARS,
        n_exemplars_per_class: int | None = None,
        exemplars: HerdedExemplars | None = None,
        auxiliary: float = 1.0,
        distillation: float = 1.0,
        temperature: float = 2.0,
        suppression: bool = True,
        second_stage_epochs: int = 30,
        second_stage_learning_rate: float = 0.1,
        alignment: bool = True,
        cache_features: bool = False,
        head_reset_epoch: int | None = 10,
        seed: int = 0,
        train_mb_size: int = 64,
        train_epochs: int = 1,
        eval_mb_size: int | None = 256,
        device: str | torch.device = "cpu",
        plugins: Sequence[BasePlugin] | None = None,
        evaluator: Any = default_evaluator,
        eval_every: int = -1,
        **others: Any,
    ) -> None:
        if exemplars is None:
            exemplars = HerdedExemplars(n_exemplars, n_per_class=n_exemplars_per_class)
        expansion = ExpansionPlugin(
            exemplars,
            auxiliary=auxiliary,
            distillation=distillation,
            temperature=temperature,
            suppression=suppression,
            second_stage=SecondStage(second_stage_epochs, second_stage_learning_rate, alignment, cache_features),
            head_reset_epoch=head_reset_epoch,
            seed=seed,
        )
        super().__init__(
            model=model,
            optimizer=optimizer,
            method=expansion,
            exemplars=exemplars,
            criterion=criterion,
            train_mb_size=train_mb_size,
            train_epochs=train_epochs,
            eval_mb_size=eval_mb_size,
            device=device,
            plugins=plugins,
            evaluator=evaluator,
            eval_every=eval_every,
            **others,
        )


class DynamicallyExpandable(ALADE):
    """The dynamically expandable network of Yan et al. (2021), without pruning: what ALADE-SNN was built on.

    One extractor for each experience, the auxiliary loss, and the readout trained anew on as many samples of each
    class; no suppression, no distillation, no alignment. (Yan et al. call it DER; Avalanche's DER is Dark Experience
    Replay.)

    Args:
        options: those of `ALADE`, but for what this one does without.

    Raises:
        TypeError: an argument that switches on what this one does without.
    """

    def __init__(self, **options: Any) -> None:
        without: dict[str, Any] = {"suppression": False, "distillation": 0.0, "alignment": False}
        if given := [name for name in without if name in options]:
            raise TypeError(f"DynamicallyExpandable does without {', '.join(given)}: use ALADE.")
        super().__init__(**options, **without)
