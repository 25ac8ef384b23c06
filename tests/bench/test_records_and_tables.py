"""Records and what is made of them, on figures worked out by hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from benchmarks import plots, style, tables
from benchmarks.confusions import with_confusion
from benchmarks.gallery import plot_galleries
from benchmarks.plans import make_plan, make_plans
from benchmarks.records import RESULTS, all_records, read_record, write_record
from benchmarks.refusals import Refusal, all_refusals, write_refusal
from benchmarks.summaries import label_of, summarise
from benchmarks.sweeps.files import plans_for

README = Path(__file__).parents[2] / "README.md"


def record_of(strategy: str = "naive", seed: int = 0, final: float = 0.5, **changes: Any) -> dict[str, Any]:
    training = {"first_epochs": 40, "epochs": 10}
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
        "seconds": 10.0,
        "versions": {},
    }  # fmt: skip
    return {**record, **changes}


def test_write_and_read_round_trip(tmp_path: Path) -> None:
    write_record(record_of(), tmp_path / "a.json")
    assert read_record(tmp_path / "a.json") == record_of()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_record_without_a_required_entry_is_not_written(tmp_path: Path) -> None:
    record = record_of()
    del record["memory_bytes"]
    with pytest.raises(ValueError, match=r"memory_bytes missing in a\.json"):
        write_record(record, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_a_failure_while_writing_leaves_the_old_record(tmp_path: Path) -> None:
    write_record(record_of(), tmp_path / "a.json")
    with pytest.raises(TypeError):
        write_record(record_of(seconds=object()), tmp_path / "a.json")
    assert read_record(tmp_path / "a.json") == record_of()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"benchmark": "class_incr')
    with pytest.raises(ValueError, match=r"cut\.json is not a record.*Delete it and run again"):
        list(all_records(tmp_path))
    (tmp_path / "cut.json").write_text("{}")
    with pytest.raises(ValueError, match=r"cut\.json lacks benchmark"):
        list(all_records(tmp_path))


def test_seeds_of_the_same_settings_make_one_row() -> None:
    (summary,) = summarise([record_of(seed=1, final=0.7), record_of(seed=0, final=0.5)])
    assert [record["seed"] for record in summary.records] == [0, 1]
    assert summary.final_accuracy == pytest.approx(0.6)
    # The standard deviation of 50 and 70 is 10 times the square root of 2.
    assert summary.percent(record["final_accuracy"] for record in summary.records) == "60.0 ± 14.1"


def test_short_runs_and_runs_on_validation_data_are_in_no_table() -> None:
    quick, valid = record_of(), record_of()
    quick["settings"] = {**quick["settings"], "quick": True}
    valid["settings"] = {**valid["settings"], "evaluate_on": "valid"}
    assert summarise([quick, valid]) == []


def test_a_label_says_where_the_code_stands() -> None:
    record = record_of("compressed_latent_replay")
    record["settings"] = {
        **record["settings"],
        "options": {"after": "hidden2", "memory": "160 kB", "codec": "bits", "selection": "herding"},
        "network": {"time_pooling": {"hidden2": "any/5"}},
    }
    assert label_of(record) == (
        "compressed latent replay (hidden2, 160 kB, bits in the memory, selection=herding, "
        "any/5 in the path after hidden2)"
    )


def test_the_table_worked_out_by_hand() -> None:
    table = tables.markdown_tables([record_of(memory_bytes=159_956, final=0.42), record_of("joint", final=0.9)])
    assert "**Class-Incremental, 19 classes + 1** - SHD, merged split, 40 epochs on experience 0 and 10 on" in table
    assert "| naive | 42.0 | 40.0 | 80.0 | 159,956 | 1,000 | 10 | 1 |" in table
    assert "| joint | 90.0 | 40.0 | 80.0 | all data | 1,000 | 10 | 1 |" in table
    assert "| *92.05* † |" in table, "published figures are marked as contaminated"


def refusal_of(strategy: str, reason: str, least_bytes: int | None = None, **options: Any) -> Refusal:
    settings = {**record_of()["settings"], "options": options}
    return Refusal("class_incremental", strategy, "SHD", "merged", 0, settings, reason, least_bytes)


def test_what_was_refused_stands_below_what_was_run() -> None:
    refusals = [
        refusal_of("replay_balanced", "too small", 700_020, memory="160 kB"),
        refusal_of("icarl", "icarl cannot run on class_incremental: no attribute"),
        refusal_of("icarl", "icarl cannot run on class_incremental: no attribute"),
    ]
    table = tables.markdown_tables([record_of()], refusals)
    lines = table.splitlines()
    row = lines.index("| replay balanced (160 kB) | n/a below 700,020 bytes | | | | | | |")
    assert lines[row - 1].startswith("| naive |")
    assert lines[row + 1].startswith("| *published")
    assert lines[-4:] == ["", "Cannot run:", "", "- icarl cannot run on class_incremental: no attribute"]
    official = tables.markdown_tables([record_of(split="official")], refusals)
    assert "n/a" not in official
    assert "annot run" not in official


def test_what_sweeps_plan_and_nobody_ran_is_said() -> None:
    seeds = [0, 1, 2]
    plans = make_plans(["class_incremental"], ["ewc", "joint", "replay_balanced"], seeds=seeds, options={})
    plans += make_plans(["class_incremental"], ["naive"], split="official")
    plans += [make_plan("class_incremental", "gem", quick=True), make_plan("class_incremental", "gem", validation=0.1)]
    recorded = [{**record_of("joint", final=0.9), "seed": seed, "settings": plans[1].settings} for seed in (0, 2)]
    refusal = Refusal("class_incremental", "replay_balanced", "SHD", "merged", 0, plans[2].settings, "small", 700_020)
    merged, official = tables.markdown_tables(recorded, [refusal], plans).split("**Class-Incremental")[1:]
    assert "| joint | 90.0 ± 0.0 | 40.0 ± 0.0 | 80.0 ± 0.0 | all data | 1,000 | 10 | 2 of 3 |" in merged
    assert "| ewc | not run | | | | | | 0 of 3 |" in merged
    assert "| replay balanced (1600 kB) | n/a below 700,020 bytes | | | | | | |" in merged
    assert merged.count("not run") == 1, "what was refused was not left out, and short runs belong in no table"
    assert "| naive | not run | | | | | | 0 of 1 |" in official


def test_refusals_of_short_runs_and_on_validation_data_are_in_no_table(tmp_path: Path) -> None:
    plans = [make_plan("class_incremental", "naive"), make_plan("class_incremental", "naive", quick=True)]
    plans.append(make_plan("class_incremental", "naive", validation=0.1))
    for plan in plans:
        write_refusal(plan, "SHD", ValueError("no"), tmp_path)
    (refusal,) = all_refusals(tmp_path)
    assert (refusal.settings, refusal.split) == (plans[0].settings, "merged")
    assert not list(all_records(tmp_path)), "refusals are no records"


def test_splits_and_data_never_share_a_table() -> None:
    official, synthetic = record_of(split="official"), record_of(data_name="SyntheticSpokenDigits")
    table = tables.markdown_tables([record_of(), official, synthetic])
    assert table.count("| strategy |") == 3
    assert table.count("published") == 2, "only beside SHD on the split of the publication"


def test_tables_go_between_the_markers(tmp_path: Path) -> None:
    text = f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n"
    assert tables.replace_tables(text, "new") == f"before\n{tables.BEGIN}\n\nnew\n\n{tables.END}\nafter\n"
    with pytest.raises(ValueError, match="which are missing"):
        tables.replace_tables("no markers", "new")


def test_the_readme_shows_what_the_records_say() -> None:
    text = README.read_text(encoding="utf-8")
    shown = tables.markdown_tables(list(all_records(RESULTS)), list(all_refusals(RESULTS)), plans_for(RESULTS))
    assert tables.replace_tables(text, shown) == text, "run `python -m benchmarks table --readme README.md`"


def test_every_readme_figure_is_drawn_from_the_records(tmp_path: Path) -> None:
    paths = [*plots.plot_records(list(all_records(RESULTS)), tmp_path), *plot_galleries(RESULTS, tmp_path)]
    drawn = {path.name for path in paths}
    assert drawn == {path.name for path in (RESULTS / "figures").glob("*.png")}


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(5.0, 0.3)], [(5.0, 0.3)]),
        ([(9.0, 0.5), (5.0, 0.3), (7.0, 0.2), (8.0, 0.3)], [(5.0, 0.3), (9.0, 0.5)]),
        ([(5.0, 0.3), (5.0, 0.4), (6.0, 0.4)], [(5.0, 0.4)]),
    ],
)
def test_the_front_is_what_nothing_beats_with_fewer_bytes(
    points: list[tuple[float, float]], front: list[tuple[float, float]]
) -> None:
    assert plots.pareto_front(points) == front


def test_the_first_64_curves_look_different() -> None:
    assert len({tuple(style.look(number).items()) for number in range(64)}) == 64


def test_long_streams_have_a_figure_of_their_accuracy_matrices(tmp_path: Path) -> None:
    def of_stream(n_experiences: int, strategy: str) -> dict[str, Any]:
        rows = [[0.9] * n_experiences for _ in range(n_experiences)]
        return record_of(
            strategy, benchmark="multi_class_incremental", accuracy_matrix=rows, seen_accuracy=[0.9] * n_experiences
        )

    assert len(plots.plot_records([of_stream(3, "naive")], tmp_path / "short")) == 1
    records = [of_stream(5, name) for name in ("naive", "replay", "compressed_latent_replay", "cumulative", "joint")]
    _, matrices = plots.plot_records(records, tmp_path)
    assert matrices.name == "multi_class_incremental-SHD-merged-matrices.png"
    height, width, _ = matplotlib.image.imread(matrices).shape
    assert width > height > 600, "four in a row, five in two rows"


def test_confusion_is_drawn_of_the_best_and_the_worst_that_have_it(tmp_path: Path) -> None:
    known = {"confusion": {"first": [[9, 1], [10, 0]], "last": [[1, 9], [0, 10]]}}
    records = [record_of("replay", final=0.9), record_of("naive", final=0.1, **known)]
    records += [record_of("ewc", final=0.5, **known), record_of("cumulative", final=0.8, **known)]
    summaries = summarise(records)
    assert [summary.strategy for summary in with_confusion(summaries)] == ["cumulative", "naive"]
    assert [path.name for path in plots.plot_records(records, tmp_path)] == [
        "class_incremental-SHD-merged.png",
        "class_incremental-SHD-merged-confusion.png",
    ]
    assert matplotlib.image.imread(tmp_path / "class_incremental-SHD-merged-confusion.png").shape[0] > 800


def test_a_plot_has_curves_and_a_point_for_each_memory(tmp_path: Path) -> None:
    records = [record_of(), record_of("compressed_latent_replay", final=0.8, memory_bytes=16_000), record_of("joint")]
    (path,) = plots.plot_records(records, tmp_path)
    assert path.name == "class_incremental-SHD-merged.png"
    image = matplotlib.image.imread(path)
    assert image.shape[1] > 1000
    assert image[..., :3].std() > 0.05, "more than an empty page"
    shutil.copy(path, tmp_path / "first.png")
    plots.plot_records(records, tmp_path)
    assert path.read_bytes() == (tmp_path / "first.png").read_bytes()
