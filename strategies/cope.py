"""Continual prototype evolution: classes told by the nearest of prototypes that move with replay (De Lange 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import CoPEPlugin
from avalanche.training.supervised import Naive
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from avalanche_snn.checkpointing import buffer_state, load_buffer_state
from strategies._exemplars import ClassBalancedInBytes, RequireRoom

# Prototypes are gathered while the network is trained, with a loss of their own.
TRAINS_FIRST_EXPERIENCE = True
# The paper's are 0.99 (online: a step an experience) and 0.1.
GRID = {"momentum": (0.1, 0.5, 0.99)}
_NEVER = -1


class _PrototypeEvolution(CoPEPlugin):
    """Avalanche's plugin for experiences of many minibatches and networks without an `nn.Linear`.

    Avalanche's stops an experience after its first minibatch (made for streams of single minibatches), and puts its
    normalisation behind the last `nn.Linear`; here the outputs are normalised instead, whatever layer they come from.
    """

    def __init__(self, memory: str | int, n_classes: int, momentum: float, temperature: float) -> None:
        super().__init__(
            mem_size=0, n_classes=n_classes, p_size=n_classes, alpha=momentum, T=temperature, max_it_cnt=_NEVER
        )
        self.storage_policy = ClassBalancedInBytes(memory)
        self.settings = {"momentum": momentum, "temperature": temperature}

    def before_training(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Make prototypes, unless they are there."""
        self._init_new_prototypes(torch.arange(self.n_classes, device=strategy.device))

    def after_forward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Normalise the outputs."""
        strategy.mb_output = functional.normalize(strategy.mb_output, dim=1)
        super().after_forward(strategy, *args, **kwargs)

    def after_eval_forward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Normalise the outputs."""
        strategy.mb_output = functional.normalize(strategy.mb_output, dim=1)

    def state_dict(self) -> dict[str, Any]:
        """Return exemplars and prototypes."""
        return {
            "buffer": buffer_state(self.storage_policy),
            "prototypes": self.p_mem,
            "of this experience": [(label, *sums) for label, sums in self.tmp_p_mem.items()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the exemplars and prototypes of another plugin."""
        load_buffer_state(self.storage_policy, state["buffer"])
        # The loss looks them up in this very dict.
        self.p_mem.clear()
        self.p_mem.update(state["prototypes"])
        self.tmp_p_mem = {label: (total, number) for label, total, number in state["of this experience"]}


class _LossWithPrototypes:
    """CoPE's loss, and another one as long as there are no prototypes."""

    def __init__(self, cope: _PrototypeEvolution, without: Any) -> None:
        self._cope = cope
        self._without = without

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss; outputs `[B, H]`, labels `[B]`."""
        loss: Tensor = (self._cope.ppp_loss if self._cope.p_mem else self._without)(outputs, labels)
        return loss


def build(
    model: Any,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    momentum: float = 0.5,
    temperature: float = 0.1,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    The loss is CoPE's own, whatever `criterion` is; the outputs of the readout are the space of its prototypes.

    Args:
        model: layers in a row, the readout last, as in `RecurrentSNN`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB": rasters in the code "rice", with its length and label.
            The prototypes come on top.
        momentum: what is left of a prototype when an experience has ended, 0..1.
        temperature: of the loss.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    replay = _PrototypeEvolution(memory, model[-1].n_classes, momentum, temperature)
    listed = [RequireRoom(replay.storage_policy), replay, *plugins]
    strategy = Naive(model=model, optimizer=optimizer, plugins=listed, **template)
    strategy._criterion = _LossWithPrototypes(replay, strategy._criterion)
    return strategy
