"""Avalanche's own strategies, metrics and loggers on every benchmark."""

from __future__ import annotations

import csv
import io
from functools import partial

import numpy as np
import pytest
import torch
from avalanche.evaluation.metrics import (
    accuracy_metrics,
    class_accuracy_metrics,
    confusion_matrix_metrics,
    forgetting_metrics,
    loss_metrics,
    topk_acc_metrics,
)
from avalanche.logging import CSVLogger, InteractiveLogger, TextLogger
from avalanche.models import as_multitask
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import (
    AGEM,
    DER,
    ER_ACE,
    EWC,
    GEM,
    MAS,
    Cumulative,
    GDumb,
    ICaRL,
    JointTraining,
    LwF,
    Naive,
    Replay,
    SynapticIntelligence,
)
from tiny_rasters import tiny_files
from torch import nn

from avalanche_snn.benchmarks import class_incremental, multi_class_incremental, sample_incremental, split_classes

TRAIN, TEST = tiny_files()
PROTOCOLS = {
    "split": partial(split_classes, TRAIN, TEST, 2, seed=0),
    "class": partial(class_incremental, TRAIN, TEST, n_pretrain_classes=3, new_class=1),
    "multi_class": partial(multi_class_incremental, TRAIN, TEST, n_pretrain_classes=2),
    "sample": partial(sample_incremental, TRAIN, TEST, new_speaker=2, n_experiences=3),
}
STRATEGIES = {
    "Naive": Naive,
    "Cumulative": Cumulative,
    "Replay": partial(Replay, mem_size=20),
    "EWC": partial(EWC, ewc_lambda=1.0),
    "LwF": partial(LwF, alpha=1.0, temperature=2.0),
    "GEM": partial(GEM, patterns_per_exp=10),
    "AGEM": partial(AGEM, patterns_per_exp=10, sample_size=10),
    "SynapticIntelligence": partial(SynapticIntelligence, si_lambda=1.0),
    "MAS": MAS,
    "DER": partial(DER, mem_size=20),
    "ER_ACE": partial(ER_ACE, mem_size=20),
    "GDumb": partial(GDumb, mem_size=20),
}


