"""Going on with a run: checkpoints while it trains, and the way back to the place where one was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from avalanche_snn.checkpointing.checkpoints import BETWEEN, EPOCH, EXPERIENCE, TRAINED
from avalanche_snn.checkpointing.configuration import begun_with, configuration_of, require_same
from avalanche_snn.checkpointing.files import read_checkpoint, remove_partial_files, write_checkpoint
from avalanche_snn.checkpointing.plugins import Checkpointable
from avalanche_snn.checkpointing.strategy_state import load_loggers, load_strategy_state, strategy_state
from avalanche_snn.checkpointing.stream_samples import StreamSamples
from avalanche_snn.training.data_parallel import is_first_process, n_processes, wait_for_all


def resume(
    path: str | Path,
    strategy: Any,
    benchmark: Any,
    *,
    every_epochs: int | None = None,
    also: Mapping[str, Checkpointable] | None = None,
) -> int:
    """Go on with a run where its checkpoint stands, or begin it; from now on, training writes checkpoints.

    A script with this line, and with its loop over `benchmark.train_stream[start:]`, is resumed by running it again:

        start = resume("run.checkpoint", strategy, benchmark, every_epochs=5)
        for experience in benchmark.train_stream[start:]:
            strategy.train(experience)
            strategy.eval(benchmark.test_stream)

    A checkpoint is written before and after the training of each experience, and every `every_epochs` epochs. The
    first call of `train` takes the run to the very place where the last one was written: it trains only the epochs that
    were missing, or none where the experience had been trained to its end and only its evaluation was missing. Weights,
    memories and metrics then are those of a run that was never interrupted, bit for bit. What the script itself
    gathered in earlier experiences is in `strategy.evaluator.get_all_metrics()`. Of several processes (`DataParallel`),
    all call it with the same path; the first one writes, and all go on from what it wrote.

    Args:
        path: of the checkpoint; its folder is made if it is missing.
        strategy: composed as ever, and not yet trained.
        benchmark: whose `train_stream` it learns, in order.
        every_epochs: also write one after so many epochs of an experience; None for none within experiences.
        also: other objects that belong to the run (a learning rate scheduler that is stepped in the loop, say), by any
            names.

    Returns:
        The number of the experience to go on with: 0 where there is no checkpoint.

    Raises:
        TypeError: a strategy, plugin or metric that does not say what its state is; it is named.
        ValueError: `every_epochs` below 1; a file that is no checkpoint, was written by `save`, or belongs to another
            configuration, whose differences are spelled out. In training: another experience than the one to go on
            with, or a strategy whose training broke off before.
    """
    if every_epochs is not None and every_epochs < 1:
        raise ValueError(f"every_epochs must be 1 or more, or None, but {every_epochs!r} came.")
    path, also = Path(path), dict(also or {})
    samples = StreamSamples(benchmark.train_stream)
    strategy_state(strategy, samples, also)  # says now, not after the first experience, what cannot be saved
    configuration = configuration_of(strategy, benchmark, also) | {"begun with": begun_with(strategy)}
    if n_processes() > 1:
        configuration["processes"] = n_processes()
    if is_first_process():
        remove_partial_files(path)
    content = None
    if path.exists():
        content = read_checkpoint(path)
        if content["position"]["point"] == BETWEEN:
            raise ValueError(f"{path} was written by save(): load() it, and give resume() a path of its own.")
        require_same(content["configuration"], configuration, path)
        # They hear of the beginning of training before there is a place where the rest can be loaded.
        load_loggers(strategy, content["state"])
    wait_for_all()  # nobody writes before everybody has read
    run = _Run(path, strategy, samples, configuration, every_epochs, also, content)
    # Plugins come before or after one another, depending on their places; what surrounds `train` is around all of them.
    strategy.train = run.train
    return strategy.clock.train_exp_counter if content is None else int(content["position"]["start"])


class _Run:
    """A strategy whose training writes checkpoints, and begins where one was written."""

    def __init__(
        self,
        path: Path,
        strategy: Any,
        samples: StreamSamples,
        configuration: dict[str, Any],
        every_epochs: int | None,
        also: dict[str, Checkpointable],
        content: dict[str, Any] | None,
    ) -> None:
        self._path = path
        self._strategy = strategy
        self._samples = samples
        self._configuration = configuration
        self._every_epochs = every_epochs
        self._also = also
        # The checkpoint to go on with, until that is done.
        self._pending = content
        # The state in which the present experience began: preparing it again starts from there.
        self._before_experience: dict[str, Any] | None = None
        self._broken_off = False

    def train(self, experiences: Any, eval_streams: Any = None, **kwargs: Any) -> Any:
        """Train as the strategy's own `train` does, or what is missing of it."""
        strategy = self._strategy
        wanted = list(experiences) if isinstance(experiences, Iterable) else [experiences]
        if not wanted:
            return type(strategy).train(strategy, wanted, eval_streams, **kwargs)
        if self._broken_off:
            raise ValueError(
                f"Training broke off in the midst of an experience, and {self._path} must not be overwritten by what "
                "is left of it: compose the strategy anew, and call resume()."
            )
        pending = self._pending
        if pending is not None:
            self._require_place(wanted[0], pending["position"])
        start = strategy.clock.train_exp_counter if pending is None else pending["position"]["start"]
        trained = pending is not None and pending["position"]["point"] == TRAINED
        strategy._before_training = self._before_training
        self._broken_off = True
        try:
            # Without experiences, plugins still set up and clear away what lasts as long as `train`.
            type(strategy).train(strategy, [] if trained else wanted, eval_streams, **kwargs)
        finally:
            for name in ("_before_training", "_before_training_exp", "_before_training_epoch"):
                strategy.__dict__.pop(name, None)
        self._broken_off = False
        if pending is not None and trained:
            self._load(pending["state"])
            self._pending = None
        else:
            self._write(TRAINED, start, wanted[0])
        return strategy.evaluator.get_last_metrics()

    def _before_training(self, **kwargs: Any) -> None:
        """Come ahead of whatever plugins have put ahead of the strategy's own methods."""
        strategy = self._strategy
        type(strategy)._before_training(strategy, **kwargs)
        self._next_before_exp = strategy._before_training_exp
        self._next_before_epoch = strategy._before_training_epoch
        strategy._before_training_exp = self._before_training_exp
        strategy._before_training_epoch = self._before_training_epoch

    def _before_training_exp(self, **kwargs: Any) -> None:
        """Write or load the state in which the experience begins, before anything is done for it."""
        strategy, pending = self._strategy, self._pending
        if pending is None:
            self._write(EXPERIENCE, strategy.clock.train_exp_counter, strategy.experience)
            self._next_before_exp(**kwargs)
            return
        within = pending["position"]["point"] == EPOCH
        self._before_experience = pending["before_experience" if within else "state"]
        self._load(self._before_experience)
        if not within:
            self._pending = None
        self._next_before_exp(**kwargs)
        if within:
            # The template counts the epochs before the first of them; what it reads later is in the state.
            strategy.train_epochs -= pending["position"]["epoch"]

    def _before_training_epoch(self, **kwargs: Any) -> None:
        """Write or load the state in which the epoch begins, before anything is done for it."""
        strategy, epoch = self._strategy, self._strategy.clock.train_exp_epochs
        if self._pending is not None:
            self._load(self._pending["state"])
            self._pending = None
        elif self._every_epochs is not None and epoch > 0 and epoch % self._every_epochs == 0:
            self._write(EPOCH, strategy.clock.train_exp_counter, strategy.experience, epoch)
        self._next_before_epoch(**kwargs)

    def _write(self, point: str, start: int, experience: Any, epoch: int = 0) -> None:
        if not is_first_process():
            return
        state = strategy_state(self._strategy, self._samples, self._also)
        if point == EXPERIENCE:
            self._before_experience = state
        content = {
            "configuration": self._configuration,
            "position": {
                "point": point,
                "start": start,
                "experience": experience.current_experience,
                "epoch": epoch,
            },
            "state": state,
            "before_experience": self._before_experience if point == EPOCH else None,
        }
        write_checkpoint(self._path, content)

    def _load(self, state: dict[str, Any]) -> None:
        load_strategy_state(self._strategy, state, self._samples, self._also)

    def _require_place(self, experience: Any, position: dict[str, Any]) -> None:
        if experience.current_experience != position["experience"]:
            raise ValueError(
                f"{self._path} goes on with experience {position['experience']}, but experience "
                f"{experience.current_experience} came: train on benchmark.train_stream[start:], where start is what "
                "resume() returned."
            )
