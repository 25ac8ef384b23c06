"""The memory owns its bytes, never passes its budget, and keeps a fair choice."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avalanche_snn.spikes import make_codec
from avalanche_snn.training import BudgetTooSmallError, ExemplarMemory
from avalanche_snn.training.exemplar_memory import Candidates
from avalanche_snn.training.selection import coverage_order, make_selection

CODECS = ["bits", "rice", "any/3", "count/3"]
T, H = 8, 10
BOOKKEEPING = 3 * 8  # bytes a group: class label, task label, samples seen


class WatchedMemory(ExemplarMemory):
    """Looks at its real tensors whenever rows are replaced."""

    n_looks = 0

    def _replace(self, group, rows):
        super()._replace(group, rows)
        self.look()

    def look(self):
        self.n_looks += 1
        tensors = [self._index]
        for rows in self._groups:
            tensors += [rows.data] if rows.lengths is None else [rows.data, rows.lengths]
        storages = {id(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}
        assert self.nbytes == sum(tensor.nbytes for tensor in tensors) == sum(storages.values())
        assert self.budget is None or self.nbytes <= self.budget


def watched(budget, codec="bits", selection="random", *, seed=0, shape=(T, H), largest=1):
    generator = torch.Generator().manual_seed(seed)
    return WatchedMemory(budget, make_codec(codec, *shape, largest), make_selection(selection, generator))


def offer(groups, *, seed=0, density=0.2, largest=1, shape=(T, H)):
    """Candidates of `{label: how many}` or `{(label, task): how many}`, with random latents; and the latents."""
    keys = [key if isinstance(key, tuple) else (key, 0) for key, n in groups.items() for _ in range(n)]
    generator = torch.Generator().manual_seed(seed)
    latents = (torch.rand(len(keys), *shape, generator=generator) < density).float()
    latents = latents * torch.randint(1, largest + 1, latents.shape, generator=generator)
    candidates = Candidates([key[0] for key in keys], [key[1] for key in keys], lambda at: latents[at])
    return candidates, latents


@pytest.mark.parametrize("selection", ["random", "herding", "coverage"])
@pytest.mark.parametrize("codec", CODECS)
def test_the_budget_holds_at_every_moment_as_classes_arrive(codec, selection):
    memory = watched(1000, codec, selection)
    for experience in range(8):
        # A new class with more samples than ever fit, and an old one again.
        again = {experience - 1: 15} if experience else {}
        memory.update(offer({experience: 300, **again}, seed=experience, density=0.1 + 0.1 * experience)[0])
        assert len(memory.keys) == experience + 1
        assert min(memory.counts.values()) >= 1
        longest = memory.codec.max_row_bytes + (2 if codec == "rice" else 0)
        # Fixed rows waste less than a row; of rows of different lengths the last group may leave some.
        # Rows that are kept for coverage are longer than the others, and of the mean length more would fit.
    n_missing = {"bits": 1, "rice": 5 if selection == "coverage" else 2}.get(codec, 1)
    assert memory.nbytes > 1000 - longest * n_missing
    assert memory.n_looks > 30
    assert memory.n_seen[0, 0] == 300 + 15


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CODECS),
    st.sampled_from(["random", "herding", "coverage"]),
    st.integers(0, 400),
    st.lists(st.dictionaries(st.integers(0, 5), st.integers(1, 12), min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_any_sequence_of_offers_is_held_within_the_budget(codec, selection, slack, experiences):
    groups = set().union(*experiences)
    memory = watched(0, codec, selection)
    memory.expect(torch.ones(1, T, H))  # nothing is longer
    memory.budget = memory.least_budget(len(groups)) + slack
    latents_of = {label: [] for label in groups}
    for number, experience in enumerate(experiences):
        candidates, latents = offer(experience, seed=number)
        memory.update(candidates)
        memory.look()
        for label, latent in zip(candidates.labels, memory.codec.decode(memory.codec.encode(latents)), strict=True):
            latents_of[label].append(latent)
    assert all(count >= 1 for count in memory.counts.values())
    assert {label for label, _ in memory.keys} == groups
    assert memory.n_seen == {key: len(latents_of[key[0]]) for key in memory.keys}
    stored, labels = memory.all_latents()
    for latent, label in zip(stored, labels.tolist(), strict=True):
        assert any(torch.equal(latent, candidate) for candidate in latents_of[label])
    if memory.nbytes < memory.budget - memory.least_budget(len(groups)):
        assert all(memory.counts[key] == memory.n_seen[key] for key in memory.keys)


def test_worked_out_bytes():
    memory = watched(None)
    memory.update(offer({0: 3, 1: 2})[0])
    # 8 x 10 bits are 10 bytes.
    assert memory.nbytes == 5 * 10 + 2 * BOOKKEEPING
    memory = watched(None, "any/3")
    memory.update(offer({0: 3, 1: 2})[0])
    # 3 windows x 10 bits, 4 bytes.
    assert memory.nbytes == 5 * 4 + 2 * BOOKKEEPING
    memory = watched(None, "count/3")
    memory.update(offer({0: 3})[0])
    # 3 windows x 10 counts of 0..3, 60 bits.
    assert memory.nbytes == 3 * 8 + BOOKKEEPING
    memory = watched(None, "rice")
    candidates, latents = offer({0: 4, 1: 1}, density=0.05)
    memory.update(candidates)
    rows = memory.codec.row_bytes(memory.codec.encode(latents))
    assert memory.nbytes == int(rows.sum()) + 5 * 2 + 2 * BOOKKEEPING
    assert len(set(rows.tolist())) > 1


@pytest.mark.parametrize("selection", ["random", "herding", "coverage"])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("n_groups", [1, 3, 7])
def test_the_least_budget_works_and_a_byte_less_does_not(codec, selection, n_groups):
    # The densest latents take the most bytes.
    candidates, latents = offer(dict.fromkeys(range(n_groups), 4), density=0.5)
    expecting = watched(0, codec, selection)
    expecting.expect(latents)
    least = expecting.least_budget(n_groups)
    memory = watched(least, codec, selection)
    memory.expect(latents)
    memory.update(candidates)
    assert len(memory.counts) == n_groups
    assert min(memory.counts.values()) >= 1
    memory = watched(least - 1, codec, selection)
    memory.expect(latents)
    with pytest.raises(ValueError, match=f"one exemplar of each of {n_groups} classes.* at least {least} bytes"):
        memory.update(candidates)
    assert (len(memory), memory.nbytes, memory.n_looks) == (0, 0, 0)


def test_the_least_budget_is_worked_out():
    assert watched(0, "bits").least_budget(3) == 3 * (10 + BOOKKEEPING)
    # A byte of header and two of length are the least that there can be; of dense latents ten more.
    memory = watched(0, "rice")
    assert memory.least_budget(3) == 3 * (1 + 2 + BOOKKEEPING)
    memory.expect(torch.cat((torch.zeros(1, T, H), torch.ones(1, T, H))))
    assert memory.least_budget(3) == 3 * (10 + 1 + 2 + BOOKKEEPING)


def test_rows_that_turn_out_longer_than_expected():
    candidates, latents = offer({0: 4, 1: 4}, density=0.5)
    rows = watched(0, "rice").codec.row_bytes(watched(0, "rice").codec.encode(latents)) + 2
    shortest = max(int(rows[:4].min()), int(rows[4:].min()))
    memory = watched(2 * (shortest - 1 + BOOKKEEPING) + 1, "rice")
    with pytest.raises(BudgetTooSmallError, match="one exemplar of each of 2 classes") as caught:
        memory.update(candidates)
    assert caught.value.least_bytes == 2 * (shortest + BOOKKEEPING)
    assert (len(memory), memory.nbytes) == (0, 0)
    memory = watched(caught.value.least_bytes, "rice")
    memory.update(candidates)
    assert memory.counts == {(0, 0): 1, (1, 0): 1}


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_has_changed_after_an_offer_that_does_not_fit(codec):
    memory = watched(0, codec)
    memory.budget = memory.least_budget(2) + 30
    memory.update(offer({0: 5, 1: 5})[0])
    before = copy.deepcopy(memory)
    with pytest.raises(ValueError, match="too small for one exemplar of each of 4 classes"):
        memory.update(offer({0: 5, 2: 5, 3: 5}, seed=1)[0])
    if codec != "any/3":
        # One that cannot be stored is noticed before anything is.
        with pytest.raises(ValueError, match="2 came"):
            memory.update(Candidates([0], [0], lambda at: torch.full((len(at), T, H), 2.0)))
    assert memory.nbytes == before.nbytes
    assert (memory.counts, memory.n_seen) == (before.counts, before.n_seen)
    assert torch.equal(memory.all_latents()[0], before.all_latents()[0])


def numbered(numbers, label=0):
    """Samples that carry their number in their bits."""
    numbers = list(numbers)
    bits = torch.tensor([[(number >> bit) & 1 for bit in range(16)] for number in numbers], dtype=torch.float32)
    latents = bits.reshape(-1, 2, 8)
    return Candidates([label] * len(numbers), [0] * len(numbers), lambda at: latents[at])


def numbers_in(memory, label=0):
    latents, labels = memory.all_latents()
    values = latents[labels == label].reshape(-1, 16).to(torch.int64) << torch.arange(16)
    return values.sum(1).tolist()


def test_random_selection_is_a_reservoir():
    """30, then 20, then 10 samples of a class: each of the 60 is kept as often, though the room shrinks in between."""
    n_runs, counts = 500, np.zeros(60)
    for seed in range(n_runs):
        memory = watched(2 * BOOKKEEPING + 24 * 2, seed=seed, shape=(2, 8))
        memory.update(numbered(range(30)))
        memory.update(numbered(range(30, 50)))
        memory.update(numbered(range(100, 140), label=1))
        memory.update(numbered(range(50, 60)))
        kept = numbers_in(memory)
        assert len(kept) == len(set(kept)) == 12
        counts[kept] += 1
    expected = n_runs * 12 / 60
    deviation = np.sqrt(expected * (1 - 12 / 60))
    assert np.abs(counts - expected).max() < 4 * deviation
    for part in (slice(0, 30), slice(30, 50), slice(50, 60)):
        n = len(counts[part])
        assert abs(counts[part].mean() - expected) < 4 * deviation / np.sqrt(n)


def test_what_is_drawn_at_random_depends_on_the_seed_only():
    kept = []
    for seed in (0, 0, 1):
        memory = watched(BOOKKEEPING + 12 * 2, seed=seed, shape=(2, 8))
        memory.update(numbered(range(40)))
        kept.append(numbers_in(memory))
    assert kept[0] == kept[1] != kept[2]


def herding_by_hand(features):
    """iCaRL's Algorithm 4, one candidate at a time."""
    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    target, chosen = features.mean(0), []
    for _ in range(len(features)):
        distances = {
            i: np.linalg.norm(np.mean([features[j] for j in [*chosen, i]], axis=0) - target)
            for i in range(len(features))
            if i not in chosen
        }
        chosen.append(min(distances, key=distances.get))
    return chosen


