from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from avalanche_snn.models import CuttableSequential, DelayedCopies, LeakyReadout, RecurrentSNN, TimePooling, cut
from avalanche_snn.neurons import Leaky, available_kernels

N, T, C, K = 5, 24, 12, 4
KERNELS = [
    pytest.param(
        kernel, marks=[] if reason is None else pytest.mark.skip(reason=f"the kernel {kernel!r} does not run: {reason}")
    )
    for kernel, reason in available_kernels().items()
    if kernel in ("torch", "cpp")
]
DELAYS = {"hidden1": (0, 2, 5), "hidden2": (3, 0)}
DTYPES = [torch.uint8, torch.bool, torch.int64, torch.float32, torch.float64]


def shifted_one_by_one(x: Tensor, delays: tuple[int, ...]) -> Tensor:
    """The reference: every value on its own."""
    n_samples, n_steps, n_features = x.shape
    copies = torch.zeros(n_samples, n_steps, n_features * len(delays), dtype=x.dtype)
    for place, delay in enumerate(delays):
        for step in range(n_steps):
            for feature in range(n_features):
                if step >= delay:
                    copies[:, step, place * n_features + feature] = x[:, step - delay, feature]
    return copies


def rasters(largest: int = 3) -> Tensor:
    """Spike counts, uint8."""
    generator = torch.Generator().manual_seed(1)
    spikes = torch.rand(N, T, C, generator=generator) < 0.3
    return (spikes * torch.randint(1, largest + 1, spikes.shape, generator=generator)).to(torch.uint8)


def network(*, delays: dict[str, tuple[int, ...]] | None = DELAYS, **options: object) -> RecurrentSNN:
    """A small network whose layers all spike, in float64."""
    constants = {"neuron": "adaptive", "threshold": 0.04, "surrogate": "atan/2", "readout": "mean", "seed": 0}
    model = RecurrentSNN(C, (24, 16), K, delays=delays, **constants, **options)  # type: ignore[arg-type]
    return model.double().eval()


def test_each_delay_gives_a_copy_that_is_later_by_it() -> None:
    x = torch.tensor([[[1, 10], [2, 20], [3, 30]]])
    assert DelayedCopies((0, 2, 1))(x).tolist() == [
        [[1, 10, 0, 0, 0, 0], [2, 20, 0, 0, 1, 10], [3, 30, 1, 10, 2, 20]],
    ]


@pytest.mark.parametrize("delays", [(0,), (3,), (0, 1), (5, 0, 2), (7, 8, 100, 6)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_equal_those_shifted_one_by_one(delays: tuple[int, ...], dtype: torch.dtype) -> None:
    x = (torch.randint(0, 4, (3, 8, 5), generator=torch.Generator().manual_seed(0))).to(dtype)
    copies = DelayedCopies(delays)(x)
    assert copies.dtype == dtype
    assert copies.shape == (3, 8, 5 * len(delays))
    assert torch.equal(copies, shifted_one_by_one(x, delays))
    # Some kernels hand on tensors in which the time steps stand one behind the other.
    time_first = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(DelayedCopies(delays)(time_first), copies)


def test_nothing_but_silence_comes_out_of_a_delay_that_is_as_long_as_the_sample() -> None:
    x = torch.ones(2, 6, 3)
    assert not DelayedCopies((6, 7, 1000))(x).any()
    assert DelayedCopies((5,))(x).sum() == 2 * 3


def test_a_copy_without_delay_is_a_copy() -> None:
    x = torch.ones(2, 6, 3)
    DelayedCopies((0,))(x).zero_()
    assert x.all()


def test_the_gradient_is_each_copys_shifted_back_and_added_up() -> None:
    x = torch.zeros(1, 3, 1, dtype=torch.float64, requires_grad=True)
    # Time step by time step: the copies of delay 0, 2 and 3.
    grad_copies = torch.tensor([[[1.0, 10.0, 100.0], [2.0, 20.0, 200.0], [3.0, 30.0, 300.0]]], dtype=torch.float64)
    DelayedCopies((0, 2, 3))(x).backward(grad_copies)
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [1 + 30, 2, 3]


@pytest.mark.parametrize("delays", [(0,), (5, 0, 2), (3, 8, 100)])
def test_the_gradient_is_the_transposed_operation(delays: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    layer = DelayedCopies(delays)
    copies = layer(x)
    other = torch.randn(copies.shape, dtype=torch.float64, generator=generator)
    (back,) = torch.autograd.grad(copies, x, other)
    assert (copies * other).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-12)
    assert torch.autograd.gradcheck(layer, (x,))
    # Spikes that nothing is said about come back as they went: the sum of the copies has a gradient of stride 0.
    (counted,) = torch.autograd.grad(layer(x).sum(), x)
    reached = torch.tensor([[sum(step + delay < 8 for delay in delays)] for step in range(8)], dtype=torch.float64)
    assert torch.equal(counted, reached.expand(2, 8, 3))


@pytest.mark.parametrize(
    "delays", [(), [], (-1,), (0, 4, 4), (0, 2.0), (True,), (False, 2), "04", 3, None, torch.tensor([0, 4])]
)
def test_what_are_no_delays_is_refused(delays: object) -> None:
    with pytest.raises(ValueError, match=r"delays .*: wanted one or more whole numbers of time steps, each 0 or more"):
        DelayedCopies(delays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="wanted one or more whole numbers"):
        RecurrentSNN(C, (9,), K, delays={"hidden1": delays})  # type: ignore[dict-item]


@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5, 1)])
def test_an_input_of_another_rank_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"wanted an input \[B, T, C\], came \[{shape[0]}, {shape[1]}"):
        DelayedCopies((0, 1))(torch.zeros(shape))


