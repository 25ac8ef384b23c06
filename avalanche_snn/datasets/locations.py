"""Where data sets lie on disk."""

from __future__ import annotations

import os
from pathlib import Path

ROOT_VARIABLE = "AVALANCHE_SNN_DATA"


def dataset_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Folder that holds the data sets, one folder each (``<root>/SHD/shd_train.h5``).

    The first of these that is given decides: the argument ``root``, the environment variable ``AVALANCHE_SNN_DATA``,
    Avalanche's own dataset folder (``dataset_location`` in ``~/.avalanche/config.json``). Nothing is created.

    Args:
        root: the folder asked for, or None; ``~`` stands for the home folder.

    Returns:
        An absolute path; it need not exist.

    Raises:
        ValueError: ``root`` is an empty string.
    """
    if root is not None:
        if not os.fspath(root):
            raise ValueError(
                "dataset root: a folder was wanted, '' came; name a folder, or leave it out (None) for the default"
            )
        return Path(root).expanduser().absolute()
    from_environment = os.environ.get(ROOT_VARIABLE, "")
    if from_environment:
        return Path(from_environment).expanduser().absolute()
    # Imported here: it loads the whole of Avalanche, which who names a folder does not need.
    from avalanche.benchmarks.datasets import default_dataset_location

    return Path(default_dataset_location("SHD")).expanduser().absolute().parent
