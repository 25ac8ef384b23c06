"""The `cpp` kernel: compiled loops for the CPU, event-driven where spikes are sparse.

Input and recurrent spikes are lists of events, each of which adds a row of weights; one sample's neurons go through all
time steps before the next sample's turn, so that their state stays near the core. Of a layer, membranes and events are
kept for the way back, which walks through time for a few samples at once. Equations as in the `torch` kernel.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from avalanche_snn.neurons.adaptive import AdaptiveParameters
from avalanche_snn.neurons.dynamics import RESETS
from avalanche_snn.neurons.kernels.base import Neuron
from avalanche_snn.neurons.kernels.cpp_library import AdaptiveArguments, FixedArguments, library, why_no_library
from avalanche_snn.neurons.surrogates import SURROGATES

_KINDS = {torch.float32: "f32", torch.float64: "f64", torch.uint8: "u8"}
_LARGEST_INDEX = 2**16  # events are numbered in 16 bits
_MAX_DENSITY = 0.4
_LINE_BYTES = 64


class CppKernel:
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
        events = None
        if x.shape[2] <= _LARGEST_INDEX:
            events = _list_events(x.detach() if x.dtype in _KINDS else x.detach().to(weight.dtype))
        if events is None:
            return functional.linear(x.to(weight.dtype), weight, bias)
        currents: Tensor = _Projection.apply(x, events, weight, bias)
        return currents

    def run(self, currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        if neuron.timing is None:
            raise ValueError("the cpp kernel cannot run this neuron: only the reference steps through it")
        spikes: Tensor = _Fixed.apply(_in_order(currents), recurrent_weight, neuron)
        return spikes

    def run_adaptive(self, currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        constants = parameters.threshold, parameters.reset, parameters.surrogate
        spikes: Tensor = _Adaptive.apply(_in_order(currents), recurrent_weight, *parameters.per_neuron, constants)
        return spikes

    def integrate(self, currents: Tensor, alpha: float, beta: float, reduce: str) -> Tensor:
        """Currents `[B, T, K]` to logits `[B, K]`, step by step."""
        logits: Tensor = _Integration.apply(currents.contiguous(), alpha, beta, reduce == "mean")
        return logits


class _Events(NamedTuple):
    """The cells of an input `[R, C]` (R = B T rows) that are not zero, row by row.

    Attributes:
        channels: uint16 `[E]`, where they are.
        held: uint8 `[E]`, what they hold; None where all hold 1.
        starts: int64 `[R + 1]`, where each row begins.
        n_cells: C.
    """

    channels: Tensor
    held: Tensor | None
    starts: Tensor
    n_cells: int

    @property
    def pointers(self) -> tuple[int, int | None, int, int]:
        """Addresses of channels, held and starts, and R: how compiled functions take them."""
        return self.channels.data_ptr(), _address(self.held), self.starts.data_ptr(), len(self.starts) - 1


def _list_events(x: Tensor) -> _Events | None:
    """List the events of `[B, T, C]`; None where there are too many, or values that are no counts up to 255."""
    x = x.contiguous()
    n_rows, n_cells = x.shape[0] * x.shape[1], x.shape[2]
    room = int(_MAX_DENSITY * x.numel()) + _LINE_BYTES
    index, counts = torch.empty(room, dtype=torch.uint16), torch.empty(room, dtype=torch.uint8)
    starts = torch.empty(n_rows + 1, dtype=torch.int64)
    counted = ctypes.c_int32()
    list_events = getattr(library(), f"list_events_{_KINDS[x.dtype]}")
    n_events = list_events(
        x.data_ptr(), n_rows, n_cells, index.data_ptr(), counts.data_ptr(), room, starts.data_ptr(),
        ctypes.byref(counted), torch.get_num_threads(),
    )  # fmt: skip
    if n_events < 0:
        return None
    # Copies of just what there is: the room was for the worst case.
    return _Events(index[:n_events].clone(), counts[:n_events].clone() if counted.value else None, starts, n_cells)


class _Projection(torch.autograd.Function):
    """Events, weight `[H, C]` and bias to currents `[B, T, H]`; differentiable in the input too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, events: _Events, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.events, ctx.in_shape, ctx.in_dtype = events, x.shape, x.dtype
        ctx.save_for_backward(weight)
        n_neurons = weight.shape[0]
        currents = weight.new_empty((*x.shape[:2], n_neurons))
        table = _padded(weight.detach().T)
        if bias is not None:
            bias = bias.detach().contiguous()
        project = getattr(library(), f"project_{_KINDS[weight.dtype]}")
        project(
            *events.pointers, n_neurons, table.data_ptr(), _address(bias), currents.data_ptr(), torch.get_num_threads()
        )
        return currents

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_currents: Tensor) -> tuple[Tensor | None, None, Tensor | None, Tensor | None]:
        (weight,) = ctx.saved_tensors
        events: _Events = ctx.events
        grad_currents = grad_currents.contiguous()
        rows = grad_currents.view(-1, weight.shape[0])
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = _product(rows, _padded(weight), weight.shape[1], None).view(ctx.in_shape).to(ctx.in_dtype)
        if ctx.needs_input_grad[2]:
            table = _padded_zeros(events.n_cells, weight)
            project_backward = getattr(library(), f"project_backward_{_KINDS[weight.dtype]}")
            project_backward(
                *events.pointers, events.n_cells, weight.shape[0], rows.data_ptr(), table.data_ptr(),
                torch.get_num_threads(),
            )  # fmt: skip
            grad_weight = table[:, : weight.shape[0]].T.contiguous()
        if ctx.needs_input_grad[3]:
            grad_bias = rows.sum(dim=0)
        return grad_x, None, grad_weight, grad_bias


