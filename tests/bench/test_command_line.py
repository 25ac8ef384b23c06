"""What a user types and what they read."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import strategies
from benchmarks.catalogue import find_benchmark, find_strategy, strategy_names
from benchmarks.cli import CUT_OFF, main
from benchmarks.plans import make_plan
from benchmarks.plots import plot_records
from benchmarks.runner import run
from benchmarks.settings import RunPlan
from benchmarks.summaries import label_of
from benchmarks.sweeps.files import find_sweep, read_sweep
from benchmarks.tables import markdown_tables


def test_a_quick_run_from_the_command_line(
    generated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVALANCHE_SNN_DATA", generated)
    line = "run class_incremental --strategy compressed_latent_replay --data synthetic --quick --memory 16kB"
    assert main([*line.split(), "--results", str(tmp_path), "--networks", str(tmp_path / "networks")]) == 0
    assert len(list((tmp_path / "networks").glob("*.pt"))) == 1
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    assert record["settings"]["options"]["memory"] == "16 kB"
    assert record["settings"]["quick"] is True
    said = capsys.readouterr().out
    assert str(path) in said
    assert "SyntheticSpokenDigits, merged split, compressed_latent_replay, seed 0: final accuracy" in said


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "run class_incremental --strategy naive --memory 16kB",
            "Strategy 'naive' has no option 'memory'; it has none.",
        ),
        (
            "run class_incremental --strategy replay --after hidden1",
            "has no option 'after'; it has 'memory', 'codec', 'selection', 'replay_share'.",
        ),
    ],
)
def test_an_option_that_the_strategy_does_not_have(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--epochs 0", "epochs: a number from 1 was wanted, 0 came"),
        ("--first-epochs -3", "first_epochs: a number from 1 was wanted, -3 came"),
        ("--learning-rate nan", "learning_rate: a number above 0 was wanted, nan came"),
        ("--seed -1", "A seed from 0 to 2**32 - 1 was wanted, -1 came"),
        ("--time-pooling hidden2", "--time-pooling wants LAYER=SPEC, as in hidden2=any/5; 'hidden2' came"),
    ],
)
def test_what_makes_no_run_is_refused(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"run class_incremental --strategy naive {line}".split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("line", ["demo --threads 0", "images small --threads 0", "images small --device gpu"])
def test_what_the_machine_does_not_have_is_said_in_one_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert re.match(r"error: --(threads|device): .* came\.$", capsys.readouterr().err)


def test_where_there_are_no_records_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--results", str(tmp_path / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert main(["table", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().err == f"{tmp_path} has no records\n"


def test_a_fault_in_the_code_has_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(*_: object) -> None:
        _, _ = (1, 2, 3)  # type: ignore[misc]

    monkeypatch.setattr("benchmarks.cli._say_if_empty", unpack)
    with pytest.raises(ValueError, match="too many values to unpack"):
        main(["table"])


def test_missing_data_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("AVALANCHE_SNN_DATA", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("urllib.request.urlretrieve", refuse)
    assert main(["run", "class_incremental", "--strategy", "naive", "--results", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "shd_train.h5" in said


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(ValueError, match="There is no benchmark 'shd'; there are class_incremental"):
        find_benchmark("shd")
    with pytest.raises(
        ValueError, match="There is no strategy 'ewc2'; there are agem, alade, bic, compressed_latent_replay"
    ):
        find_strategy("ewc2")
    with pytest.raises(ValueError, match="runs on shd, synthetic, but 'mnist' came"):
        make_plan("class_incremental", "naive", data="mnist")


def test_a_new_strategy_is_one_file(
    small_plan: Callable[..., RunPlan],
    tmp_path: Path,
    cache: Path,
    drawn: dict[str, Figure],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "elastic.py").write_text(
        "from avalanche.training.supervised import EWC\n"
        "def build(model, optimizer, *, ewc_lambda=10.0, **template):\n"
        "    return EWC(model=model, optimizer=optimizer, ewc_lambda=ewc_lambda, **template)\n"
    )
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    assert "elastic" in strategy_names()
    planned = [plan for plan in read_sweep(find_sweep("baselines")).plans if plan.strategy == "elastic"]
    assert {plan.seed for plan in planned} == {0, 1, 2}
    assert len(planned) == 3 * len({plan.benchmark for plan in planned})
    assert "| elastic | not run | | | | | | | | | 0 of 3 |" in markdown_tables([], plans=planned)
    small = small_plan("class_incremental", "elastic")
    record = run(small, tmp_path, cache=cache)
    shown = {**record, "settings": {**record["settings"], "quick": False}}
    label = label_of(shown)
    assert label.startswith("elastic")
    assert f"| {label} | " in markdown_tables([shown])
    plot_records([shown], tmp_path)
    assert label in [
        text.get_text() for figure in drawn.values() for legend in figure.legends for text in legend.get_texts()
    ]
    sys.modules.pop("strategies.elastic")
    assert record["settings"]["options"] == {"ewc_lambda": 10.0}
    # 70 x 24 + 24 x 24 + 24 x 16 + 16 x 16 + 16 x 20 weights. EWC keeps a copy and an importance of each, in float32,
    # for each experience.
    assert record["memory_bytes"] == 2 * 2 * 4 * (70 * 24 + 24 * 24 + 24 * 16 + 16 * 16 + 16 * 20)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    for command in ("run", "table", "plot", "demo", "tune", "sweep", "speed", "images"):
        assert f"\n    {command} " in said


def test_output_that_nobody_reads_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as nobody, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", nobody)
        assert main(["sweep", "baselines", "--dry-run", "--results", str(tmp_path)]) == CUT_OFF
    assert capsys.readouterr() == ("", "")


def test_a_strategy_that_gathers_while_it_trains_trains_the_first_experience_itself(
    small_plan: Callable[..., RunPlan], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gathering.py").write_text(
        "from avalanche.training.supervised import Naive\n"
        "TRAINS_FIRST_EXPERIENCE = True\n"
        "def build(model, optimizer, **template):\n"
        "    return Naive(model=model, optimizer=optimizer, **template)\n"
    )
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    record = run(small_plan("class_incremental", "gathering"), tmp_path, cache=cache)
    sys.modules.pop("strategies.gathering")
    assert record["first_seconds"] == 0
    assert not cache.exists(), "no network was trained for it or taken from others"
    shared = run(small_plan("class_incremental", "naive"), tmp_path, cache=cache)
    assert [path.suffix for path in cache.iterdir()] == [".pt"]
    assert record["accuracy_matrix"][0] == shared["accuracy_matrix"][0], "the same training all the same"
