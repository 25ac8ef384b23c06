"""What docs/results.md shows of runs on CIFAR-100, on figures worked out by hand."""

from __future__ import annotations

from benchmarks.images.configurations import CONFIGURATIONS
from benchmarks.images.tables import markdown_images
from benchmarks.records import Record


def record_of(method: str, average: float, class_order: int = 0, device: str = "cpu") -> Record:
    return {
        "configuration": "b0-10",
        "method": method,
        "class_order_seed": class_order,
        "average_incremental_accuracy": average,
        "final_accuracy": 0.5,
        "accuracy_matrix": [[0.9, 0.0], [0.4, 0.6]],
        "memory_bytes": 6_144_000,
        "seconds": 1234.4,
        "resumed": class_order == 1,
        "machine": {"device": device, "precision": "bfloat16" if device == "cuda" else "float32"},
    }


def measured(name: str) -> Record:
    return {
        "configuration": name,
        "not_run": True,
        "step_seconds": [0.25, 12.34],
        "minibatch": 64,
        "peak_bytes": 5_123_000_000,
        "threads": 2,
        "machine": {"device": "cpu", "precision": "float32"},
    }


def block_of(text: str, name: str) -> list[str]:
    """Return the lines that tell of a configuration."""
    return text[text.index(f"**{name}**") :].split("\n\n**")[0].splitlines()


def test_methods_stand_in_the_order_of_the_ladder_beside_what_was_published() -> None:
    records = [record_of("alade", 0.76, 0, "cuda"), record_of("replay", 0.5), record_of("alade", 0.74, 1, "cuda")]
    lines = block_of(markdown_images(records), "b0-10")
    assert lines[0] == f"**b0-10**: {CONFIGURATIONS['b0-10'].title}"
    assert lines[4:] == [
        "| replay of herded exemplars | 50.0 | 50.0 | 40.0 | 60.0 | 6,144,000 | 1,234 | CPU | 1 |",
        "| + logit alignment: ALADE | 75.0 ± 1.4 | 50.0 ± 0.0 | 40.0 ± 0.0 | 60.0 ± 0.0 | 6,144,000 | 1,234 "
        "| GPU, bfloat16 | 2 |",
        "| *published: WA (ANN; Yan et al. 2021)* | *69.46* |  | | | | | | |",
        "| *published: dynamically expandable (ANN; Yan et al. 2021)* | *75.36* | *65.22* | | | | | | |",
        "| *published: ALADE-SNN (arXiv 2412.12696)* | *75.42* |  | | | | | | |",
    ]
    assert {line.count("|") for line in lines[2:]} == {10}


def test_what_was_not_run_says_so_with_what_a_step_takes() -> None:
    text = markdown_images([measured("b0-10")])
    assert block_of(text, "b0-10")[2] == (
        "Not run. A step of 64 images takes 250 ms with one extractor, 12.3 s with two (CPU, 2 threads), and at most "
        "5.1 GB of memory. Published, average incremental accuracy in per cent: WA (ANN; Yan et al. 2021) 69.46, "
        "dynamically expandable (ANN; Yan et al. 2021) 75.36, ALADE-SNN (arXiv 2412.12696) 75.42."
    )
    assert block_of(text, "half")[2] == "Not run."


def test_a_run_counts_more_than_what_was_measured_before_it() -> None:
    lines = block_of(markdown_images([measured("b0-10"), record_of("wa", 0.7)]), "b0-10")
    assert not any("Not run" in line for line in lines)
    assert lines[4].startswith("| weight alignment | 70.0 |")
