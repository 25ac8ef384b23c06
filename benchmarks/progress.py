"""What runs show while they run: a progress bar over all epochs of each, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from avalanche.core import SupervisedPlugin
from avalanche.logging import BaseLogger
from tqdm import tqdm

from benchmarks.processes import Job


@dataclass(frozen=True)
class EpochReached:
    """How far a run has come.

    Attributes:
        n_epochs: trained.
        n_all: epochs of the whole run.
        loss: of the last minibatch; None where nothing was trained.
    """

    n_epochs: int
    n_all: int
    loss: float | None


class RunView(Protocol):
    """Is told how a run goes on."""

    def reached(self, epoch: EpochReached) -> None:
        """Epochs were trained, or taken over from a run before."""

    def network_is_ready(self) -> None:
        """The network after the first experience can be used by other runs."""

    def close(self) -> None:
        """The run is over."""


class EpochCounter(SupervisedPlugin):
    """Count the epochs of a whole run.

    Args:
        n_epochs: of the run.
        view: is told.
    """

    supports_distributed = True

    def __init__(self, n_epochs: int, view: RunView) -> None:
        super().__init__()
        self._n_all, self._view = n_epochs, view
        self._n_epochs = 0
        self.reach(0)

    def after_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Count one more."""
        self._n_epochs += 1
        self._view.reached(EpochReached(self._n_epochs, self._n_all, strategy.loss.item()))

    def reach(self, n_epochs: int) -> None:
        """Stand where so many epochs are done, trained now or before."""
        self._n_epochs = n_epochs
        self._view.reached(EpochReached(n_epochs, self._n_all, None))


class EpochBar:
    """Show one bar for a run, a step an epoch, with the loss of the last minibatch.

    Args:
        label: what stands before the bar.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: tqdm[Any] | None = None

    def reached(self, epoch: EpochReached) -> None:
        """Move the bar on; it is there from the first time, when the run has its data."""
        if self._bar is None:
            self._bar = tqdm(desc=self._label, unit="epoch", dynamic_ncols=True, total=epoch.n_all)
        _move(self._bar, epoch)

    def network_is_ready(self) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Finish the bar."""
        if self._bar is not None:
            self._bar.close()


class BarsSideBySide:
    """Show all runs in one view: a bar for all of them, and below it one for each that is running.

    Where standard error is no terminal there are no bars, only a line for each run that has ended.

    Args:
        n_runs: all of them.
        describe: what is written, above the bars, when a run has ended, from its job and its outcome.
    """

    _STARTING = "starting {desc}"
    _RUNNING = "{percentage:3.0f}%|{bar:12}| {n_fmt}/{total_fmt} epochs [{elapsed}<{remaining}{postfix}] {desc}"

    def __init__(self, n_runs: int, describe: Callable[[Job, Any], str]) -> None:
        self._describe = describe
        self._hidden = not sys.stderr.isatty()
        # Runs take so differently long that only their mean says anything about the time left.
        self._all = tqdm(
            total=n_runs,
            desc="runs done",
            unit="run",
            smoothing=0,
            position=0,
            dynamic_ncols=True,
            disable=self._hidden,
        )
        self._running: dict[int, tqdm[Any]] = {}

    def began(self, slot: int, job: Job) -> None:
        """Show a bar for the run."""
        self._running[slot] = tqdm(
            desc=job.label, bar_format=self._STARTING, position=slot + 1, leave=False, dynamic_ncols=True,
            disable=self._hidden, mininterval=0,
        )  # fmt: skip

    def told(self, slot: int, news: object) -> None:
        """Move the bar of the run on."""
        if isinstance(news, EpochReached):
            bar = self._running[slot]
            if bar.total is None:
                bar.bar_format = self._RUNNING
                bar.reset(news.n_all)
            _move(bar, news)
            self._all.refresh()

    def ended(self, slot: int, job: Job, outcome: Any) -> None:
        """Take the bar of the run away, and write what came of it."""
        self._running.pop(slot).close()
        tqdm.write(self._describe(job, outcome), file=sys.stdout)
        sys.stdout.flush()
        self._all.update()

    def close(self) -> None:
        """Finish all bars."""
        for bar in self._running.values():
            bar.close()
        self._all.close()


class SilentLogger(BaseLogger):
    """Let an evaluator compute its metrics without printing them; without any logger it warns."""

    def log_single_metric(self, name: str, value: Any, x_plot: int) -> None:
        """Say nothing."""


def _move(bar: tqdm[Any], epoch: EpochReached) -> None:
    if bar.disable:
        return
    if epoch.loss is None:
        # Nothing was trained on the way here, so the time that it took says nothing about the time left.
        bar.initial += epoch.n_epochs - bar.n
        bar.n = epoch.n_epochs
        bar.refresh()
    else:
        bar.set_postfix_str(f"loss {epoch.loss:.3f}", refresh=False)
        bar.update(epoch.n_epochs - bar.n)
