"""Offline runs of W&B, read with W&B's own reader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


class OfflineRun:
    """What is in the one run below a folder.

    `about` is W&B's digest with `config` and `summary`, `rows` the history in order, `step_metrics` the x axis of each
    metric, `artifacts` the artifacts in order.
    """

    def __init__(self, folder: Path) -> None:
        (self.folder,) = folder.glob("wandb/offline-run-*")
        (self.about,) = self._inspect("--summary")
        records = self._inspect()
        self.rows = [record["history"]["item"] for record in records if record["type"] == "history"]
        self.run = next(record["run"] for record in records if record["type"] == "run")
        metrics = [record["metric"] for record in records if record["type"] == "metric"]
        self.step_metrics = {metric["name"]: metric.get("step_metric") for metric in metrics}
        self.artifacts = [record["artifact"] for record in records if record["type"] == "artifact"]

    def curve(self, name, axis):
        """Return the points of a metric, as (x, value)."""
        return [(row[axis], row[name]) for row in self.rows if name in row]

    def image(self, name):
        """Return the path of the last image under a name."""
        return self.folder / "files" / self.about["summary"][name]["path"]

    def _inspect(self, *options):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "No such command" in done.stderr:
            pytest.skip("this version of W&B cannot print what is in a run")
        assert done.returncode == 0, done.stderr
        text = done.stdout
        return [json.loads(text)] if "--summary" in options else [json.loads(line) for line in text.splitlines()]
