"""The state of Avalanche's plugins that keep exemplars, old networks or class means, and do not say it themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.training.losses import ICaRLLossPlugin
from avalanche.training.plugins import CWRStarPlugin, GDumbPlugin, LFLPlugin, LwFPlugin, ReplayPlugin
from avalanche.training.storage_policy import ExemplarsBuffer
from avalanche.training.supervised.icarl import _ICaRLPlugin

from avalanche_snn.checkpointing.exemplar_buffers import buffer_state, load_buffer_state

# Plugin -> what it was made with, and what it holds. AGEM and MIR are missing: they draw from iterators, whose place
# nobody can tell.
SETTINGS: dict[type, tuple[str, ...]] = {
    ReplayPlugin: ("mem_size", "batch_size", "batch_size_mem", "task_balanced_dataloader"),
    GDumbPlugin: ("mem_size",),
    LFLPlugin: ("lambda_e",),
    LwFPlugin: (),
    CWRStarPlugin: ("cwr_layer_name", "freeze_remaining_model"),
    _ICaRLPlugin: ("fixed_memory", "buffer_transform"),
    ICaRLLossPlugin: (),
}
_STATE: dict[type, tuple[str, ...]] = {
    ReplayPlugin: ("storage_policy",),
    GDumbPlugin: ("storage_policy", "init_model"),
    LFLPlugin: ("prev_model",),
    LwFPlugin: ("lwf",),
    CWRStarPlugin: ("cur_class", "model"),
    _ICaRLPlugin: (
        *("memory_size", "x_memory", "y_memory", "order", "observed_classes", "class_means"),
        *("embedding_size", "output_size", "input_size"),
    ),
    ICaRLLossPlugin: ("old_classes", "old_model"),
}
_NO_STATE: dict[type, tuple[str, ...]] = {
    CWRStarPlugin: ("log",),
    ICaRLLossPlugin: ("criterion", "old_logits"),
}


def known_kind(plugin: Any) -> type | None:
    """Return which of these plugins it is, None if it is none, or of a subclass that holds more than its base."""
    for kind, names in _STATE.items():
        if isinstance(plugin, kind) and vars(plugin).keys() <= {*names, *SETTINGS[kind], *_NO_STATE.get(kind, ())}:
            return kind
    return None


def settings_of_known(plugin: Any, kind: type) -> dict[str, Any]:
    """Return what one of these plugins was made with."""
    if kind is LwFPlugin:
        return {"alpha": plugin.lwf.alpha, "temperature": plugin.lwf.temperature}
    return {name: getattr(plugin, name) for name in SETTINGS[kind]}


def known_state(plugin: Any, kind: type) -> dict[str, Any]:
    """Return what one of these plugins holds."""
    if kind is LwFPlugin:
        return _lwf_state(plugin)
    if kind is CWRStarPlugin:
        return _cwr_state(plugin)
    return {name: _value(getattr(plugin, name)) for name in _STATE[kind]}


def load_known(plugin: Any, kind: type, state: dict[str, Any], experiences: Sequence[Any]) -> None:
    """Let one of these plugins hold what another one held.

    Args:
        plugin: made as the other one.
        kind: of these.
        state: what `known_state` returned for that.
        experiences: of the training stream.
    """
    if kind is LwFPlugin:
        _load_lwf(plugin, state, experiences)
    elif kind is CWRStarPlugin:
        _load_cwr(plugin, state)
    else:
        for name in _STATE[kind]:
            live = getattr(plugin, name)
            if isinstance(live, ExemplarsBuffer):
                load_buffer_state(live, state[name])
            else:
                setattr(plugin, name, state[name])


def _value(held: Any) -> Any:
    if isinstance(held, ExemplarsBuffer):
        return buffer_state(held)
    return tuple(held) if isinstance(held, torch.Size) else held


def _lwf_state(plugin: LwFPlugin) -> dict[str, Any]:
    lwf = plugin.lwf
    return {
        "expcount": lwf.expcount,
        "prev_model": lwf.prev_model,
        "classes": {task: list(classes) for task, classes in lwf.prev_classes_by_task.items()},
    }


def _load_lwf(plugin: LwFPlugin, state: dict[str, Any], experiences: Sequence[Any]) -> None:
    lwf = plugin.lwf
    lwf.expcount, lwf.prev_model = state["expcount"], state["prev_model"]
    lwf.prev_classes_by_task.clear()
    # Distillation sums over classes as its set goes through them, which depends on how the set came about.
    for experience in experiences[: lwf.expcount]:
        for task in experience.dataset.targets_task_labels.uniques:
            classes = set(experience.dataset.task_set[task].targets.uniques)
            known = lwf.prev_classes_by_task.get(task)
            lwf.prev_classes_by_task[task] = classes if known is None else known.union(classes)
    found = {task: list(classes) for task, classes in lwf.prev_classes_by_task.items()}
    if found != state["classes"]:
        raise ValueError(
            f"The checkpoint is of an LwFPlugin whose network knows the classes {state['classes']}, but the first "
            f"{lwf.expcount} experiences have {found}: only training in the order of the stream can be gone on with."
        )


def _cwr_state(plugin: CWRStarPlugin) -> dict[str, Any]:
    # The weights are kept with the network, as arrays.
    model = plugin.model
    return {
        "cur_class": plugin.cur_class,
        "saved_weights": {label: torch.from_numpy(weights) for label, weights in model.saved_weights.items()},
        "past_j": model.past_j,
        "cur_j": model.cur_j,
    }


def _load_cwr(plugin: CWRStarPlugin, state: dict[str, Any]) -> None:
    model = plugin.model
    plugin.cur_class = state["cur_class"]
    model.saved_weights = {label: weights.numpy() for label, weights in state["saved_weights"].items()}
    for live, held in ((model.past_j, state["past_j"]), (model.cur_j, state["cur_j"])):
        live.clear()
        live.update(held)
