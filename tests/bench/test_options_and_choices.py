"""Options of strategies on the command line, and how they are chosen on validation data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import choices, plans, tuning
from benchmarks.catalogue import find_strategy, options_of, parse_option, strategy_names, why_not
from benchmarks.choices import read_choices, write_choice
from benchmarks.cli import main
from benchmarks.jobs import Carrier
from benchmarks.plans import make_plan, make_plans
from benchmarks.records import all_records
from benchmarks.settings import RunPlan
from benchmarks.tuning import grid_of, tune, tuning_plans

Plans = Callable[..., RunPlan]


@pytest.mark.parametrize(
    ("strategy", "name", "given", "taken"),
    [
        ("ewc", "strength", "100", 100.0),
        ("ewc", "strength", 100, 100.0),
        ("ewc", "strength", "1e3", 1000.0),
        ("mir", "candidates", "64", 64),
        ("replay", "replay_share", "0.5", 0.5),
        ("replay", "replay_share", "balanced", "balanced"),
        ("replay", "memory", "160000", "160000"),
    ],
)
def test_values_have_the_type_that_the_strategy_takes(strategy: str, name: str, given: object, taken: object) -> None:
    value = parse_option(strategy, name, given)
    assert value == taken
    assert type(value) is type(taken)


def test_a_value_of_another_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="Option 'strength' of strategy 'ewc' must be float, but 'much' came"):
        parse_option("ewc", "strength", "much")
    with pytest.raises(ValueError, match=r"Option 'candidates' of strategy 'mir' must be int, but '1\.5' came"):
        parse_option("mir", "candidates", "1.5")


def test_the_same_value_spelled_otherwise_is_the_same_run() -> None:
    spelled = [make_plan("class_incremental", "ewc", options={"strength": value}) for value in ("1e2", "100", 100)]
    assert len({plan.identifier for plan in spelled}) == 1


def test_several_values_are_several_runs(
    generated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVALANCHE_SNN_DATA", generated)
    line = "run class_incremental --strategy ewc naive --data synthetic --quick --first-epochs 1 --epochs 1"
    where = ["--results", str(tmp_path), "--networks", str(tmp_path / "networks")]
    assert main([*line.split(), "--option", "strength=100", "1e3", *where]) == 0
    strengths = {record["settings"]["options"].get("strength") for record in all_records(tmp_path)}
    assert strengths == {None, 100.0, 1000.0}
    assert "naive: no option 'strength', run once without it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["force=1"], "Strategy 'ewc' has no option 'force'; it has 'strength'."),
        (["strength"], "--option wants NAME=VALUE, with more values behind it if there are any; 'strength' came."),
        (["strength=1", "--option", "strength=2"], "--option strength came twice: give all its values at once"),
        (["strength=much"], "must be float, but 'much' came"),
    ],
)
def test_options_that_make_no_sense(given: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "class_incremental", "--strategy", "ewc", "--option", *given]) == 2
    assert message in capsys.readouterr().err


def test_one_option_may_not_come_in_two_ways(capsys: pytest.CaptureFixture[str]) -> None:
    line = "run class_incremental --strategy replay --memory 1MB --option memory=2MB"
    assert main(line.split()) == 2
    assert "--option memory: there is --memory for that, and both came." in capsys.readouterr().err


@pytest.mark.parametrize("name", strategy_names())
def test_a_grid_is_small_and_has_the_default(name: str) -> None:
    grid = getattr(find_strategy(name), "GRID", {})
    assert len(grid) <= 2
    for option, values in grid.items():
        assert 1 < len(set(values)) <= 3
        assert options_of(name)[option] in values
        assert all(type(value) is type(options_of(name)[option]) for value in values)


def test_a_strategy_says_where_it_cannot_run() -> None:
    reasons = {(name, why_not(name, "sample_incremental")) for name in strategy_names()}
    assert {name for name, reason in reasons if reason} >= {"bic", "icarl"}
    assert why_not("icarl", "class_incremental") is None


def test_choices_are_read_as_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chosen.json"
    write_choice("mas", {"options": {"strength": 1.0}}, path)
    write_choice("ewc", {"options": {"strength": 3.0}}, path)
    monkeypatch.setattr(plans, "chosen_options", lambda strategy: choices.chosen_options(strategy, path))
    assert make_plan("class_incremental", "ewc").options == {"strength": 3.0}
    assert make_plan("class_incremental", "ewc", options={"strength": 5.0}).options == {"strength": 5.0}
    assert make_plan("class_incremental", "online_ewc").options == {"strength": 10_000.0, "decay": 0.9}
    write_choice("ewc", {"options": {"weight": 3.0}}, path)
    with pytest.raises(ValueError, match="an option 'weight' for strategy 'ewc', which it does not have"):
        make_plan("class_incremental", "ewc")
    path.write_text("{")
    with pytest.raises(ValueError, match=r"chosen\.json is no file of choices"):
        read_choices(path)
    assert read_choices(tmp_path / "missing.json") == {}


def test_the_best_of_the_grid_on_validation_data_is_chosen(
    small_plan: Plans, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        small_plan("class_incremental", "mas", validation=0.25, options={"strength": strength})
        for strength in grid_of("mas")["strength"]
    ]
    path = tmp_path / "chosen.json"
    described: list[str] = []

    def describe(plan: RunPlan, record: object) -> str:
        described.append(plan.identifier)
        return plan.identifier

    options = tune("mas", runs, Carrier(tmp_path, cache), describe, path)
    records = {record["settings"]["options"]["strength"]: record for record in all_records_of(tmp_path, path)}
    assert set(records) == set(grid_of("mas")["strength"])
    assert all(record["settings"]["evaluate_on"] == "valid" for record in records.values())
    best = max(record["final_accuracy"] for record in records.values())
    assert records[options["strength"]]["final_accuracy"] == best
    choice = json.loads(path.read_text())["mas"]
    assert choice["options"] == options
    assert sorted(choice["final_accuracies"].values()) == sorted(r["final_accuracy"] for r in records.values())
    assert choice["record"] in choice["final_accuracies"]
    assert len(described) == 3
    tune("mas", runs, Carrier(tmp_path, cache), describe, path)
    assert len(described) == 3, "what has a record is not repeated"


def all_records_of(folder: Path, besides: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in folder.glob("*.json") if path != besides]


def test_options_are_never_chosen_on_the_test_stream(small_plan: Plans, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ValueError, match="Options are chosen on validation data"):
        tune("mas", [small_plan("class_incremental", "mas")], Carrier(tmp_path, cache), str, tmp_path / "c.json")
    assert all(plan.evaluate_on == "valid" for plan in tuning_plans("mas"))


def test_the_whole_grid_is_tried_on_one_benchmark_and_seed() -> None:
    tried = tuning_plans("online_ewc")
    assert {(plan.benchmark, plan.seed, plan.stream["validation"]) for plan in tried} == {
        ("multi_class_incremental", 0, 0.1)
    }
    assert len({tuple(plan.options.values()) for plan in tried}) == len(tried) == 9


def test_nothing_is_chosen_where_there_is_nothing_to_choose_or_a_run_failed(
    small_plan: Plans, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="The GRID of strategy 'naive' has nothing to choose from"):
        tuning_plans("naive")
    plan = small_plan("class_incremental", "agem", validation=0.25, options={"memory": "1 B"})
    with pytest.raises(ValueError, match="1 of 1 runs failed: nothing was chosen for 'agem'"):
        tune("agem", [plan], Carrier(tmp_path, cache), str, tmp_path / "chosen.json")
    assert not (tmp_path / "chosen.json").exists()


def test_tuning_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--strategy", "mas", "--quick", "--data", "synthetic"]) == 2
    assert "give a file of your own, --chosen" in capsys.readouterr().err
    monkeypatch.setattr(tuning, "carry_out", lambda *_: [])
    monkeypatch.setattr(tuning, "read_record", lambda path: {"final_accuracy": 0.5 if "mas" in path.name else 0})
    path = tmp_path / "chosen.json"
    line = f"tune --strategy mas --quick --data synthetic --chosen {path} --results {tmp_path}"
    assert main(line.split()) == 0
    first = grid_of("mas")["strength"][0]
    assert f"mas: strength={first}, written to {path}" in capsys.readouterr().out
    assert read_choices(path)["mas"]["options"] == {"strength": first}, "the first among equals"


def test_make_plans_takes_text_for_strategies_of_different_types() -> None:
    made = make_plans(["class_incremental"], ["ewc", "lwf"], options={"strength": ["2"], "temperature": ["3"]})
    assert [plan.options for plan in made] == [{"strength": 2.0}, {"strength": 2.0, "temperature": 3.0}]
