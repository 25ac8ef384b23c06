"""The compiled kernel: what is computed does not depend on threads or instruction sets, and how it is built."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from layer_pairs import assert_same, gradients, pair

from avalanche_snn.neurons import Leaky, available_kernels
from avalanche_snn.neurons.kernels import choose_kernel, cpp_calls, cpp_library

REASON = available_kernels()["cpp"]
runs = pytest.mark.skipif(REASON is not None, reason=f"the kernel 'cpp' does not run: {REASON}")
INSTRUCTION_SETS = ("plain", "avx2", "avx512")
CPU = torch.device("cpu")


def available_sets() -> list[str]:
    return [] if REASON is not None else list(INSTRUCTION_SETS[: cpp_library.library().best_set() + 1])


@pytest.fixture
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@runs
@pytest.mark.usefixtures("_threads_as_before")
@pytest.mark.parametrize("neuron", ["delayed_synaptic", "adaptive"])
def test_any_number_of_threads_computes_the_same_bits(neuron: str) -> None:
    layer = pair("cpp", neuron, dtype=torch.float32, n_inputs=40, n_neurons=70, scale=0.2)[1]
    inputs = torch.poisson(torch.full((37, 30, 40), 0.2), generator=torch.Generator().manual_seed(0))
    results = []
    for n_threads in (1, 2, 3):
        torch.set_num_threads(n_threads)
        results.append(gradients(layer, inputs))
    assert results[0][0].any()
    for spikes, found in results[1:]:
        assert torch.equal(spikes, results[0][0])
        for name, gradient in found.items():
            assert torch.equal(gradient, results[0][1][name]), name


@runs
@pytest.mark.usefixtures("_threads_as_before")
def test_a_part_that_is_denser_than_the_whole_is_listed_by_any_number_of_threads() -> None:
    inputs = torch.zeros(4, 30, 40)
    inputs[0] = (torch.rand(30, 40, generator=torch.Generator().manual_seed(0)) < 0.7).float()
    listed = []
    for n_threads in (1, 2, 3):
        torch.set_num_threads(n_threads)
        listed.append(cpp_calls.list_events(inputs))
    assert listed[0] is not None
    for events in listed[1:]:
        assert events is not None
        assert events.channels.tolist() == listed[0].channels.tolist()
        assert events.starts.tolist() == listed[0].starts.tolist()


@runs
@pytest.mark.parametrize("instruction_set", available_sets())
@pytest.mark.parametrize("neuron", ["leaky", "delayed_synaptic", "adaptive"])
@pytest.mark.parametrize("surrogate", ["fast_sigmoid/2", "sigmoid/5"])
def test_every_instruction_set_equals_the_reference(instruction_set: str, neuron: str, surrogate: str) -> None:
    reference, fast = pair("cpp", neuron, surrogate=surrogate, n_neurons=37, scale=0.3)
    inputs = torch.poisson(torch.full((19, 25, 13), 0.3, dtype=torch.float64))
    library = cpp_library.library()
    library.use_set(INSTRUCTION_SETS.index(instruction_set))
    try:
        assert_same(gradients(fast, inputs), gradients(reference, inputs))
    finally:
        library.use_set(library.best_set())


@runs
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [1.0, 1 / 0.9, 0.3])
def test_events_have_the_unit_that_dropout_left_them(dtype: torch.dtype, unit: float) -> None:
    torch.manual_seed(0)
    counts = torch.poisson(torch.full((5, 7, 40), 0.3, dtype=dtype))
    counts[0, 0, 0], counts[1, 2, 3] = 3, 255
    scaled = counts * unit
    events = cpp_calls.list_events(scaled)
    assert events is not None
    assert events.unit == pytest.approx(unit)
    assert events.held is not None
    assert events.held.tolist() == counts[counts > 0].tolist()
    weight, grads = torch.randn(3, 40, dtype=dtype), torch.randn(5, 7, 3, dtype=dtype)
    torch.testing.assert_close(cpp_calls.project(events, scaled.shape, weight, None), scaled @ weight.T)
    wanted = grads.flatten(0, 1).T @ scaled.flatten(0, 1)
    torch.testing.assert_close(cpp_calls.project_backward(events, grads, weight), wanted)


@runs
def test_what_is_no_multiple_of_one_number_has_no_events() -> None:
    sparse = torch.zeros(4, 5, 30)
    sparse[:, :, 0] = 0.5
    assert cpp_calls.list_events(sparse) is not None
    for odd in (0.8, -0.5, 200.0, float("nan"), float("inf")):
        sparse[3, 4, 29] = odd
        assert cpp_calls.list_events(sparse) is None, odd


def test_kernels_are_listed_the_fastest_first_with_the_reasons_of_those_that_do_not_run() -> None:
    assert list(available_kernels()) == ["triton", "cpp", "torch", "reference"]
    found = available_kernels("cuda")
    assert found["cpp"] == "it computes on the CPU, not on cuda"
    assert found["torch"] is None
    assert found["reference"] is None
    assert available_kernels(dtype=torch.bfloat16)["cpp"] == (
        "it computes in float32 and float64, not in torch.bfloat16"
    )


@runs
def test_auto_is_the_compiled_kernel_on_the_cpu() -> None:
    assert choose_kernel("auto", CPU, torch.float32).name == "cpp"
    assert choose_kernel("auto", CPU, torch.bfloat16).name == "torch"
    layer = Leaky(4, 3)
    assert (layer.kernel, layer.kernel_in_use) == ("auto", "cpp")
    assert layer.to(torch.bfloat16).kernel_in_use == "torch"
    assert Leaky(4, 3, reset_delay=False).kernel_in_use == "reference"
    assert Leaky(4, 3).to(torch.bfloat16)(torch.ones(2, 5, 4)).dtype == torch.bfloat16


@pytest.fixture
def nothing_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine on which the kernel was never built."""
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    cpp_library.why_no_library.cache_clear()
    cpp_library.library.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    cpp_library.why_no_library.cache_clear()
    cpp_library.library.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="built on Linux only")
