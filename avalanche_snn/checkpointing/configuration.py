"""What decides the course of a run: a checkpoint belongs to one such configuration and is refused for any other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Set
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from avalanche_snn.checkpointing.generators import generator_states, set_generator_states
from avalanche_snn.checkpointing.networks import tensors_of
from avalanche_snn.checkpointing.plain import plain_copy
from avalanche_snn.checkpointing.plugins import settings_of

# Their versions decide numbers and what states look like.
_PACKAGES = ("avalanche-snn", "avalanche-lib", "torch", "numpy")
_OF_A_BENCHMARK = ("dataset_name", "dataset_sha256", "split", "split_seed", "n_time_steps", "n_channels")
_MOST_DIFFERENCES = 20
_NOTHING = "nothing"


def configuration_of(strategy: Any, benchmark: Any, also: Iterable[str] = ()) -> dict[str, Any]:
    """Return the configuration of a run, as plain data.

    Args:
        strategy: that learns.
        benchmark: that it learns.
        also: names of further objects that belong to the run.
    """
    configuration = {
        "versions": {name: version(name) for name in _PACKAGES},
        "benchmark": _describe_benchmark(benchmark, strategy.device),
        "model": _describe_model(strategy.model),
        "optimizer": {
            "class": _name_of(strategy.optimizer),
            **{name: _plain(value) for name, value in getattr(strategy.optimizer, "defaults", {}).items()},
        },
        "strategy": {
            "class": _name_of(strategy),
            "device": strategy.device.type,
            "loss": _describe_loss(strategy._criterion),
            **{name: _plain(value) for name, value in getattr(strategy, "settings", {}).items()},
        },
        "plugins": {
            str(place): {"class": _name_of(plugin), **{k: _plain(v) for k, v in settings_of(plugin).items()}}
            for place, plugin in enumerate(strategy.plugins)
        },
        "also": dict.fromkeys(also, True),
        "begun with": {},
    }
    return dict(plain_copy(configuration, "the configuration"))


def begun_with(strategy: Any) -> dict[str, Any]:
    """Return the settings that users change during a run, as a script has them when it begins."""
    groups = getattr(strategy.optimizer, "param_groups", [])
    return {
        "train_epochs": strategy.train_epochs,
        "train_mb_size": strategy.train_mb_size,
        "eval_mb_size": strategy.eval_mb_size,
        "learning rates": [_plain(group["lr"]) for group in groups if "lr" in group],
    }


def require_same(stored: Mapping[str, Any], present: Mapping[str, Any], path: str | Path) -> None:
    """Raise ValueError, with every difference spelled out, when two configurations are not the same."""
    there, here = dict(_flat(stored)), dict(_flat(present))
    names = [name for name in {**there, **here} if there.get(name, _NOTHING) != here.get(name, _NOTHING)]
    if not names:
        return
    lines = [
        f"  {name}: {there.get(name, _NOTHING)} in the file, {here.get(name, _NOTHING)} now"
        for name in names[:_MOST_DIFFERENCES]
    ]
    if len(names) > _MOST_DIFFERENCES:
        lines.append(f"  and {len(names) - _MOST_DIFFERENCES} more")
    raise ValueError(
        f"{path} is the checkpoint of a run of another configuration:\n" + "\n".join(lines) + "\n"
        "Compose the run as it was to go on with it, or give another path (or delete the file) to start anew."
    )


def _flat(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _describe_benchmark(benchmark: Any, device: torch.device) -> dict[str, Any]:
    facts = {name: getattr(benchmark, name) for name in _OF_A_BENCHMARK if hasattr(benchmark, name)}
    # A transform may draw; looking at the data must not change the run.
    before = generator_states(device)
    try:
        streams = {
            f"{name} stream": {f"experience {place}": _describe_data(exp.dataset) for place, exp in enumerate(stream)}
            for name, stream in benchmark.streams.items()
        }
    finally:
        set_generator_states(before)
    return {**facts, **streams}


def _describe_data(dataset: Any) -> str:
    """Return how many samples there are, and a digest of their labels, of which they are, and of the first of them."""
    digest = hashlib.sha256()
    for name in ("targets", "targets_task_labels", "sample_ids"):
        values = getattr(dataset, name, None)
        digest.update(name.encode())
        if values is not None:
            digest.update(np.array([int(value) for value in values], dtype=np.int64).tobytes())
    if len(dataset):
        first = torch.as_tensor(dataset.eval()[0][0])
        digest.update(f"{first.dtype} {list(first.shape)}".encode())
        digest.update(first.contiguous().cpu().numpy().tobytes())
    return f"{len(dataset)} samples, {digest.hexdigest()[:12]}"


def _describe_model(model: nn.Module) -> dict[str, Any]:
    # A plain nn.Sequential may be made a CuttableSequential of the same layers when training begins.
    root = "Sequential" if isinstance(model, nn.Sequential) else _name_of(model)
    layers = {
        name or "network": f"{type(module).__qualname__}({module.extra_repr()})" if name else root
        for name, module in model.named_modules()
    }
    tensors = {f"{name} (tensor)": f"{dtype} {shape}" for name, (dtype, shape) in tensors_of(model).items()}
    return {**layers, **tensors}


def _describe_loss(criterion: Any) -> str:
    if isinstance(criterion, nn.Module):
        return repr(criterion)
    return str(getattr(criterion, "__qualname__", _name_of(criterion)))


def _name_of(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _plain(value: Any) -> Any:
    """Return plain data to compare; a learning rate may be a tensor, and what is neither is told by its text."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, Set):
        return sorted(value)
    return value if isinstance(value, (type(None), bool, int, float, str, list, tuple, dict)) else repr(value)
