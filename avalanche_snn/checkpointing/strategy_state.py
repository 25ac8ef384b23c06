"""The state of a whole strategy as plain data: network, optimizer, plugins, random generators."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from avalanche.benchmarks.utils import concat_datasets
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Cumulative, JointTraining, Naive
from avalanche.training.templates import SupervisedTemplate
from torch import nn

from avalanche_snn.checkpointing.generators import generator_states, set_generator_states
from avalanche_snn.checkpointing.metrics import load_logger_states
from avalanche_snn.checkpointing.plain import plain_copy
from avalanche_snn.checkpointing.plugins import Checkpointable, load_plugin_states, plugin_states
from avalanche_snn.models import CuttableSequential
from avalanche_snn.training import CompressedLatentReplayPlugin

# What users change from one experience to the next.
_SETTINGS = ("train_epochs", "train_mb_size", "eval_mb_size")
# What a cut leaves in a network besides tensors.
_CUT = ("_front_length", "_front_frozen", "_n_latent_time_steps", "_n_latent_features", "_n_latent_planes")
# Other templates hold buffers, teachers or counters of their own.
_WITHOUT_STATE: tuple[type, ...] = (SupervisedTemplate, Naive)


def strategy_state(strategy: Any, also: Mapping[str, Checkpointable]) -> dict[str, Any]:
    """Return the state of a strategy, and of other objects that belong to the run, between two epochs or experiences.

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
    template = _template_state(strategy)
    criterion = strategy._criterion
    return {
        "settings": {name: getattr(strategy, name) for name in _SETTINGS},
        "model": _model_state(strategy.model),
        "criterion": plain_copy(criterion.state_dict(), "the loss") if isinstance(criterion, nn.Module) else None,
        "optimizer": plain_copy(strategy.optimizer.state_dict(), "the state of the optimizer"),
        "optimizer_knows_model": strategy.optimized_param_id is not None,
        "template": template,
        "plugins": plugin_states(strategy),
        "also": {name: plain_copy(part.state_dict(), f"the state of {name!r}") for name, part in also.items()},
        "generators": plain_copy(generator_states(strategy.device), "the random generators"),
    }


def load_strategy_state(
    strategy: Any, state: dict[str, Any], benchmark: Any, also: Mapping[str, Checkpointable]
) -> None:
    """Put a strategy into a state.

    Args:
        strategy: as freshly composed, or later.
        state: what `strategy_state` returned.
        benchmark: that the strategy learns.
        also: the other objects.

    Raises:
        ValueError: the network is of a kind that the state does not fit.
    """
    for name, value in state["settings"].items():
        setattr(strategy, name, value)
    _load_model_state(strategy.model, state["model"])
    if state["criterion"] is not None:
        strategy._criterion.load_state_dict(state["criterion"])
    if state["optimizer_knows_model"] and strategy.optimized_param_id is None:
        # The first of these calls empties the optimizer: it must not come after its state has been loaded.
        strategy.make_optimizer(reset_optimizer_state=True)
    # Optimizers take over what they are given, and later change it in place.
    strategy.optimizer.load_state_dict(plain_copy(state["optimizer"], "the state of the optimizer"))
    _load_template_state(strategy, state["template"], benchmark)
    load_plugin_states(strategy, plain_copy(state["plugins"], "the plugins"))
    for name, part in also.items():
        part.load_state_dict(state["also"][name])
    set_generator_states(state["generators"])


def load_loggers(strategy: Any, state: dict[str, Any]) -> None:
    """Give the loggers their state ahead of all else, so that they go on with their files and runs from the start."""
    evaluator = strategy.evaluator
    if type(evaluator) is EvaluationPlugin:
        load_logger_states(evaluator, plain_copy(state["plugins"][strategy.plugins.index(evaluator)], "the loggers"))


def _model_state(model: nn.Module) -> dict[str, Any]:
    tensors = model.state_dict()
    copied = OrderedDict(plain_copy(dict(tensors), "the state of the network"))
    # Modules read from it which version of themselves was saved.
    copied._metadata = getattr(tensors, "_metadata", {})  # type: ignore[attr-defined]
    return {
        "tensors": copied,
        "trainable": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "training": {name: module.training for name, module in model.named_modules()},
        "cuts": {
            name: {attribute: getattr(module, attribute) for attribute in _CUT}
            for name, module in model.named_modules()
            if isinstance(module, CuttableSequential)
        },
    }


def _load_model_state(model: nn.Module, state: dict[str, Any]) -> None:
    modules = dict(model.named_modules())
    for name, cut in state["cuts"].items():
        if not isinstance(modules.get(name), CuttableSequential):
            raise ValueError(
                f"The network of the checkpoint is a CuttableSequential, but a {type(modules.get(name)).__qualname__} "
                "came: make the network one before load()."
            )
        for attribute, value in cut.items():
            setattr(modules[name], attribute, value)
    model.load_state_dict(state["tensors"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(state["trainable"][name])
        # Nothing of an earlier backward pass may be left, or weight decay would go on moving what is frozen.
        parameter.grad = None
    for name, mode in state["training"].items():
        modules[name].training = mode


def _template_state(strategy: Any) -> dict[str, Any]:
    """Return what the template itself keeps from one experience to the next."""
    if isinstance(strategy, Checkpointable):
        return dict(plain_copy(strategy.state_dict(), f"the state of {type(strategy).__qualname__}"))
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


def _load_template_state(strategy: Any, state: dict[str, Any], benchmark: Any) -> None:
    if isinstance(strategy, Checkpointable):
        strategy.load_state_dict(state)
    elif type(strategy) is JointTraining:
        strategy._is_fitted = state["is_fitted"]
    elif type(strategy) is Cumulative:
        strategy.dataset = _data_of_first(benchmark.train_stream, state["n_samples"])


def _data_of_first(stream: Any, n_samples: int) -> Any:
    """Join the first experiences of a stream as `Cumulative` does, as many as have that many samples."""
    joined, n_joined = None, 0
    for experience in stream:
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
