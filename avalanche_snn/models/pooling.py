"""Pooling over time: what follows runs on fewer time steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

MODES = ("any", "count")


class TimePooling(nn.Module):
    """Pool each feature over windows of time steps, `[B, T, H] -> [B, ceil(T / window), H]`.

    Args:
        window: time steps a window, >= 1; the last window may be shorter.
        mode: `"any"`: the maximum (of spikes: was there any?), gradient to the maximum, ties shared equally;
            `"count"`: the sum (of spikes: how many?).
        late: pool from `start()` on only, which a front calls when it is frozen: what follows is trained on all time
            steps first, and on fewer from then on (Replay4NCL, arXiv 2503.17061).

    Attributes:
        is_pooling: whether it pools now, a bool of shape `[]` that is saved with the network; None if it always does.

    Raises:
        ValueError: a window that is not a whole number >= 1, or an unknown mode.
    """

    is_pooling: Tensor | None

    def __init__(self, window: int, mode: str = "any", *, late: bool = False) -> None:
        super().__init__()
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise ValueError(f"TimePooling: wanted a window of 1 time step or more, came {window!r}")
        if mode not in MODES:
            raise ValueError(f"TimePooling: unknown mode {mode!r}, choose one of {', '.join(map(repr, MODES))}")
        self.window = window
        self.mode = mode
        self.register_buffer("is_pooling", torch.tensor(False) if late else None)

    @classmethod
    def from_spec(cls, spec: str) -> TimePooling:
        """Read `"any/5"`, `"count/10"` or `"any/5/late"`: mode, time steps a window, and whether it pools late.

        Raises:
            ValueError: anything else.
        """
        mode, _, rest = str(spec).partition("/")
        window, _, when = rest.partition("/")
        if mode not in MODES or not window.isdecimal() or int(window) < 1 or rest not in (window, f"{window}/late"):
            raise ValueError(
                f"time pooling {spec!r}: wanted 'any/W' or 'count/W' with W >= 1 time steps a window, as in 'any/5', "
                "or 'any/W/late' to begin when the front is frozen"
            )
        return cls(int(window), mode, late=when == "late")

    def start(self) -> None:
        """Pool from now on."""
        if self.is_pooling is not None:
            self.is_pooling.fill_(True)

    @contextmanager
    def started(self) -> Iterator[None]:
        """Pool for a while, whether it has been started or not."""
        before = None if self.is_pooling is None else self.is_pooling.clone()
        self.start()
        try:
            yield
        finally:
            if self.is_pooling is not None and before is not None:
                self.is_pooling.copy_(before)

    def forward(self, x: Tensor) -> Tensor:
        """Pool `[B, T, H]` to `[B, ceil(T / window), H]`; as it is where pooling has not begun.

        The dtype stays the same, but for sums of integers, which are int64. Integers are taken to be 0 or more.

        Raises:
            ValueError: an input that is not of rank 3 or has no time step.
        """
        if x.dim() != 3 or x.shape[1] < 1:
            raise ValueError(f"TimePooling wanted an input [B, T, H] with T >= 1, came {list(x.shape)}")
        if self.is_pooling is not None and not self.is_pooling:
            return x
        n_windows = -(-x.shape[1] // self.window)
        n_missing = n_windows * self.window - x.shape[1]
        if n_missing:
            filler = float("-inf") if self.mode == "any" and x.is_floating_point() else 0.0
            x = functional.pad(x, (0, 0, 0, n_missing), value=filler)
        windows = x.reshape(x.shape[0], n_windows, self.window, x.shape[2])
        return windows.amax(dim=2) if self.mode == "any" else windows.sum(dim=2)

    def extra_repr(self) -> str:
        """Mode and window, for `print(model)`."""
        return f"{self.mode}/{self.window}" + ("" if self.is_pooling is None else "/late")
