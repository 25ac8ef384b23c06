"""A spiking network learns words one after the other: latent replay, with elastic weight consolidation beside it.

python examples/latent_replay.py                                      # generated words, about a minute
python examples/latent_replay.py --data shd --memory "160 kB"         # Spiking Heidelberg Digits, 130 MB once
"""

from __future__ import annotations

import argparse

import torch
from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics
from avalanche.logging import InteractiveLogger
from avalanche.training.plugins import EvaluationPlugin, EWCPlugin
from avalanche.training.supervised import Naive

from avalanche_snn.benchmarks import SHDMultiClassIncremental, SyntheticMultiClassIncremental
from avalanche_snn.evaluation import memory_metrics
from avalanche_snn.models import RecurrentSNN
from avalanche_snn.training import CompressedLatentReplayPlugin, SeenClassesCrossEntropy

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", choices=("synthetic", "shd"), default="synthetic")
parser.add_argument("--memory", default="40 kB", help="budget of the replay memory")
parser.add_argument("--ewc", type=float, default=10.0, help="strength of elastic weight consolidation; 0 for none")
parser.add_argument("--first-epochs", type=int, default=10, help="epochs on the first ten words")
parser.add_argument("--epochs", type=int, default=5, help="epochs on each later word")
parser.add_argument("--samples", type=int, default=144, help="generated samples of each word, a multiple of 12")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

rasters = {"n_pretrain_classes": 10, "n_time_steps": 50, "n_channels": 140, "dtype": torch.uint8}
if options.data == "shd":
    benchmark = SHDMultiClassIncremental(**rasters)
else:
    benchmark = SyntheticMultiClassIncremental(**rasters, n_samples_per_class=options.samples)

torch.manual_seed(options.seed)
model = RecurrentSNN(140, (128, 64), 20, time_pooling={"hidden1": "any/2"}, surrogate="fast_sigmoid/10", readout="mean")
replay = CompressedLatentReplayPlugin(after="hidden1", memory=options.memory, seed=options.seed)
strategy = Naive(
    model=model,
    optimizer=torch.optim.Adamax(model.parameters(), lr=5e-3),
    criterion=SeenClassesCrossEntropy(),
    train_mb_size=64,
    eval_mb_size=256,
    train_epochs=options.first_epochs,
    plugins=[replay, EWCPlugin(options.ewc)] if options.ewc else [replay],
    evaluator=EvaluationPlugin(
        accuracy_metrics(experience=True, stream=True),
        forgetting_metrics(stream=True),
        memory_metrics(),
        loggers=[InteractiveLogger()],
    ),
)
for number, experience in enumerate(benchmark.train_stream):
    strategy.train(experience)
    strategy.train_epochs = options.epochs
    metrics = strategy.eval(benchmark.test_stream[: number + 1])

accuracy = next(value for name, value in metrics.items() if name.startswith("Top1_Acc_Stream"))
print(f"{accuracy:.1%} on all words, with {len(replay.memory)} exemplars in {replay.memory.nbytes} bytes")
