"""The `triton` kernel: on a GPU, one program walks a sample through all time steps, forwards and back."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional

from avalanche_snn.neurons.adaptive import AdaptiveParameters
from avalanche_snn.neurons.dynamics import NeuronParameters
from avalanche_snn.neurons.kernels.base import BaseKernel, Neuron

_DTYPES = (torch.float32, torch.float64)
_DTYPES_OF_MAPS = (*_DTYPES, torch.float16, torch.bfloat16)
_MIN_CAPABILITY = (7, 0)
#: The oldest that the tests pass with.
_MIN_VERSION = (3, 4)


class TritonKernel(BaseKernel):
    """A layer in one launch forwards and one back; needs a CUDA device, and Triton, which comes with torch on Linux.

    Triton is imported on first use, and compiles each program once (it keeps them in a cache of its own): the first
    batch of a layer takes a second or so longer.
    """

    name = "triton"

    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return why this kernel cannot compute on such tensors, or None when it can."""
        if device.type == "cuda" and dtype not in _DTYPES:
            return f"wanted weights in float32 or float64, came {str(dtype).removeprefix('torch.')}"
        return self._why_not_on(device)

    def why_not_maps(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return why this kernel cannot run the neurons of such feature maps; half precision is no reason."""
        if device.type == "cuda" and dtype not in _DTYPES_OF_MAPS:
            return f"wanted feature maps of floating point numbers, came {str(dtype).removeprefix('torch.')}"
        return self._why_not_on(device)

    @staticmethod
    def _why_not_on(device: torch.device) -> str | None:
        if device.type != "cuda":
            return f"wanted a CUDA device, came {device.type!r}"
        return _why_no_triton() or _why_not_on(device)

    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`[B, T, C]` to currents `[B, T, H]`: one matrix product over all time steps."""
        return functional.linear(x.to(weight.dtype), weight, bias)

    def run(self, currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        from avalanche_snn.neurons.kernels.triton_fixed import run_fixed

        return run_fixed(currents, recurrent_weight, neuron.parameters, neuron.timing_for(self.name))

    def run_adaptive(self, currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        from avalanche_snn.neurons.kernels.triton_adaptive import run_adaptive

        return run_adaptive(currents, recurrent_weight, parameters)

    def run_maps(self, currents: Tensor, parameters: NeuronParameters) -> Tensor:
        """Currents `[T, N]` to spikes `[T, N]`."""
        from avalanche_snn.neurons.kernels.triton_maps import run_maps

        return run_maps(currents, parameters)


@cache
def _why_no_triton() -> str | None:
    if find_spec("triton") is None:
        return "Triton is not installed (pip install triton; it is built for Linux)"
    import triton

    version = tuple(int(part) for part in triton.__version__.split(".")[:2])
    if version < _MIN_VERSION:
        return f"wanted Triton {_dotted(_MIN_VERSION)} or newer (torch 2.8 brings it), came {triton.__version__}"
    return None


@cache
def _why_not_on(device: torch.device) -> str | None:
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    capability = torch.cuda.get_device_capability(device)
    if capability < _MIN_CAPABILITY:
        return f"wanted a GPU of compute capability {_dotted(_MIN_CAPABILITY)} or higher, came {_dotted(capability)}"
    return None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