def test_herding_keeps_what_icarl_keeps():
    candidates, latents = offer({0: 25}, density=0.4)
    order = herding_by_hand(latents.mean(dim=1).double().numpy())
    for n_kept in (1, 4, 11, 25):
        memory = watched(BOOKKEEPING + n_kept * 10, selection="herding")
        memory.update(candidates)
        assert torch.equal(memory.all_latents()[0], latents[order[:n_kept]])
    # As classes arrive, the last in the order are the first to go.
    memory = watched(2 * BOOKKEEPING + 12 * 10, selection="herding")
    memory.update(candidates)
    memory.update(offer({1: 25}, seed=1)[0])
    stored, labels = memory.all_latents()
    assert torch.equal(stored[labels == 0], latents[order[:6]])


def test_coverage_begins_in_the_middle_and_goes_to_the_farthest():
    # Directions at 0, 6, 90 and 45 degrees: the last is the nearest to their mean, then come the two ends.
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 3.0], [2.0, 2.0]])
    assert coverage_order(features) == [3, 0, 2, 1]
    assert sorted(coverage_order(torch.ones(3, 2))) == [0, 1, 2]


def test_herding_keeps_as_much_of_each_experience():
    """The same class in three experiences, and then less room: old and new go alike."""
    memory = watched(2 * BOOKKEEPING + 24 * 2, selection="herding", shape=(2, 8))
    for experience in range(3):
        memory.update(numbered(range(100 * experience, 100 * experience + 30)))
    kept = np.array(numbers_in(memory)) // 100
    assert np.bincount(kept).tolist() == [12, 12, 12]
    memory.update(numbered(range(500, 540), label=1))
    kept = np.array(numbers_in(memory)) // 100
    assert np.bincount(kept).tolist() == [4, 4, 4]


