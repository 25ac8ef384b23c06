"""The functions of the compiled library on tensors: no autograd here, and what goes in is contiguous and on the CPU."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from avalanche_snn.neurons.dynamics import RESETS, NeuronParameters
from avalanche_snn.neurons.kernels.base import Neuron
from avalanche_snn.neurons.kernels.cpp_library import AdaptiveArguments, FixedArguments, MapsArguments, library
from avalanche_snn.neurons.surrogates import SURROGATES, Surrogate

#: What the library computes in, and reads.
KINDS = {torch.float32: "f32", torch.float64: "f64", torch.uint8: "u8"}
#: Events are numbered in 16 bits.
LARGEST_INDEX = 2**16
_MAX_DENSITY = 0.4
_PROBABILITIES = 2**16  # of dropout
_LINE_BYTES = 64


class Events(NamedTuple):
    """The cells of an input `[R, C]` (R = B T rows) that are not zero, row by row.

    Attributes:
        channels: uint16 `[E]`, where they are.
        held: uint8 `[E]`, how many units they hold; None where all hold one.
        starts: int64 `[R + 1]`, where each row begins.
        unit: of what is held: 1, or another number where dropout scaled the spikes.
    """

    channels: Tensor
    held: Tensor | None
    starts: Tensor
    unit: float = 1.0

    @property
    def pointers(self) -> tuple[int, int | None, int, int]:
        """Addresses of channels, held and starts, and R: how compiled functions take them."""
        return self.channels.data_ptr(), _address(self.held), self.starts.data_ptr(), len(self.starts) - 1


def list_events(x: Tensor) -> Events | None:
    """List the events of `[B, T, C]`; None where there are too many, or values that are not 0..255 times one number."""
    x = x.contiguous()
    n_rows, n_cells = x.shape[0] * x.shape[1], x.shape[2]
    room = int(_MAX_DENSITY * x.numel()) + _LINE_BYTES
    channels, held = torch.empty(room, dtype=torch.uint16), torch.empty(room, dtype=torch.uint8)
    starts = torch.empty(n_rows + 1, dtype=torch.int64)
    more_than_one, unit = ctypes.c_int32(), ctypes.c_double()
    n_events = _function("list_events", x.dtype)(
        x.data_ptr(), n_rows, n_cells, channels.data_ptr(), held.data_ptr(), room, starts.data_ptr(),
        ctypes.byref(more_than_one), ctypes.byref(unit), torch.get_num_threads(),
    )  # fmt: skip
    if n_events < 0:
        return None
    # Copies of just what there is: the room was for the worst case.
    held_by_each = held[:n_events].clone() if more_than_one.value else None
    return Events(channels[:n_events].clone(), held_by_each, starts, unit.value)


def project(events: Events, in_shape: torch.Size, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Events of an input `[B, T, C]`, weight `[H, C]` and bias `[H]` to currents `[B, T, H]`."""
    n_neurons = weight.shape[0]
    currents = weight.new_empty((*in_shape[:2], n_neurons))
    table = _padded(weight.T, events.unit)
    _function("project", weight.dtype)(
        *events.pointers, n_neurons, table.data_ptr(), _address(bias), currents.data_ptr(), torch.get_num_threads()
    )
    return currents


