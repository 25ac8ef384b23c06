"""Recipes of training, gone on with in the midst of an experience."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checkpointed_runs import Moments, Reached, assert_same, nothing, outcome_of
from tiny_learners import seed_everything, tiny_benchmark, tiny_network, tiny_strategy

from avalanche_snn.checkpointing import resume
from avalanche_snn.training import (
    CompressedLatentReplayPlugin,
    GradientClipping,
    LearningRateSchedule,
    SameClassBlending,
    SparseSpikes,
)

EPOCHS = 4


class StoppedError(Exception):
    """Stands for the death of a process."""


def die_at(epoch: int) -> Reached:
    """Return what ends a run when so many epochs are over, those of all its experiences counted."""
    reached = []

    def count(moment: str) -> None:
        reached.append(moment)
        if reached.count("after_training_epoch") == epoch:
            raise StoppedError

    return count


def run(path: Path | None, reached: Reached = nothing, *, replay: str = "hidden1", max_norm: float = 0.1) -> Any:
    benchmark = tiny_benchmark()
    seed_everything()
    plugins = [
        CompressedLatentReplayPlugin(replay, "300 B"),
        LearningRateSchedule("cosine", first_shape="one_cycle"),
        GradientClipping(max_norm),
        SparseSpikes({"hidden1": 1.0}, n_experiences=2),
        SameClassBlending(0.7),
    ]
    strategy = tiny_strategy(tiny_network(), [*plugins, Moments(reached)], train_epochs=EPOCHS)
    start = 0 if path is None else resume(path, strategy, benchmark, every_epochs=1)
    for experience in benchmark.train_stream[start:]:
        strategy.train(experience)
    return strategy


@pytest.mark.parametrize("replay", ["hidden1", "input"])
def test_they_go_on_where_they_were_bit_for_bit(replay: str, tmp_path: Path) -> None:
    """Three deaths: twice in the first experience, the second time in what was gone on with, and in the second one."""
    for epoch in (3, 2, 2):
        with pytest.raises(StoppedError):
            run(tmp_path / "c", die_at(epoch), replay=replay)
    resumed = outcome_of(run(tmp_path / "c", replay=replay))
    alone = run(None, replay=replay)
    assert_same(resumed, outcome_of(alone))
    assert alone.optimizer.param_groups[0]["lr"] == 0.05


def test_another_recipe_is_another_run(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        run(tmp_path / "c", die_at(2))
    with pytest.raises(ValueError, match=r"plugins\.2\.max_norm: 0\.1 in the file, 0\.2 now"):
        run(tmp_path / "c", max_norm=0.2)
