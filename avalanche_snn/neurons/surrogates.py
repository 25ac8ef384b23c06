"""Surrogate gradients: a spike is a step function, its derivative is replaced by a smooth one.

A surrogate is named in one string, `"name"` or `"name/parameter"`; `x` below is membrane minus threshold:

| spec              | derivative                                | parameter       | default |
|-------------------|-------------------------------------------|-----------------|---------|
| `fast_sigmoid/k`  | 1 / (k |x| + 1)^2                         | slope k         | 25      |
| `sigmoid/k`       | k s(kx) (1 - s(kx)), s the logistic curve | slope k         | 25      |
| `atan/a`          | (a / 2) / (1 + (pi a x / 2)^2)            | steepness a     | 2       |
| `triangular/w`    | max(0, 1 - |x| / w)                       | half width w    | 1       |
| `box/w`           | 1 where |x| <= w / 2, else 0              | full width w    | 1       |

`fast_sigmoid`, `sigmoid` and `atan` are snnTorch's functions of the same name. `triangular` is a triangle; what
snnTorch calls `triangular` is another function (constant, and negative above the threshold) and is not offered.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def _fast_sigmoid(x: Tensor, slope: float) -> Tensor:
    return x.abs().mul_(slope).add_(1.0).pow_(-2)


def _sigmoid(x: Tensor, slope: float) -> Tensor:
    scaled = slope * x
    return slope * torch.sigmoid(scaled) * torch.sigmoid(-scaled)


def _atan(x: Tensor, steepness: float) -> Tensor:
    return (steepness / 2.0) / (1.0 + (math.pi / 2.0 * steepness * x).square())


def _triangular(x: Tensor, half_width: float) -> Tensor:
    return (1.0 - x.abs() / half_width).clamp_min(0.0)


def _box(x: Tensor, width: float) -> Tensor:
    return (x.abs() <= width / 2.0).to(x.dtype)


_DERIVATIVES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "fast_sigmoid": _fast_sigmoid,
    "sigmoid": _sigmoid,
    "atan": _atan,
    "triangular": _triangular,
    "box": _box,
}
#: The names, in an order that compiled kernels number them by.
SURROGATES = tuple(_DERIVATIVES)
_DEFAULT_PARAMETERS = {"fast_sigmoid": 25.0, "sigmoid": 25.0, "atan": 2.0, "triangular": 1.0, "box": 1.0}


class _Spike(torch.autograd.Function):
    """Step function forward, surrogate derivative backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad_output * ctx.surrogate.derivative(x), None


@dataclass(frozen=True)
class Surrogate:
    """A step function with a surrogate derivative; made by `parse_surrogate`.

    Attributes:
        name: one of the names in the module's table.
        parameter: its slope, steepness or width.
    """

    name: str
    parameter: float

    def __str__(self) -> str:
        return f"{self.name}/{self.parameter:g}"

    def spike(self, x: Tensor) -> Tensor:
        """1 where `x > 0`, else 0, in the dtype and shape of `x` (membrane minus threshold); differentiable."""
        spikes: Tensor = _Spike.apply(x, self)
        return spikes

    def derivative(self, x: Tensor) -> Tensor:
        """What stands in for the derivative of `spike` at `x`; same shape and dtype."""
        return _DERIVATIVES[self.name](x, self.parameter)


def parse_surrogate(spec: str | Surrogate) -> Surrogate:
    """Read a surrogate such as `"fast_sigmoid/25"` or `"atan"`; a `Surrogate` is returned as it is.

    Raises:
        ValueError: an unknown name, or a parameter that is not a positive number.
    """
    if isinstance(spec, Surrogate):
        return spec
    name, separator, text = spec.partition("/")
    if name not in _DERIVATIVES:
        allowed = ", ".join(f"{known}/{_DEFAULT_PARAMETERS[known]:g}" for known in _DERIVATIVES)
        raise ValueError(f"unknown surrogate {spec!r}: choose one of {allowed} (the number is its parameter)")
    if not separator:
        return Surrogate(name, _DEFAULT_PARAMETERS[name])
    try:
        parameter = float(text)
    except ValueError:
        parameter = math.nan
    if not (math.isfinite(parameter) and parameter > 0.0):
        raise ValueError(f"surrogate {spec!r}: wanted a positive number after '/', as in '{name}/25', came {text!r}")
    return Surrogate(name, parameter)
