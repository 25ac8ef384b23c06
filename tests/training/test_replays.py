from __future__ import annotations

import pytest
import torch
from tiny_learners import tiny_network

from avalanche_snn.spikes import make_codec, pack
from avalanche_snn.training.exemplar_memory import Candidates, ExemplarMemory
from avalanche_snn.training.replays import PackedReplays, RestoredReplays
from avalanche_snn.training.selection import make_selection


def filled_memory(codec="bits", largest=1):
    """300 exemplars of 8 time steps and 9 features, of classes 0 (with two task labels) and 4."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randint(0, largest + 1, (300, 8, 9), generator=generator).float()
    memory = ExemplarMemory(None, make_codec(codec, 8, 9, largest), make_selection("herding", generator))
    labels, tasks = [0] * 100 + [0] * 50 + [4] * 150, [0] * 100 + [1] * 50 + [0] * 150
    memory.update(Candidates(labels, tasks, lambda positions: latents[positions]))
    return memory


def test_exemplars_are_numbered_group_after_group():
    memory = filled_memory()
    everything, labels = memory.all_latents()
    numbers = torch.tensor([3, 99, 3, 100, 149, 150, 299])
    assert torch.equal(memory.restore(numbers), everything[numbers])
    assert labels.tolist() == [0] * 150 + [4] * 150
    found, tasks = memory.labels_of(numbers)
    assert (found.tolist(), tasks.tolist()) == ([0, 0, 0, 0, 0, 4, 4], [0, 0, 0, 1, 1, 0, 0])
    assert not torch.equal(everything[3], everything[100])


@pytest.mark.parametrize("codec", ["bits", "rice", "any/3", "count/4"])
def test_packed_replays_are_the_restored_exemplars_as_the_network_packs_them(codec):
    network = tiny_network()
    network.cut("hidden1", torch.zeros(2, 8, 12))
    network.hold_latents_up_to(7)
    memory = filled_memory(codec)
    replays = PackedReplays(memory, network.repack, torch.device("cpu"))
    numbers = torch.tensor([0, 7, 7, 120, 280])
    packed = replays.take(numbers, torch.zeros(1, 8, 2, 3, dtype=torch.uint8))
    assert torch.equal(packed, pack(memory.restore(numbers), 3))
    assert torch.equal(network.decode(packed), memory.restore(numbers))
    # 9 features in 2 bytes, 3 bits for counts up to 7.
    assert replays.nbytes == 300 * 8 * 2 * 3


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_restored_replays_have_the_dtype_of_the_minibatch(dtype):
    memory = filled_memory(largest=5)
    numbers = torch.tensor([1, 110, 200])
    replays = RestoredReplays(memory)
    rasters = replays.take(numbers, torch.zeros(1, dtype=dtype))
    assert rasters.dtype == dtype
    assert torch.equal(rasters, memory.restore(numbers).to(dtype))
    assert rasters.max() == 5
    assert replays.nbytes == 0
