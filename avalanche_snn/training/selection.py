"""Which samples a memory keeps: a uniform random draw (reservoir), herding, or those that cover the class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

Latents = Callable[[list[int]], Tensor]
SELECTIONS = ("random", "herding", "coverage")


class Selection(ABC):
    """A rule that says which of a group's samples stay in the memory.

    Args:
        generator: of the random choices.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    @abstractmethod
    def order(self, latents: Latents, positions: list[int]) -> list[int]:
        """Return the positions of new samples in the order in which they should be kept."""

    @abstractmethod
    def shorten(self, n_rows: int, n_kept: int) -> Tensor:
        """Return which `n_kept` of `n_rows` rows stay: int64, ascending."""

    @abstractmethod
    def arrange(self, n_old: int, n_new: int) -> Tensor:
        """Return the order, int64, in which rows held and new rows behind them should stand."""

    def merge(self, old_bytes: Tensor, new_bytes: Tensor, n_seen: int, quota: int) -> tuple[Tensor, Tensor]:
        """Choose which rows of a group stay and which new ones enter, within `quota` bytes.

        What is kept of old and new samples is in proportion to how many of them there have been, as in a reservoir
        (Vitter 1985): each sample of the group, early or late, has the same chance to be in the memory.

        Args:
            old_bytes: int64 `[n_old]`, bytes of each row held.
            new_bytes: int64 `[n_new]`, bytes of each new row, in the order that `order` gave.
            n_seen: samples of this group before these.
            quota: bytes that the group may use.

        Returns:
            Rows that stay and new rows that enter, int64.
        """
        n_old, n_new = len(old_bytes), len(new_bytes)
        total = int(old_bytes.sum() + new_bytes.sum())
        if total <= quota:
            return torch.arange(n_old), torch.arange(n_new)
        n_kept = _n_that_fit(old_bytes, new_bytes, quota)
        # Rows held are fewer than their share where the budget has been small: new samples fill the rest.
        n_from_new = min(n_new, max(self._new_among(n_kept, n_seen, n_new), n_kept - n_old)) if n_new else 0
        kept_old = self.shorten(n_old, min(n_old, n_kept - n_from_new))
        kept_new = torch.arange(n_from_new)
        # Rows of different lengths may still pass the quota by some bytes.
        while int(old_bytes[kept_old].sum() + new_bytes[kept_new].sum()) > quota:
            if len(kept_new) > len(kept_old):
                kept_new = kept_new[:-1]
            else:
                kept_old = kept_old[self.shorten(len(kept_old), len(kept_old) - 1)]
        if not len(kept_old) and not len(kept_new):
            # Rather one that fits than none: the mean of rows, or the first of them, may be longer than the quota.
            kept_old = torch.nonzero(old_bytes <= quota).flatten()[:1]
            kept_new = torch.nonzero(new_bytes <= quota).flatten()[: 1 - len(kept_old)]
        return kept_old, kept_new

    @abstractmethod
    def _new_among(self, n_kept: int, n_seen: int, n_new: int) -> int:
        """Return how many of `n_kept` samples, out of `n_seen` old and `n_new` new ones, are new."""


class RandomSelection(Selection):
    """A uniform random draw without replacement, continued as a reservoir when a group grows."""

    def order(self, latents: Latents, positions: list[int]) -> list[int]:
        """Return the positions in random order."""
        return [positions[i] for i in torch.randperm(len(positions), generator=self.generator).tolist()]

    def shorten(self, n_rows: int, n_kept: int) -> Tensor:
        """Return a random choice of rows."""
        return torch.randperm(n_rows, generator=self.generator)[:n_kept].sort().values

    def arrange(self, n_old: int, n_new: int) -> Tensor:
        """Return them as they come: `shorten` draws from all places alike."""
        return torch.arange(n_old + n_new)

    def _new_among(self, n_kept: int, n_seen: int, n_new: int) -> int:
        # A hypergeometric draw, by drawing the samples themselves.
        drawn = torch.randperm(n_seen + n_new, generator=self.generator)[:n_kept]
        return int((drawn >= n_seen).sum())


