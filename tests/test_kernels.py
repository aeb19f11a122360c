"""Every kernel against its naive twin of reference.py, called as a target calls it."""

import cmath

import cases_feedback
import cases_gated
import cases_joins
import cases_losses
import cases_masking
import cases_optim
import numpy as np
import pytest
import reference
import reference_feedback
import reference_gated
import reference_joins
import reference_losses
import reference_masking
import reference_optim
from drawing import CODES, STEP, TOLERANCES, Draw, assert_results, exactly
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import BATCH, POSITION, SHARDS, STATUS
from support import call_kernel, few, from_python, panels, sizes

from nbrnn.kernels import KERNELS, activations, gemm
from nbrnn.kernels import random as chance
from nbrnn.kernels.abi import kernel, parse

FORWARD = {  # what a complex model needs: it is never trained
    "simple_rnn_forward", "lstm_forward", "gru_after_forward", "gru_before_forward", "begin", "take_columns", "reverse",
    "put_columns", "accumulate", "blend", "multiply", "scaled", "weigh", "activation_forward", "softmax",
    "dense_forward", "flatten", "flatten_backward", "repeat_steps", "swap_axes", "look_up", "mask_zeros", "gather",
    "scatter", "load_state", "store_state", "penalty", "draw_mask", "apply_mask", "lag", "draw_coins", "choose",
} | cases_losses.LOSSES | set(cases_masking.CASES)  # fmt: skip
permute, philox = from_python(chance.permute), from_python(chance.philox)


def simple_rnn_forward(draw):
    T, B, D, H = draw(few, "T"), draw(few, "B"), draw(sizes, "D"), draw(sizes, "H")
    return dict(
        x=draw.array(T, B, D), **cases_gated.both(draw, D, H, 1), b=draw.maybe(H),
        activation=draw.code(), initial=draw(st.integers(0, 1), "initial"), a=draw.maybe(T, B, H),
        h=draw.array(draw(st.sampled_from((2, T + 1)), "states kept"), B, H),
    )  # fmt: skip


def simple_rnn_backward(draw):
    T, B, H = draw(few, "T"), draw(few, "B"), draw(sizes, "H")
    Wh, code = draw.array(H, H, scale=H**-0.5), draw.code()
    return dict(
        Wh=Wh, PT=cases_gated.turned(draw, Wh), activation=code, add=draw(st.integers(0, 1), "add"),
        h=draw.activated(code, T + 1, B, H),
        dh=draw.array(draw(st.sampled_from((1, T)), "K"), B, H), da=draw.array(T, B, cases_gated.longer(draw, H)),
        dh0=draw.maybe(B, H),
    )  # fmt: skip


def dense_forward(draw):
    N, F, O = draw(sizes, "N"), draw(sizes, "F"), draw(sizes, "O")
    W = draw.array(F, O, scale=F**-0.5)
    return dict(
        x=draw.array(N, F), W=W, **cases_gated.packed(draw, ("P", W, 1)), b=draw.maybe(O), activation=draw.code(),
        y=draw.array(N, O), a=draw.maybe(N, O),
    )  # fmt: skip


def activation_backward(draw):
    N, O, code = draw(sizes, "N"), draw(sizes, "O"), draw.code()
    return dict(y=draw.activated(code, N, O), dy=draw.array(N, O), activation=code, da=draw.array(N, O))


