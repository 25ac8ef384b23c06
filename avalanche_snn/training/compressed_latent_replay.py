"""Compressed latent replay (Dequino et al. 2024, arXiv 2407.03111) as a plugin for any supervised strategy."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from avalanche_snn.benchmarks.whole_batches import rasters_of
from avalanche_snn.models import INPUT
from avalanche_snn.spikes import make_codec
from avalanche_snn.training.beginning import begins_a_run
from avalanche_snn.training.distillation import Teacher
from avalanche_snn.training.er_ace import join_buffer
from avalanche_snn.training.exemplar_memory import Candidates, ExemplarMemory
from avalanche_snn.training.frozen_front import FrozenFront
from avalanche_snn.training.latent_view import LatentCache, seen_through_view
from avalanche_snn.training.memory_size import parse_memory_size
from avalanche_snn.training.network_to_cut import network_to_cut
from avalanche_snn.training.plugin_ahead import PluginAhead
from avalanche_snn.training.raw_memory import (
    first_rasters,
    fit_codec,
    labels_of,
    memory_of_rasters,
    rasters_of_largest_latents,
)
from avalanche_snn.training.replay_plan import BALANCED, ReplayPlan
from avalanche_snn.training.replay_settings import (
    check_company,
    check_distillation,
    check_n_augmented,
    check_replay_share,
    check_threshold_scale,
)
from avalanche_snn.training.replays import PackedReplays, Replays, RestoredReplays
from avalanche_snn.training.restored_counts import largest_restored
from avalanche_snn.training.selection import make_selection


class CompressedLatentReplayPlugin(PluginAhead):
    """Freeze the front of a spiking network after the first experience and replay compressed latents from then on.

    The first experience trains the whole network. At its end the front, up to the layer `after`, is frozen, and the
    memory is filled with latents: the spike trains that the front puts out. In every later experience the latents of
    the new samples are computed once, each minibatch is made of new latents and decoded replays, and only the back
    is trained. Optimizer, loss, metrics and loggers are the strategy's own; other plugins stand beside this one in any
    order. Evaluation takes rasters as ever.

    What a minibatch is made of: `train_mb_size` samples (as nearly as whole samples allow, one of them new at least),
    of which `replay_share` are replays. "balanced" makes every class equally frequent, and within a class every sample
    seen so far, new or old, equally likely: the minibatches that joint training would have, as far as the memory
    allows and the new classes are equally frequent among themselves. What other plugins add comes on top.

    With `after="input"` the memory holds rasters and nothing is frozen: raw replay.

    The strategy's model must be a `CuttableSequential` (as `RecurrentSNN` is); a plain `nn.Sequential` becomes one
    before the first experience, with the same layers and parameter names, as `strategy.model`.

    Args:
        after: name of the last layer of the front (with its time pooling), or "input".
        memory: budget in bytes, labels and bookkeeping included: "160 kB", 160_000, or "unlimited"; 0 for no replays.
        codec: how latents are stored, see `avalanche_snn.spikes.make_codec`: "bits" and "rice" are lossless, "any/10",
            "any/10/middle" and "count/10" pool windows of time steps (the paper's codes).
        selection: which samples are kept: "random" (a reservoir), "herding" or "coverage".
        replay_share: "balanced", or the fraction of a minibatch that replays make up, above 0 and below 1.
        distillation: weight of a loss that keeps the logits of old classes as they were before the experience, on new
            samples and replays alike, except where they were wrong (see `avalanche_snn.training.distillation`); 0 for
            none. Not in the first one.
        temperature: by which logits are divided in that loss, above 0.
        n_augmented: latents of each new sample under the benchmark's `train_transform`, so many seeded draws that are
            computed once, beside the one under its `eval_transform`; each epoch takes any of them. The memory keeps
            those under the `eval_transform`.
        threshold_scale: by how much the thresholds of the back rise when the front is frozen; below 1 where fewer time
            steps bring fewer spikes (Replay4NCL, arXiv 2503.17061; `TimePooling(late=True)`).
        evaluation_mode: train the back in evaluation mode, as it will be evaluated: the statistics of batch
            normalisation stand still after the first experience, and no dropout drops anything.
        seed: of the plugin's own random generator; the global one is drawn from only to choose among augmented latents.

    Raises:
        TypeError: `memory` is neither a string nor an int, or `replay_share` neither a string nor a number. In
            training: a model that is no sequence of named layers.
        ValueError: a bad memory size, code, selection, share, weight or temperature. In training: a layer that is not
            there, latents that are not spikes or spike counts, or a budget too small for one exemplar of each class,
            with the least that works; all of these before the experience is trained, but for the latents' bytes under
            "rice", which show when the front has been trained.
    """

    def __init__(
        self,
        after: str = "hidden2",
        memory: str | int = "160 kB",
        codec: str = "bits",
        *,
        selection: str = "random",
        replay_share: float | str = BALANCED,
        distillation: float = 0.0,
        temperature: float = 2.0,
        n_augmented: int = 0,
        threshold_scale: float = 1.0,
        evaluation_mode: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_replay_share(replay_share)
        check_distillation(distillation, temperature)
        check_n_augmented(n_augmented)
        check_threshold_scale(threshold_scale)
        make_codec(codec, n_time_steps=2**16, n_features=1)  # a bad spec should not wait for the first experience
        self.cut_after = after
        self.budget = parse_memory_size(memory)
        self.codec = codec
        self.replay_share = replay_share
        self.distillation = float(distillation)
        self.temperature = float(temperature)
        self.n_augmented = n_augmented
        self.threshold_scale = float(threshold_scale)
        self.evaluation_mode = evaluation_mode
        self._generator = torch.Generator().manual_seed(seed)
        self._selection = make_selection(selection, self._generator)
        self._memory: ExemplarMemory | None = None
        self._n_experiences = 0
        # Other plugins' buffers keep views of earlier experiences alive, or do not.
        self._caches: weakref.WeakSet[LatentCache] = weakref.WeakSet()
        self._cache: LatentCache | None = None
        self._front: FrozenFront | None = None
        self._plan: ReplayPlan | None = None
        self._replays: Replays | None = None
        self._teacher: Teacher | None = None
        self._classes_seen: set[int] = set()

    @property
    def memory(self) -> ExemplarMemory:
        """The memory of exemplars.

        Raises:
            ValueError: no experience has been trained yet.
        """
        if self._memory is None:
            raise ValueError("The memory exists from the start of the first experience on: train one first.")
        return self._memory

    @property
    def memory_bytes(self) -> int:
        """Bytes that persist between experiences."""
        return 0 if self._memory is None else self._memory.nbytes

    @property
    def working_bytes(self) -> int:
        """Bytes held at this moment that exist only while training.

        Cached latents, restored exemplars, the copy of the frozen front, and the teacher of a distillation.
        """
        held = sum(part.nbytes for part in (self._front, self._replays, self._teacher) if part is not None)
        return held + sum(cache.memory_bytes for cache in self._caches)

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {
            "after": self.cut_after,
            "memory": self.budget,
            "codec": self.codec,
            "selection": type(self._selection).__name__,
            "replay_share": self.replay_share,
            "distillation": self.distillation,
            "temperature": self.temperature,
            "n_augmented": self.n_augmented,
            "threshold_scale": self.threshold_scale,
            "evaluation_mode": self.evaluation_mode,
            "seed": self._generator.initial_seed(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the memory with its bytes, and how far random draws and replays have come."""
        return {
            "n_experiences": self._n_experiences,
            "generator": self._generator.get_state(),
            "memory": None if self._memory is None else self._memory.state_dict(),
            "owed": 0.0 if self._plan is None else self._plan.owed,
            "classes": sorted(self._classes_seen),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state over; what lasts as long as an experience is computed anew, from the same numbers."""
        self._n_experiences = state["n_experiences"]
        self._generator.set_state(state["generator"])
        self._classes_seen = set(state["classes"])
        if state["memory"] is None:
            self._memory = None
        else:
            # Replays of the present experience go on drawing from the memory that there is.
            if self._memory is None:
                self._memory = ExemplarMemory(self.budget, make_codec(*state["memory"]["codec"]), self._selection)
            self._memory.load_state_dict(state["memory"])
        if self._plan is not None:
            self._plan.owed = state["owed"]

    def before_training(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Come ahead of the strategy's own code, and make its network one that can be cut."""
        check_company(sum(isinstance(plugin, CompressedLatentReplayPlugin) for plugin in strategy.plugins))
        strategy.model = network_to_cut(strategy.model, self.cut_after)
        # What a training that was interrupted has left.
        self._put_front_back(strategy)
        self._forget_experience()
        super().before_training(strategy, *args, **kwargs)

    def _before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Prepare data, network and memory before the strategy looks at them."""
        if self._n_experiences and begins_a_run(strategy):
            raise ValueError(
                f"This CompressedLatentReplayPlugin has seen {self._n_experiences} experiences of another run: give "
                "each strategy a plugin of its own."
            )
        self._forget_experience()
        if self.cut_after != INPUT:
            strategy.experience, self._cache = seen_through_view(strategy.experience)
            self._caches.add(self._cache)
        if self._n_experiences == 0:
            self._memory = self._make_memory(strategy, first_rasters)
        elif self.cut_after == INPUT:
            fit_codec(self.memory, strategy.experience.dataset.eval())
        if self.budget != 0:
            self._require_room(strategy.experience)
        if self.cut_after != INPUT and self._n_experiences > 0:
            self._fill_caches(strategy)
            self._front = FrozenFront(strategy.model)
        if self.distillation and self._n_experiences > 0:
            self._teacher = Teacher(strategy.model, self._classes_seen)
        n_samples = strategy.train_mb_size
        if len(self.memory) > 0:
            self._plan = ReplayPlan(self.memory.n_seen, labels_of(strategy.experience.dataset)[0], self.replay_share)
            # Only the data loaders, which are made now, have to know.
            strategy.train_mb_size = self._plan.new_among(n_samples)
            self._replays = (
                RestoredReplays(self.memory)
                if self.cut_after == INPUT
                else PackedReplays(self.memory, strategy.model.repack, strategy.device)
            )
        try:
            type(strategy)._before_training_exp(strategy, **kwargs)
        finally:
            strategy.train_mb_size = n_samples

    def _before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Put the frozen front back where the strategy has swapped or reset its network."""
        self._put_front_back(strategy)
        type(strategy)._before_training_epoch(strategy, **kwargs)

    def _before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Add replays to the minibatch."""
        if self._plan is not None:
            add_replays = partial(self._with_replays, strategy)
            if not join_buffer(strategy, add_replays):
                strategy.mbatch = add_replays(strategy.mbatch)
        type(strategy)._before_training_iteration(strategy, **kwargs)

    def before_backward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Add the distillation to the loss."""
        if self._teacher is not None:
            distance = self._teacher.loss(strategy.mb_x, strategy.mb_y, strategy.mb_output, self.temperature)
            strategy.loss += self.distillation * distance

    def _after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Freeze the front after the first experience, and offer the experience's samples to the memory."""
        self._put_front_back(strategy)
        if self.cut_after != INPUT and self._n_experiences == 0:
            strategy.model.freeze_front()
            if not strategy.model.knows_largest_latent:
                # What the first samples were in an untrained network says little of what the memory will hold.
                find = partial(rasters_of_largest_latents, front=strategy.model.front, device=strategy.device)
                self._memory = self._make_memory(strategy, find)
            strategy.model.scale_back_thresholds(self.threshold_scale)
            if self.evaluation_mode:
                strategy.model.stay_in_evaluation_mode()
            self._fill_caches(strategy)
        if self.budget != 0:
            self._remember(strategy)
        self._classes_seen.update(labels_of(strategy.experience.dataset)[0])
        self._n_experiences += 1
        type(strategy)._after_training_exp(strategy, **kwargs)
        self._forget_experience()

    def _forget_experience(self) -> None:
        self._cache, self._plan, self._replays, self._front, self._teacher = None, None, None, None, None

    def _make_memory(self, strategy: Any, find_example: Callable[[Any], Tensor]) -> ExemplarMemory:
        """Cut the network, and make a memory for what its front puts out, or for rasters."""
        dataset = strategy.experience.dataset.eval()
        if self.cut_after == INPUT:
            return memory_of_rasters(dataset, self.codec, self.budget, self._selection)
        strategy.model.cut(self.cut_after, find_example(dataset).to(strategy.device))
        n_time_steps, n_features = strategy.model.latent_shape
        codec = make_codec(self.codec, n_time_steps, n_features, strategy.model.largest_latent)
        strategy.model.hold_latents_up_to(largest_restored(codec))
        return ExemplarMemory(self.budget, codec, self._selection)

    def _require_room(self, experience: Any) -> None:
        """See that the budget holds an exemplar of each class, of the whole benchmark where it tells its classes."""
        groups = {*self.memory.keys, *zip(*labels_of(experience.dataset), strict=True)}
        known = [getattr(experience, name, None) or [] for name in ("classes_seen_so_far", "future_classes")]
        self.memory.require_room_for(max(len(groups), len(set().union(*known))))

    def _fill_caches(self, strategy: Any) -> None:
        """Compute the latents of the experience, and of an interrupted one that buffers still look at."""
        # Of the first experience only what the memory keeps is wanted.
        n_augmented = self.n_augmented if self._n_experiences else 0
        seed = (self._generator.initial_seed() + self._n_experiences) % 2**32
        for cache in list(self._caches):
            cache.fill(strategy.model.encode, strategy.device, n_augmented, seed)

    def _put_front_back(self, strategy: Any) -> None:
        if self._front is not None:
            self._front.put_back(strategy.model)

    def _with_replays(self, strategy: Any, minibatch: list[Tensor]) -> list[Tensor]:
        """Return samples, class labels and, where there are any, task labels, with replays behind them."""
        if self._plan is None or self._replays is None:
            return minibatch
        if not (n_replays := self._plan.replays_for(len(strategy.mb_y))):
            return minibatch
        numbers = self.memory.draw(n_replays, self._plan.group_shares, self._generator)
        replays = self._replays.take(numbers, minibatch[0])
        labels, task_labels = self.memory.labels_of(numbers)
        joined = [torch.cat((minibatch[0], replays)), torch.cat((minibatch[1], labels.to(minibatch[1])))]
        if len(minibatch) > 2:
            joined += [*minibatch[2:-1], torch.cat((minibatch[-1], task_labels.to(minibatch[-1])))]
        return joined

    def _remember(self, strategy: Any) -> None:
        """Offer the samples of the experience to the memory."""
        dataset, cache = strategy.experience.dataset.eval(), self._cache

        def latents(positions: list[int]) -> Tensor:
            if cache is None:
                return rasters_of(dataset, positions)
            decoded: Tensor = strategy.model.decode(cache.latents[positions].to(strategy.device))
            return decoded.cpu()

        self.memory.update(Candidates(*labels_of(dataset), latents))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_caches": list(self._caches)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _caches=weakref.WeakSet(state["_caches"]))