def project_backward(events: Events, grad_currents: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the weight `[H, C]` from that of the currents `[B, T, H]`."""
    n_neurons, n_cells = weight.shape
    table = _padded_zeros(n_cells, n_neurons, weight)
    _function("project_backward", weight.dtype)(
        *events.pointers, n_cells, n_neurons, grad_currents.data_ptr(), table.data_ptr(), torch.get_num_threads()
    )
    gradient = table[:, :n_neurons].T
    return gradient.contiguous() if events.unit == 1 else gradient * events.unit


def product(a: Tensor, weight: Tensor) -> Tensor:
    """`[R, H]` times a weight `[H, C]`: `[R, C]`."""
    out = a.new_empty((len(a), weight.shape[1]))
    table = _padded(weight)
    _function("product", a.dtype)(
        a.data_ptr(), len(a), a.shape[1], weight.shape[1], table.data_ptr(), None, out.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


class Dynamics(Protocol):
    """Neurons through time and back; `per_neuron` are their trained numbers, `[H]` each, if they have any."""

    def forward(self, currents: Tensor, recurrent_weight: Tensor | None, per_neuron: list[Tensor]) -> Tensor:
        """Spikes `[B, T, H]`; the membranes take the place of the currents."""

    def backward(
        self,
        membranes: Tensor,
        recurrent_weight: Tensor | None,
        per_neuron: list[Tensor],
        grad_spikes: Tensor,
        wants_weight: bool,
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Gradients of currents, recurrent weight (where wanted) and each of `per_neuron`."""


@dataclass(frozen=True)
class FixedDynamics:
    """Neurons with fixed time constants."""

    neuron: Neuron

    def forward(self, currents: Tensor, recurrent_weight: Tensor | None, per_neuron: list[Tensor]) -> Tensor:
        """Spikes `[B, T, H]`; the membranes take the place of the currents."""
        return _run_forward("run_fixed", self._arguments(currents), currents, recurrent_weight)

    def backward(
        self,
        membranes: Tensor,
        recurrent_weight: Tensor | None,
        per_neuron: list[Tensor],
        grad_spikes: Tensor,
        wants_weight: bool,
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Gradients of currents and recurrent weight."""
        grad_currents = torch.empty_like(membranes)
        table, grad_table = _recurrent_tables(recurrent_weight, wants_weight)
        arguments = self._arguments(membranes)
        arguments.backward = _address(table)
        _function("run_fixed_backward", membranes.dtype)(
            ctypes.byref(arguments), membranes.data_ptr(), grad_spikes.data_ptr(), grad_currents.data_ptr(),
            _address(grad_table),
        )  # fmt: skip
        return grad_currents, _square(grad_table), []

    def _arguments(self, currents: Tensor) -> FixedArguments:
        parameters, timing = self.neuron.parameters, self.neuron.timing_for("cpp")
        return FixedArguments(
            **_common_arguments(currents, parameters.threshold, parameters.reset, parameters.surrogate),
            loop=timing.loop,
            delay=timing.delay,
            clear_before_input=timing.clear_before_input,
            alpha=parameters.alpha,
            beta=parameters.beta,
        )


@dataclass(frozen=True)
class AdaptiveDynamics:
    """Adaptive neurons; `per_neuron` are alpha, beta, a and b."""

    threshold: float
    reset: str
    surrogate: Surrogate

    def forward(self, currents: Tensor, recurrent_weight: Tensor | None, per_neuron: list[Tensor]) -> Tensor:
        """Spikes `[B, T, H]`; the membranes take the place of the currents."""
        return _run_forward("run_adaptive", self._arguments(currents, per_neuron), currents, recurrent_weight)

    def backward(
        self,
        membranes: Tensor,
        recurrent_weight: Tensor | None,
        per_neuron: list[Tensor],
        grad_spikes: Tensor,
        wants_weight: bool,
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Gradients of currents, recurrent weight, alpha, beta, a and b."""
        grad_currents = torch.empty_like(membranes)
        table, grad_table = _recurrent_tables(recurrent_weight, wants_weight)
        n_blocks = -(-len(membranes) // library().samples_of_a_block())
        sums = membranes.new_empty((n_blocks, len(per_neuron), membranes.shape[2]))
        arguments = self._arguments(membranes, per_neuron)
        arguments.backward = _address(table)
        _function("run_adaptive_backward", membranes.dtype)(
            ctypes.byref(arguments), membranes.data_ptr(), grad_spikes.data_ptr(), grad_currents.data_ptr(),
            sums.data_ptr(), _address(grad_table),
        )  # fmt: skip
        return grad_currents, _square(grad_table), list(sums.sum(dim=0).unbind(0))

    def _arguments(self, currents: Tensor, per_neuron: list[Tensor]) -> AdaptiveArguments:
        alpha, beta, a, b = (tensor.data_ptr() for tensor in per_neuron)
        common = _common_arguments(currents, self.threshold, self.reset, self.surrogate)
        return AdaptiveArguments(**common, alpha=alpha, beta=beta, a=a, b=b)


@dataclass(frozen=True)
class MapsDynamics:
    """Leaky neurons of feature maps."""

    parameters: NeuronParameters

    def forward(self, currents: Tensor, keep_membranes: bool) -> tuple[Tensor, Tensor | None]:
        """Spikes of currents `[T, N]`, which stay as they are, and the membranes where they are to be kept."""
        spikes = torch.empty_like(currents)
        membranes = torch.empty_like(currents) if keep_membranes else None
        _function("run_maps", currents.dtype)(
            ctypes.byref(self._arguments(currents)), currents.data_ptr(), _address(membranes), spikes.data_ptr()
        )
        return spikes, membranes

    def backward(self, membranes: Tensor, grad_spikes: Tensor) -> Tensor:
        """Gradient of the currents."""
        grad_currents = torch.empty_like(membranes)
        _function("run_maps_backward", membranes.dtype)(
            ctypes.byref(self._arguments(membranes)), membranes.data_ptr(), grad_spikes.data_ptr(),
            grad_currents.data_ptr(),
        )  # fmt: skip
        return grad_currents

    def _arguments(self, currents: Tensor) -> MapsArguments:
        neuron = self.parameters
        return MapsArguments(
            n_steps=currents.shape[0],
            n_neurons=currents.shape[1],
            reset=RESETS.index(neuron.reset),
            surrogate=SURROGATES.index(neuron.surrogate.name),
            through_reset=not neuron.reset_delay,
            n_threads=torch.get_num_threads(),
            threshold=neuron.threshold,
            surrogate_parameter=neuron.surrogate.parameter,
            beta=neuron.beta,
        )


def integrate(currents: Tensor, alpha: float, beta: float, takes_mean: bool) -> tuple[Tensor, Tensor]:
    """Currents `[B, T, K]` to logits `[B, K]`, and int32 `[B, K]` the step of the largest membrane, -1 for rest."""
    logits = currents.new_empty((currents.shape[0], currents.shape[2]))
    when = torch.empty(logits.shape, dtype=torch.int32)
    _function("integrate", currents.dtype)(
        currents.data_ptr(), *currents.shape, alpha, beta, takes_mean, logits.data_ptr(), when.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return logits, when


def integrate_backward(
    grad_logits: Tensor, when: Tensor, n_steps: int, alpha: float, beta: float, takes_mean: bool
) -> Tensor:
    """Gradient of the currents `[B, T, K]` from that of the logits `[B, K]`."""
    n_samples, n_classes = grad_logits.shape
    grad_currents = grad_logits.new_empty((n_samples, n_steps, n_classes))
    _function("integrate_backward", grad_logits.dtype)(
        grad_logits.data_ptr(), *grad_currents.shape, alpha, beta, takes_mean, when.data_ptr(),
        grad_currents.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return grad_currents


def drop(x: Tensor, seed: int, p: float) -> Tensor:
    """Set elements to 0 with probability p, which seed and place tell, and scale the others by 1 / (1 - p).

    The probability is a multiple of 2^-16, the nearest one that is not all or nothing.
    """
    out = torch.empty_like(x)
    n_below = min(max(round(p * _PROBABILITIES), 1), _PROBABILITIES - 1)
    _function("drop", x.dtype)(
        seed,
        n_below,
        _PROBABILITIES / (_PROBABILITIES - n_below),
        x.numel(),
        x.data_ptr(),
        out.data_ptr(),
        torch.get_num_threads(),
    )
    return out


def _function(name: str, dtype: torch.dtype) -> Any:
    return getattr(library(), f"{name}_{KINDS[dtype]}")


def _common_arguments(currents: Tensor, threshold: float, reset: str, surrogate: Surrogate) -> dict[str, Any]:
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


def _run_forward(
    name: str, arguments: FixedArguments | AdaptiveArguments, currents: Tensor, recurrent_weight: Tensor | None
) -> Tensor:
    """Spikes `[B, T, H]` by the function of that name; the membranes take the place of the currents."""
    spikes = torch.empty_like(currents)
    table = None if recurrent_weight is None else _padded(recurrent_weight.T)
    arguments.forward = _address(table)
    _function(name, currents.dtype)(ctypes.byref(arguments), currents.data_ptr(), spikes.data_ptr())
    return spikes


def _recurrent_tables(recurrent_weight: Tensor | None, wants_grad: bool) -> tuple[Tensor | None, Tensor | None]:
    """The padded recurrent weight, and zeros for its gradient `[H (from), padded H (to)]` where that is wanted."""
    if recurrent_weight is None:
        return None, None
    n_neurons = len(recurrent_weight)
    grad_table = _padded_zeros(n_neurons, n_neurons, recurrent_weight) if wants_grad else None
    return _padded(recurrent_weight), grad_table


def _padded_zeros(n_rows: int, n_columns: int, like: Tensor) -> Tensor:
    """Rows of zeros, padded to whole cache lines."""
    per_line = _LINE_BYTES // like.element_size()
    return like.new_zeros((n_rows, -(-n_columns // per_line) * per_line))


def _padded(matrix: Tensor, factor: float = 1.0) -> Tensor:
    """A copy of a matrix, times a factor, whose rows are padded with zeros to whole cache lines."""
    padded = _padded_zeros(matrix.shape[0], matrix.shape[1], matrix)
    padded[:, : matrix.shape[1]] = matrix if factor == 1 else matrix * factor
    return padded


def _square(grad_table: Tensor | None) -> Tensor | None:
    """The gradient of recurrent weights `[H (to), H (from)]` from a padded table `[H (from), H (to)]`."""
    return None if grad_table is None else grad_table[:, : len(grad_table)].T.contiguous()


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
