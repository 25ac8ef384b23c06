"""The state of a whole strategy as plain data: network, optimizer, plugins, random generators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from avalanche.benchmarks.utils import concat_datasets
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Cumulative, ICaRL, JointTraining, Naive
from avalanche.training.templates import SupervisedTemplate
from torch import nn

from avalanche_snn.checkpointing.generators import generator_states, set_generator_states
from avalanche_snn.checkpointing.metrics import load_logger_states
from avalanche_snn.checkpointing.networks import load_network_state, network_state
from avalanche_snn.checkpointing.plain import plain_copy
from avalanche_snn.checkpointing.plugins import Checkpointable, load_plugin_states, plugin_states
from avalanche_snn.checkpointing.references import References
from avalanche_snn.checkpointing.stream_samples import StreamSamples
from avalanche_snn.training import CompressedLatentReplayPlugin
from avalanche_snn.training.data_parallel import unwrapped

# What users change from one experience to the next.
_SETTINGS = ("train_epochs", "train_mb_size", "eval_mb_size")
# Other templates hold buffers, teachers or counters of their own.
_WITHOUT_STATE: tuple[type, ...] = (SupervisedTemplate, Naive, ICaRL)


def strategy_state(strategy: Any, samples: StreamSamples, also: Mapping[str, Checkpointable]) -> dict[str, Any]:
    """Return the state of a strategy, and of other objects that belong to the run, between two epochs or experiences.

    Args:
        strategy: any.
        samples: those of the training stream.
        also: the other objects.

    Raises:
        TypeError: a template, plugin or metric that does not say what its state is; it is named.
    """
    for name, part in also.items():
        if not isinstance(part, Checkpointable):
            raise TypeError(
                f"also[{name!r}] must have state_dict() and load_state_dict(state), but a {type(part).__qualname__} "
                "came."
            )
    # First: a template that is not known here may lack any of what follows.
    references = References(strategy, samples)
    template = _template_state(strategy, references)
    criterion = strategy._criterion
    return {
        "settings": {name: getattr(strategy, name) for name in _SETTINGS},
        "model": network_state(unwrapped(strategy.model)),
        "criterion": plain_copy(criterion.state_dict(), "the loss") if isinstance(criterion, nn.Module) else None,
        "optimizer": None
        if strategy.optimizer is None
        else plain_copy(strategy.optimizer.state_dict(), "the state of the optimizer"),
        "optimized": _names_of_optimized(strategy),
        "optimizer_knows_model": strategy.optimized_param_id is not None,
        "template": template,
        "plugins": plugin_states(strategy, references),
        "also": {name: references.written(part.state_dict(), repr(name)) for name, part in also.items()},
        "generators": plain_copy(generator_states(strategy.device), "the random generators"),
    }


def load_strategy_state(
    strategy: Any, state: dict[str, Any], samples: StreamSamples, also: Mapping[str, Checkpointable]
) -> None:
    """Put a strategy into a state.

    Args:
        strategy: as freshly composed, or later.
        state: what `strategy_state` returned.
        samples: those of the training stream.
        also: the other objects.

    Raises:
        ValueError: the network is of a kind that the state does not fit.
    """
    for name, value in state["settings"].items():
        setattr(strategy, name, value)
    load_network_state(unwrapped(strategy.model), state["model"])
    if state["criterion"] is not None:
        strategy._criterion.load_state_dict(state["criterion"])
    if state["optimizer_knows_model"] and strategy.optimized_param_id is None:
        # The first of these calls empties the optimizer: it must not come after its state has been loaded.
        strategy.make_optimizer(reset_optimizer_state=True)
    if state["optimizer"] is not None:
        _put_in_order(strategy, state["optimized"])
        # Optimizers take over what they are given, and later change it in place.
        strategy.optimizer.load_state_dict(plain_copy(state["optimizer"], "the state of the optimizer"))
    references = References(strategy, samples)
    _load_template_state(strategy, references.made(state["template"]), samples)
    load_plugin_states(strategy, state["plugins"], references, samples.experiences)
    for name, part in also.items():
        part.load_state_dict(references.made(state["also"][name]))
    set_generator_states(state["generators"])


def _names_of_optimized(strategy: Any) -> list[list[str | None]]:
    """Return the names of the parameters of each of the optimizer's groups, None for those of no name."""
    if strategy.optimizer is None:
        return []
    names = {id(parameter): name for name, parameter in unwrapped(strategy.model).named_parameters()}
    return [[names.get(id(parameter)) for parameter in group["params"]] for group in strategy.optimizer.param_groups]


