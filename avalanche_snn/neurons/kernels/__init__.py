"""The kernels: several ways to compute the same neurons, and the choice among them."""

from __future__ import annotations

import torch

from avalanche_snn.neurons.kernels.base import BaseKernel, Neuron, Timing
from avalanche_snn.neurons.kernels.cpp_kernel import CppKernel
from avalanche_snn.neurons.kernels.reference import ReferenceKernel
from avalanche_snn.neurons.kernels.torch_kernel import TorchKernel
from avalanche_snn.neurons.kernels.triton_kernel import TritonKernel

__all__ = [
    "AUTO",
    "KERNELS",
    "BaseKernel",
    "Neuron",
    "Timing",
    "available_kernels",
    "check_kernel_name",
    "choose_kernel",
]

AUTO = "auto"
#: By name, the fastest first.
KERNELS: dict[str, BaseKernel] = {
    kernel.name: kernel for kernel in (TritonKernel(), CppKernel(), TorchKernel(), ReferenceKernel())
}


def available_kernels(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, str | None]:
    """Return every kernel, the fastest first, with None where it runs here and the reason where it does not.

    A kernel that has to be built is built by this, unless it was before.

    Args:
        device: of the tensors to compute on.
        dtype: of the weights.
    """
    return {name: kernel.why_not(torch.device(device), dtype) for name, kernel in KERNELS.items()}


def check_kernel_name(name: str) -> None:
    """Raise ValueError unless there is such a kernel; "auto" is one, whether or not it runs here."""
    if name not in (AUTO, *KERNELS):
        raise ValueError(f"unknown kernel {name!r}: choose one of {', '.join(map(repr, (AUTO, *KERNELS)))}")


def choose_kernel(name: str, device: torch.device, dtype: torch.dtype, *, maps: bool = False) -> BaseKernel:
    """Return the kernel of a name, or for "auto" the fastest that runs on such tensors.

    Args:
        name: of a kernel, or "auto".
        device: of the tensors to compute on.
        dtype: of the weights, or of the feature maps.
        maps: for neurons of feature maps instead of a layer.

    Raises:
        ValueError: an unknown name, or a kernel that does not run here, with the reason.
    """

    def why_not(kernel: BaseKernel) -> str | None:
        return kernel.why_not_maps(device, dtype) if maps else kernel.why_not(device, dtype)

    if name == AUTO:
        return next(kernel for kernel in KERNELS.values() if why_not(kernel) is None)
    check_kernel_name(name)
    reason = why_not(KERNELS[name])
    if reason is not None:
        raise ValueError(f"the kernel {name!r} does not run here: {reason}")
    return KERNELS[name]
