"""Layers of spiking neurons over whole sequences, `[B, T, C] -> [B, T, H]`; no state outlives a call."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from avalanche_snn.neurons.adaptive import AdaptiveParameters
from avalanche_snn.neurons.dynamics import (
    NeuronParameters,
    Step,
    delayed_synaptic_step,
    leaky_step,
    synaptic_step,
)
from avalanche_snn.neurons.kernels import AUTO, KERNELS, BaseKernel, Neuron, Timing, check_kernel_name, choose_kernel
from avalanche_snn.neurons.surrogates import Surrogate, parse_surrogate

#: Decays of the paper's network: 10 ms (synapse 5 ms) in steps of 1 ms.
ALPHA = math.exp(-1 / 5)
BETA = math.exp(-1 / 10)
_REFERENCE = "reference"


class SpikingLayer(nn.Module, ABC):
    """Input weights, optional recurrent weights and neurons: the base of every spiking layer.

    The input projection is one operation over all time steps; only the neurons themselves step through time.

    Args:
        n_inputs: C, input features.
        n_outputs: H, neurons.
        recurrent: every neuron's spikes reach every neuron of the layer.
        bias: a constant added to each neuron's current.
        batch_norm: normalise each neuron's input current over minibatch and time, ahead of the recurrent current, as
            `torch.nn.BatchNorm1d` does. In evaluation mode it is a factor of the weights and a bias, and costs nothing.
        kernel: how to compute the layer: `"reference"` (step by step, autograd), `"torch"`, `"cpp"` (CPU) or `"triton"`
            (CUDA), which have the same spikes and gradients and are several times faster, or `"auto"`: the fastest
            that runs where the layer is. `avalanche_snn.neurons.available_kernels()` says which run here.

    Attributes:
        weight: `[H, C]`.
        bias: `[H]` or None.
        recurrent_weight: `[H (to), H (from)]` or None.
        batch_norm: the `torch.nn.BatchNorm1d` over the H neurons, or None.
        kernel: as given.
        recompute: in training, compute membranes again on the way back instead of keeping them: less memory, more
            time. False unless it is set. Not while statistics of minibatches are taken, which must be taken once.

    Raises:
        ValueError: sizes below 1, or a kernel that there is not, or that cannot run this neuron. In `forward`: a named
            kernel that does not run here.
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, *, recurrent: bool, bias: bool, batch_norm: bool, kernel: str
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if n_inputs < 1 or n_outputs < 1:
            raise ValueError(f"{name}: wanted at least 1 input and 1 neuron, came {n_inputs} and {n_outputs}")
        check_kernel_name(kernel)
        self.n_inputs = n_inputs
        self.n_outputs = n_outputs
        self.kernel = kernel
        self.recompute = False
        self.weight = nn.Parameter(torch.empty(n_outputs, n_inputs))
        self.bias = nn.Parameter(torch.empty(n_outputs)) if bias else None
        self.recurrent_weight = nn.Parameter(torch.empty(n_outputs, n_outputs)) if recurrent else None
        self.batch_norm = nn.BatchNorm1d(n_outputs) if batch_norm else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights, uniform within 1 / sqrt(fan in), as `torch.nn.Linear` (and so snnTorch's examples) do."""
        for parameter, fan_in in (
            (self.weight, self.n_inputs),
            (self.recurrent_weight, self.n_outputs),
            (self.bias, self.n_inputs),
        ):
            if parameter is not None:
                bound = 1.0 / math.sqrt(fan_in)
                nn.init.uniform_(parameter, -bound, bound)
        if self.batch_norm is not None:
            self.batch_norm.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer from rest over a batch of sequences.

        Args:
            x: `[B, T, C]`, any real dtype (cast to that of the weights), T >= 1.

        Returns:
            Spikes `[B, T, H]`, 0 or 1, in the dtype of the weights.

        Raises:
            ValueError: an input of another shape, or a named kernel that does not run on the layer's device and dtype.
        """
        if x.dim() != 3 or x.shape[1] < 1 or x.shape[2] != self.n_inputs:
            raise ValueError(
                f"{type(self).__name__} wanted an input [B, T, {self.n_inputs}] with T >= 1, came {list(x.shape)}; "
                f"give the layer (or the model) the number of input features that the data have"
            )
        kernel = self._chosen_kernel()
        # Membranes in half precision lose spikes: a layer computes in the dtype of its weights, under autocast too.
        with torch.autocast(x.device.type, enabled=False):
            if self.batch_norm is not None and self.batch_norm.training:
                currents = self.batch_norm(kernel.project(x, self.weight, self.bias).flatten(0, 1))
                return kernel.neurons(currents.unflatten(0, x.shape[:2]), self._recurrent_weight(), self._neuron())
            compute = kernel.recompute if self.recompute and torch.is_grad_enabled() else kernel.layer
            return compute(x, *self._weight_and_bias(), self._recurrent_weight(), self._neuron())

    def scale_threshold(self, factor: float) -> None:
        """Make the threshold so many times as high, in effect: all that drives the membrane is divided by the factor.

        Spikes are then those of neurons with that threshold (reset to zero, by subtraction of it, or none).

        Args:
            factor: above 0; below 1 for neurons that spike more easily.

        Raises:
            ValueError: another factor.
        """
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"The factor of a threshold must lie above 0, but {factor!r} came.")
        norm = self.batch_norm
        drives = (self.weight, self.bias) if norm is None else (norm.weight, norm.bias)
        with torch.no_grad():
            for drive in (*drives, self.recurrent_weight):
                if drive is not None:
                    drive.div_(factor)

    @property
    def kernel_in_use(self) -> str:
        """The name of the kernel that computes the layer where it is now: what "auto" comes to.

        Raises:
            ValueError: a kernel was named that does not run here.
        """
        return self._chosen_kernel().name

    def _chosen_kernel(self) -> BaseKernel:
        return choose_kernel(self.kernel, self.weight.device, self.weight.dtype)

    def _weight_and_bias(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the input, with a normalisation whose statistics stand still as a part of them."""
        norm = self.batch_norm
        if norm is None or norm.running_var is None or norm.running_mean is None:
            return self.weight, self.bias
        factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        mean = norm.running_mean if self.bias is None else norm.running_mean - self.bias
        return self.weight * factor.unsqueeze(1), norm.bias - mean * factor

    @abstractmethod
    def _neuron(self) -> Neuron | AdaptiveParameters:
        """The neuron that the layer is made of."""

    def _recurrent_weight(self) -> Tensor | None:
        """The recurrent weights that take part."""
        return self.recurrent_weight

    def _describe_neuron(self) -> str:
        return ""

    def extra_repr(self) -> str:
        """Sizes and constants, for `print(model)`."""
        return (
            f"{self.n_inputs}, {self.n_outputs}, recurrent={self.recurrent_weight is not None}, "
            f"bias={self.bias is not None}, {self._describe_neuron()}, kernel={self.kernel}"
        )


class _FixedLayer(SpikingLayer):
    """A layer of neurons with fixed time constants: the base of `Leaky`, `Synaptic` and `DelayedSynaptic`."""

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        parameters: NeuronParameters,
        step: Step,
        timing: Timing,
        *,
        recurrent: bool,
        bias: bool,
        batch_norm: bool,
        kernel: str,
    ) -> None:
        steps_only = not parameters.reset_delay and step is not delayed_synaptic_step
        if steps_only and kernel in KERNELS and kernel != _REFERENCE:
            raise ValueError(
                f"{type(self).__name__} with reset_delay=False has no kernel {kernel!r}: choose '{AUTO}' or "
                f"'{_REFERENCE}', which are the same then, or reset_delay=True"
            )
        self.neuron = parameters
        super().__init__(n_inputs, n_outputs, recurrent=recurrent, bias=bias, batch_norm=batch_norm, kernel=kernel)
        self._dynamics = Neuron(parameters, step, None if steps_only else timing)

    def _chosen_kernel(self) -> BaseKernel:
        return KERNELS[_REFERENCE] if self._dynamics.timing is None else super()._chosen_kernel()

    def _neuron(self) -> Neuron:
        return self._dynamics

    def _describe_neuron(self) -> str:
        neuron = self.neuron
        decays = f"alpha={neuron.alpha:.4g}, beta={neuron.beta:.4g}" if neuron.alpha else f"beta={neuron.beta:.4g}"
        reset = neuron.reset if neuron.reset_delay else f"{neuron.reset} at once"
        return f"{decays}, threshold={neuron.threshold:g}, reset={reset}, surrogate={neuron.surrogate}"


