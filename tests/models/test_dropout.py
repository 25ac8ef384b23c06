"""Dropout of spikes: torch's law, from one seed, the same on the way back."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from avalanche_snn.models import RecurrentSNN, SpikeDropout
from avalanche_snn.neurons.kernels import cpp_calls, cpp_library

REASON = cpp_library.why_no_library()
compiled = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernel: {REASON}")
# More than a block of the kernel, and no whole number of them.
SHAPE = (3, 7, 401)
N_BELOW = round(0.3 * 2**16)


def xoshiro_mask(seed: int, n: int) -> list[bool]:
    """Which of n elements stay, by the definition: Python integers in the place of vectors."""
    stays = []
    for block in range(-(-n // 1024)):
        words = [[0] * 8 for _ in range(64)]
        for lane in range(8):
            number = 2 * (8 * block + lane)
            halves = [split_mix(seed + (number + which) * 0x9E3779B97F4A7C15) for which in (1, 2)]
            state = [word for half in halves for word in (half % 2**32, half >> 32)]
            for step in range(64):
                words[step][lane] = xoshiro(state)
        flat = [word for row in words for word in row]
        stays += [word % 2**16 >= N_BELOW for word in flat] + [word >> 16 >= N_BELOW for word in flat]
    return stays[:n]


def split_mix(state: int) -> int:
    state %= 2**64
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


def xoshiro(state: list[int]) -> int:
    """One word of xoshiro128++, whose state goes a step further."""
    result = (rotated((state[0] + state[3]) % 2**32, 7) + state[0]) % 2**32
    shifted = (state[1] << 9) % 2**32
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = rotated(state[3], 11)
    return result


def rotated(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) % 2**32


def test_the_generators_are_the_published_ones() -> None:
    assert split_mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF, "the first output for the seed 0"
    state = [1, 2, 3, 4]
    assert [xoshiro(state) for _ in range(4)] == [641, 1573767, 3222811527, 3517856514]


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_elements_stay_where_the_generator_says_on_every_instruction_set(dtype: torch.dtype) -> None:
    x = torch.rand(SHAPE, dtype=dtype) + 0.5
    stays = torch.tensor(xoshiro_mask(12345, x.numel())).view(SHAPE)
    wanted = torch.where(stays, x * (1 / (1 - N_BELOW / 2**16)), 0)
    library = cpp_library.library()
    try:
        for number in range(library.best_set() + 1):
            library.use_set(number)
            torch.testing.assert_close(cpp_calls.drop(x, 12345, 0.3), wanted)
    finally:
        library.use_set(library.best_set())


@compiled
def test_gradients_pass_where_elements_stayed() -> None:
    torch.manual_seed(0)
    x = torch.ones(SHAPE, requires_grad=True)
    out = SpikeDropout(0.3)(x)
    out.backward(torch.full(SHAPE, 2.0))
    assert 0 < int((out == 0).sum()) < x.numel()
    assert torch.equal(x.grad, 2 * out.detach())


@compiled
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_is_the_probability_and_the_mean_stays(p: float) -> None:
    torch.manual_seed(1)
    x = torch.ones(1000, 1000)
    out = SpikeDropout(p)(x)
    # Five standard deviations of a million draws.
    assert abs(float((out == 0).double().mean()) - p) < 5 * (p * (1 - p)) ** 0.5 / 1000
    assert abs(float(out.double().mean()) - 1) < 5 * (p / (1 - p)) ** 0.5 / 1000
    # Neighbours know nothing of each other, in rows as in columns.
    gone = (out == 0).double() - p
    for pairs in (gone[1:] * gone[:-1], gone[:, 1:] * gone[:, :-1], gone[:, 8:] * gone[:, :-8]):
        assert abs(float(pairs.mean())) < 5 * p * (1 - p) / 999


@compiled
def test_the_seed_of_torch_settles_it_for_any_number_of_threads() -> None:
    x, layer = torch.ones(40, 1024), SpikeDropout(0.5)
    found, threads = [], torch.get_num_threads()
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            torch.manual_seed(7)
            found.append((layer(x), layer(x)))
    finally:
        torch.set_num_threads(threads)
    (first, second), *others = found
    assert not torch.equal(first, second), "every call draws anew"
    for other in others:
        assert torch.equal(other[0], first)
        assert torch.equal(other[1], second)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (SpikeDropout(0.5, kernel="reference"), torch.ones(50, 4)),
        (SpikeDropout(0.5), torch.ones(50, 4, dtype=torch.bfloat16)),
        (SpikeDropout(0.0), torch.ones(50, 4)),
        (SpikeDropout(1.0), torch.ones(50, 4)),
        (SpikeDropout(0.5).eval(), torch.ones(50, 4)),
    ],
    ids=["another kernel", "half precision", "nothing", "all", "evaluation"],
)
def test_otherwise_it_is_torchs(layer: SpikeDropout, x: torch.Tensor) -> None:
    torch.manual_seed(3)
    found = layer(x)
    torch.manual_seed(3)
    assert torch.equal(found, nn.functional.dropout(x, layer.p, layer.training))


def test_nothing_at_all_comes_out_as_it_went_in() -> None:
    assert SpikeDropout(0.5)(torch.ones(0, 3)).shape == (0, 3)


def test_probabilities_too_small_for_the_kernel_are_not_zero_and_not_one() -> None:
    torch.manual_seed(0)
    for p in (1e-9, 1 - 1e-9):
        assert SpikeDropout(p)(torch.ones(100)).isfinite().all()


def test_a_network_hands_its_kernel_to_its_dropout() -> None:
    network = RecurrentSNN(4, (3,), 2, dropout=0.2, kernel="torch")
    assert network.hidden1_dropout.kernel == "torch"
    assert copy.deepcopy(network).hidden1_dropout.p == 0.2


def test_an_unknown_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kernel 'fortran'"):
        SpikeDropout(0.5, kernel="fortran")
    with pytest.raises(ValueError, match="probability"):
        SpikeDropout(1.5)
