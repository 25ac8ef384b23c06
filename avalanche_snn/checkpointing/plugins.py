"""What belongs to the state of a strategy's plugins: they say it themselves, or are plugins of Avalanche known here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

from avalanche.training.plugins import EvaluationPlugin, LRSchedulerPlugin
from avalanche.training.plugins.clock import Clock
from avalanche.training.templates.base_sgd import PeriodicEval

from avalanche_snn.checkpointing import importances, known_plugins
from avalanche_snn.checkpointing.metrics import evaluator_state, load_evaluator_state
from avalanche_snn.checkpointing.plain import ALLOWED
from avalanche_snn.checkpointing.references import References


@runtime_checkable
class Checkpointable(Protocol):
    """An object whose state can be saved, as a plugin or metric has to be.

    State is what the object holds when an experience or an epoch begins, unless its own `before_training_exp` makes it
    anew. A plugin that holds nothing returns an empty dict. A plugin may also have an attribute `settings`, a dict of
    what it was made with: a checkpoint of a plugin with other settings is refused then.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the state: tensors, numbers, strings, bytes, None, and lists, tuples and dicts of these.

        Data sets of samples of the training stream may be in it too, and copies of the network; `load_state_dict` gets
        the same samples, and a copy of the present network with the state of that one. For Avalanche's buffers of
        exemplars there are `buffer_state` and `load_buffer_state`.
        """

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state over: in a fresh object between experiences, or after `before_training_exp` between epochs."""


@dataclass(frozen=True)
class _Adapter:
    """How to save and load a plugin of Avalanche, which does not say it itself."""

    state: Callable[[Any], dict[str, Any]]
    load: Callable[[Any, dict[str, Any], Sequence[Any]], None]


def plugin_states(strategy: Any, references: References) -> list[dict[str, Any]]:
    """Return the state of every plugin, in the order of `strategy.plugins`, as plain data.

    Raises:
        TypeError: a plugin that does not say what its state is, or says something that cannot be saved.
    """
    return [
        references.written(_adapter_of(plugin).state(plugin), type(plugin).__qualname__) for plugin in strategy.plugins
    ]


def load_plugin_states(
    strategy: Any, states: list[dict[str, Any]], references: References, experiences: Sequence[Any]
) -> None:
    """Give every plugin its state back.

    Args:
        strategy: whose plugins they are.
        states: what `plugin_states` returned.
        references: to samples and networks.
        experiences: of the training stream.
    """
    for plugin, state in zip(strategy.plugins, states, strict=True):
        _adapter_of(plugin).load(plugin, references.made(state), experiences)


def settings_of(plugin: Any) -> dict[str, Any]:
    """Return what a plugin was made with, as far as that is known."""
    buffer = getattr(plugin, "storage_policy", None)
    if buffer is None:
        return _settings_of(plugin)
    of_the_buffer = {"class": type(buffer).__qualname__, **getattr(buffer, "settings", {})}
    return {**_settings_of(plugin), **{f"buffer {name}": value for name, value in of_the_buffer.items()}}


def _settings_of(plugin: Any) -> dict[str, Any]:
    if isinstance(plugin, EvaluationPlugin):
        return {"metrics": [str(metric) for metric in plugin.metrics], "collect_all": plugin.collect_all}
    if isinstance(plugin, PeriodicEval):
        return {"eval_every": plugin.eval_every, "peval_mode": plugin.peval_mode}
    if isinstance(plugin, LRSchedulerPlugin):
        names = ("reset_scheduler", "reset_lr", "metric", "step_granularity", "first_epoch_only", "first_exp_only")
        return {"scheduler": type(plugin.scheduler).__qualname__, **{name: getattr(plugin, name) for name in names}}
    if (kind := importances.known_kind(plugin)) is not None:
        return {name: getattr(plugin, name) for name in importances.SETTINGS[kind]}
    if (kind := known_plugins.known_kind(plugin)) is not None:
        return known_plugins.settings_of_known(plugin, kind)
    return dict(getattr(plugin, "settings", {}))


def _adapter_of(plugin: Any) -> _Adapter:
    if isinstance(plugin, Checkpointable):
        return _Adapter(lambda plugin: plugin.state_dict(), lambda plugin, state, _: plugin.load_state_dict(state))
    if (tensor_keeper := importances.known_kind(plugin)) is not None:
        return _Adapter(
            partial(importances.importances_state, kind=tensor_keeper),
            lambda plugin, state, _: importances.load_importances(plugin, tensor_keeper, state),
        )
    if (kind := known_plugins.known_kind(plugin)) is not None:
        return _Adapter(
            partial(known_plugins.known_state, kind=kind),
            lambda plugin, state, experiences: known_plugins.load_known(plugin, kind, state, experiences),
        )
    # A subclass may hold more than its base, so only the very classes count.
    adapter = _adapters().get(type(plugin))
    if adapter is None:
        raise TypeError(
            f"The plugin {type(plugin).__qualname__} cannot be saved, since it does not say what its state is: give it "
            f"state_dict(), which returns a dict of {ALLOWED} (an empty one where there is no state), and "
            "load_state_dict(state); see avalanche_snn.checkpointing.Checkpointable."
        )
    return adapter


def _adapters() -> dict[type, _Adapter]:
    return {
        EvaluationPlugin: _Adapter(evaluator_state, lambda plugin, state, _: load_evaluator_state(plugin, state)),
        LRSchedulerPlugin: _Adapter(_scheduler_state, _load_scheduler_state),
        Clock: _attributes(
            "train_iterations",
            "train_exp_counter",
            "train_exp_epochs",
            "train_exp_iterations",
            "train_epoch_iterations",
            "total_iterations",
        ),
        PeriodicEval: _attributes("do_initial", "do_final"),
    }


def _attributes(*names: str) -> _Adapter:
    def load(plugin: Any, state: dict[str, Any], _: Sequence[Any]) -> None:
        for name in names:
            setattr(plugin, name, state[name])

    return _Adapter(lambda plugin: {name: getattr(plugin, name) for name in names}, load)


_OF_SCHEDULER_PLUGIN = _attributes("_was_training", "_just_validated", "_executed_train_iteration")


def _scheduler_state(plugin: LRSchedulerPlugin) -> dict[str, Any]:
    mean = plugin.rolling_metric
    return {
        "scheduler": plugin.scheduler.state_dict(),
        "mean": [mean.summed, mean.weight],
        **_OF_SCHEDULER_PLUGIN.state(plugin),
    }


def _load_scheduler_state(plugin: LRSchedulerPlugin, state: dict[str, Any], experiences: Sequence[Any]) -> None:
    plugin.scheduler.load_state_dict(state["scheduler"])
    plugin.rolling_metric.summed, plugin.rolling_metric.weight = state["mean"]
    _OF_SCHEDULER_PLUGIN.load(plugin, state, experiences)
