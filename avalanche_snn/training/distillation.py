"""Distillation: the network as it was before an experience says what old classes should look like."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from avalanche_snn.models import CuttableSequential


class Teacher:
    """A network as it is now, which looks on while the original is trained.

    A frozen front is shared with the original, as it will not change; only the back is copied.

    Args:
        model: the network; it stays as it is.
        classes: those that it knows: the columns of its logits that count.

    Attributes:
        classes: in ascending order.
    """

    def __init__(self, model: nn.Module, classes: Iterable[int]) -> None:
        self.classes = sorted(set(classes))
        shared: dict[int, object] = {}
        if isinstance(model, CuttableSequential) and model.front_is_frozen:
            shared = {id(layer): layer for layer in model.front_layers()}
        # A layer that deepcopy finds in its memo is taken as it is. What only training needs is not copied at all.
        self._model = copy.deepcopy(model, shared).eval()
        self._own = [
            tensor
            for layer in self._model.children()
            if id(layer) not in shared
            for tensor in (*layer.parameters(), *layer.buffers())
        ]
        self._model.requires_grad_(False)

    @property
    def nbytes(self) -> int:
        """Bytes of what was copied."""
        return sum(tensor.nbytes for tensor in self._own)

    def loss(self, samples: Tensor, labels: Tensor, logits: Tensor, temperature: float) -> Tensor:
        """Return how far logits are from the teacher's on the classes that it knows (Hinton et al. 2015).

        The Kullback-Leibler divergence of the softmax over these classes, both divided by the temperature, from the
        teacher's; times the squared temperature, which keeps gradients as large as those of a cross-entropy. Where the
        teacher takes a sample of a class that it knows for another one, there is nothing to learn from it: those
        samples count 0. Samples of new classes, of which it can say only what they are like, count.

        Args:
            samples: rasters `[B, T, C]` or packed latents, as the network takes them.
            labels: int64 `[B]`.
            logits: of the network in training, `[B, K]`.
            temperature: above 0.

        Returns:
            A scalar, the mean over samples.
        """
        columns = torch.tensor(self.classes, device=logits.device)
        with torch.no_grad():
            of_teacher = self._model(samples)[:, columns]
            is_right = columns[of_teacher.argmax(dim=1)] == labels
            counts = is_right | ~torch.isin(labels, columns)
            wanted = functional.log_softmax(of_teacher / temperature, dim=1)
        found = functional.log_softmax(logits[:, columns] / temperature, dim=1)
        divergences = functional.kl_div(found, wanted, log_target=True, reduction="none").sum(dim=1)
        return (divergences * counts).mean() * temperature**2
