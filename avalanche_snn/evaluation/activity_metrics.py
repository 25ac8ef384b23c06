"""Spikes, synaptic operations, energy and time steps as metrics for Avalanche's evaluator.

All are means over the samples that the network was given: by the strategy's own forward pass on a minibatch, replays in
it included; passes that plugins make for themselves are not counted. Hooks are on the network during that pass alone,
one set for all metrics of an evaluator. Under a metric's name, as under "Spikes_Exp/eval_phase/test_stream/Exp000",
stands the whole network, and a layer's share under the same with "/hidden1". What is counted is what was computed: for
minibatches of packed latents, which latent replay feeds while it trains, the layers behind the cut alone. Evaluation
on rasters runs, and counts, the whole network, also where its front is frozen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from avalanche.evaluation import GenericPluginMetric
from avalanche.evaluation.metric_results import MetricValue
from avalanche.evaluation.metric_utils import get_metric_name

from avalanche_snn.evaluation.activity import Activity, ActivityRecorder

#: Joules of a 32-bit floating-point addition in 45 nm, and of a multiplication (3.7 pJ) with the addition after it
#: (Horowitz 2014, "Computing's energy problem (and what we can do about it)", ISSCC, figure 1.1.9).
AC_JOULES = 0.9e-12
MAC_JOULES = 4.6e-12

_NETWORK = ""
_LEVELS = {
    "minibatch": ("MB", "iteration", "train"),
    "epoch": ("Epoch", "epoch", "train"),
    "experience": ("Exp", "experience", "eval"),
    "stream": ("Stream", "stream", "eval"),
}

#: From counts to values by layer, the whole network under "".
Quantity = Callable[[Activity], dict[str, float]]


class ActivityMetric(GenericPluginMetric[dict[str, float], Activity]):
    """One quantity at one level.

    Args:
        name: of the quantity; that of the metric is "Spikes_Exp" and the like.
        quantity: from counts to values.
        level: `"minibatch"`, `"epoch"` (both in training), `"experience"` or `"stream"` (both in evaluation).
        per_layer: emit the layers' values too.
    """

    def __init__(self, name: str, quantity: Quantity, level: str, per_layer: bool) -> None:
        suffix, at, mode = _LEVELS[level]
        super().__init__(Activity(), reset_at=at, emit_at=at, mode=mode)
        self._name = f"{name}_{suffix}"
        self._quantity = quantity
        self._per_layer = per_layer
        self._recorder: ActivityRecorder | None = None

    def __str__(self) -> str:
        return self._name

    def reset(self) -> None:
        """Forget what was counted."""
        self._metric = Activity()

    def result(self) -> dict[str, float]:
        """Return the values of what was counted since the last reset, by layer; under "" that of the network.

        Empty where no sample passed.
        """
        return self._quantity(self._metric) if self._metric.samples else {}

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted since the last reset."""
        return {name: dict(count) if isinstance(count, dict) else count for name, count in vars(self._metric).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what another metric has counted."""
        self.reset()
        for name, count in state.items():
            if isinstance(count, dict):
                getattr(self._metric, name).update(count)
            else:
                setattr(self._metric, name, count)

    def before_forward(self, strategy: Any) -> None:
        """Begin to count, in training."""
        if self._mode == "train":
            self._recorder = ActivityRecorder.on(strategy.model, strategy.mbatch)

    def before_eval_forward(self, strategy: Any) -> None:
        """Begin to count, in evaluation."""
        if self._mode == "eval":
            self._recorder = ActivityRecorder.on(strategy.model, strategy.mbatch)

    def after_forward(self, strategy: Any) -> None:
        """Take the hooks off."""
        if self._mode == "train":
            self._close()

    def after_eval_forward(self, strategy: Any) -> None:
        """Take the hooks off."""
        if self._mode == "eval":
            self._close()

    def _close(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
            self._metric.add(self._recorder.activity)
            self._recorder = None

    def _package_result(self, strategy: Any) -> list[MetricValue]:
        name = get_metric_name(self, strategy, add_experience=self._emit_at == "experience", add_task=True)
        step = strategy.clock.train_iterations
        return [
            MetricValue(self, f"{name}/{layer}" if layer else name, value, step)
            for layer, value in self.result().items()
            if self._per_layer or not layer
        ]


def spike_metrics(
    *,
    minibatch: bool = False,
    epoch: bool = False,
    experience: bool = False,
    stream: bool = False,
    per_layer: bool = True,
) -> list[ActivityMetric]:
    """Return metrics of the spikes of a sample: "Spikes_MB", "Spikes_Epoch", "Spikes_Exp", "Spikes_Stream".

    Spikes of all neurons over all time steps, of each spiking layer and of all of them. Layers are found as
    `avalanche_snn.neurons.SpikingLayer`s, however deep they stand. A network without any is a ValueError.

    Args:
        minibatch: after each minibatch of training.
        epoch: after each epoch of training.
        experience: after each experience of an evaluation.
        stream: after each evaluation.
        per_layer: emit the layers' values too.
    """
    return _metrics("Spikes", _spikes, minibatch, epoch, experience, stream, per_layer)


def activation_sparsity_metrics(
    *,
    minibatch: bool = False,
    epoch: bool = False,
    experience: bool = False,
    stream: bool = False,
    per_layer: bool = True,
) -> list[ActivityMetric]:
    """Return metrics of the activation sparsity: "ActivationSparsity_Exp" and so on.

    The share of zeros among the outputs of all spiking neurons over all time steps and samples, 0 to 1 (NeuroBench,
    arXiv 2304.04640). A layer has the weight of its neurons times its time steps in the figure of the network. A
    readout that does not spike has no part in it. Arguments as in `spike_metrics`.
    """
    return _metrics("ActivationSparsity", _sparsity, minibatch, epoch, experience, stream, per_layer)


def synaptic_operation_metrics(
    *,
    minibatch: bool = False,
    epoch: bool = False,
    experience: bool = False,
    stream: bool = False,
    per_layer: bool = True,
) -> list[ActivityMetric]:
    """Return metrics of a sample's synaptic operations: "EffectiveACs_Exp", "EffectiveMACs_Exp", "DenseSynOps_Exp".

    By NeuroBench's definition (arXiv 2304.04640), over all time steps of a sample: *effective* operations are inputs
    that are not zero times weights that are not zero, accumulates (ACs) where all inputs of the sample to this layer
    are -1, 0 or 1, multiply-accumulates (MACs) where they are not, as spike counts are; *dense* operations are those
    with zeros too. Counted are

    - the input projection of a spiking layer: each event, or count, of an input channel, times its fan-out;
    - recurrent connections, as a layer of their own, "hidden1.recurrent": each spike but those of the last time step,
      which come back to nobody, times the neuron's fan-out;
    - the readout: each spike of the last hidden layer, times the number of classes;
    - linear maps and convolutions between them.

    Biases, decays, thresholds and resets are no synaptic operations. Arguments as in `spike_metrics`. A network that
    holds a matrix of weights in a layer of another kind is a ValueError that names it.
    """
    return [
        metric
        for name, quantity in (
            ("EffectiveACs", _effective_acs),
            ("EffectiveMACs", _effective_macs),
            ("DenseSynOps", _dense_operations),
        )
        for metric in _metrics(name, quantity, minibatch, epoch, experience, stream, per_layer)
    ]


def energy_metrics(
    *,
    minibatch: bool = False,
    epoch: bool = False,
    experience: bool = False,
    stream: bool = False,
    per_layer: bool = True,
    ac_joules: float = AC_JOULES,
    mac_joules: float = MAC_JOULES,
) -> list[ActivityMetric]:
    """Return metrics of the estimated energy of one inference, in joules: "Energy_Exp" and so on.

    Effective ACs times `ac_joules` plus effective MACs times `mac_joules`, as `synaptic_operation_metrics` counts
    them. The defaults are for 32-bit floating point in 45 nm (Horowitz 2014, ISSCC, figure 1.1.9): 0.9 pJ an addition,
    0.9 + 3.7 = 4.6 pJ an addition with a multiplication. It is arithmetic alone: no memory is read or written in this
    estimate, no neuron decays, and no hardware was measured; it serves to compare networks, not to size a battery.

    Args:
        minibatch: as in `spike_metrics`, like the three that follow.
        epoch: after each epoch of training.
        experience: after each experience of an evaluation.
        stream: after each evaluation.
        per_layer: emit the layers' values too.
        ac_joules: energy of an accumulate, 0 or more.
        mac_joules: energy of a multiply-accumulate, 0 or more.

    Raises:
        ValueError: an energy below 0.
    """
    if not (ac_joules >= 0.0 and mac_joules >= 0.0):
        raise ValueError(f"energy_metrics: wanted energies of 0 joules or more, came {ac_joules} and {mac_joules}.")
    quantity = partial(_energy, ac_joules=ac_joules, mac_joules=mac_joules)
    return _metrics("Energy", quantity, minibatch, epoch, experience, stream, per_layer)


def time_step_metrics(
    *,
    minibatch: bool = False,
    epoch: bool = False,
    experience: bool = False,
    stream: bool = False,
    per_layer: bool = True,
) -> list[ActivityMetric]:
    """Return metrics of the latency in time steps: "TimeSteps_Exp" and so on.

    The network's value is how many time steps of input it takes until it decides: all that it is given, since readouts
    reduce over the whole sequence. That of a spiking layer or a leaky readout is how many steps it runs for, one after
    the other: fewer behind a pooling in the path, each of them then standing for a window of the input's.
    Arguments as in `spike_metrics`.
    """
    return _metrics("TimeSteps", _time_steps, minibatch, epoch, experience, stream, per_layer)


def _metrics(
    name: str, quantity: Quantity, minibatch: bool, epoch: bool, experience: bool, stream: bool, per_layer: bool
) -> list[ActivityMetric]:
    wanted = {"minibatch": minibatch, "epoch": epoch, "experience": experience, "stream": stream}
    return [ActivityMetric(name, quantity, level, per_layer) for level in _LEVELS if wanted[level]]


def _spikes(activity: Activity) -> dict[str, float]:
    return _per_sample(activity, activity.spikes)


def _sparsity(activity: Activity) -> dict[str, float]:
    # A back without spiking layers, given latents, has no outputs to speak of.
    if not activity.outputs:
        return {}
    values = {_NETWORK: 1.0 - activity.spikes.total() / activity.outputs.total()}
    values.update({layer: 1.0 - activity.spikes[layer] / n_outputs for layer, n_outputs in activity.outputs.items()})
    return values


def _effective_acs(activity: Activity) -> dict[str, float]:
    return _per_sample(_all_counted(activity), activity.acs)


def _effective_macs(activity: Activity) -> dict[str, float]:
    return _per_sample(_all_counted(activity), activity.macs)


def _dense_operations(activity: Activity) -> dict[str, float]:
    return _per_sample(_all_counted(activity), activity.dense)


def _energy(activity: Activity, ac_joules: float, mac_joules: float) -> dict[str, float]:
    macs = _effective_macs(activity)
    return {layer: acs * ac_joules + macs[layer] * mac_joules for layer, acs in _effective_acs(activity).items()}


def _time_steps(activity: Activity) -> dict[str, float]:
    layers = {layer: steps / activity.samples for layer, steps in activity.time_steps.items()}
    return {_NETWORK: activity.time_steps_given / activity.samples, **layers}


def _per_sample(activity: Activity, counts: Counter[str]) -> dict[str, float]:
    layers = {layer: count / activity.samples for layer, count in counts.items()}
    return {_NETWORK: counts.total() / activity.samples, **layers}


def _all_counted(activity: Activity) -> Activity:
    """Return the activity, unless some of its operations are missing from it."""
    if activity.uncounted:
        layers = ", ".join(f"{name!r} ({kind})" for name, kind in activity.uncounted.items())
        raise ValueError(
            f"Synaptic operations: wanted weights in spiking layers, leaky readouts, linear maps (nn.Linear) or "
            f"convolutions only, but there are some in {layers}, which cannot be counted: build it of those, or "
            f"leave out the metrics of synaptic operations and energy."
        )
    return activity
