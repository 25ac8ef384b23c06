"""The main job in a few minutes, on generated data: forgetting, and what compressed latent replay does about it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.plans import make_plan
from benchmarks.plots import plot_records
from benchmarks.runner import run
from benchmarks.settings import RunPlan
from benchmarks.tables import markdown_tables

STREAM = {"n_time_steps": 50, "n_channels": 140}
NETWORK = {"hidden": [128, 64], "surrogate": "fast_sigmoid/10", "readout": "mean"}
TRAINING = {"first_epochs": 10, "epochs": 5, "first_learning_rate": 5e-3, "learning_rate": 5e-3}


def plans() -> list[RunPlan]:
    """Return the runs of the demo: naive, joint, and latent replay with its code in either place."""
    options: list[tuple[str, dict[str, str], dict[str, str]]] = [
        ("naive", {}, {}),
        ("compressed_latent_replay", {"after": "hidden1", "memory": "40 kB", "codec": "any/2"}, {}),
        ("compressed_latent_replay", {"after": "hidden1", "memory": "40 kB"}, {"hidden1": "any/2"}),
        ("joint", {}, {}),
    ]
    return [
        make_plan(
            "multi_class_incremental",
            strategy,
            data="synthetic",
            options=own,
            time_pooling=pooling,
            stream=STREAM,
            network=NETWORK,
            training=TRAINING,
        )
        for strategy, own, pooling in options
    ]


def demo(output: Path) -> int:
    """Run the demo, print its table and draw its picture.

    Args:
        output: folder of the records, the networks and the picture.
    """
    print(
        "Continual learning on SyntheticSpokenDigits (generated data, not SHD): 10 words, then 10 more, one at a time."
    )
    records = [run(plan, output, cache=output / "networks") for plan in plans()]
    print()
    print(markdown_tables(records))
    print()
    for path in plot_records(records, output):
        print(f"A picture: {path}")
    return 0
