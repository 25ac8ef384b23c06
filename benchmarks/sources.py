"""Which code a record comes from, whether or not it was ever committed."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import avalanche_snn
import strategies

_SUFFIXES = (".py", ".cpp", ".inc")


@cache
def source_digest() -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of all code that decides a run's outcome.

    That is the package `avalanche_snn`, the strategies and the bench itself, by path and content.
    """
    digest = hashlib.sha256()
    folders = [Path(avalanche_snn.__path__[0]), Path(strategies.__path__[0]), Path(__file__).parent]
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES):
            digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()}".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
