"""ALADE-SNN: a growing network that aligns its logits (arXiv 2412.12696)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from torch import nn
from torch.optim import Optimizer

from avalanche_snn.training import ALADE
from strategies._herded import HerdedInBytes, growing

# Its readout is another, and the network grows from the first experience on.
TRAINS_FIRST_EXPERIENCE = True
PREDICTS_SEEN_CLASSES = True


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    expand: bool = True,
    auxiliary: float = 1.0,
    distillation: float = 1.0,
    suppression: bool = True,
    second_stage_epochs: int = 15,
    second_stage_learning_rate: float = 0.02,
    alignment: bool = True,
    seed: int = 0,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> ALADE:
    """Compose the strategy.

    The readout is replaced by a linear one on spike rates; all other layers are the first extractor. Readouts are not
    drawn anew within an experience, which the publication does after 10 of 170 epochs. The second stage computes the
    features of its samples once, without augmentation, where the publication augments: a third of the whole time.

    Args:
        model: layers in a row, the readout last, as in `RecurrentSNN`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB": rasters in the code "rice", with its length and label.
            The frozen extractors are kept beside them.
        expand: add an extractor for each experience with new classes.
        auxiliary: weight of the auxiliary loss.
        distillation: weight of the divergence from the previous network.
        suppression: keep the weights from old features to new classes at 0.
        second_stage_epochs: of the readout alone, on as many samples of each class; 0 for none.
        second_stage_learning_rate: of these (chosen on validation data of SHD).
        alignment: align logits in the second stage.
        seed: of draws in the second stage.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, eval_mb_size, evaluator, device, ...
    """
    return ALADE(
        model=growing(model, expand=expand),
        optimizer=optimizer,
        exemplars=HerdedInBytes(memory),
        auxiliary=auxiliary,
        distillation=distillation,
        suppression=suppression,
        second_stage_epochs=second_stage_epochs,
        second_stage_learning_rate=second_stage_learning_rate,
        alignment=alignment,
        cache_features=True,
        head_reset_epoch=None,
        seed=seed,
        plugins=plugins,
        **template,
    )