class _Fixed(torch.autograd.Function):
    """Currents `[B, T, H]`, used up, and recurrent weights to spikes `[B, T, H]`."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron) -> Tensor:
        spikes = torch.empty_like(currents)
        table = None if recurrent_weight is None else _padded(recurrent_weight.detach().T)
        arguments = _fixed_arguments(currents, neuron)
        arguments.forward = _address(table)
        run_fixed = getattr(library(), f"run_fixed_{_KINDS[currents.dtype]}")
        run_fixed(ctypes.byref(arguments), currents.data_ptr(), spikes.data_ptr())
        ctx.neuron = neuron
        ctx.save_for_backward(currents, recurrent_weight)
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, Tensor | None, None]:
        membranes, recurrent_weight = ctx.saved_tensors
        grad_currents, grad_spikes = torch.empty_like(membranes), grad_spikes.contiguous()
        table = None if recurrent_weight is None else _padded(recurrent_weight)
        grad_table = None
        if recurrent_weight is not None and ctx.needs_input_grad[1]:
            grad_table = _padded_zeros(len(recurrent_weight), recurrent_weight)
        arguments = _fixed_arguments(membranes, ctx.neuron)
        arguments.backward = _address(table)
        run_fixed_backward = getattr(library(), f"run_fixed_backward_{_KINDS[membranes.dtype]}")
        run_fixed_backward(
            ctypes.byref(arguments), membranes.data_ptr(), grad_spikes.data_ptr(), grad_currents.data_ptr(),
            _address(grad_table),
        )  # fmt: skip
        return grad_currents, _square(grad_table), None


class _Adaptive(torch.autograd.Function):
    """Currents `[B, T, H]`, used up, recurrent weights and the numbers of each neuron to spikes `[B, T, H]`."""

    @staticmethod
    def forward(
        ctx: Any,
        currents: Tensor,
        recurrent_weight: Tensor | None,
        alpha: Tensor,
        beta: Tensor,
        a: Tensor,
        b: Tensor,
        constants: tuple[Any, ...],
    ) -> Tensor:
        spikes = torch.empty_like(currents)
        table = None if recurrent_weight is None else _padded(recurrent_weight.detach().T)
        per_neuron = [tensor.detach().contiguous() for tensor in (alpha, beta, a, b)]
        arguments = _adaptive_arguments(currents, per_neuron, constants)
        arguments.forward = _address(table)
        run_adaptive = getattr(library(), f"run_adaptive_{_KINDS[currents.dtype]}")
        run_adaptive(ctypes.byref(arguments), currents.data_ptr(), spikes.data_ptr())
        ctx.constants = constants
        ctx.save_for_backward(currents, recurrent_weight, *per_neuron)
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor | None, ...]:
        membranes, recurrent_weight, *per_neuron = ctx.saved_tensors
        n_neurons = membranes.shape[2]
        grad_currents, grad_spikes = torch.empty_like(membranes), grad_spikes.contiguous()
        table = None if recurrent_weight is None else _padded(recurrent_weight)
        grad_table = None
        if recurrent_weight is not None and ctx.needs_input_grad[1]:
            grad_table = _padded_zeros(len(recurrent_weight), recurrent_weight)
        n_blocks = -(-len(membranes) // library().samples_of_a_block())
        sums = membranes.new_empty((n_blocks, 4, n_neurons))
        arguments = _adaptive_arguments(membranes, per_neuron, ctx.constants)
        arguments.backward = _address(table)
        run_adaptive_backward = getattr(library(), f"run_adaptive_backward_{_KINDS[membranes.dtype]}")
        run_adaptive_backward(
            ctypes.byref(arguments), membranes.data_ptr(), grad_spikes.data_ptr(), grad_currents.data_ptr(),
            sums.data_ptr(), _address(grad_table),
        )  # fmt: skip
        return grad_currents, _square(grad_table), *sums.sum(dim=0).unbind(0), None


class _Integration(torch.autograd.Function):
    """Currents `[B, T, K]` to the largest or the mean membrane `[B, K]`; keeps which step is the best."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, alpha: float, beta: float, takes_mean: bool) -> Tensor:
        logits = currents.new_empty((currents.shape[0], currents.shape[2]))
        when = torch.empty(logits.shape, dtype=torch.int32)
        integrate = getattr(library(), f"integrate_{_KINDS[currents.dtype]}")
        integrate(
            currents.data_ptr(), *currents.shape, alpha, beta, takes_mean, logits.data_ptr(), when.data_ptr(),
            torch.get_num_threads(),
        )  # fmt: skip
        ctx.shape, ctx.constants = currents.shape, (alpha, beta, takes_mean)
        ctx.save_for_backward(when)
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_logits: Tensor) -> tuple[Tensor, None, None, None]:
        (when,) = ctx.saved_tensors
        grad_logits = grad_logits.contiguous()
        grad_currents = grad_logits.new_empty(ctx.shape)
        integrate_backward = getattr(library(), f"integrate_backward_{_KINDS[grad_logits.dtype]}")
        integrate_backward(
            grad_logits.data_ptr(), *ctx.shape, *ctx.constants, when.data_ptr(), grad_currents.data_ptr(),
            torch.get_num_threads(),
        )  # fmt: skip
        return grad_currents, None, None, None


