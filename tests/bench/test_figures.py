"""Figures of records that were worked out by hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from made_records import record_of
from matplotlib.figure import Figure

from benchmarks import plots, style
from benchmarks.confusions import with_confusion
from benchmarks.fronts import pareto_front
from benchmarks.gallery import plot_galleries
from benchmarks.records import RESULTS, all_records
from benchmarks.summaries import summarise

README = Path(__file__).parents[2] / "README.md"


def test_every_readme_figure_is_drawn_from_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "save", lambda figure, path: path)  # their names will do: to write them takes long
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
    assert pareto_front(points) == front


def test_the_first_64_curves_look_different() -> None:
    assert len({tuple(style.look(number).items()) for number in range(64)}) == 64


def test_long_streams_have_a_figure_of_their_accuracy_matrices(tmp_path: Path) -> None:
    def of_stream(n_experiences: int, strategy: str) -> dict[str, Any]:
        rows = [[0.9] * n_experiences for _ in range(n_experiences)]
        return record_of(
            strategy, benchmark="multi_class_incremental", accuracy_matrix=rows, seen_accuracy=[0.9] * n_experiences
        )

    assert len(plots.plot_records([of_stream(3, "naive")], tmp_path / "short")) == 2, "bytes and curves"
    records = [of_stream(5, name) for name in ("naive", "replay", "compressed_latent_replay", "cumulative", "joint")]
    _, _, matrices = plots.plot_records(records, tmp_path)
    assert matrices.name == "multi_class_incremental-SHD-merged-matrices.png"
    height, width, _ = matplotlib.image.imread(matrices).shape
    assert width > height > 600, "four in a row, five in two rows"


def test_another_stream_has_figures_of_its_own(tmp_path: Path) -> None:
    usual = record_of()
    settings = {**usual["settings"], "stream": {"n_pretrain_classes": 15}}
    paths = plots.plot_records([usual, {**usual, "settings": settings}], tmp_path)
    assert [path.name for path in paths] == [
        "bytes-SHD-merged.png",
        "class_incremental-SHD-merged.png",
        "class_incremental-SHD-merged-n_pretrain_classes-15.png",
    ]


def test_confusion_is_drawn_of_the_best_and_the_worst_that_have_it(tmp_path: Path) -> None:
    known = {"confusion": {"first": [[9, 1], [10, 0]], "last": [[1, 9], [0, 10]]}}
    records = [record_of("replay", final=0.9), record_of("naive", final=0.1, **known)]
    records += [record_of("ewc", final=0.5, **known), record_of("cumulative", final=0.8, **known)]
    summaries = summarise(records)
    assert [summary.strategy for summary in with_confusion(summaries)] == ["cumulative", "naive"]
    assert [path.name for path in plots.plot_records(records, tmp_path)] == [
        "bytes-SHD-merged.png",
        "class_incremental-SHD-merged.png",
        "class_incremental-SHD-merged-confusion.png",
    ]
    assert matplotlib.image.imread(tmp_path / "class_incremental-SHD-merged-confusion.png").shape[0] > 800


def test_figures_are_more_than_empty_pages_and_the_same_each_time(tmp_path: Path) -> None:
    records = [record_of(), record_of("compressed_latent_replay", final=0.8, memory_bytes=16_000), record_of("joint")]
    paths = plots.plot_records(records, tmp_path)
    assert [path.name for path in paths] == ["bytes-SHD-merged.png", "class_incremental-SHD-merged.png"]
    for path in paths:
        image = matplotlib.image.imread(path)
        assert image.shape[1] > 1000
        assert image[..., :3].std() > 0.05
        shutil.copy(path, tmp_path / f"{path.name}.first")
    plots.plot_records(records, tmp_path)
    assert all(path.read_bytes() == (tmp_path / f"{path.name}.first").read_bytes() for path in paths)


@pytest.mark.parametrize(("lowest", "begins_at"), [(0.859, 80), (0.8, 80), (0.79, 60), (0.05, 0)])
def test_the_axis_of_curves_begins_below_the_lowest(
    lowest: float, begins_at: float, tmp_path: Path, drawn: dict[str, Figure]
) -> None:
    records = [record_of("replay", final=0.9, seen_accuracy=[0.9, 0.9]), record_of(seen_accuracy=[0.9, lowest])]
    plots.plot_records(records, tmp_path)
    (axes,) = drawn["class_incremental-SHD-merged.png"].axes
    assert axes.get_ylim() == (begins_at, 100)
    best, worst = axes.lines
    assert (best.get_color(), worst.get_color()) == style.COLOURS[:2], "whatever other figures have"


def test_one_figure_of_bytes_with_all_benchmarks_at_their_usual_length(
    tmp_path: Path, drawn: dict[str, Figure]
) -> None:
    records = [record_of(memory_bytes=0), record_of("ewc", benchmark="sample_incremental", final=0.5)]
    records += [record_of("replay", memory_bytes=2_000, final=final, seed=seed) for seed, final in ((0, 0.2), (1, 0.4))]
    long = record_of("replay")
    long["settings"] = {**long["settings"], "training": {**long["settings"]["training"], "first_epochs": 200}}
    plots.plot_records([*records, long], tmp_path)
    assert [name for name in drawn if name.startswith("bytes")] == ["bytes-SHD-merged.png"]
    class_incremental, sample_incremental = drawn["bytes-SHD-merged.png"].axes
    (replay,) = class_incremental.containers
    assert replay[0].get_xydata().tolist() == [[2.0, pytest.approx(30.0)]], "kB and percent"
    lowest, highest = replay[2][0].get_segments()[0][:, 1]
    assert highest - lowest == pytest.approx(2 * 100 * 0.2 / 2**0.5), "a standard deviation up and down"
    assert sample_incremental.get_title(loc="left") == "Sample-Incremental, 11 speakers + 1"
    legend = [text.get_text() for text in drawn["bytes-SHD-merged.png"].legends[0].get_texts()]
    assert legend == ["ewc", "naive", "replay", "the best for so many bytes"], "best first"