def _put_in_order(strategy: Any, names: list[list[str | None]]) -> None:
    """Give the optimizer its parameters in the order that the state of another one goes by.

    Of a network that grew, parameters that came late are the last, though their names are not; and those that were
    replaced when it took its shape are let go.
    """
    parameters = dict(unwrapped(strategy.model).named_parameters())
    known = {id(parameter) for parameter in parameters.values()}
    for group, wanted in zip(strategy.optimizer.param_groups, names, strict=False):
        others = [parameter for parameter in group["params"] if id(parameter) not in known]
        if wanted.count(None) in (0, len(others)) and all(name is None or name in parameters for name in wanted):
            rest = iter(others)
            group["params"] = [next(rest) if name is None else parameters[name] for name in wanted]


def load_loggers(strategy: Any, state: dict[str, Any]) -> None:
    """Give the loggers their state ahead of all else, so that they go on with their files and runs from the start."""
    evaluator = strategy.evaluator
    if type(evaluator) is EvaluationPlugin:
        load_logger_states(evaluator, plain_copy(state["plugins"][strategy.plugins.index(evaluator)], "the loggers"))


def _template_state(strategy: Any, references: References) -> dict[str, Any]:
    """Return what the template itself keeps from one experience to the next."""
    if isinstance(strategy, Checkpointable):
        return dict(references.written(strategy.state_dict(), type(strategy).__qualname__))
    if type(strategy) is Cumulative:
        if any(isinstance(plugin, CompressedLatentReplayPlugin) for plugin in strategy.plugins):
            raise TypeError(
                "Cumulative with a CompressedLatentReplayPlugin cannot be saved, since it keeps the latents of all "
                "experiences: take Cumulative without it, or the plugin with Naive."
            )
        return {"n_samples": 0 if strategy.dataset is None else len(strategy.dataset)}
    if type(strategy) is JointTraining:
        return {"is_fitted": strategy._is_fitted}
    if type(strategy) not in _WITHOUT_STATE:
        raise TypeError(
            f"The strategy {type(strategy).__qualname__} cannot be saved, since it does not say what it keeps between "
            "experiences: give it state_dict() and load_state_dict(state), see "
            "avalanche_snn.checkpointing.Checkpointable, or take Naive with plugins that can be saved."
        )
    return {}


def _load_template_state(strategy: Any, state: dict[str, Any], samples: StreamSamples) -> None:
    if isinstance(strategy, Checkpointable):
        strategy.load_state_dict(state)
    elif type(strategy) is JointTraining:
        strategy._is_fitted = state["is_fitted"]
    elif type(strategy) is Cumulative:
        strategy.dataset = _data_of_first(samples.experiences, state["n_samples"])


def _data_of_first(experiences: Iterable[Any], n_samples: int) -> Any:
    """Join the first experiences of a stream as `Cumulative` does, as many as have that many samples."""
    joined, n_joined = None, 0
    for experience in experiences:
        if n_joined >= n_samples:
            break
        joined = experience.dataset if joined is None else concat_datasets([joined, experience.dataset])
        n_joined = len(joined)
    if n_joined != n_samples:
        raise ValueError(
            f"The checkpoint is of a Cumulative strategy that holds {n_samples} samples, which are not those of the "
            "first experiences of the stream: only training in the order of the stream can be gone on with."
        )
    return joined
