"""Dropout of spikes."""

from __future__ import annotations

from torch import Tensor, nn

from avalanche_snn.neurons.kernels import AUTO, check_kernel_name
from avalanche_snn.neurons.kernels.cpp_kernel import CppKernel

_COMPILED = CppKernel()


class SpikeDropout(nn.Dropout):
    """`torch.nn.Dropout`, on the CPU at a fraction of its time and without a mask that is kept for the way back.

    There the compiled kernel draws for each element whether it stays from one seed and the element's place
    (xoshiro128++, Blackman & Vigna 2021), the same on the way back. The seed comes from torch's generator:
    `torch.manual_seed` settles it, and with it the result, for any number of threads. Everywhere else, in half
    precision, and with another kernel it is torch's own, which draws other elements.

    Args:
        p: probability of an element to be set to 0, 0..1; the others are multiplied by 1 / (1 - p).
        kernel: as in `avalanche_snn.neurons.SpikingLayer`.

    Raises:
        ValueError: a probability outside 0..1, an unknown kernel.
    """

    def __init__(self, p: float = 0.5, *, kernel: str = AUTO) -> None:
        super().__init__(p)
        check_kernel_name(kernel)
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of a tensor of any shape out, in training mode."""
        if (
            self.training
            and 0 < self.p < 1
            and self.kernel in (AUTO, _COMPILED.name)
            and _COMPILED.why_not(x.device, x.dtype) is None
        ):
            return _COMPILED.drop(x, self.p)
        return super().forward(x)

    def extra_repr(self) -> str:
        """Probability and kernel, for `print(model)`."""
        return f"p={self.p}, kernel={self.kernel!r}"
