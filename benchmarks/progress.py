"""What a run shows while it runs: one progress bar over all epochs, and nothing else."""

from __future__ import annotations

from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.logging import BaseLogger
from tqdm import tqdm


class EpochProgress(SupervisedPlugin):
    """Show one bar for a whole run, a step an epoch, with the loss of the last minibatch.

    Args:
        n_epochs: of the run.
        label: what stands before the bar.
    """

    supports_distributed = True

    def __init__(self, n_epochs: int, label: str) -> None:
        super().__init__()
        self._bar = tqdm(total=n_epochs, desc=label, unit="epoch", dynamic_ncols=True)

    def after_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Move the bar on."""
        self._bar.set_postfix_str(f"loss {strategy.loss.item():.3f}", refresh=False)
        self._bar.update()

    def reach(self, n_epochs: int) -> None:
        """Move the bar to where it stands after so many epochs, trained now or before."""
        self._bar.update(n_epochs - self._bar.n)

    def close(self) -> None:
        """Finish the bar."""
        self._bar.close()


class SilentLogger(BaseLogger):
    """Let an evaluator compute its metrics without printing them; without any logger it warns."""

    def log_single_metric(self, name: str, value: Any, x_plot: int) -> None:
        """Say nothing."""