def test_delays_are_shown_and_copied() -> None:
    layer = DelayedCopies([0, 4, 8])
    assert repr(layer) == "DelayedCopies(0, 4, 8)"
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.delays == (0, 4, 8)
        assert torch.equal(other(rasters()), layer(rasters()))


def test_delays_stand_ahead_of_their_layer_which_has_an_input_for_every_copy() -> None:
    model = network(dropout=0.1, time_pooling={"hidden1": "any/2"})
    assert [name for name, _ in model.named_children()] == [
        "hidden1_delays", "hidden1", "hidden1_pooling", "hidden1_dropout",
        "hidden2_delays", "hidden2", "hidden2_dropout", "readout",
    ]  # fmt: skip
    assert model.get_parameter("hidden1.weight").shape == (24, 3 * C)
    assert model.get_parameter("hidden2.weight").shape == (16, 2 * 24)
    assert model.get_parameter("readout.weight").shape == (K, 16)


def test_delays_of_a_layer_that_is_not_there_list_the_layers() -> None:
    with pytest.raises(ValueError, match="delays: there is no hidden layer 'hidden3'; the layers are hidden1, hidden2"):
        network(delays={"hidden3": (0, 1)})


def test_a_delay_of_0_changes_nothing() -> None:
    plain, delayed = network(delays=None), network(delays={"hidden1": (0,), "hidden2": (0,)})
    assert list(plain.state_dict()) == list(delayed.state_dict())
    assert torch.equal(plain(rasters()), delayed(rasters()))


def test_a_layer_that_is_told_about_one_copy_alone_spikes_later_by_its_delay() -> None:
    model, plain = network(delays={"hidden1": (0, 5)}), network(delays=None)
    hidden, expected = model.get_submodule("hidden1"), plain.get_submodule("hidden1")
    with torch.no_grad():
        for name, parameter in hidden.named_parameters():
            if name == "weight":
                parameter[:, :C] = 0
                parameter[:, C:] = expected.get_parameter(name)
            else:
                parameter.copy_(expected.get_parameter(name))
    x = rasters()
    spikes, on_time = hidden(model.get_submodule("hidden1_delays")(x)), expected(x)
    assert on_time[:, :-5].any()
    assert not spikes[:, :5].any()
    assert torch.equal(spikes[:, 5:], on_time[:, :-5])


@pytest.mark.parametrize("dtype", DTYPES)
def test_rasters_of_any_dtype_give_the_same_logits(dtype: torch.dtype) -> None:
    model, x = network(), rasters(largest=1)
    expected = model(x.double())
    assert expected.any()
    assert torch.equal(model(x.to(dtype)), expected)


def test_a_callables_layer_gets_the_copies_in_its_own_dtype() -> None:
    def make(n_inputs: int, n_outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(n_inputs, n_outputs), Leaky(n_outputs, n_outputs))

    model = RecurrentSNN(C, (9,), K, neuron=make, delays={"hidden1": (0, 3)}, seed=0)
    assert torch.equal(model(rasters()), model(rasters().float()))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("save_memory", [False, True])
