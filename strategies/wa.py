"""Weight alignment: distillation, exemplars, and new classes that weigh as much as old ones (Zhao et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from torch import nn
from torch.optim import Optimizer

from avalanche_snn.training import WA
from strategies._herded import HerdedInBytes, growing

# Its readout is another.
TRAINS_FIRST_EXPERIENCE = True
PREDICTS_SEEN_CLASSES = True


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    temperature: float = 2.0,
    distillation: bool = True,
    alignment: bool = True,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> WA:
    """Compose the strategy.

    The readout is replaced by a linear one on spike rates.

    Args:
        model: layers in a row, the readout last, as in `RecurrentSNN`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB": rasters in the code "rice", with its length and label.
            The network before is kept beside them.
        temperature: of the distillation.
        distillation: False to do without.
        alignment: False to do without.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, eval_mb_size, evaluator, device, ...
    """
    return WA(
        model=growing(model, expand=False),
        optimizer=optimizer,
        exemplars=HerdedInBytes(memory),
        temperature=temperature,
        distillation=distillation,
        alignment=alignment,
        plugins=plugins,
        **template,
    )
