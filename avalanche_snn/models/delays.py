"""Delayed copies of spike trains: what follows sees several moments at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class DelayedCopies(nn.Module):
    """Copy each feature once for every delay, shifted later by it: `[B, T, C] -> [B, T, C * len(delays)]`.

    A bank of fixed axonal delays. With the c-th of C features x and the d-th of the delays, the output is

        y[t, d C + c] = x[t - delays[d], c]         0 before the first time step

    and the gradient is the transposed operation: each copy's, shifted earlier by its delay, and all of them added up.
    What is shifted beyond the last time step is lost: a delay of T or more gives silence. Nothing is trained.

    Args:
        delays: time steps, each 0 or more, no two the same; the copies stand in their order.

    Attributes:
        delays: as given, a tuple.

    Raises:
        ValueError: no delays, or one that is no whole number, is negative, or is there twice.
    """

    def __init__(self, delays: Sequence[int]) -> None:
        super().__init__()
        if not _are_delays(delays):
            raise ValueError(
                f"delays {delays!r}: wanted one or more whole numbers of time steps, each 0 or more and no two the "
                "same, as in (0, 4, 8)"
            )
        self.delays = tuple(delays)

    def forward(self, x: Tensor) -> Tensor:
        """Copy `[B, T, C]` to `[B, T, C * len(delays)]`, same dtype.

        Raises:
            ValueError: an input that is not of rank 3.
        """
        if x.dim() != 3:
            raise ValueError(f"DelayedCopies wanted an input [B, T, C], came {list(x.shape)}")
        copies: Tensor = _Copies.apply(x, self.delays)
        return copies

    def extra_repr(self) -> str:
        """The delays, for `print(model)`."""
        return ", ".join(map(str, self.delays))


class _Copies(torch.autograd.Function):
    """One allocation each way, where shifting by padding and joining would make one for every delay."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, delays: tuple[int, ...]) -> Tensor:
        ctx.in_shape, ctx.delays = x.shape, delays
        n_steps, n_features = x.shape[1:]
        copies = x.new_empty((*x.shape[:2], len(delays) * n_features))
        for delay, copy in zip(delays, _apart(copies, len(delays), n_features), strict=True):
            copy[:, :delay] = 0
            copy[:, delay:] = x[:, : max(n_steps - delay, 0)]
        return copies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_copies: Tensor) -> tuple[Tensor, None]:
        n_steps, n_features = ctx.in_shape[1:]
        grad = grad_copies.new_zeros(ctx.in_shape)
        for delay, grad_copy in zip(ctx.delays, _apart(grad_copies, len(ctx.delays), n_features), strict=True):
            grad[:, : max(n_steps - delay, 0)] += grad_copy[:, delay:]
        return grad, None


def _apart(copies: Tensor, n_copies: int, n_features: int) -> tuple[Tensor, ...]:
    """The copies in `[B, T, D C]`, each `[B, T, C]`; they share its memory."""
    return copies.view(*copies.shape[:2], n_copies, n_features).unbind(2)


def _are_delays(delays: object) -> bool:
    if not isinstance(delays, Sequence) or not delays:
        return False
    # A bool is an int, too.
    if any(isinstance(delay, bool) or not isinstance(delay, int) for delay in delays):
        return False
    return min(delays) >= 0 and len(set(delays)) == len(delays)
