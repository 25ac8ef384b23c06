from __future__ import annotations

import numpy as np
import pytest

from avalanche_snn.training import format_memory_size, parse_memory_size


@pytest.mark.parametrize(
    ("size", "n_bytes"),
    [
        ("160 kB", 160_000),
        ("160kB", 160_000),
        ("160 kb", 160_000),
        (" 16 KiB ", 16_384),
        ("1.6 MB", 1_600_000),
        ("1.001 kB", 1_001),  # 1000 in floating point
        ("2.5 MiB", 2_621_440),
        ("3 GB", 3_000_000_000),
        ("1 GiB", 2**30),
        ("512", 512),
        ("512 B", 512),
        ("160_000", 160_000),
        ("0", 0),
        (160_000, 160_000),
        (np.int64(7), 7),
        (0, 0),
        ("unlimited", None),
        ("Unlimited", None),
    ],
)
def test_sizes(size, n_bytes):
    assert parse_memory_size(size) == n_bytes
    assert type(parse_memory_size(size)) in (int, type(None))


@pytest.mark.parametrize(
    "size", ["", "kB", "160 kilobytes", "160 kBit", "-5 kB", "1e3", "1,5 kB", "nan", "1..5 kB", "1_ kB"]
)
def test_what_is_no_size_is_refused_with_what_would_be_one(size):
    with pytest.raises(ValueError, match="one of the units B, kB, MB, GB, KiB, MiB, GiB") as refused:
        parse_memory_size(size)
    assert f"{size!r} came" in str(refused.value)


def test_negative_sizes_are_refused():
    with pytest.raises(ValueError, match="must not be negative, but -1 bytes came"):
        parse_memory_size(-1)


@pytest.mark.parametrize(("size", "n_bytes"), [("0.5", "0.5"), ("1.0005 kB", "1000.5")])
def test_parts_of_a_byte_are_refused(size, n_bytes):
    with pytest.raises(ValueError, match=f"a whole number of bytes, but '{size}' is {n_bytes}"):
        parse_memory_size(size)


@pytest.mark.parametrize("size", [1.5, None, True, b"16 kB", [16]])
def test_other_types_are_refused(size):
    with pytest.raises(TypeError, match='a string like "160 kB" or a number of bytes'):
        parse_memory_size(size)


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (None, "unlimited"),
        (0, "0 B"),
        (999, "999 B"),
        (160_000, "160 kB"),
        (1_600_000, "1600 kB"),
        (16_384, "16384 B"),
        (2_000_000, "2 MB"),
        (3 * 10**9, "3 GB"),
    ],
)
def test_a_size_is_written_in_one_way_that_reads_back(n_bytes: int | None, text: str) -> None:
    assert format_memory_size(n_bytes) == text
    assert parse_memory_size(text) == n_bytes