def _fixed_arguments(currents: Tensor, neuron: Neuron) -> FixedArguments:
    parameters, timing = neuron.parameters, neuron.timing
    assert timing is not None
    return FixedArguments(
        **_common_arguments(currents, parameters.threshold, parameters.reset, parameters.surrogate),
        loop=timing.loop,
        delay=timing.delay,
        clear_before_input=timing.clear_before_input,
        alpha=parameters.alpha,
        beta=parameters.beta,
    )


def _adaptive_arguments(currents: Tensor, per_neuron: list[Tensor], constants: tuple[Any, ...]) -> AdaptiveArguments:
    alpha, beta, a, b = (tensor.data_ptr() for tensor in per_neuron)
    return AdaptiveArguments(**_common_arguments(currents, *constants), alpha=alpha, beta=beta, a=a, b=b)


def _common_arguments(currents: Tensor, threshold: float, reset: str, surrogate: Any) -> dict[str, Any]:
    n_samples, n_steps, n_neurons = currents.shape
    return {
        "n_samples": n_samples,
        "n_steps": n_steps,
        "n_neurons": n_neurons,
        "reset": RESETS.index(reset),
        "surrogate": SURROGATES.index(surrogate.name),
        "n_threads": torch.get_num_threads(),
        "threshold": threshold,
        "surrogate_parameter": surrogate.parameter,
    }


def _product(a: Tensor, table: Tensor, n_out: int, bias: Tensor | None) -> Tensor:
    """`[R, I]` times a padded table `[I, n_out]`, plus a bias: `[R, n_out]`."""
    out = a.new_empty((len(a), n_out))
    product = getattr(library(), f"product_{_KINDS[a.dtype]}")
    product(
        a.data_ptr(), len(a), a.shape[1], n_out, table.data_ptr(), _address(bias), out.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


def _in_order(currents: Tensor) -> Tensor:
    if currents.shape[2] > _LARGEST_INDEX:
        raise ValueError(f"the cpp kernel has layers of up to {_LARGEST_INDEX} neurons, {currents.shape[2]} came")
    return currents.contiguous()


def _padded_zeros(n_rows: int, like: Tensor) -> Tensor:
    """Rows of zeros, as many columns as `like` has rows, padded to whole cache lines."""
    per_line = _LINE_BYTES // like.element_size()
    return like.new_zeros((n_rows, -(-like.shape[0] // per_line) * per_line))


def _padded(matrix: Tensor) -> Tensor:
    """A copy of a matrix whose rows are padded with zeros to whole cache lines."""
    per_line = _LINE_BYTES // matrix.element_size()
    padded = matrix.new_zeros((matrix.shape[0], -(-matrix.shape[1] // per_line) * per_line))
    padded[:, : matrix.shape[1]] = matrix
    return padded


def _square(grad_table: Tensor | None) -> Tensor | None:
    """The gradient of recurrent weights `[H (to), H (from)]` from a padded table `[H (from), H (to)]`."""
    return None if grad_table is None else grad_table[:, : len(grad_table)].T.contiguous()


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
