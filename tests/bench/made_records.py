"""Records worked out by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.settings import Training


def record_of(strategy: str = "naive", seed: int = 0, final: float = 0.5, **changes: Any) -> dict[str, Any]:
    training = asdict(Training())
    record = {
        "benchmark": "class_incremental",
        "strategy": strategy,
        "seed": seed,
        "data": "shd",
        "data_name": "SHD",
        "data_sha256": "0" * 64,
        "split": "merged",
        "settings": {
            "stream": {}, "network": {}, "training": training, "options": {}, "evaluate_on": "test", "quick": False,
        },
        "final_accuracy": final,
        "seen_accuracy": [0.9, final],
        "accuracy_matrix": [[0.9, 0.0], [0.4, 0.8]],
        "evaluation_sizes": [95, 5],
        "memory_bytes": 0,
        "working_bytes": 1000,
        "training_steps": 700,
        "seconds": 10.0,
        "versions": {},
    }  # fmt: skip
    return {**record, **changes}
