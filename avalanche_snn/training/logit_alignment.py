"""How far the logits of new classes are to be shifted, so that training brings them level with those of old ones."""

from __future__ import annotations

_LARGE_CHANGE = 1000.0
_SMALL_SHARE_OF_START = 1 / 8
_SMALL_SHARE_OF_CHANGE = 1 / 4


class LogitAlignment:
    """The shift of ALADE-SNN's adaptive logit alignment (arXiv 2412.12696): a number that follows a difference.

    In training, the shift `gamma` is added to the logits of new classes; in inference it is not, so that a positive
    shift teaches lower logits of new classes. After each epoch it is given the mean logit of the true class of new and
    of old samples. It moves by their difference at first, and whenever the difference changes its sign; by the
    difference again when that has become smaller by more than an eighth and is now shrinking at less than a quarter of
    its fastest pace; and by as much as the difference has grown where it has grown.

    Attributes:
        gamma: the shift, 0 at first.
    """

    def __init__(self) -> None:
        self.gamma = 0.0
        self._start = 0.0  # the difference when the shift was last changed
        self._last = 0.0
        self._fastest = _LARGE_CHANGE
        self._sign = -1

    def update(self, mean_of_new: float, mean_of_old: float) -> float:
        """Move the shift after an epoch.

        Args:
            mean_of_new: mean logit, without the shift, of the true class over samples of new classes.
            mean_of_old: the same over samples of old classes.

        Returns:
            The shift from now on.
        """
        difference = abs(mean_of_new - mean_of_old)
        sign = (mean_of_new > mean_of_old) - (mean_of_new < mean_of_old)
        change = self._last - difference
        if sign not in (0, self._sign):
            self._move(sign * difference, difference)
            self._sign = sign
        elif (
            self._start - difference > _SMALL_SHARE_OF_START * self._start
            and change < _SMALL_SHARE_OF_CHANGE * self._fastest
        ):
            self._move(sign * difference, difference)
        elif self._start < difference:
            self.gamma += sign * (difference - self._start)
            self._start = difference
        else:
            self._fastest = max(self._fastest, change)
        self._last = difference
        return self.gamma

    def _move(self, shift: float, difference: float) -> None:
        self.gamma += shift
        self._start = difference
        self._fastest = 0.0
