"""The Python of every page runs from top to bottom; commands have the options that there are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import PAGES, ROOT, bench_commands, blocks_in, blocks_of, run_python, write_files

import strategies
from benchmarks.cli import _parser, main
from benchmarks.sweeps.files import read_sweep

WITH_PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks_of(page))]
# It starts W&B's own process.
SLOW = ("how-to/logging.md",)
# What readers see of it, at any size.
SAYS = {
    "how-to/checkpoints.md": ("optimizer.lr: 0.005 in the file, 0.001 now", "2 experiences were trained\nTrue\n"),
    # 50 steps of 64 neurons; windows of 5; counts up to 5 in 3 bits.
    "how-to/codec.md": ("400.0 bytes", "80.0 bytes", "240.0 bytes", "64 bytes a sample instead of 400"),
    "how-to/equal-memory.md": ("n/a (A memory of 8000 bytes is too small",),
    "how-to/events.md": ("(50, 32) uint8 300", "[100, 20]"),
    # Means of the last row and of the first ones' means: (0.9 + 0.75 + 0.7333) / 3; 0.3 and 0.05 forgotten.
    "how-to/metrics.md": ("final 0.733, average 0.794", "forgetting 0.175, backward transfer -0.175"),
    "how-to/model.md": ("torch.Size([4, 25, 6, 1]) torch.uint8 (25, 48)\nTrue\n", "must be spikes or spike counts"),
}


@pytest.fixture
def with_files(reader: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The reader's folder, in which files in `strategies/` are strategies of the checkout."""
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(reader / "strategies")])
    yield reader
    for path in reader.glob("strategies/*.py"):
        sys.modules.pop(f"strategies.{path.stem}", None)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page for page in WITH_PYTHON]
)
def test_the_python_of_a_page_runs(page: str, with_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(page, with_files)
    run_python(page, small=True)
    said = capsys.readouterr().out
    for words in SAYS.get(page, ()):
        assert words in said
    assert (page == "how-to/logging.md") == bool(list(with_files.glob("wandb/offline-run-*/*.wandb")))


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_sweeps_of_a_page_can_be_read(page: str, with_files: Path) -> None:
    write_files(page, with_files)
    blocks = blocks_of(page)
    for block in blocks:
        for arguments in bench_commands(block.text) if block.language == "bash" else ():
            _parser().parse_args(arguments)
        if block.language == "toml":
            assert read_sweep(with_files / block.title).plans


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_commands_at_the_top_of_the_checkout_have_options_that_there_are(name: str) -> None:
    for block in blocks_in(ROOT / name):
        for arguments in bench_commands(block.text) if block.language == "bash" else ():
            _parser().parse_args(arguments)


def test_an_option_that_there_is_not_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    (arguments,) = bench_commands("cd somewhere\npython -m benchmarks table --html  # and a comment")
    with pytest.raises(SystemExit):
        _parser().parse_args(arguments)
    assert "--html" in capsys.readouterr().err


def test_the_sweep_has_as_many_runs_as_the_page_says(with_files: Path) -> None:
    write_files("how-to/sweeps.md", with_files)
    plans = read_sweep(with_files / "my_sweep.toml").plans
    assert sum(plan.strategy == "compressed_latent_replay" for plan in plans) == 12


def test_every_page_was_looked_at() -> None:
    assert len(WITH_PYTHON) >= 10
    for page, path in PAGES.items():
        fences = sum(line.startswith("```") for line in path.read_text(encoding="utf-8").splitlines())
        assert fences == 2 * len(blocks_of(page)), f"{page} has a block that is not read"


@pytest.mark.slow
def test_the_tutorial_shows_what_it_says(reader: Path) -> None:
    names = run_python("tutorial.md", small=False)
    replay, with_replay, without_replay = names["replay"], names["with_replay"], names["without_replay"]
    assert (len(replay.memory), replay.memory.nbytes) == (99, 19_944)
    assert with_replay[-1] > 0.75
    assert without_replay[-1] < 0.3


@pytest.mark.slow
def test_a_strategy_that_is_one_file_is_run_and_recorded(with_files: Path) -> None:
    write_files("how-to/strategy.md", with_files)
    (run, *_) = bench_commands("".join(b.text for b in blocks_of("how-to/strategy.md") if b.language == "bash"))
    assert main([*run, "--results", str(with_files / "results"), "--networks", str(with_files / "networks")]) == 0
    assert len(list((with_files / "results").glob("class_incremental-latent_replay_with_ewc-*.json"))) == 1
