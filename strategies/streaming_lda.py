"""Streaming linear discriminant analysis on what the frozen network makes of its input (Hayes & Kanan 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.supervised import StreamingLDA
from torch import nn
from torch.optim import Optimizer

from strategies._features import SpikeCounts

# 0.0001 is the paper's; spike counts of a small network vary less than its features.
GRID = {"shrinkage": (0.0001, 0.01, 1.0)}
# Lambda is the inverse of the covariance as it was `prev_num_updates` samples ago.
_STATISTICS = ("muK", "cK", "Sigma", "num_updates", "Lambda", "prev_num_updates")


class _OnePass(StreamingLDA):
    """Avalanche's strategy, which sees each sample once, however many epochs others train.

    Avalanche's warns of every plugin, for having hooks around a backward pass that there is not: all plugins have them.
    """

    def _check_plugin_compatibility(self) -> None:
        pass

    def _train_exp(self, experience: Any, eval_streams: Any = None, **kwargs: Any) -> None:
        self.train_epochs = 1
        super()._train_exp(experience, eval_streams, **kwargs)

    @property
    def settings(self) -> dict[str, Any]:
        """What the strategy was made with."""
        return {"shrinkage": self.shrinkage_param}

    def state_dict(self) -> dict[str, Any]:
        """Return means, numbers of samples and covariance."""
        return {name: getattr(self, name) for name in _STATISTICS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the statistics of another strategy."""
        for name in _STATISTICS:
            setattr(self, name, state[name])


def build(
    model: Any,
    optimizer: Optimizer,
    *,
    shrinkage: float = 0.0001,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> StreamingLDA:
    """Compose the strategy.

    The network is not trained: bring one that was, on the first experience say. Its readout is replaced by the analysis
    of the spike counts of its last hidden layer. `criterion` is only reported.

    Args:
        model: layers in a row, the readout last, as in `RecurrentSNN`.
        optimizer: not used, there is nothing to optimise.
        shrinkage: how far the covariance is drawn towards the identity, 0..1.
        plugins: further plugins.
        template: options of Avalanche's strategy: train_mb_size, eval_mb_size, evaluator, device, ...
    """
    # A pre-trained network is what the method begins with; the first experience then passes through it once.
    template.setdefault("criterion", nn.CrossEntropyLoss())
    return _OnePass(
        slda_model=SpikeCounts(model),
        input_size=model[-1].n_inputs,
        num_classes=model[-1].n_classes,
        shrinkage_param=shrinkage,
        plugins=[*plugins],
        **template,
    )
