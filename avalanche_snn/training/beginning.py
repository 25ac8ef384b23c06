"""Where a run begins."""

from __future__ import annotations

from typing import Any


def begins_a_run(strategy: Any) -> bool:
    """Return whether a strategy that was never trained is about to train the first experience of a stream."""
    return not strategy.clock.train_exp_counter and not getattr(strategy.experience, "current_experience", 0)
