"""Downloads that are there whole or not at all."""

from __future__ import annotations

import http.client
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unfinished(folder: Path, say: Callable[[str], str]) -> Iterator[Path]:
    """Give a folder within another one to download and unpack in; it is gone afterwards, with all that was left there.

    What is whole is moved out of it: what an interrupted download leaves behind is never taken for data.

    Args:
        folder: made where it is missing.
        say: makes the message of an error out of its reason.

    Raises:
        FileNotFoundError: the download failed, or `folder` cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        within = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
    except OSError as error:
        raise FileNotFoundError(say(f"{folder} cannot be written to: {error}")) from error
    try:
        yield within
    except (OSError, RuntimeError, http.client.HTTPException, zipfile.BadZipFile, tarfile.TarError) as error:
        raise FileNotFoundError(say(f"{type(error).__name__}: {error}")) from error
    finally:
        shutil.rmtree(within, ignore_errors=True)
