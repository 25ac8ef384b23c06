"""What the options of latent replay may be."""

from __future__ import annotations

import math

from avalanche_snn.training.data_parallel import n_processes
from avalanche_snn.training.replay_plan import BALANCED


def check_company(n_plugins: int) -> None:
    """Raise ValueError for more than one plugin of latent replay in a strategy, or more than one process."""
    if n_plugins > 1:
        raise ValueError("A strategy can have one CompressedLatentReplayPlugin, but more were listed.")
    if n_processes() > 1:
        raise ValueError(f"Latent replay learns in one process, but this is one of {n_processes()}.")


def check_replay_share(replay_share: float | str) -> None:
    """Raise TypeError or ValueError for what is neither "balanced" nor a fraction above 0 and below 1."""
    wanted = f"replay_share must be {BALANCED!r} or a fraction"
    if not isinstance(replay_share, (str, int, float)):
        raise TypeError(f"{wanted}, but {replay_share!r} came.")
    if isinstance(replay_share, str):
        if replay_share != BALANCED:
            raise ValueError(f"{wanted}, but {replay_share!r} came.")
    elif not 0 < replay_share < 1:
        raise ValueError(f"replay_share must lie above 0 and below 1, but {replay_share!r} came.")


def check_distillation(weight: float, temperature: float) -> None:
    """Raise ValueError for a weight that is negative, a temperature that is not above 0, or either not finite."""
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"distillation must be a weight of 0 or more, but {weight!r} came.")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must lie above 0, but {temperature!r} came.")


def check_n_augmented(number: int) -> None:
    """Raise ValueError for what is no whole number from 0."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ValueError(f"n_augmented must be a whole number from 0, but {number!r} came.")


def check_threshold_scale(factor: float) -> None:
    """Raise ValueError for what is no number above 0."""
    if not (math.isfinite(factor) and factor > 0):
        raise ValueError(f"threshold_scale must lie above 0, but {factor!r} came.")