@pytest.mark.parametrize("selection", ["random", "herding", "coverage"])
@pytest.mark.parametrize(
    ("sizes", "room", "kept"),
    [
        ({0: 2, 1: 5, 2: 100}, 30, [2, 5, 23]),  # what small classes leave goes to the others
        ({0: 100, 1: 100, 2: 100}, 30, [10, 10, 10]),
        ({0: 100, 1: 100, 2: 100}, 32, [11, 11, 10]),  # and no row is lost to rounding
        ({0: 100, 1: 4, 2: 100, 3: 7}, 27, [8, 4, 8, 7]),
        ({0: 3, 1: 3}, 30, [3, 3]),
    ],
)
def test_the_budget_is_shared_out_in_full(sizes, room, kept, selection):
    memory = watched(len(sizes) * BOOKKEEPING + room * 10 + 9, selection=selection)
    memory.update(offer(sizes)[0])
    counts = [memory.counts[label, 0] for label in sizes]
    assert sum(counts) == min(room, sum(sizes.values()))
    assert sorted(counts) == sorted(kept)
    assert all(abs(a - b) <= 1 for a, b in zip(counts, kept, strict=True))


def test_task_labels_make_groups_of_their_own():
    memory = watched(None)
    memory.update(offer({(3, 0): 4, (3, 1): 2, (5, 1): 3})[0])
    assert memory.counts == {(3, 0): 4, (3, 1): 2, (5, 1): 3}
    shares = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    labels, tasks = memory.labels_of(memory.draw(8, shares, torch.Generator().manual_seed(0)))
    drawn = list(zip(labels.tolist(), tasks.tolist(), strict=True))
    assert [drawn.count(key) for key in memory.keys] == [4, 2, 2]