class Leaky(_FixedLayer):
    """Leaky integrate-and-fire neurons; equations in `dynamics.leaky_step`, equal to snnTorch's `Leaky` and `RLeaky`.

    `[B, T, C] -> [B, T, H]`. Arguments as in `SpikingLayer` and `NeuronParameters`.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        recurrent: bool = False,
        bias: bool = False,
        batch_norm: bool = False,
        beta: float = BETA,
        threshold: float = 1.0,
        reset: str = "subtract",
        reset_delay: bool = True,
        surrogate: str | Surrogate = "atan/2",
        kernel: str = "auto",
    ) -> None:
        neuron = NeuronParameters(
            beta=beta,
            threshold=threshold,
            reset=reset,
            reset_delay=reset_delay,
            surrogate=parse_surrogate(surrogate),
        )
        timing = Timing(loop=1, delay=0, clear_before_input=not recurrent)
        super().__init__(
            n_inputs, n_outputs, neuron, leaky_step, timing,
            recurrent=recurrent, bias=bias, batch_norm=batch_norm, kernel=kernel,
        )  # fmt: skip


class Synaptic(_FixedLayer):
    """Neurons with a synaptic current; equations in `dynamics.synaptic_step`, as snnTorch's `Synaptic`, `RSynaptic`.

    `[B, T, C] -> [B, T, H]`. Arguments as in `SpikingLayer` and `NeuronParameters`.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        recurrent: bool = False,
        bias: bool = False,
        batch_norm: bool = False,
        alpha: float = ALPHA,
        beta: float = BETA,
        threshold: float = 1.0,
        reset: str = "subtract",
        reset_delay: bool = True,
        surrogate: str | Surrogate = "atan/2",
        kernel: str = "auto",
    ) -> None:
        neuron = NeuronParameters(
            alpha=alpha,
            beta=beta,
            threshold=threshold,
            reset=reset,
            reset_delay=reset_delay,
            surrogate=parse_surrogate(surrogate),
        )
        timing = Timing(loop=1, delay=0)
        super().__init__(
            n_inputs, n_outputs, neuron, synaptic_step, timing,
            recurrent=recurrent, bias=bias, batch_norm=batch_norm, kernel=kernel,
        )  # fmt: skip


