"""The network after the first experience, trained once and shared by every strategy with the same settings and seed."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import avalanche
import torch
from avalanche.training.plugins import EvaluationPlugin
from torch import nn

import avalanche_snn
from benchmarks.files import write_whole
from benchmarks.progress import SilentLogger
from benchmarks.recipes import make_loss, make_optimizer, make_plugins
from benchmarks.settings import RunPlan, digest_of
from strategies import naive

CACHE = Path(__file__).parent / ".cache" / "pretrained"


def key_of(plan: RunPlan, data_sha256: str) -> str:
    """Return a digest of everything that decides how the network looks after the first experience."""
    return digest_of(
        {
            "benchmark": plan.benchmark,
            "data": plan.data,
            "data_sha256": data_sha256,
            "stream": plan.stream,
            "network": plan.network,
            **plan.training.of_first,
            "seed": plan.seed,
            "versions": [avalanche_snn.__version__, torch.__version__, avalanche.__version__],
        }
    )


def pretrain(
    model: nn.Module, experience: Any, plan: RunPlan, data_sha256: str, plugins: Sequence[Any], cache: Path = CACHE
) -> float:
    """Train the model on the first experience, or load what was trained before.

    Args:
        model: freshly made; changed in place.
        experience: the first of the training stream.
        plan: the run.
        data_sha256: of the data.
        plugins: watch the training.
        cache: folder of trained networks.

    Returns:
        Seconds that the training took, now or when it was done.
    """
    path = cache / f"{plan.benchmark}-{plan.data}-seed{plan.seed}-{key_of(plan, data_sha256)[:16]}.pt"
    if path.exists():
        stored = torch.load(path, weights_only=True)
        model.load_state_dict(stored["state"])
        return float(stored["seconds"])
    started = time.perf_counter()
    torch.manual_seed(plan.seed)
    strategy = naive.build(
        model,
        make_optimizer(plan.training, model),
        train_mb_size=plan.training.minibatch_of_first,
        train_epochs=plan.training.first_epochs,
        criterion=make_loss(plan.training),
        plugins=[*make_plugins(plan.training), *plugins],
        evaluator=EvaluationPlugin(loggers=[SilentLogger()]),
    )
    strategy.train(experience, eval_streams=[])
    seconds = time.perf_counter() - started
    content = io.BytesIO()
    torch.save({"state": model.state_dict(), "seconds": seconds}, content)
    write_whole(path, content.getvalue())
    return seconds
