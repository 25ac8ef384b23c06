"""The `cpp` kernel: compiled loops for the CPU, event-driven where spikes are sparse.

Input and recurrent spikes are lists of events, each of which adds a row of weights; one sample's neurons go through all
time steps before the next sample's turn, so that their state stays near the core. Of a layer, membranes and events are
kept for the way back, or, where membranes are to be recomputed, the events alone. Equations as in the `torch` kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from avalanche_snn.neurons.adaptive import AdaptiveParameters
from avalanche_snn.neurons.dynamics import NeuronParameters
from avalanche_snn.neurons.kernels import cpp_calls as calls
from avalanche_snn.neurons.kernels.base import BaseKernel, Neuron
from avalanche_snn.neurons.kernels.cpp_calls import AdaptiveDynamics, Dynamics, Events, FixedDynamics, MapsDynamics
from avalanche_snn.neurons.kernels.cpp_library import why_no_library


class CppKernel(BaseKernel):
    """Compiled and event-driven, for the CPU, in float32 and float64; built on first use."""

    name = "cpp"

    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return the reason when it is not the CPU, not float32 or float64, or when it cannot be built."""
        if device.type != "cpu":
            return f"it computes on the CPU, not on {device.type}"
        if dtype not in (torch.float32, torch.float64):
            return f"it computes in float32 and float64, not in {dtype}"
        return why_no_library()

    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`[B, T, C]` to currents `[B, T, H]`, by events unless the input is dense or holds more than spike counts."""
        events = _events_of(x, weight)
        if events is None:
            return functional.linear(x.to(weight.dtype), weight, bias)
        currents: Tensor = _Projection.apply(x, *events, weight, bias)
        return currents

    def run(self, currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        return _run(currents, recurrent_weight, neuron)

    def run_adaptive(self, currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        return _run(currents, recurrent_weight, parameters)

    def recompute(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        recurrent_weight: Tensor | None,
        neuron: Neuron | AdaptiveParameters,
    ) -> Tensor:
        """`[B, T, C]` to spikes `[B, T, H]`, keeping the events of the input only."""
        events = _events_of(x, weight)
        if events is None:
            return super().recompute(x, weight, bias, recurrent_weight, neuron)
        _check_width(weight.shape[0])
        dynamics, per_neuron = _dynamics_of(neuron)
        spikes: Tensor = _RecomputedLayer.apply(x, *events, weight, bias, recurrent_weight, dynamics, *per_neuron)
        return spikes

    def integrate(self, currents: Tensor, alpha: float, beta: float, reduce: str) -> Tensor:
        """Currents `[B, T, K]` to logits `[B, K]`, step by step."""
        logits: Tensor = _Integration.apply(currents.contiguous(), alpha, beta, reduce == "mean")
        return logits

    def run_maps(self, currents: Tensor, parameters: NeuronParameters) -> Tensor:
        """Currents `[T, N]` to spikes `[T, N]`."""
        if torch.is_grad_enabled() and currents.requires_grad:
            spikes: Tensor = _Maps.apply(currents, MapsDynamics(parameters))
            return spikes
        return MapsDynamics(parameters).forward(currents.contiguous(), keep_membranes=False)[0]

    def drop(self, x: Tensor, p: float) -> Tensor:
        """Set elements to 0 with probability p, 0 < p < 1, and scale the others by 1 / (1 - p).

        Which ones is drawn again on the way back instead of being kept.
        """
        seed = int(torch.empty((), dtype=torch.int64).random_())
        dropped: Tensor = _Dropout.apply(x.contiguous(), seed, p)
        return dropped


def _events_of(x: Tensor, weight: Tensor) -> Events | None:
    if x.shape[2] > calls.LARGEST_INDEX:
        return None
    x = x.detach()
    return calls.list_events(x if x.dtype in calls.KINDS else x.to(weight.dtype))


def _run(currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron | AdaptiveParameters) -> Tensor:
    _check_width(currents.shape[2])
    dynamics, per_neuron = _dynamics_of(neuron)
    spikes: Tensor = _Run.apply(currents.contiguous(), recurrent_weight, dynamics, *per_neuron)
    return spikes


def _dynamics_of(neuron: Neuron | AdaptiveParameters) -> tuple[Dynamics, tuple[Tensor, ...]]:
    """What runs the neurons, and their trained numbers."""
    if isinstance(neuron, AdaptiveParameters):
        return AdaptiveDynamics(neuron.threshold, neuron.reset, neuron.surrogate), neuron.per_neuron
    return FixedDynamics(neuron), ()


def _check_width(n_neurons: int) -> None:
    if n_neurons > calls.LARGEST_INDEX:
        raise ValueError(f"the cpp kernel has layers of up to {calls.LARGEST_INDEX} neurons, came {n_neurons}")


def _contiguous(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.contiguous()


class _Projection(torch.autograd.Function):
    """Events of an input, weight `[H, C]` and bias to currents `[B, T, H]`; differentiable in the input too."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        channels: Tensor,
        held: Tensor | None,
        starts: Tensor,
        unit: float,
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        ctx.in_shape, ctx.in_dtype, ctx.unit = x.shape, x.dtype, unit
        ctx.save_for_backward(channels, held, starts, weight)
        return calls.project(Events(channels, held, starts, unit), x.shape, weight, _contiguous(bias))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_currents: Tensor) -> tuple[Tensor | None, ...]:
        channels, held, starts, weight = ctx.saved_tensors
        wants = ctx.needs_input_grad[0], *ctx.needs_input_grad[5:7]
        grad_x, grad_weight, grad_bias = _project_backward(
            ctx, Events(channels, held, starts, ctx.unit), grad_currents.contiguous(), weight, wants
        )
        return grad_x, None, None, None, None, grad_weight, grad_bias