@pytest.mark.parametrize("codec", CODECS)
def test_draws_restore_samples_with_their_labels(codec):
    memory = watched(None, codec)
    candidates, latents = offer({0: 6, 1: 3})
    memory.update(candidates)
    restored = memory.codec.decode(memory.codec.encode(latents))
    generator = torch.Generator().manual_seed(0)
    numbers = memory.draw(9, torch.tensor([2 / 3, 1 / 3], dtype=torch.float64), generator)
    drawn, (labels, _) = memory.restore(numbers), memory.labels_of(numbers)
    # No row twice as long as there are others left: nine draws are the nine samples.
    for label, part in ((0, restored[:6]), (1, restored[6:])):
        of_label = drawn[labels == label]
        assert sorted(x.numpy().tobytes() for x in of_label) == sorted(x.numpy().tobytes() for x in part)


def test_draws_have_the_expected_shares():
    memory = watched(None)
    memory.update(offer({0: 6, 1: 3, 2: 3})[0])
    shares = torch.tensor([0.5, 0.35, 0.15], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    counts = np.zeros(3)
    for _ in range(400):
        labels = memory.labels_of(memory.draw(5, shares, generator))[0]
        drawn = np.bincount(labels, minlength=3)
        assert len(labels) == 5
        assert (np.abs(drawn - 5 * shares.numpy()) < 1).all()
        counts += drawn
    assert counts / 2000 == pytest.approx(shares.numpy(), abs=0.03)


@pytest.mark.parametrize("selection", ["random", "herding", "coverage"])
def test_recoding_keeps_balance_values_and_the_budget(selection):
    """Three small classes and a large one that fills their room; then every row doubles."""
    memory = watched(4 * BOOKKEEPING + 40 * 10, selection=selection)
    candidates, latents = offer({0: 2, 1: 2, 2: 2, 3: 100})
    memory.update(candidates)
    assert sorted(memory.counts.values()) == [2, 2, 2, 34]
    looks = memory.n_looks
    memory.recode(make_codec("bits", T, H, 3))
    assert memory.n_looks > looks
    assert memory.codec.max_row_bytes == 20
    assert sorted(memory.counts.values()) == [2, 2, 2, 14]
    stored, labels = memory.all_latents()
    for latent, label in zip(stored, labels.tolist(), strict=True):
        assert any(torch.equal(latent, latents[i]) for i in range(106) if candidates.labels[i] == label)
    memory.update(offer({4: 5}, seed=1, largest=3)[0])
    assert memory.all_latents()[0].max() == 3


def test_recoding_that_does_not_fit_changes_nothing():
    memory = watched(2 * (BOOKKEEPING + 10))
    memory.update(offer({0: 4, 1: 4})[0])
    before = copy.deepcopy(memory)
    with pytest.raises(ValueError, match="at least 88 bytes"):
        memory.recode(make_codec("bits", T, H, 3))
    assert memory.codec.max_row_bytes == 10
    assert torch.equal(memory.all_latents()[0], before.all_latents()[0])


def test_no_limit_and_no_samples():
    memory = watched(None)
    assert (len(memory), memory.nbytes) == (0, 0)
    assert memory.all_latents()[0].shape == (0, T, H)
    for experience in range(3):
        memory.update(offer({0: 50, experience: 50}, seed=experience)[0])
    assert sum(memory.counts.values()) == sum(memory.n_seen.values()) == 50 + 100 + 100


def test_the_order_of_arrival_does_not_matter_to_the_shares():
    sizes = {0: 40, 1: 3, 2: 40, 3: 12}
    kept = set()
    for order in itertools.permutations(sizes):
        memory = watched(4 * BOOKKEEPING + 36 * 10)
        for number, label in enumerate(order):
            memory.update(offer({label: sizes[label]}, seed=number)[0])
        kept.add(tuple(memory.counts[label, 0] for label in sizes))
    assert kept <= {(11, 3, 10, 12), (10, 3, 11, 12), (11, 3, 11, 11), (10, 3, 11, 12)}
