from __future__ import annotations

from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avalanche_snn.spikes import bin_events

quick = settings(deadline=None, max_examples=60)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.uint16]]:
    n_events = draw(st.integers(0, 200))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    return generator.uniform(0, 1.6, n_events).astype(dtype), generator.integers(0, 70, n_events).astype(np.uint16)


def test_worked_out_by_hand() -> None:
    # Five steps of 20 ms; three channels of two units each.
    raster = bin_events(
        [0.0, 0.019, 0.02, 0.05, 0.055, 0.0999],
        [0, 1, 5, 2, 3, 4],
        n_time_steps=5,
        duration_ms=100.0,
        n_units=6,
        n_channels=3,
    )
    assert raster.dtype == np.uint8
    assert raster.tolist() == [[2, 0, 0], [0, 0, 1], [0, 2, 0], [0, 0, 0], [0, 0, 1]]


@quick
@given(recordings(), st.integers(1, 40), st.sampled_from([1, 2, 5, 7, 10, 14, 35, 70]))
def test_equals_numpy_histogram2d(
    recording: tuple[npt.NDArray[np.generic], npt.NDArray[np.uint16]], n_time_steps: int, n_channels: int
) -> None:
    times, units = recording
    settings_ = {"n_time_steps": n_time_steps, "duration_ms": 1400.0, "n_units": 70, "n_channels": n_channels}
    raster = bin_events(times, units, **settings_)
    seconds = times.astype(np.float64)
    # histogram2d closes its last bin on the right; the raster's is open, like all others.
    before_end = seconds < 1.4
    expected, _, _ = np.histogram2d(
        seconds[before_end],
        units[before_end],
        bins=[
            [step * 1400.0 / (1000.0 * n_time_steps) for step in range(n_time_steps + 1)],
            np.linspace(0, 70, n_channels + 1),
        ],
    )
    assert np.array_equal(raster, expected)
    assert raster.sum() == before_end.sum()
    assert np.array_equal(bin_events(times, units, binary=True, **settings_), expected > 0)


@quick
@given(recordings(), st.randoms(use_true_random=False))
def test_order_of_events_does_not_matter(
    recording: tuple[npt.NDArray[np.generic], npt.NDArray[np.uint16]], random: Random
) -> None:
    times, units = recording
    order = list(range(len(times)))
    random.shuffle(order)
    assert np.array_equal(
        bin_events(times, units, n_units=70, n_channels=70),
        bin_events(times[order], units[order], n_units=70, n_channels=70),
    )


def test_defaults_are_those_of_shd() -> None:
    raster = bin_events([0.7], [699])
    assert raster.shape == (100, 700)
    assert np.argwhere(raster).tolist() == [[50, 699]]


def test_an_event_on_an_edge_belongs_to_the_step_that_begins_there() -> None:
    # Multiples of 14 ms written as decimal fractions; dividing them by 0.014 gives a wrong step for 8 of the 100.
    edges = np.array([float(f"{step * 14}e-3") for step in range(100)])
    assert np.count_nonzero((edges / 0.014).astype(int) != np.arange(100)) == 8
    steps, units = np.nonzero(bin_events(edges, np.arange(100)))
    assert np.array_equal(steps, units)
    steps, units = np.nonzero(bin_events(np.nextafter(edges[1:], 0.0), np.arange(1, 100)))
    assert np.array_equal(steps, units - 1)


def test_half_precision_times_are_compared_in_double_precision() -> None:
    # The float16 nearest to 0.014 s is 0.0139999..., and that nearest to 0.098 s is 0.0980224...
    times = np.array([0.014, 0.098], dtype=np.float16)
    assert float(times[0]) < 0.014
    assert float(times[1]) > 0.098
    assert np.flatnonzero(bin_events(times, [0, 0])[:, 0]).tolist() == [0, 7]


def test_events_at_or_past_the_end_are_dropped() -> None:
    times = [np.nextafter(1.4, 0.0), 1.4, 1.5, 60.0]
    assert np.argwhere(bin_events(times, [3, 4, 5, 6])).tolist() == [[99, 3]]


def test_no_events_are_silence() -> None:
    raster = bin_events([], [], n_time_steps=3, n_channels=7)
    assert raster.shape == (3, 7)
    assert not raster.any()


def test_255_events_fit_in_a_cell_and_256_do_not() -> None:
    raster = bin_events([0.1] * 255, [8] * 255)
    assert raster.max() == 255
    with pytest.raises(
        ValueError, match=r"but 256 fall in time step 7 of channel 8\. Use more time steps .* binary=True"
    ):
        bin_events([0.1] * 256, [8] * 256)
    assert bin_events([0.1] * 256, [8] * 256, binary=True).sum() == 1


@pytest.mark.parametrize(
    ("times", "units", "message"),
    [
        ([0.1, -0.25], [0, 0], "must not be negative, but event 1 is at -0.25 s"),
        ([0.1, float("nan")], [0, 0], "must be finite, but event 1 is at nan s"),
        ([float("inf"), 0.1], [0, 0], "must be finite, but event 0 is at inf s"),
        ([0.1, 0.2], [0, 700], "Units must lie between 0 and 699, but 700 came"),
        ([0.1, 0.2], [0, -1], "Units must lie between 0 and 699, but -1 came"),
        ([0.1, 0.2], [0], r"as long as each other, but shapes \[2\] and \[1\] came"),
        ([[0.1, 0.2]], [[0, 0]], r"one-dimensional .* shapes \[1, 2\] and \[1, 2\] came"),
        ([0.1], [0.0], "units must be integers, but float64 came"),
    ],
)
def test_wrong_events_are_named(times: list[float], units: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bin_events(times, units)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"n_channels": 128},
            "must divide the 700 units.* but 128 came. The nearest .*: 35, 50, 70, 100, 140, 175",
        ),
        ({"n_channels": 0}, "but 0 came. The nearest that do: 1, 2, 4, 5, 7, 10"),
        ({"n_channels": 1400}, "but 1400 came. .* 350, 700"),
        ({"n_time_steps": 0}, "n_time_steps must be at least 1, but 0 came"),
        ({"duration_ms": 0.0}, "duration_ms must be a positive time in milliseconds, but 0.0 came"),
        ({"duration_ms": float("nan")}, "duration_ms must be .* but nan came"),
        ({"n_units": 0}, "n_units must be at least 1, but 0 came"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bin_events([0.1], [0], **wrong)
