"""The state of Avalanche's evaluator: every result so far, and what its metrics have gathered."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from avalanche.evaluation.metric_results import AlternativeValues
from avalanche.training.plugins import EvaluationPlugin

from avalanche_snn.checkpointing.plain import ALLOWED, plain_copy

_AVALANCHE = "avalanche.evaluation."
_CLASS = "<class>"
# What stands before the state of a value: the value itself, a live object (code, a process: never stored, as the script
# makes it), the attributes of one of Avalanche's objects, or the items of a container with such objects in it.
_VALUE, _LIVE, _OBJECT, _DICT, _LIST, _SET = "value", "code", "object", "dict", "list", "set"


def evaluator_state(evaluator: EvaluationPlugin) -> dict[str, Any]:
    """Return results and metrics as plain data.

    Loggers only watch: those with a `state_dict` and a `load_state_dict` are included, others are left alone. Of a
    result that comes in several forms, as a matrix and its picture, the plain one is kept; in the place of pictures
    alone, which loggers have had, stands None.

    Raises:
        TypeError: a metric that is neither Avalanche's nor says what its state is.
    """
    return {
        "all": {
            name: (plain_copy(steps, f"metric {name!r}"), [_result(value) for value in values])
            for name, (steps, values) in evaluator.all_metric_results.items()
        },
        "last": {name: _result(value) for name, value in evaluator.last_metric_results.items()},
        "metrics": [_metric_state(metric) for metric in evaluator.metrics],
        "loggers": [
            plain_copy(logger.state_dict(), f"the state of {type(logger).__qualname__}") if _has_state(logger) else None
            for logger in evaluator.loggers
        ],
    }


def load_evaluator_state(evaluator: EvaluationPlugin, state: dict[str, Any]) -> None:
    """Put results and metrics back."""
    evaluator.all_metric_results.clear()
    evaluator.all_metric_results.update(state["all"])
    evaluator.last_metric_results = state["last"]
    for metric, metric_state in zip(evaluator.metrics, state["metrics"], strict=True):
        if _has_state(metric):
            metric.load_state_dict(metric_state)
        else:
            _restore(metric, metric_state)
    load_logger_states(evaluator, state)


def load_logger_states(evaluator: EvaluationPlugin, state: dict[str, Any]) -> None:
    """Put the loggers alone back, among all that `evaluator_state` returned."""
    for logger, logger_state in zip(evaluator.loggers, state["loggers"], strict=True):
        if logger_state is not None:
            logger.load_state_dict(logger_state)


def _metric_state(metric: Any) -> Any:
    name = type(metric).__qualname__
    if _has_state(metric):
        return plain_copy(metric.state_dict(), f"the state of {name}")
    if not _is_avalanche(metric):
        raise TypeError(
            f"The metric {name} cannot be saved, since it does not say what its state is: give it state_dict(), which "
            f"returns a dict of {ALLOWED}, and load_state_dict(state)."
        )
    return _state(metric, name)


def _state(value: Any, where: str) -> tuple[str, Any]:
    if _is_avalanche(value):
        attributes = {name: _state(item, f"{where}.{name}") for name, item in vars(value).items()}
        return _OBJECT, {_CLASS: f"{type(value).__module__}:{type(value).__qualname__}", **attributes}
    if isinstance(value, Mapping):
        return _DICT, [
            (plain_copy(key, f"a key of {where}"), _state(item, f"{where}[{key!r}]")) for key, item in value.items()
        ]
    if isinstance(value, list):
        return _LIST, [_state(item, f"{where}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, set):
        return _SET, plain_copy(list(value), where)
    try:
        return _VALUE, plain_copy(value, where)
    except TypeError:
        if isinstance(value, tuple):  # what is in there could be more than live objects
            raise
        return _LIVE, None


def _restore(live: Any, state: tuple[str, Any]) -> Any:
    """Return the value that `_state` described; objects are those that are there, or made by their own container."""
    kind, content = state
    if kind == _VALUE:
        return content
    if kind == _SET:
        return set(content)
    if kind == _OBJECT:
        attributes = dict(content)
        made_by = attributes.pop(_CLASS)
        live = _blank(made_by) if live is None else live
        for name, item in attributes.items():
            setattr(live, name, _restore(getattr(live, name, None), item))
    elif kind == _DICT:
        live = {} if live is None else live
        make = getattr(live, "default_factory", None) or (lambda: None)
        items = {key: _restore(live[key] if key in live else make(), item) for key, item in content}
        live.clear()
        live.update(items)
    elif kind == _LIST:
        present = [*live, *[None] * len(content)] if live else [None] * len(content)
        return [_restore(present[place], item) for place, item in enumerate(content)]
    return live


def _result(value: Any) -> Any:
    """Return the plain form of a result, or None."""
    forms = value.alternatives if isinstance(value, AlternativeValues) else [value]
    for form in forms:
        with suppress(TypeError):
            return plain_copy(form, "a result")
    return None


def _blank(name: str) -> Any:
    """Return a new object of one of Avalanche's classes, of those that metrics make without arguments as they go."""
    module, _, kind_name = name.partition(":")
    kind = getattr(import_module(module), kind_name, None) if module.startswith(_AVALANCHE) else None
    if not isinstance(kind, type):
        raise ValueError(f"The checkpoint names the class {name!r}, which is none of Avalanche's metrics.")
    return kind()


def _is_avalanche(value: Any) -> bool:
    return type(value).__module__.startswith(_AVALANCHE) and hasattr(value, "__dict__")


def _has_state(value: Any) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None))