def _project_backward(
    ctx: Any, events: Events, grad_currents: Tensor, weight: Tensor, wants: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, weight and bias, those of them that are wanted."""
    rows = grad_currents.view(-1, weight.shape[0])
    grad_x = calls.product(rows, weight).view(ctx.in_shape).to(ctx.in_dtype) if wants[0] else None
    grad_weight = calls.project_backward(events, grad_currents, weight) if wants[1] else None
    grad_bias = rows.sum(dim=0) if wants[2] else None
    return grad_x, grad_weight, grad_bias


class _RecomputedLayer(torch.autograd.Function):
    """A layer from input `[B, T, C]` to spikes `[B, T, H]` that keeps the events of its input and nothing else."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        channels: Tensor,
        held: Tensor | None,
        starts: Tensor,
        unit: float,
        weight: Tensor,
        bias: Tensor | None,
        recurrent_weight: Tensor | None,
        dynamics: Dynamics,
        *per_neuron: Tensor,
    ) -> Tensor:
        numbers, bias = [tensor.contiguous() for tensor in per_neuron], _contiguous(bias)
        ctx.in_shape, ctx.in_dtype, ctx.unit, ctx.dynamics = x.shape, x.dtype, unit, dynamics
        ctx.save_for_backward(channels, held, starts, weight, bias, recurrent_weight, *numbers)
        currents = calls.project(Events(channels, held, starts, unit), x.shape, weight, bias)
        return dynamics.forward(currents, recurrent_weight, numbers)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor | None, ...]:
        channels, held, starts, weight, bias, recurrent_weight, *per_neuron = ctx.saved_tensors
        events = Events(channels, held, starts, ctx.unit)
        membranes = calls.project(events, ctx.in_shape, weight, bias)
        ctx.dynamics.forward(membranes, recurrent_weight, per_neuron)
        grad_currents, grad_recurrent, grads = ctx.dynamics.backward(
            membranes, recurrent_weight, per_neuron, grad_spikes.contiguous(), ctx.needs_input_grad[7]
        )
        wants = ctx.needs_input_grad[0], *ctx.needs_input_grad[5:7]
        grad_x, grad_weight, grad_bias = _project_backward(ctx, events, grad_currents, weight, wants)
        return grad_x, None, None, None, None, grad_weight, grad_bias, grad_recurrent, None, *grads


class _Run(torch.autograd.Function):
    """Currents `[B, T, H]`, used up, recurrent weights and the numbers of each neuron to spikes `[B, T, H]`."""

    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, recurrent_weight: Tensor | None, dynamics: Dynamics, *per_neuron: Tensor
    ) -> Tensor:
        numbers = [tensor.contiguous() for tensor in per_neuron]
        spikes = dynamics.forward(currents, recurrent_weight, numbers)
        ctx.dynamics = dynamics
        ctx.save_for_backward(currents, recurrent_weight, *numbers)
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor | None, ...]:
        membranes, recurrent_weight, *per_neuron = ctx.saved_tensors
        grad_currents, grad_weight, grads = ctx.dynamics.backward(
            membranes, recurrent_weight, per_neuron, grad_spikes.contiguous(), ctx.needs_input_grad[1]
        )
        return grad_currents, grad_weight, None, *grads


class _Maps(torch.autograd.Function):
    """Currents `[T, N]` to spikes `[T, N]`; keeps the membranes for the way back."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, dynamics: MapsDynamics) -> Tensor:
        spikes, membranes = dynamics.forward(currents.contiguous(), keep_membranes=True)
        ctx.dynamics = dynamics
        ctx.save_for_backward(membranes)
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, None]:
        (membranes,) = ctx.saved_tensors
        return ctx.dynamics.backward(membranes, grad_spikes.contiguous()), None


class _Integration(torch.autograd.Function):
    """Currents `[B, T, K]` to the largest or the mean membrane `[B, K]`; keeps which step is the best."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, alpha: float, beta: float, takes_mean: bool) -> Tensor:
        logits, when = calls.integrate(currents, alpha, beta, takes_mean)
        ctx.constants = currents.shape[1], alpha, beta, takes_mean
        ctx.save_for_backward(when)
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_logits: Tensor) -> tuple[Tensor, None, None, None]:
        (when,) = ctx.saved_tensors
        return calls.integrate_backward(grad_logits.contiguous(), when, *ctx.constants), None, None, None


class _Dropout(torch.autograd.Function):
    """An input of any shape to itself, with some elements set to 0; keeps nothing but the seed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, seed: int, p: float) -> Tensor:
        ctx.seed, ctx.p = seed, p
        return calls.drop(x, seed, p)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return calls.drop(grad.contiguous(), ctx.seed, ctx.p), None, None
