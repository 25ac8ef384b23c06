"""Checkpoints at the boundary of experiences: save one, load one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avalanche.training.supervised import JointTraining

from avalanche_snn.checkpointing.configuration import configuration_of, require_same
from avalanche_snn.checkpointing.files import read_checkpoint, write_checkpoint
from avalanche_snn.checkpointing.plugins import Checkpointable
from avalanche_snn.checkpointing.strategy_state import load_strategy_state, strategy_state
from avalanche_snn.checkpointing.stream_samples import StreamSamples

# Where in a run a checkpoint was written: by `save`, before an experience, before one of its epochs, after training.
BETWEEN, EXPERIENCE, EPOCH, TRAINED = "between", "experience", "epoch", "trained"


def save(path: str | Path, strategy: Any, benchmark: Any, *, also: Mapping[str, Checkpointable] | None = None) -> None:
    """Write the state of a run to a file, whole or not at all.

    Network, optimizer, plugins with their memories, metrics with all results, and the states of torch's (CPU, CUDA),
    numpy's and Python's random generators. `resume` does this by itself, and within experiences too.

    Args:
        path: of the file; an older one is replaced.
        strategy: between two calls of `train` or `eval`.
        benchmark: that the strategy learns.
        also: other objects that belong to the run (a learning rate scheduler, say), by any names.

    Raises:
        TypeError: a strategy, plugin or metric that does not say what its state is; it is named.
        ValueError: the strategy is training.
    """
    if strategy.experience is not None and not isinstance(strategy, JointTraining):
        raise ValueError("save() wants a strategy between two calls of train or eval; resume() saves during training.")
    content = {
        "configuration": configuration_of(strategy, benchmark, also or {}),
        "position": {"point": BETWEEN, "start": strategy.clock.train_exp_counter, "experience": None, "epoch": 0},
        "state": strategy_state(strategy, StreamSamples(benchmark.train_stream), also or {}),
        "before_experience": None,
    }
    write_checkpoint(Path(path), content)


def load(path: str | Path, strategy: Any, benchmark: Any, *, also: Mapping[str, Checkpointable] | None = None) -> int:
    """Put a strategy into the state of a checkpoint that `save` or `resume` wrote.

    Of a checkpoint within an experience, it is the state in which that experience began.

    Args:
        path: of the file.
        strategy: composed as that of the checkpoint was, and not yet trained.
        benchmark: that the strategy learns.
        also: the objects that were given to `save`, by the same names.

    Returns:
        The number of experiences that have been trained.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: a strategy, plugin or metric that does not say what its state is; it is named.
        ValueError: a file that is no checkpoint, or one of another configuration: the differences are spelled out.
    """
    content = read_checkpoint(Path(path))
    samples = StreamSamples(benchmark.train_stream)
    strategy_state(strategy, samples, also or {})  # says what cannot be saved, and so not loaded
    # How the script began is the business of resume(): experiences later, epochs may well be others.
    wanted = {**content["configuration"], "begun with": {}}
    require_same(wanted, configuration_of(strategy, benchmark, also or {}), path)
    strategy.model.to(strategy.device)
    state = content["before_experience"] or content["state"]
    load_strategy_state(strategy, state, samples, also or {})
    return int(strategy.clock.train_exp_counter)
