"""The triton kernel: on the CPU in Triton's interpreter and through its compiler, on a GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from layer_pairs import CELLS, assert_same, gradients, pair
from torch import Tensor

from avalanche_snn.neurons import AdaptiveLeaky, Leaky, SpikingLayer
from avalanche_snn.neurons.kernels import KERNELS, choose_kernel, triton_kernel
from avalanche_snn.neurons.kernels.triton_kernel import TritonKernel

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_cuda = pytest.mark.skipif(
    (reason := TritonKernel().why_not(CUDA, torch.float32)) is not None, reason=f"no GPU to run on: {reason}"
)


@pytest.mark.parametrize("which", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_equals_the_reference_in_the_interpreter(which: str) -> None:
    triton = pytest.importorskip("triton", minversion="3.4")
    version = tuple(int(part) for part in triton.__version__.split(".")[:2])
    if version < (3, 7) and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        pytest.skip(f"the interpreter of Triton {triton.__version__} does not work with NumPy {np.__version__}")
    # The interpreter is chosen when Triton is imported, for the whole process: hence another one.
    cases = Path(__file__).with_name("interpreted_triton.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-m", which, str(cases)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


class TestWhyNot:
    def test_names_what_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kernel = TritonKernel()
        assert kernel.why_not(CPU, torch.float32) == "wanted a CUDA device, came 'cpu'"
        assert kernel.why_not(CUDA, torch.float16) == "wanted weights in float32 or float64, came float16"
        monkeypatch.setattr(triton_kernel, "_why_no_triton", lambda: "Triton is not installed")
        assert kernel.why_not(CUDA, torch.float32) == "Triton is not installed"

    def test_a_layer_on_the_cpu_refuses_it_by_name_and_auto_passes_it_over(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        layer = Leaky(3, 2, kernel="triton")
        with pytest.raises(ValueError, match="the kernel 'triton' does not run here: wanted a CUDA device"):
            layer(torch.zeros(1, 2, 3))
        assert choose_kernel("auto", CPU, torch.float32).name != "triton"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
    def test_on_a_machine_without_a_gpu_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(triton_kernel, "_why_no_triton", lambda: None)
        assert TritonKernel().why_not(CUDA, torch.float32) == "torch finds no CUDA device"


@pytest.mark.parametrize("neuron", ["fixed", "adaptive"])
def test_compiles_for_a_gpu_where_there_is_none(neuron: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The interpreter takes what the compiler refuses; this needs no GPU, but a compiler that is told of one.
    triton = pytest.importorskip("triton", minversion="3.4")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from avalanche_snn.neurons.kernels import triton_adaptive, triton_fixed
    from avalanche_snn.neurons.kernels.triton_programs import launch_backward, launch_forward

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    module = {"fixed": triton_fixed, "adaptive": triton_adaptive}[neuron]
    for program, launch in (
        (module._forward, launch_forward(50, True)),
        (module._backward, launch_backward(9, 50, True)),
    ):
        known = {
            "N_NEURONS": 50,
            "SAMPLES": launch.samples,
            "COLUMNS": launch.columns,
            "ROWS": launch.rows,
            "RECURRENT": True,
            "KEEP_MEMBRANES": True,
            "ALPHA": 0.8,
            "BETA": 0.9,
            "THRESHOLD": 1.0,
            "RESET": "zero",
            "SURROGATE": "fast_sigmoid",
            "PARAMETER": 100.0,
            "LOOP": 3,
            "DELAY": 2,
            "CLEAR_BEFORE_INPUT": False,
        }
        types = {"lists_pointer": "*i32", "n_samples": "i32", "n_steps": "i32"}
        names = program.arg_names
        compiled = triton.compile(
            ASTSource(
                program,
                {name: "constexpr" if name in known else types.get(name, "*fp32") for name in names},
                {name: value for name, value in known.items() if name in names},
            ),
            target=GPUTarget("cuda", 80, 32),
            options={"num_warps": launch.n_warps, "num_stages": 1, "enable_fp_fusion": False},
        )
        assert "bar.sync" in compiled.asm["ptx"]  # what one thread writes, others read


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_neurons_of_feature_maps_compile_for_a_gpu_where_there_is_none(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton = pytest.importorskip("triton", minversion="3.4")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from avalanche_snn.neurons.kernels import triton_maps

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for program in (triton_maps._forward, triton_maps._backward):
        # A single step would become a constant of Python, which has no dtype.
        assert {parameter.name: parameter.do_not_specialize for parameter in program.params}["n_steps"]
    known = {
        "BETA": 0.5,
        "THRESHOLD": 1.0,
        "RESET": "zero",
        "PASSES_RESET": True,
        "SURROGATE": "triangular",
        "PARAMETER": 1.0,
        "DOUBLE": False,
        "KEEP": True,
        "BLOCK": 512,
    }
    for program in (triton_maps._forward, triton_maps._backward):
        types = {"n_neurons": "i32", "n_steps": "i32"}
        names = program.arg_names
        compiled = triton.compile(
            ASTSource(
                program,
                {name: "constexpr" if name in known else types.get(name, f"*{dtype}") for name in names},
                {name: value for name, value in known.items() if name in names},
            ),
            target=GPUTarget("cuda", 80, 32),
            options={"num_warps": 4, "enable_fp_fusion": False},
        )
        assert "st.global" in compiled.asm["ptx"]


# B, T, C, H: the first layer of the network of compressed latent replays; batches that leave the last program of the
# way back with one sample of two; layers that do not fit the first-level cache.
SIZES = ((64, 100, 700, 200), (257, 40, 100, 50), (16, 40, 100, 1000))
GPU_CELLS = [(SIZES[0], *cell) for cell in CELLS] + [
    (size, neuron, True, "zero") for size in SIZES[1:] for neuron in ("delayed_synaptic", "adaptive")
]


@needs_cuda
class TestOnAGPU:
    """At real sizes, against the reference and the torch kernel on the same GPU."""

    @staticmethod
    def layers(
        size: tuple[int, ...], neuron: str, recurrent: bool, reset: str, dtype: torch.dtype
    ) -> tuple[SpikingLayer, SpikingLayer, Tensor]:
        """The reference layer, the same with the triton kernel, and an input."""
        n_samples, n_steps, n_inputs, n_neurons = size
        layers = pair(
            "triton", neuron, recurrent, reset, dtype=dtype, n_inputs=n_inputs, n_neurons=n_neurons, scale=0.07
        )
        for layer in layers:
            if isinstance(layer, AdaptiveLeaky):
                with torch.no_grad():
                    # Adaptation that drives its own membrane lets it grow without bounds, and rounding errors with it.
                    layer.get_parameter("a").abs_()
        generator = torch.Generator().manual_seed(2)
        inputs = torch.rand(n_samples, n_steps, n_inputs, generator=generator) < 35 / n_inputs
        return layers[0].to(CUDA), layers[1].to(CUDA), inputs.to(CUDA, dtype)

    @pytest.mark.parametrize(("size", "neuron", "recurrent", "reset"), GPU_CELLS)
    def test_float64_equals_the_reference(
        self, size: tuple[int, ...], neuron: str, recurrent: bool, reset: str
    ) -> None:
        reference, fast, inputs = self.layers(size, neuron, recurrent, reset, torch.float64)
        expected = gradients(reference, inputs)
        assert expected[0].any()
        assert_same(gradients(fast, inputs), expected)

    @pytest.mark.parametrize(("size", "neuron", "recurrent", "reset"), GPU_CELLS)
    def test_float32_differs_from_the_torch_kernel_only_where_rounding_decides(
        self,
        size: tuple[int, ...],
        neuron: str,
        recurrent: bool,
        reset: str,
        samples_decided_by_rounding: Callable[[Tensor, Tensor, Tensor], int],
        record_property: Callable[[str, object], None],
    ) -> None:
        _, layer, inputs = self.layers(size, neuron, recurrent, reset, torch.float32)
        with torch.no_grad():
            given = KERNELS["torch"].project(inputs, layer.weight, layer.bias)
        spikes, grads, membranes = {}, {}, {}
        for kernel in ("torch", "triton"):
            currents = given.clone().requires_grad_()
            membranes[kernel] = currents * 1.0  # a kernel uses up its currents: membranes take their place
            spikes[kernel] = KERNELS[kernel].neurons(membranes[kernel], layer._recurrent_weight(), layer._neuron())
            weights = torch.linspace(-1.0, 1.0, spikes[kernel].numel(), device=CUDA).view_as(spikes[kernel])
            (grads[kernel],) = torch.autograd.grad((weights * spikes[kernel]).sum(), currents)
        delay = 2 if neuron == "delayed_synaptic" else 0
        last = inputs.shape[1] - delay
        n_rounded = samples_decided_by_rounding(
            spikes["triton"][:, delay:], spikes["torch"][:, delay:], membranes["torch"].detach()[:, :last]
        )
        record_property("samples_decided_by_rounding", n_rounded)
        assert n_rounded < 0.25 * len(inputs)
        same = (spikes["triton"] == spikes["torch"]).flatten(1).all(dim=1)
        error = (grads["triton"] - grads["torch"])[same].abs().amax() / grads["torch"][same].abs().amax()
        assert error < 1e-3

    @pytest.mark.parametrize("neuron", ["delayed_synaptic", "adaptive"])
    @pytest.mark.parametrize("size", SIZES)
    def test_same_input_same_bits(self, size: tuple[int, ...], neuron: str) -> None:
        _, layer, inputs = self.layers(size, neuron, True, "zero", torch.float32)
        spikes, expected = gradients(layer, inputs)
        for _ in range(5):  # a thread that reads before another has written would show sooner or later
            spikes_again, found = gradients(layer, inputs)
            assert torch.equal(spikes_again, spikes)
            for name, gradient in found.items():
                assert torch.equal(gradient, expected[name]), name