def test_kernels_agree_on_a_network_with_delays(kernel: str, save_memory: bool) -> None:
    reference = network(kernel="reference", time_pooling={"hidden1": "any/2"}).train()
    fast = network(kernel=kernel, time_pooling={"hidden1": "any/2"}, save_memory=save_memory).train()
    batch = rasters().repeat(4, 1, 1)
    losses = []
    for model in (reference, fast):
        loss = nn.functional.cross_entropy(model(batch), torch.arange(len(batch)) % K)
        loss.backward()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    for (name, expected), found in zip(reference.named_parameters(), fast.parameters(), strict=True):
        assert expected.grad is not None
        assert expected.grad.any(), name
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("pooling", [None, "any/3", "count/3"])
@pytest.mark.parametrize("freeze", [False, True])
def test_latents_are_held_without_copies_and_are_as_good_as_rasters(pooling: str | None, freeze: bool) -> None:
    model = network(time_pooling=None if pooling is None else {"hidden1": pooling})
    x = rasters()
    expected = model(x)
    assert expected.any()
    model.cut("hidden1", x)
    if freeze:
        model.freeze_front()
    # 24 neurons, not 48 copies of them.
    assert model.latent_shape == (T if pooling is None else T // 3, 24)
    assert model.front(x).any()
    assert torch.equal(model.back(model.front(x)), expected)
    packed = model.encode(x)
    assert packed.shape[2:] == (3, 2 if pooling == "count/3" else 1)
    assert torch.equal(model(packed), expected)
    assert torch.equal(model(x), expected)
    assert torch.equal(copy.deepcopy(model)(packed), expected)
    assert {name.split(".")[0] for name in model.front_state()} == {"hidden1"}


def test_packed_latents_and_rasters_reach_a_spiking_layer_as_bytes_through_the_copies() -> None:
    model, seen = network(), []
    for name in ("hidden1", "hidden2"):
        model.get_submodule(name).register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].dtype))
    model.cut("hidden1", rasters())
    seen.clear()
    model(rasters())
    model(model.encode(rasters()))
    assert seen == [torch.uint8, torch.float64, torch.uint8, torch.uint8]


def test_cutting_in_two_leaves_the_delays_to_the_layer_behind_them() -> None:
    model = network(time_pooling={"hidden1": "any/3"})
    front, back = cut(model, "hidden1")
    assert [name for name, _ in front.named_children()] == ["hidden1_delays", "hidden1", "hidden1_pooling"]
    assert [name for name, _ in back.named_children()] == ["hidden2_delays", "hidden2", "readout"]
    assert torch.equal(back(front(rasters())), model(rasters()))


@pytest.mark.parametrize("after", ["ears_delays", "words_delays"])
def test_a_cut_behind_the_delays_holds_the_copies(after: str) -> None:
    model = CuttableSequential(
        OrderedDict(
            ears_delays=DelayedCopies((0, 2)),
            ears=Leaky(2 * C, 9, threshold=0.2),
            ears_pooling=TimePooling(4, "count"),
            words_delays=DelayedCopies((0, 1, 2)),
            words=Leaky(3 * 9, 8, threshold=0.2),
            readout=LeakyReadout(8, K),
        )
    )
    x = rasters()
    expected = model(x)
    # From an example that is silent it cannot be seen how large counts may be; a pooling of known layers says it.
    model.cut(after, torch.zeros_like(x) if after == "words_delays" else x)
    assert model.latent_shape == ((T, 2 * C) if after == "ears_delays" else (T // 4, 3 * 9))
    assert model.largest_latent == (255 if after == "ears_delays" else 7)
    for batch in (x, x.float()):
        assert torch.equal(model.back(model.front(batch)), expected)
        assert torch.equal(model(model.encode(batch)), expected)


def test_a_network_with_delays_trains_on_latents() -> None:
    model, x = network().train(), rasters()
    model.cut("hidden1", x)
    model.freeze_front()
    nn.functional.cross_entropy(model(model.encode(x)), torch.arange(N) % K).backward()
    moved = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[0] for name in moved} == {"hidden2", "readout"}
    from_rasters = copy.deepcopy(model)
    from_rasters.zero_grad()
    nn.functional.cross_entropy(from_rasters(x), torch.arange(N) % K).backward()
    for name in moved:
        assert torch.equal(from_rasters.get_parameter(name).grad, model.get_parameter(name).grad)