class DelayedSynaptic(_FixedLayer):
    """The neurons of compressed latent replays (arXiv 2407.03111); equations in `dynamics.delayed_synaptic_step`.

    `[B, T, C] -> [B, T, H]`. Spikes come two steps later than those of `Synaptic`, and its recurrent loop takes three
    steps instead of one: with recurrence it is a neuron of its own. Defaults are the paper's: recurrent, no bias,
    reset to zero, surrogate 1 / (100 |x| + 1)^2, both weights drawn from N(0, `weight_scale` / sqrt(fan in)).
    Arguments as in `SpikingLayer` and `NeuronParameters`.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        recurrent: bool = True,
        bias: bool = False,
        batch_norm: bool = False,
        alpha: float = ALPHA,
        beta: float = BETA,
        threshold: float = 1.0,
        reset: str = "zero",
        surrogate: str | Surrogate = "fast_sigmoid/100",
        weight_scale: float = 0.2,
        kernel: str = "auto",
    ) -> None:
        neuron = NeuronParameters(
            alpha=alpha, beta=beta, threshold=threshold, reset=reset, surrogate=parse_surrogate(surrogate)
        )
        self.weight_scale = weight_scale
        super().__init__(
            n_inputs,
            n_outputs,
            neuron,
            delayed_synaptic_step,
            Timing(loop=3, delay=2),
            recurrent=recurrent,
            bias=bias,
            batch_norm=batch_norm,
            kernel=kernel,
        )

    def reset_parameters(self) -> None:
        """Draw new weights from N(0, `weight_scale` / sqrt(fan in)); a bias starts at 0."""
        if self.batch_norm is not None:
            self.batch_norm.reset_parameters()
        nn.init.normal_(self.weight, 0.0, self.weight_scale / math.sqrt(self.n_inputs))
        if self.recurrent_weight is not None:
            nn.init.normal_(self.recurrent_weight, 0.0, self.weight_scale / math.sqrt(self.n_outputs))
        if self.bias is not None:
            nn.init.zeros_(self.bias)
