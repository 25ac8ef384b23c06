"""What are so many bytes worth? Rasters, latents and coded latents at the same budgets, printed as a table.

python examples/compare_at_equal_memory.py --memory "8 kB" "20 kB" "80 kB" --seeds 0 1 2
"""

from __future__ import annotations

import argparse
from statistics import mean

import torch
from avalanche.benchmarks import NCScenario
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive

from avalanche_snn.benchmarks import SyntheticMultiClassIncremental
from avalanche_snn.evaluation import MemoryMetric
from avalanche_snn.models import RecurrentSNN
from avalanche_snn.training import CompressedLatentReplayPlugin, SeenClassesCrossEntropy

# name -> where latents are taken, how the memory codes them, how time is pooled in the path of everything
CONTENDERS: dict[str, tuple[str | None, str, dict[str, str] | None]] = {
    "nothing kept": (None, "", None),
    "rasters": ("input", "bits", None),
    "latents": ("hidden1", "bits", None),
    "latents, rice": ("hidden1", "rice", None),
    "latents, any/2 in the memory": ("hidden1", "any/2", None),
    "latents, any/2 in the path": ("hidden1", "bits", {"hidden1": "any/2"}),
}


def run(
    benchmark: NCScenario,
    after: str | None,
    codec: str,
    time_pooling: dict[str, str] | None,
    *,
    memory: str,
    first_epochs: int,
    epochs: int,
    seed: int,
) -> tuple[float, int, int]:
    """Learn the whole stream; return the final accuracy, and the bytes kept and worked with."""
    torch.manual_seed(seed)
    model = RecurrentSNN(
        benchmark.n_channels, (64, 32), 20, time_pooling=time_pooling, surrogate="fast_sigmoid/10", readout="mean"
    )
    n_bytes = MemoryMetric()
    strategy = Naive(
        model=model,
        optimizer=torch.optim.Adamax(model.parameters(), lr=5e-3),
        criterion=SeenClassesCrossEntropy(),
        train_mb_size=32,
        eval_mb_size=256,
        train_epochs=first_epochs,
        plugins=[] if after is None else [CompressedLatentReplayPlugin(after, memory, codec, seed=seed)],
        evaluator=EvaluationPlugin(accuracy_metrics(stream=True), n_bytes),
    )
    for experience in benchmark.train_stream:
        strategy.train(experience)
        strategy.train_epochs = epochs
    metrics = strategy.eval(benchmark.test_stream)
    accuracy = next(value for name, value in metrics.items() if name.startswith("Top1_Acc_Stream"))
    return accuracy, n_bytes.memory_bytes, n_bytes.working_bytes


def main() -> None:
    """Run every contender at every budget with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", nargs="+", default=["8 kB", "20 kB", "80 kB"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--classes", type=int, default=8, help="words; half of them come first")
    parser.add_argument("--samples", type=int, default=96, help="of each word, a multiple of 12")
    parser.add_argument("--first-epochs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()

    benchmark = SyntheticMultiClassIncremental(
        n_pretrain_classes=options.classes // 2,
        fixed_class_order=range(options.classes),
        n_samples_per_class=options.samples,
        n_time_steps=50,
        n_channels=140,
        dtype=torch.uint8,
    )
    print(f"| {'budget':8} | {'what is kept':28} | accuracy (%) | kept (bytes) | working (bytes) |")
    print(f"|{'-' * 10}|{'-' * 30}|{'-' * 14}|{'-' * 14}|{'-' * 17}|")
    for memory in options.memory:
        for name, contender in CONTENDERS.items():
            if contender[0] is None and memory != options.memory[0]:
                continue  # the same at every budget
            try:
                runs = [
                    run(
                        benchmark,
                        *contender,
                        memory=memory,
                        first_epochs=options.first_epochs,
                        epochs=options.epochs,
                        seed=seed,
                    )
                    for seed in options.seeds
                ]
            except ValueError as error:
                print(f"| {memory:8} | {name:28} | n/a: {error}")
                continue
            accuracy, kept, working = (mean(values) for values in zip(*runs, strict=True))
            print(f"| {memory:8} | {name:28} | {100 * accuracy:12.1f} | {kept:12.0f} | {working:15.0f} |")


if __name__ == "__main__":
    main()
