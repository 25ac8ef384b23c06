"""What a run of the bench measures: all of it, a quick part, or hardly anything to try the bench itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.speed.ours import ANY_ADAPTATION
from benchmarks.speed.workloads import SWEEPS, WORKLOADS, Workload, tiny

#: Parts of the record, in the order in which they are measured; each can be measured alone.
SECTIONS = ("equality", "memory", "pipeline", "steps", "maps", "sweeps")


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        steps: number of threads -> names of the workloads to time.
        n_rounds: of each timing; two fewer where T is above 100.
        memory: workloads.
        sweeps: what is varied -> its values.
        n_sweep_rounds: of each of their timings.
        equality: neuron -> name of a workload.
        n_cells: to compare for each kernel, neuron and dtype.
        pipeline: measure the loader, cached latents and the opening of data as well.
        tiny: everything at no size at all.
        quick: not for the README.
    """

    steps: Mapping[int, tuple[str, ...]]
    n_rounds: int
    memory: tuple[str, ...]
    sweeps: Mapping[str, tuple[float, ...]]
    n_sweep_rounds: int
    equality: Mapping[str, str] = field(
        default_factory=lambda: {
            "synaptic": "paper",
            "delayed_synaptic": "paper",
            "leaky": "paper",
            "adaptive": "adaptive",
            ANY_ADAPTATION: "adaptive",
        }
    )
    n_cells: int = 10_000_000
    pipeline: bool = True
    tiny: bool = False
    quick: bool = False

    def workload(self, name: str) -> Workload:
        """A workload, in the size of this plan."""
        workload = WORKLOADS[name]
        if self.quick:
            workload = replace(workload, neurons=workload.neurons[:1])
        return tiny(workload) if self.tiny else workload

    def rounds_of(self, workload: Workload) -> int:
        """How often everyone runs a workload."""
        return self.n_rounds - 2 if workload.n_steps > 100 and not self.quick else self.n_rounds


FULL = Plan(
    steps={1: tuple(WORKLOADS), 2: ("paper", "adaptive")},
    n_rounds=9,
    memory=("paper", "adaptive"),
    sweeps=SWEEPS,
    n_sweep_rounds=7,
)
QUICK = Plan(
    steps={1: ("paper",)},
    n_rounds=3,
    memory=("paper",),
    sweeps={"time steps": (25, 100)},
    n_sweep_rounds=3,
    n_cells=1_000_000,
    pipeline=False,
    quick=True,
)
TINY = replace(
    QUICK, steps={1: ("paper-random",)}, memory=(), equality={"synaptic": "paper-random"}, n_cells=1, tiny=True
)
PLANS = {"full": FULL, "quick": QUICK, "tiny": TINY}