def test_a_failed_build_is_named_auto_goes_on_and_nothing_is_left(
    nothing_built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "false")
    reason = available_kernels()["cpp"]
    assert reason == "the compiler 'false' failed with status 1: ?"
    with pytest.raises(ValueError, match="the kernel 'cpp' does not run here: the compiler 'false' failed"):
        Leaky(4, 3, kernel="cpp")(torch.ones(2, 5, 4))
    assert choose_kernel("auto", CPU, torch.float32).name == "torch"
    assert not list((nothing_built / "avalanche_snn").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="built on Linux only")
def test_a_machine_without_a_compiler_is_told_what_to_install(
    nothing_built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(nothing_built))
    assert available_kernels()["cpp"] == (
        "no C++ compiler was found: install g++ (or clang++), or name one in the variable CXX"
    )


@runs
def test_a_damaged_library_is_built_anew(nothing_built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cpp_library.library_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a library")
    monkeypatch.setenv("CXX", "false")
    reason = cpp_library.why_no_library()
    # The compiler was called: the file was not taken for a library.
    assert reason == "the compiler 'false' failed with status 1: ?"


BUILD_AND_RUN = """
import torch
from avalanche_snn.neurons import Leaky, available_kernels
assert available_kernels()["cpp"] is None, available_kernels()
torch.manual_seed(0)
print(Leaky(40, 30, kernel="cpp")(torch.ones(2, 5, 40)).sum().item())
"""


@pytest.mark.slow
@runs
def test_two_processes_may_build_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "TORCH_EXTENSIONS_DIR": str(tmp_path)}
    builders = [
        subprocess.Popen([sys.executable, "-c", BUILD_AND_RUN], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [builder.communicate(timeout=300)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert outputs[0] == outputs[1] != ""
    assert [path.suffix for path in (tmp_path / "avalanche_snn").iterdir()] == [".so"]
