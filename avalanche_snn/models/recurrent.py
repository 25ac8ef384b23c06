"""Feed-forward stacks of recurrent spiking layers with a leaky readout."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from avalanche_snn.models.cuttable import CuttableSequential
from avalanche_snn.models.delays import DelayedCopies
from avalanche_snn.models.dropout import SpikeDropout
from avalanche_snn.models.pooling import TimePooling
from avalanche_snn.models.readouts import LeakyReadout
from avalanche_snn.models.seeding import drawn_from
from avalanche_snn.neurons import AdaptiveLeaky, DelayedSynaptic, Leaky, SpikingLayer, Synaptic
from avalanche_snn.neurons.layers import ALPHA, BETA

NEURONS = ("delayed_synaptic", "synaptic", "leaky", "adaptive")

_SAMPLES_AT_A_TIME = 16

NeuronFactory = Callable[[int, int], nn.Module]


class RecurrentSNN(CuttableSequential):
    """Spiking network for sequences: recurrent hidden layers and a leaky readout, `[B, T, C] -> logits [B, K]`.

    The defaults are network and neuron of compressed latent replays (arXiv 2407.03111): 700-200-100-50-20, all three
    hidden layers recurrent, no biases, 218 500 weights from N(0, 0.2 / sqrt(fan in)), alpha = exp(-1/5),
    beta = exp(-1/10), threshold 1, reset to zero, surrogate 1 / (100 |x| + 1)^2, maximum over time; the paper's
    log-softmax with negative log-likelihood is `torch.nn.CrossEntropyLoss` on these logits.

    Children, by the names that a cut goes by: `hidden1`, `hidden2`, ..., each behind its `hidden1_delays` where delays
    were asked for and followed by its `hidden1_pooling` where time pooling was, then `readout`.

    Args:
        n_inputs: C, input channels.
        hidden: neurons of each hidden layer, one or more.
        n_classes: K.
        neuron: `"delayed_synaptic"` (the paper's), `"synaptic"`, `"leaky"` (equal to snnTorch's), `"adaptive"` (whose
            paper has reset="subtract" and surrogate="box/1"), or a callable `(n_inputs, n_outputs) -> nn.Module` that
            maps `[B, T, n_inputs]` to spikes `[B, T, n_outputs]` and brings its own constants: `recurrent`,
            `threshold`, `reset`, `surrogate`, `kernel` then play no part.
        recurrent: connect each hidden layer to itself; one for all of them, or one for each, as in `(False, True)`.
        batch_norm: normalise the input currents of the hidden layers, as Bittar & Garner (2022) do for their networks.
        dropout: share of the spikes that training drops behind each hidden layer (and its pooling), 0..1; layers
            `hidden1_dropout`, ... A frozen front ends ahead of it: it is the back that drops spikes.
        time_pooling: hidden layers to pool over time, as in `{"hidden2": "any/5"}`; what follows runs on fewer steps.
        delays: time steps by which copies of what comes into a hidden layer are late, as in
            `{"hidden1": (0, 4, 8, 12)}`: the layer sees several moments at once, and has as many times the inputs
            (see `DelayedCopies`). They belong to the layer that they stand ahead of: after a cut behind `hidden1`, it
            is the back that copies for `hidden2`, and latents are held without copies.
        readout: `"max"` or `"mean"` over time.
        surrogate: gradient of the spikes, see `avalanche_snn.neurons.surrogates`.
        alpha: decay of synaptic currents in one step, hidden layers (`"delayed_synaptic"`, `"synaptic"`) and readout.
        beta: decay of membranes in one step, hidden layers (other than `"adaptive"`, which trains its own) and readout.
        threshold: of the spikes.
        reset: `"zero"`, `"subtract"` or `"none"`.
        kernel: `"auto"`, `"reference"`, `"torch"`, `"cpp"` or `"triton"`, see `SpikingLayer`.
        save_memory: in training, pass a minibatch through the network a few samples at a time, and compute membranes
            again on the way back instead of keeping them: a fraction of the memory for somewhat more time. Gradients
            are the same up to rounding. Layers that a callable makes keep what they keep. Not with `batch_norm`, whose
            statistics are those of whole minibatches.
        seed: draw the initial weights from this seed, whatever the state of torch's generator (which is left as it is);
            None draws from torch's generator.

    Raises:
        ValueError: an unknown neuron, readout, surrogate, reset or kernel; a pooling or delays of a layer that is not
            there; delays that are none, negative or repeated; no hidden layer; `recurrent` for another number of
            layers; sizes below 1; a dropout outside 0..1; `save_memory` with `batch_norm`.
        TypeError: one number as `hidden`, or one window as `time_pooling`.
    """

    def __init__(
        self,
        n_inputs: int = 700,
        hidden: Sequence[int] = (200, 100, 50),
        n_classes: int = 20,
        *,
        neuron: str | NeuronFactory = "delayed_synaptic",
        recurrent: bool | Sequence[bool] = True,
        batch_norm: bool = False,
        dropout: float = 0.0,
        time_pooling: Mapping[str, str] | None = None,
        delays: Mapping[str, Sequence[int]] | None = None,
        readout: str = "max",
        surrogate: str = "fast_sigmoid/100",
        alpha: float = ALPHA,
        beta: float = BETA,
        threshold: float = 1.0,
        reset: str = "zero",
        kernel: str = "auto",
        save_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        if isinstance(hidden, int):
            raise TypeError(f"RecurrentSNN: wanted widths, as in hidden=({hidden},), came {hidden}")
        if isinstance(time_pooling, str):
            raise TypeError(
                f'time_pooling: wanted layer -> window, as in {{"hidden2": {time_pooling!r}}}, came a string'
            )
        if not hidden:
            raise ValueError("RecurrentSNN: wanted at least one hidden layer, as in hidden=(200,), came none")
        if save_memory and batch_norm:
            raise ValueError(
                "RecurrentSNN: save_memory=True takes a minibatch apart, batch_norm=True needs it whole: choose one"
            )
        names = [f"hidden{number}" for number in range(1, len(hidden) + 1)]
        pooling, delayed = dict(time_pooling or {}), dict(delays or {})
        _check_layers("time_pooling", pooling, names)
        _check_layers("delays", delayed, names)
        loops = _one_for_each(recurrent, len(hidden))
        if isinstance(neuron, str):
            make_layers = [
                _named_neuron(
                    neuron,
                    alpha=alpha,
                    beta=beta,
                    recurrent=loop,
                    batch_norm=batch_norm,
                    threshold=threshold,
                    reset=reset,
                    surrogate=surrogate,
                    kernel=kernel,
                )
                for loop in loops
            ]
        else:
            make_layers = [neuron] * len(hidden)
        children: OrderedDict[str, nn.Module] = OrderedDict()
        with drawn_from(seed):
            for name, fan_in, width, make_layer in zip(
                names, (n_inputs, *hidden[:-1]), hidden, make_layers, strict=True
            ):
                if name in delayed:
                    children[f"{name}_delays"] = DelayedCopies(delayed[name])
                children[name] = make_layer(fan_in * len(delayed.get(name, (0,))), width)
                if name in pooling:
                    children[f"{name}_pooling"] = TimePooling.from_spec(pooling[name])
                if dropout:
                    children[f"{name}_dropout"] = SpikeDropout(dropout, kernel=kernel)
            children["readout"] = LeakyReadout(hidden[-1], n_classes, readout, alpha=alpha, beta=beta, kernel=kernel)
        super().__init__(children)
        self.save_memory = save_memory
        for layer in children.values():
            if isinstance(layer, SpikingLayer):
                layer.recompute = save_memory

    def forward(self, batch: Tensor) -> Tensor:
        """Classify rasters `[B, T, C]` or packed latents uint8 `[B, T', ceil(H/8), P]` -> logits `[B, K]`.

        Raises:
            ValueError: packed latents came, but the network is not cut or its latents have another shape.
        """
        if not (self.save_memory and torch.is_grad_enabled()) or len(batch) <= _SAMPLES_AT_A_TIME:
            return super().forward(batch)
        return torch.cat([super(RecurrentSNN, self).forward(part) for part in torch.split(batch, _SAMPLES_AT_A_TIME)])


def _check_layers(argument: str, given: Iterable[str], names: Sequence[str]) -> None:
    for name in given:
        if name not in names:
            raise ValueError(f"{argument}: there is no hidden layer {name!r}; the layers are {', '.join(names)}")


def _one_for_each(recurrent: bool | Sequence[bool], n_layers: int) -> Sequence[bool]:
    if not isinstance(recurrent, Sequence):
        return [recurrent] * n_layers
    if len(recurrent) != n_layers or not all(isinstance(loop, bool) for loop in recurrent):
        raise ValueError(
            f"recurrent: wanted True or False, or one of them for each of the {n_layers} hidden layers, "
            f"came {recurrent!r}"
        )
    return recurrent


def _named_neuron(name: str, *, alpha: float, beta: float, **constants: Any) -> NeuronFactory:
    if name not in NEURONS:
        raise ValueError(
            f"unknown neuron {name!r}: choose one of {', '.join(map(repr, NEURONS))}, "
            f"or give a callable (n_inputs, n_outputs) -> nn.Module"
        )

    def make_layer(n_inputs: int, n_outputs: int) -> nn.Module:
        if name == "adaptive":
            return AdaptiveLeaky(n_inputs, n_outputs, **constants)
        if name == "leaky":
            return Leaky(n_inputs, n_outputs, beta=beta, **constants)
        layer = DelayedSynaptic if name == "delayed_synaptic" else Synaptic
        return layer(n_inputs, n_outputs, alpha=alpha, beta=beta, **constants)

    return make_layer
