"""Building and loading the compiled kernel: once a machine, on first use, with the compiler at hand.

The library is plain C++ with a C interface: building it takes seconds, and nothing but OpenMP is shared with torch. It
is kept in torch's folder for extensions (`TORCH_EXTENSIONS_DIR`) under a name that tells sources, options, torch and
machine, and holds code for several instruction sets, of which the machine that loads it picks its own.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from avalanche_snn.neurons.kernels.freed_memory import keep_freed_memory

_SOURCES = Path(__file__).parent / "cpp"
# Arithmetic that could trap is not done ahead of a choice: without traps, loops with choices in them become vectors.
_OPTIONS = ("-std=c++17", "-O3", "-fno-trapping-math", "-fPIC", "-fopenmp", "-fvisibility=hidden", "-Wno-psabi")
_BUILD_SECONDS = 300


class BuildError(RuntimeError):
    """The compiled kernel could not be built or loaded; the message says why."""


class FixedArguments(ctypes.Structure):
    """A layer of neurons with fixed time constants, as kernels.cpp has it."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n_samples", "n_steps", "n_neurons", "loop", "delay")),
        *((name, ctypes.c_int32) for name in ("clear_before_input", "reset", "surrogate", "n_threads")),
        *((name, ctypes.c_double) for name in ("threshold", "surrogate_parameter", "alpha", "beta")),
        *((name, ctypes.c_void_p) for name in ("forward", "backward")),
    )


class AdaptiveArguments(ctypes.Structure):
    """A layer of adaptive neurons, as kernels.cpp has it."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n_samples", "n_steps", "n_neurons")),
        *((name, ctypes.c_int32) for name in ("reset", "surrogate", "n_threads", "unused")),
        *((name, ctypes.c_double) for name in ("threshold", "surrogate_parameter")),
        *((name, ctypes.c_void_p) for name in ("alpha", "beta", "a", "b", "forward", "backward")),
    )


class MapsArguments(ctypes.Structure):
    """Neurons of feature maps, as kernels.cpp has it."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n_steps", "n_neurons")),
        *((name, ctypes.c_int32) for name in ("reset", "surrogate", "through_reset", "n_threads")),
        *((name, ctypes.c_double) for name in ("threshold", "surrogate_parameter", "beta")),
    )


_P, _I64, _I32, _F64 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_double
_U64, _U32 = ctypes.c_uint64, ctypes.c_uint32
_Signatures = dict[str, tuple[list[Any], Any]]  # argument types and result type
_OF_EVENTS: _Signatures = {
    "list_events": (
        [_P, _I64, _I64, _P, _P, _I64, _P, ctypes.POINTER(_I32), ctypes.POINTER(_F64), _I32],
        _I64,
    )
}
_OF_LAYERS: _Signatures = {
    "project": ([_P, _P, _P, _I64, _I64, _P, _P, _P, _I32], None),
    "product": ([_P, _I64, _I64, _I64, _P, _P, _P, _I32], None),
    "project_backward": ([_P, _P, _P, _I64, _I64, _I64, _P, _P, _I32], None),
    "integrate": ([_P, _I64, _I64, _I64, _F64, _F64, _I32, _P, _P, _I32], None),
    "integrate_backward": ([_P, _I64, _I64, _I64, _F64, _F64, _I32, _P, _P, _I32], None),
    "drop": ([_U64, _U32, _F64, _I64, _P, _P, _I32], None),
    "run_fixed": ([ctypes.POINTER(FixedArguments), _P, _P], None),
    "run_fixed_backward": ([ctypes.POINTER(FixedArguments), _P, _P, _P, _P], None),
    "run_maps": ([ctypes.POINTER(MapsArguments), _P, _P, _P], None),
    "run_maps_backward": ([ctypes.POINTER(MapsArguments), _P, _P, _P], None),
    "run_adaptive": ([ctypes.POINTER(AdaptiveArguments), _P, _P], None),
    "run_adaptive_backward": ([ctypes.POINTER(AdaptiveArguments), _P, _P, _P, _P, _P], None),
}
_OTHERS: _Signatures = {
    "samples_of_a_block": ([], _I64),
    "best_set": ([], _I32),
    "use_set": ([_I32], None),
}


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """Return the compiled kernel, built now if it never was.

    Raises:
        BuildError: no compiler, or it failed; once a process, `why_no_library` remembers the reason.
    """
    reason = why_no_library()
    if reason is not None:
        raise BuildError(reason)
    keep_freed_memory()
    return _load(library_path())


@lru_cache(maxsize=1)
def why_no_library() -> str | None:
    """Build the compiled kernel unless it is there; return why that cannot be done, or None."""
    if sys.platform != "linux":
        return f"it is built on Linux only, this is {sys.platform}"
    path = library_path()
    try:
        if not (path.exists() and _loads(path)):
            _build(path)
        _load(path)
    except (BuildError, OSError) as error:
        return str(error)
    return None


def library_path() -> Path:
    """Where the library of these sources, options, torch and machine is kept."""
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    for part in (*_OPTIONS, torch.__version__, platform.machine(), sys.platform):
        digest.update(part.encode() + b"\0")
    root = os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions"
    return Path(root) / "avalanche_snn" / f"kernels-{digest.hexdigest()[:20]}.so"


def _build(path: Path) -> None:
    """Compile into a folder of its own and move the library into place whole: others may be doing the same."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise BuildError("no C++ compiler was found: install g++ (or clang++), or name one in the variable CXX")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="building-") as folder:
        objects, built = str(Path(folder) / "kernels.o"), str(Path(folder) / "kernels.so")
        torch_libraries = str(Path(torch.__file__).parent / "lib")
        _call([*compiler.split(), *_OPTIONS, "-c", str(_SOURCES / "kernels.cpp"), "-o", objects])
        # Linked to torch's libraries instead of with -fopenmp: one OpenMP runtime in the process, which is torch's.
        link = ["-shared", objects, "-o", built, f"-L{torch_libraries}", "-Wl,--no-as-needed", "-ltorch_cpu"]
        _call([*compiler.split(), *link])
        os.replace(built, path)


def _call(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"the compiler could not be run: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["?"]
        raise BuildError(f"the compiler {command[0]!r} failed with status {done.returncode}: {lines[0].strip()}")


def _loads(path: Path) -> bool:
    """Whether a file is a library: one that was damaged is built anew."""
    try:
        _load(path)
    except OSError:
        return False
    return True


def _load(path: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(path))
    signatures = dict(_OTHERS)
    for name, signature in _OF_EVENTS.items():
        signatures |= {f"{name}_{kind}": signature for kind in ("u8", "f32", "f64")}
    for name, signature in _OF_LAYERS.items():
        signatures |= {f"{name}_{kind}": signature for kind in ("f32", "f64")}
    for name, (argument_types, result_type) in signatures.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = argument_types, result_type
    return loaded
