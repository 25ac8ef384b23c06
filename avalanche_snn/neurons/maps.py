"""Leaky neurons behind convolutions: they take currents as they come, of any shape."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avalanche_snn.neurons.dynamics import NeuronParameters
from avalanche_snn.neurons.kernels import AUTO, BaseKernel, check_kernel_name, choose_kernel
from avalanche_snn.neurons.surrogates import Surrogate, parse_surrogate

_REFERENCE = "reference"


class LeakyMaps(nn.Module):
    """Leaky integrate-and-fire neurons without weights, one for every place of a feature map.

    Equations in `dynamics.leaky_step`, equal to snnTorch's `Leaky`. The defaults are the neurons of ALADE-SNN (arXiv
    2412.12696): a hard reset in the step of the spike, through which gradients pass, and a triangular surrogate.
    Membranes are computed in float32 at least, whatever comes; nothing is kept between calls.

    Args:
        n_time_steps: T.
        beta: decay of the membrane in one step, 0..1.
        threshold: membrane above which a spike is emitted.
        reset: `"zero"`, `"subtract"` or `"none"`.
        reset_delay: reset in the step after the spike (snnTorch's default), or in its own, with gradients through it.
        surrogate: gradient of the spikes, see `avalanche_snn.neurons.surrogates`.
        kernel: `"auto"`, `"reference"`, `"torch"`, `"cpp"` (CPU, float32 and float64) or `"triton"` (CUDA). They have
            the same spikes and gradients.

    Attributes:
        neuron: the constants.
        n_time_steps: as given.

    Raises:
        ValueError: no time step, a constant that is out of range, an unknown kernel, or one that cannot run the neuron:
            a subtraction in the step of the spike is for the reference alone.
    """

    def __init__(
        self,
        n_time_steps: int,
        *,
        beta: float = 0.5,
        threshold: float = 1.0,
        reset: str = "zero",
        reset_delay: bool = False,
        surrogate: str | Surrogate = "triangular/1",
        kernel: str = AUTO,
    ) -> None:
        super().__init__()
        if n_time_steps < 1:
            raise ValueError(f"LeakyMaps: wanted at least 1 time step, came {n_time_steps}")
        check_kernel_name(kernel)
        self.n_time_steps = n_time_steps
        self.neuron = NeuronParameters(
            beta=beta,
            threshold=threshold,
            reset=reset,
            reset_delay=reset_delay,
            surrogate=parse_surrogate(surrogate),
        )
        self.kernel = kernel
        self._steps_only = reset == "subtract" and not reset_delay
        if self._steps_only and kernel not in (AUTO, _REFERENCE):
            raise ValueError(
                f"LeakyMaps with reset='subtract' and reset_delay=False has no kernel {kernel!r}: choose '{AUTO}' or "
                f"'{_REFERENCE}', which are the same then, or reset_delay=True"
            )

    def forward(self, currents: Tensor) -> Tensor:
        """Run the neurons from rest.

        Args:
            currents: `[T B, ...]`, the minibatch of the first time step, then that of the second, ...; in any memory
                format without gaps.

        Returns:
            Spikes, 0 or 1, of the same shape, dtype and memory format.

        Raises:
            ValueError: as many rows as cannot be divided into T minibatches, or a named kernel that does not run here.
        """
        if currents.dim() < 1 or len(currents) % self.n_time_steps:
            raise ValueError(
                f"LeakyMaps wanted currents [T B, ...] with T = {self.n_time_steps}, came {list(currents.shape)}"
            )
        if not currents.numel():
            return currents
        channels_last = currents.dim() == 4 and currents.is_contiguous(memory_format=torch.channels_last)
        dense = currents.permute(0, 2, 3, 1) if channels_last else currents.contiguous()
        spikes = self.kernel_for(currents.device, currents.dtype).run_maps(
            dense.reshape(self.n_time_steps, -1), self.neuron
        )
        spikes = spikes.view(dense.shape)
        return spikes.permute(0, 3, 1, 2) if channels_last else spikes

    def kernel_for(self, device: torch.device, dtype: torch.dtype) -> BaseKernel:
        """Return the kernel that computes on such feature maps: what "auto" comes to.

        Raises:
            ValueError: a kernel was named that does not run there.
        """
        return choose_kernel(_REFERENCE if self._steps_only else self.kernel, device, dtype, maps=True)

    def extra_repr(self) -> str:
        """Constants, for `print(model)`."""
        neuron = self.neuron
        reset = neuron.reset if neuron.reset_delay else f"{neuron.reset} at once"
        return (
            f"T={self.n_time_steps}, beta={neuron.beta:.4g}, threshold={neuron.threshold:g}, reset={reset}, "
            f"surrogate={neuron.surrogate}, kernel={self.kernel}"
        )