class Readout(nn.Module):
    """Mean over time, then a linear readout: `[B, T, C]` -> `[B, K]`."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(10, 4)

    def forward(self, x):
        return self.classifier(x.mean(1))


def strategy_of(kind, model, evaluator=None, **options):
    return kind(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.05),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=32,
        eval_mb_size=64,
        evaluator=evaluator or EvaluationPlugin(accuracy_metrics(experience=True, stream=True), loggers=[]),
        **options,
    )


def accuracy_by_hand(model, datasets, rasters):
    """Accuracy of the model over these data sets, from the rasters of the files and not through a data loader."""
    samples = [sample for dataset in datasets for sample in dataset.sample_ids]
    labels = torch.tensor([label for dataset in datasets for label in dataset.targets])
    model.eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(rasters[samples].astype(np.float32)))
    return (logits.argmax(1) == labels).double().mean().item()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_run_and_are_scored_right(strategy, protocol):
    torch.manual_seed(0)
    benchmark = PROTOCOLS[protocol](validation=0.2)
    strategy = strategy_of(STRATEGIES[strategy], Readout())
    for experience in benchmark.train_stream:
        strategy.train(experience)
    rasters = np.concatenate([TRAIN.rasters, TEST.rasters])
    for name in set(benchmark.streams) - {"train"}:
        stream = benchmark.streams[name]
        scores = strategy.eval(stream)
        accuracy = scores[f"Top1_Acc_Stream/eval_phase/{name}_stream/Task000"]
        by_hand = accuracy_by_hand(strategy.model, [experience.dataset for experience in stream], rasters)
        assert accuracy == pytest.approx(by_hand)
        assert sum("Top1_Acc_Exp" in key and f"{name}_stream" in key for key in scores) == len(stream)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_joint_training_runs_on_the_whole_stream(protocol):
    benchmark = PROTOCOLS[protocol](validation=0.2)
    strategy = strategy_of(JointTraining, Readout())
    strategy.train(benchmark.train_stream)
    assert len(strategy.adapted_dataset) == sum(len(experience.dataset) for experience in benchmark.train_stream)
    strategy.eval(benchmark.valid_stream)


@pytest.mark.parametrize("protocol", ["split", "class", "multi_class"])
def test_icarl_finds_the_class_lists_it_needs(protocol):
    benchmark = PROTOCOLS[protocol](validation=0.2)
    extractor, classifier = nn.Sequential(nn.Flatten(), nn.Linear(60, 8)), nn.Linear(8, 4)
    strategy = ICaRL(
        feature_extractor=extractor,
        classifier=classifier,
        optimizer=torch.optim.SGD([*extractor.parameters(), *classifier.parameters()], lr=0.05),
        memory_size=20,
        buffer_transform=None,
        fixed_memory=True,
        train_mb_size=32,
        eval_mb_size=64,
        evaluator=EvaluationPlugin(accuracy_metrics(stream=True), loggers=[]),
    )
    for experience in benchmark.train_stream:
        strategy.train(experience)
    scores = strategy.eval(benchmark.test_stream)
    assert 0 <= scores["Top1_Acc_Stream/eval_phase/test_stream/Task000"] <= 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_multi_head_model_gets_a_head_per_task(protocol):
    benchmark = PROTOCOLS[protocol](return_task_id=True, validation=0.2)
    strategy = strategy_of(Naive, as_multitask(Readout(), "classifier"))
    for experience in benchmark.train_stream:
        strategy.train(experience)
    scores = strategy.eval(benchmark.test_stream)
    for task in range(benchmark.n_experiences):
        assert f"Top1_Acc_Exp/eval_phase/test_stream/Task{task:03d}/Exp{task:03d}" in scores
    assert len(strategy.model.classifier.classifiers) == benchmark.n_experiences


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_metrics_and_loggers_report_every_experience(protocol, tmp_path, capsys):
    torch.manual_seed(0)
    benchmark = PROTOCOLS[protocol](validation=0.2)
    text = io.StringIO()
    table = CSVLogger(log_folder=tmp_path)
    evaluator = EvaluationPlugin(
        accuracy_metrics(epoch=True, experience=True, stream=True),
        loss_metrics(epoch=True, experience=True, stream=True),
        topk_acc_metrics(top_k=3, experience=True, stream=True),
        class_accuracy_metrics(stream=True),
        forgetting_metrics(experience=True, stream=True),
        confusion_matrix_metrics(num_classes=4, stream=True),
        loggers=[InteractiveLogger(), table, TextLogger(text)],
        strict_checks=True,
    )
    strategy = strategy_of(Naive, Readout(), evaluator, train_epochs=2)
    for experience in benchmark.train_stream:
        strategy.train(experience)
        scores = strategy.eval(benchmark.test_stream)
    table.close()

    last = benchmark.n_experiences - 1
    for index, experience in enumerate(benchmark.test_stream):
        where = f"eval_phase/test_stream/Task000/Exp{index:03d}"
        top1, top3 = scores[f"Top1_Acc_Exp/{where}"], scores[f"Topk_3_Acc_Exp/{where}"]
        assert 0 <= top1 <= top3 <= 1
        assert (f"ExperienceForgetting/{where}" in scores) == (index < last)
        assert sorted(experience.classes_in_this_experience) == sorted(set(experience.dataset.targets))
    assert -1 <= scores["StreamForgetting/eval_phase/test_stream"] <= 1
    confusion = scores["ConfusionMatrix_Stream/eval_phase/test_stream"].best_supported_value(torch.Tensor)
    labels = [label for experience in benchmark.test_stream for label in experience.dataset.targets]
    np.testing.assert_array_equal(confusion.sum(1).numpy(), np.bincount(labels))
    accuracy = confusion.diagonal().sum() / confusion.sum()
    assert scores["Top1_Acc_Stream/eval_phase/test_stream/Task000"] == pytest.approx(accuracy.item())

    assert text.getvalue().count("-- >> Start of eval phase << --") == benchmark.n_experiences
    assert "Top1_Acc_Stream/eval_phase/test_stream/Task000" in capsys.readouterr().out
    with (tmp_path / "eval_results.csv").open() as file:
        assert {row["eval_exp"] for row in csv.DictReader(file)} == {str(index) for index in range(last + 1)}