def weight_gradient(draw):
    N, F, O = draw(st.sampled_from((0, 1, 2, 3, 4, 5, 7, 8, 17)), "N"), draw(sizes, "F"), draw(sizes, "O")
    large = draw.dtype != "complex128" and draw(st.booleans(), "packed")
    if large:  # around the borders of a block
        N, F, O = draw(
            st.sampled_from(((gemm.DEPTH + 1, 9, 5), (2 * gemm.DEPTH, 1, 33), (2, gemm.TALL + 9, 3))), "blocks"
        )
    depth, blocks = min(gemm.DEPTH, N), max(1, min(gemm.TALL, F) // gemm.ROWS)
    tall = draw.array(depth * blocks, gemm.ROWS) if large else None
    wide, _, L = panels(np.ones((1, O), draw.dtype)).shape
    room = draw.array(depth * min(gemm.PANELS, wide), L) if large else None
    da, add = draw.array(N, cases_gated.longer(draw, O)), draw(st.integers(0, 1), "add")
    da[:, O:] = np.nan  # not to be read
    return dict(x=draw.array(N, F), da=da, add=add, dW=draw.array(F, O), db=draw.maybe(O), tall=tall, room=room)


def input_gradient(draw):
    N, F, O = draw(sizes, "N"), draw(sizes, "F"), draw(sizes, "O")
    W = draw.array(F, O)
    return dict(da=draw.array(N, O), W=W, PT=cases_gated.turned(draw, W), dx=draw.array(N, F))


def pack(draw):
    gates, each, first = draw(st.integers(1, 4), "gates"), draw(sizes, "each"), draw(st.integers(0, 3), "first")
    W = draw.array(draw(sizes, "F"), first + gates * each)
    P = draw.array(*panels(W[:, first:], gates).shape)
    start = draw(st.integers(0, len(P) - 1), "start")
    return dict(W=W, first=first, each=each, start=start, P=P[start : start + draw(few, "panels")])


def pack_transposed(draw):
    columns, first = draw(sizes, "O"), draw(st.integers(0, 3), "first")
    W = draw.array(draw(sizes, "F"), first + columns + draw(st.integers(0, 3), "more"))
    P = draw.array(*panels(W[:, first : first + columns].T).shape)
    start = draw(st.integers(0, len(P) - 1), "start")
    return dict(W=W, first=first, start=start, P=P[start:])


def flatten(draw):
    T, B, D = draw(few, "T"), draw(few, "B"), draw(sizes, "D")
    return dict(x=draw.array(T, B, D), y=draw.array(B, T * D))


def flatten_backward(draw):
    T, B, D = draw(few, "T"), draw(few, "B"), draw(sizes, "D")
    return dict(dy=draw.array(B, T * D), dx=draw.array(T, B, D))


def sum_shards(draw):
    K, P = draw(few, "K"), 16 * draw(few)
    return dict(control=draw.control(shards=draw(st.integers(1, K))), grads=draw.array(K, P))


def gather(draw):
    N, T, D = draw(sizes, "N"), draw(few, "T"), draw(few, "D")
    B = draw(st.integers(1, N), "B")
    per_sample, per_step, per_feature = (draw(st.integers(0, 40)) for _ in range(3))
    extent = 1 + (N - 1) * per_sample + (T - 1) * per_step + (D - 1) * per_feature
    return dict(
        source=draw.array(extent), order=draw.rng.permutation(N), per_sample=per_sample, per_step=per_step,
        control=draw.control(position=draw(st.integers(0, N - B))), per_feature=per_feature, x=draw.array(T, B, D),
    )  # fmt: skip


def scatter(draw):
    N, T, D = draw(sizes, "N"), draw(few, "T"), draw(few, "D")
    B = draw(st.integers(1, N), "B")
    control = draw.control(position=draw(st.integers(0, N - B)))
    return dict(y=draw.array(T, B, D), order=draw.rng.permutation(N), control=control, output=draw.array(N, T, D))


CASES = cases_feedback.CASES | cases_gated.CASES | cases_joins.CASES | cases_losses.CASES | cases_masking.CASES
CASES |= cases_optim.CASES | {
    f.__name__: f
    for f in (
        simple_rnn_forward, simple_rnn_backward, dense_forward, activation_backward, weight_gradient, input_gradient,
        pack, pack_transposed,
        flatten, flatten_backward, sum_shards, gather, scatter,
    )
}  # fmt: skip


def twin(name):
    """Return a kernel's naive twin."""
    modules = (reference, reference_feedback, reference_gated, reference_joins, reference_losses, reference_masking)
    modules += (reference_optim,)
    return next(f for m in modules if (f := getattr(m, name, None)))


def test_every_kernel_has_a_twin_and_a_case():
    own = {name for name, entry in KERNELS.items() if entry.packaged}
    assert set(CASES) == own and all(callable(twin(name)) for name in own)


@pytest.mark.parametrize(
    ("name", "dtype"), [(n, d) for n in CASES for d in TOLERANCES if d != "complex128" or n in FORWARD]
)
@settings(max_examples=60)
@given(data=st.data())
def test_kernel_equals_its_twin(name, dtype, data):
    arguments = CASES[name](Draw(data, dtype))
    with np.errstate(all="ignore"):
        expected = twin(name)(**exactly(arguments, dtype))
        actual = call_kernel(name, dtype, arguments)
    assert_results(actual, expected, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("code", CODES, ids=reference.ACTIVATIONS)
def test_a_slope_near_its_end_errs_by_less_than_the_rounding_of_the_output(code, dtype):
    """Below 1 an output is rounded by up to eps / 4, which alone moves a slope 1 - y^2 by up to eps / 2."""
    rng, eps = np.random.default_rng(5), float(np.finfo(dtype).eps)
    y = (rng.choice((-1.0, 1.0), (40, 25)) * (1.0 - 10 ** rng.uniform(-7.5, -1.0, (40, 25)))).astype(dtype)
    dy = rng.normal(size=(40, 25)).astype(dtype)
    arguments = dict(y=abs(y) if code == activations.SIGMOID else y, dy=dy, activation=code, da=np.zeros_like(y))
    actual = call_kernel("activation_backward", dtype, arguments)["da"]
    expected = reference.activation_backward(**exactly(arguments, dtype))["da"]
    assert (abs(actual - expected) <= eps / 2 * abs(dy) + eps * abs(expected)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam"])
def test_a_step_that_overflows_leaves_the_parameters(name, dtype):
    rng = np.random.default_rng(3)
    params, most = rng.normal(size=32).astype(dtype), float(np.finfo(dtype).max)
    params[5] = most
    grads = rng.normal(size=32).astype(dtype)
    grads[5] = -1e-3  # the rate below is the largest number: the step of this one parameter overflows
    hyper = {"sgd": [most, 0.0], "rmsprop": [most, 0.5, 1e-7, 0.0], "adam": [most / 2, 0.5, 0.5, 1e-7, 1.0, 1.0]}[name]
    slots = {"sgd": {"nesterov": 0, "v": None}, "rmsprop": {"v": np.zeros(32)}}.get(name)
    slots = slots or {"m": np.zeros(32), "v": np.zeros(32)}
    control = np.zeros(8, np.int64)
    with np.errstate(all="ignore"):
        arguments = dict(hyper=np.array(hyper), later=0, control=control, grads=grads, params=params, **slots)
        after = call_kernel(name, dtype, arguments)
    assert after["control"][STATUS] == 2
    assert (after["params"] == params).all()


@pytest.mark.parametrize("code", CODES, ids=reference.ACTIVATIONS)
@given(a=st.floats(-6.0, 6.0).filter(lambda a: min(abs(a), abs(a - 3), abs(a + 3)) > 1e-3))
def test_slopes_of_the_twins_are_the_derivatives_of_the_twins(code, a):
    y = reference.act(complex(a, STEP), code)
    assert cmath.isclose(reference.slope(y, code), y.imag / STEP, rel_tol=1e-12, abs_tol=1e-14)


def test_activation_codes_are_those_of_the_twins():
    assert activations.ACTIVATIONS == reference.ACTIVATIONS
    assert activations.ACTIVATIONS[activations.LINEAR] == "linear"


def test_absent_arrays_are_left_alone_and_h0_is_not_read_without_initial():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(3, 2, 4))
    h[0] = np.nan
    case = dict(x=rng.normal(size=(2, 2, 3)), Wx=rng.normal(size=(3, 4)), Wh=rng.normal(size=(4, 4)), b=None, a=None)
    after = call_kernel("simple_rnn_forward", "float64", case | dict(activation=1, initial=0, h=h))
    assert np.isfinite(after["h"][1:]).all()


def test_a_specification_that_is_not_understood_is_refused():
    with pytest.raises(ValueError, match=r"'x\[N' is not|not understood: 'x\[N'"):
        parse("x[N -> y[N]")
    with pytest.raises(ValueError, match="parameters are not the specification's names"):
        kernel("x[N] -> y[N]")(lambda y, x: None)
    arguments = {a.name: a for a in parse("x[N,T+1] c[C]:i8 k:int r:float -> !y[N]? s[S]:f8")}
    assert arguments["x"].dims == ("N", "T+1") and arguments["k"].dims is None
    assert [a.kind for a in arguments.values()] == ["model", "i8", "int", "float", "model", "f8"]
    assert [a.read for a in arguments.values()] == [True, True, True, True, True, False]
    assert [n for n, a in arguments.items() if a.written] == ["y", "s"]
    assert [n for n, a in arguments.items() if a.optional] == ["y"]
    assert [a.words for a in arguments.values()] == [4, 3, 1, 1, 3, 3]


# ---------------------------------------------------------------- chance


@pytest.mark.parametrize(
    ("counter", "key", "answer"),  # from Random123's known answers
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers(counter, key, answer):
    seed, index = np.uint64(key[0] + (key[1] << 32)), np.uint64(counter[0] + (counter[1] << 32))
    words = philox(seed, np.uint64(counter[3]), np.uint64(counter[2]), index)
    assert tuple(int(w) for w in words) == answer == tuple(reference.philox(counter, key))


@given(n=st.integers(1, 70), seed=st.integers(0, 2**40), epoch=st.integers(0, 1000))
def test_permute_is_the_twins_permutation(n, seed, epoch):
    order = np.full(n, -1)
    permute(order, seed, epoch)
    assert sorted(order) == list(range(n))
    assert order.tolist() == reference.permute(n, seed, epoch)


def test_permutations_differ_by_seed_and_by_epoch_and_are_even():
    def orders(pairs):
        result = np.zeros((len(pairs), 5), np.int64)
        for row, (seed, epoch) in zip(result, pairs, strict=True):
            permute(row, seed, epoch)
        return result

    for pairs in ([(seed, 0) for seed in range(2000)], [(7, epoch) for epoch in range(2000)]):
        got = orders(pairs)
        assert len({tuple(row) for row in got}) == 120
        for place in range(5):  # each of 5 at each place: 400 times, with a standard deviation of 18
            assert abs(np.bincount(got[:, place], minlength=5) - 400).max() < 90


def test_gathered_samples_stand_at_their_position():
    assert (POSITION, BATCH, SHARDS, STATUS) == (0, 1, 2, 6)
