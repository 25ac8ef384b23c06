"""How many replays stand beside new samples, and what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import torch

from avalanche_snn.training.exemplar_memory import GroupKey

BALANCED = "balanced"


class ReplayPlan:
    """The make-up of the minibatches of one experience.

    With "balanced", every class seen so far has the same share of a minibatch, and within a class old samples and new
    ones are as frequent as there have been of them. New samples come in the order of the strategy's own data loader:
    classes that are new together are as frequent among them as they are in the experience.

    Args:
        n_seen: samples of each group, a class label and a task label, in earlier experiences.
        new_labels: class label of each new sample.
        replay_share: "balanced", or the fraction of a minibatch that replays make up.

    Attributes:
        share: the fraction of a minibatch that replays make up.
        group_shares: float64 `[G]`, the fraction of the replays that each group makes up, in the order of `n_seen`.
        owed: replays, or parts of one, that rounding has left over for later minibatches.
    """

    def __init__(self, n_seen: Mapping[GroupKey, int], new_labels: Iterable[int], replay_share: float | str) -> None:
        n_new = Counter(new_labels)
        n_old: Counter[int] = Counter()
        for (label, _), n in n_seen.items():
            n_old[label] += n
        of_its_class = torch.tensor(
            [n / (n_old[label] + n_new[label]) for (label, _), n in n_seen.items()], dtype=torch.float64
        )
        n_classes = len(n_old.keys() | n_new.keys())
        self.share = float(of_its_class.sum()) / n_classes if isinstance(replay_share, str) else replay_share
        self.group_shares = of_its_class / of_its_class.sum()
        self.owed = 0.0

    def new_among(self, n_samples: int) -> int:
        """Return how many samples of a minibatch of `n_samples` are new: at least one."""
        return max(1, round(n_samples * (1 - self.share)))

    def replays_for(self, n_new: int) -> int:
        """Return how many replays go with `n_new` new samples; what rounding leaves over is made up for later."""
        self.owed += n_new * self.share / (1 - self.share)
        n_replays = round(self.owed)
        self.owed -= n_replays
        return n_replays