class OrderedSelection(Selection):
    """A selection whose rows stand in the order in which they should be kept: a shorter choice is a prefix.

    Where samples of several experiences share a group, the orders of the experiences are dealt into one another.
    """

    def shorten(self, n_rows: int, n_kept: int) -> Tensor:
        """Return the first rows."""
        return torch.arange(min(n_kept, n_rows))

    def arrange(self, n_old: int, n_new: int) -> Tensor:
        """Deal them like two packs of cards, so that every prefix holds both in proportion."""
        places = (torch.arange(n, dtype=torch.float64).add(0.5) / max(n, 1) for n in (n_old, n_new))
        return torch.cat(tuple(places)).argsort(stable=True)

    def _new_among(self, n_kept: int, n_seen: int, n_new: int) -> int:
        return round(n_kept * n_new / (n_seen + n_new))


class HerdingSelection(OrderedSelection):
    """Herding (Rebuffi et al. 2017, iCaRL, Algorithm 4) on the latents' L2-normalised mean over time."""

    def order(self, latents: Latents, positions: list[int]) -> list[int]:
        """Return the positions so that the mean of every prefix is as near to the class mean as greed can make it."""
        return [positions[row] for row in herding_order(latents(positions).mean(dim=1))]


class CoverageSelection(OrderedSelection):
    """Coverage: the k-centre greedy of Sener & Savarese (2018), on the latents' L2-normalised mean over time."""

    def order(self, latents: Latents, positions: list[int]) -> list[int]:
        """Return the positions so that each is the one that is farthest from all before it."""
        return [positions[row] for row in coverage_order(latents(positions).mean(dim=1))]


def herding_order(features: Tensor, n_chosen: int | None = None) -> list[int]:
    """Order samples so that the mean of every prefix is as near to the mean of all as greed can make it.

    Herding of Rebuffi et al. (2017, iCaRL, Algorithm 4), on L2-normalised features.

    Args:
        features: `[n, F]`.
        n_chosen: how many are wanted; all by default.

    Returns:
        Their rows.
    """
    features = torch.nn.functional.normalize(features.to(torch.float64), dim=1)
    target = features.mean(dim=0)
    chosen: list[int] = []
    total = torch.zeros_like(target)
    free = torch.ones(len(features), dtype=torch.bool, device=features.device)
    for n in range(1, 1 + (len(features) if n_chosen is None else min(n_chosen, len(features)))):
        distances = ((total + features) / n - target).norm(dim=1)
        distances[~free] = torch.inf
        nearest = int(distances.argmin())
        free[nearest] = False
        total += features[nearest]
        chosen.append(nearest)
    return chosen


def coverage_order(features: Tensor) -> list[int]:
    """Order samples so that each is the farthest from those before it; the first is the nearest to the mean of all.

    Args:
        features: `[n, F]`; L2-normalised here.

    Returns:
        Their rows.
    """
    features = torch.nn.functional.normalize(features.to(torch.float64), dim=1)
    nearest = (features - features.mean(dim=0)).norm(dim=1)
    chosen = [int(nearest.argmin())]
    distances = torch.full_like(nearest, torch.inf)
    while len(chosen) < len(features):
        distances = torch.minimum(distances, (features - features[chosen[-1]]).norm(dim=1))
        # Those that are chosen are at a distance of 0, but so may others be.
        distances[chosen[-1]] = -1.0
        chosen.append(int(distances.argmax()))
    return chosen


def make_selection(name: str, generator: torch.Generator) -> Selection:
    """Return the selection of that name.

    Raises:
        ValueError: there is no such selection.
    """
    if name == "random":
        return RandomSelection(generator)
    if name == "herding":
        return HerdingSelection(generator)
    if name == "coverage":
        return CoverageSelection(generator)
    raise ValueError(f"selection must be one of {', '.join(map(repr, SELECTIONS))}, but {name!r} came.")


def _n_that_fit(old_bytes: Tensor, new_bytes: Tensor, quota: int) -> int:
    """Return how many rows of mean length fit into the quota."""
    all_bytes = torch.cat((old_bytes, new_bytes)).to(torch.float64)
    return min(len(all_bytes), int(quota / all_bytes.mean()))
