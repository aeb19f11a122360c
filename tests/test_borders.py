"""Sizes around the borders of every tile and register, for every layer and dtype, packed and not.

The twins of twins.py are vectorised; they are compared here with the naive ones of reference.py, at small sizes.
"""

import itertools
import subprocess
import sys
from dataclasses import replace

import cases_gated
import numpy as np
import pytest
import reference
import test_kernels
import twins
from drawing import CODES, Chosen, Draw, assert_results, exactly
from hypothesis import given
from hypothesis import strategies as st
from support import assert_close, call_kernel, panels, random_data, random_model

import nbrnn
from nbrnn import cases, gradcheck
from nbrnn.kernels import gemm
from nbrnn.kernels.activations import ACTIVATIONS, SIGMOID, TANH
from nbrnn.kernels.tile import VECTOR_BYTES
from nbrnn.lowering import EVALUATE
from nbrnn.states import state_views
from nbrnn.targets import cpu

native = pytest.mark.skipif(not cpu.JIT, reason="plain Python has no tiles")
BORDERS = (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 127, 130)
FORWARD = ("simple_rnn_forward", "lstm_forward", "gru_after_forward", "gru_before_forward", "dense_forward")
BACKWARD = ("simple_rnn_backward", "lstm_backward", "gru_after_backward", "gru_before_backward")
PACKED = {"Px", "Ph", "Pg", "Pn", "P", "PT", "PgT", "PnT"}
WHERE = f"vectors of {VECTOR_BYTES} bytes"
drawn = {name: test_kernels.CASES[name] for name in (*FORWARD, *BACKWARD, "weight_gradient", "input_gradient")}


@pytest.mark.parametrize("name", drawn)
@given(data=st.data())
def test_the_vectorised_twins_are_the_naive_ones(name, data):
    dtype = data.draw(st.sampled_from(("float64", "complex128") if name in FORWARD else ("float64",)), "dtype")
    arguments = exactly(drawn[name](Draw(data, dtype)), dtype)
    found, wanted = (twin(**arguments) for twin in (getattr(twins, name), test_kernels.twin(name)))
    assert found.keys() == wanted.keys() & arguments.keys()
    for key, value in found.items():
        assert_close(value, wanted[key], 1e-12, key)


@pytest.mark.parametrize("code", CODES, ids=ACTIVATIONS)
def test_the_vectorised_activations_are_the_naive_ones(code):
    a = np.concatenate([np.random.default_rng(0).normal(0.0, 3.0, 200), [0.0, -3.0, 3.0]])
    for values in (a, a + 1e-20j * a[::-1]):
        assert_close(twins.act(values, code), np.array([reference.act(one, code) for one in values]), 1e-15)
    y = twins.act(a, code)
    assert_close(twins.slope(y, code), np.array([reference.slope(one, code) for one in y]), 1e-15)


def sizes():
    """Yield (k, H, B, D): every two of H and B, and of H and D, meet once."""
    n = len(BORDERS)
    for i, H in enumerate(BORDERS):
        for j in range(n):
            yield i * n + j, H, BORDERS[(i + j) % n], BORDERS[(3 * i + 5 * j) % n]


def choices(k, **more):
    """Return what a case may choose, changing with k: the usual activations every other time, else all in turn."""
    usual = k % 2 == 0
    gates = cases_gated.BOUNDED
    return dict(
        activation=TANH if usual else k // 2 % len(ACTIVATIONS), gate=SIGMOID if usual else gates[k // 2 % len(gates)],
        initial=k // 3 % 2, taped=k % 3 > 0, final=k // 2 % 2, more=(0, 1, 16)[k % 3], **more,
    )  # fmt: skip


@native
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("name", FORWARD)
def test_forward_passes_at_every_border(name, dtype):
    """Packed weights give the same bits as plain ones; a first state that is not given is not read.

    Complex numbers know neither lanes nor tiles, so of them every fifth case: all sizes and choices meet in these too.
    """
    for k, H, B, D in itertools.islice(sizes(), 0, None, 5 if dtype == "complex128" else 1):
        T = 1 + k % 2
        packed = dtype != "complex128"
        own = choices(k, T=T, B=B, D=D, H=H, N=B, F=D, O=H, packed=packed, states_kept=T + 1)
        arguments = drawn[name](Chosen(dtype, k, **own))
        unread = arguments.get("initial") == 0
        if unread:
            arguments["h"][0] = np.nan
        what = f"H={H}, B={B}, D={D}, {WHERE}"
        with np.errstate(all="ignore"):
            expected = getattr(twins, name)(**exactly(arguments, dtype))
        actual = call_kernel(name, dtype, arguments)
        if unread and np.isnan(expected["h"][0]).all():
            assert np.isnan(actual["h"][0]).all(), what
            expected["h"], actual["h"] = expected["h"][1:], actual["h"][1:]
        assert_results(actual, expected, dtype, what)
        if packed:
            plain = call_kernel(name, dtype, {key: v for key, v in arguments.items() if key not in PACKED})
            for key in expected:
                if key in actual:
                    same = plain[key][-len(actual[key]) :].tobytes() == actual[key].tobytes()
                    assert same, f"{key}: packed and plain differ, {what}"


@native
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*BACKWARD, "input_gradient"])
def test_backward_passes_at_every_border(name, dtype):
    for k, H, B, D in sizes():
        own = choices(k, T=1 + k % 2, B=B, D=D, H=H, N=B, F=D, O=H, K=1 + k % 2 if k % 3 else 1)
        for turned in (False, True):
            arguments = drawn[name](Chosen(dtype, k, **own, transposed_copy=turned))
            expected = getattr(twins, name)(**exactly(arguments, dtype))
            actual = call_kernel(name, dtype, arguments)
            assert_results(actual, expected, dtype, f"H={H}, B={B}, D={D}, transposed copy {turned}, {WHERE}")


@native
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weight_gradients_at_every_border(dtype, monkeypatch):
    """Both ways, and in blocks so many rows, columns and panels long that these sizes fall around their ends."""
    depth, tall, most = gemm.DEPTH, gemm.TALL, gemm.PANELS
    L = 2 * VECTOR_BYTES // np.dtype(dtype).itemsize
    ends = [(n, 9, 2 * L + 1) for n in (depth - 1, depth, depth + 1, 2 * depth, 2 * depth + 3)]
    ends += [(3, f, L) for f in (tall - 1, tall, tall + 1, tall + 8, 2 * tall + 3)]
    ends += [(depth + 2, 8, o) for o in (most * L - 1, most * L, most * L + 1, 2 * most * L + L + 1)]
    for k, (N, F, O) in enumerate([(B, D, H) for _, H, B, D in sizes()] + ends):
        rng = np.random.default_rng(k)
        x, more = rng.normal(size=(N, F)).astype(dtype), (0, 1, 16)[k % 3]
        da = np.concatenate([rng.normal(size=(N, O)), np.full((N, more), np.nan)], 1).astype(dtype)
        dW, db = rng.normal(size=(F, O)).astype(dtype), rng.normal(size=O).astype(dtype)
        arguments = dict(x=x, da=da, add=k % 2, dW=dW, db=db if k % 4 else None)
        expected = twins.weight_gradient(**exactly(arguments, dtype))
        rows, width = min(depth, N), -(-O // L)
        rooms = dict(
            tall=np.zeros((rows * max(1, min(tall, F) // gemm.ROWS), gemm.ROWS), dtype),
            room=np.zeros((rows * min(most, width), L), dtype),
        )
        for room in ({}, rooms):
            actual = call_kernel("weight_gradient", dtype, arguments | room)
            assert_results(actual, expected, dtype, f"N={N}, F={F}, O={O}, rooms {bool(room)}, {WHERE}")


# ---------------------------------------------------------------- packed weights


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_fills_up_a_panel_is_zero(dtype):
    """Panels hold the matrix' numbers, and zeros elsewhere, whatever stood there."""
    L = 2 * VECTOR_BYTES // np.dtype(dtype).itemsize
    for k, (each, F) in enumerate([(1, 3), (L - 1, 2), (L, 1), (L + 1, 2), (2 * L + 3, 5)]):
        gates, first = 1 + k % 4, k % 3
        W = np.random.default_rng(k).normal(size=(F, first + gates * each)).astype(dtype)
        empty = np.zeros_like(panels(W[:, first:], gates))
        P = call_kernel("pack", dtype, dict(W=W, first=first, each=each, start=0, P=empty))["P"]
        assert P.tobytes() == panels(W[:, first:], gates).tobytes() and (P == 0).sum() == P.size - F * gates * each
        V = np.ascontiguousarray(W.T)
        empty = np.zeros_like(panels(V[:, :F].T))
        P = call_kernel("pack_transposed", dtype, dict(W=V, first=0, start=0, P=empty))["P"]
        assert P.tobytes() == panels(V[:, :F].T).tobytes() and (P == 0).sum() == P.size - V.size


# ---------------------------------------------------------------- whole models

LAYERS = {
    "SimpleRNN": nbrnn.SimpleRNN,
    "LSTM": nbrnn.LSTM,
    "GRU after": nbrnn.GRU,
    "GRU before": lambda units, **more: nbrnn.GRU(units, reset_after=False, **more),
}


def converted(case, dtype):
    """Return a case in another dtype, as arrays of its own."""
    return cases.Case(*(a.astype(dtype) if isinstance(a, np.ndarray) else a for a in vars(case).values()))


def direction(rng, arrays):
    return {name: rng.normal(size=array.shape) for name, array in arrays.items()}


@native
@pytest.mark.parametrize("kind", LAYERS)
def test_tiled_gradients_are_the_complex_steps_at_every_border(kind, monkeypatch):
    """Everything is moved in one random direction, by the plain loops that serve complex numbers.

    The float64 gradients come from packed weights and blocked products, the smallest ones too, and those of float32
    from lanes; each must give the same derivative in that direction.
    """
    monkeypatch.setattr(nbrnn.products, "LARGE", 1)
    for k, H in enumerate((*BORDERS, 64, 128)):  # 64, 128: rows of some are padded
        B, D = (BORDERS[n % len(BORDERS)] for n in (-1 - k, 5 * k + 3))
        rng = np.random.default_rng(k)
        layer = LAYERS[kind](H, return_sequences=k % 2 == 0, activation=ACTIVATIONS[TANH if k % 3 else k // 3])
        model = random_model([layer], (3, D), seed=k, scale=0.7 / np.sqrt(H + D))
        case = gradcheck._case(model, random_data(model, B, k, 3)[0], None, None, None, k)
        case = case if k % 2 else replace(case, states=None)
        exact = cases.run_backward(model, case)[1]
        moved, single = (converted(case, kind) for kind in ("c16", "f4"))
        twin = cases.plain_copy(model, "complex128")
        twin.loss, executor = model.loss, moved.executor(twin, EVALUATE)
        arrays = dict(twin.layers[0]._named()) | {"x": moved.x}
        if moved.states is not None:
            views = state_views(twin._units(), B, moved.states)
            arrays |= {f"{name}0": view for name, view in views.items()}
        along = direction(rng, arrays)
        for name, array in arrays.items():
            array += 1e-30j * along[name]
        numeric = cases.run_loss(executor, twin).imag / 1e-30
        terms = np.concatenate([(exact[name] * along[name]).reshape(-1) for name in arrays])
        assert abs(terms.sum() - numeric) <= 1e-12 * np.abs(terms).sum(), f"H={H}, B={B}, D={D}"
        small = cases.plain_copy(model, "float32")
        small.loss = model.loss
        near = cases.run_backward(small, single)[1]
        for name in arrays:
            assert_close(near[name], exact[name], 1e-4, f"{name}, H={H}, B={B}, D={D}")


# ---------------------------------------------------------------- vectors of another width


@native
@pytest.mark.parametrize("width", [32 if VECTOR_BYTES != 32 else 16])  # NBRNN_VECTOR_BYTES=16 pytest ...: the third
def test_layers_and_products_at_every_border_for_vectors_of_another_width(width, environment):
    """Of float64 the products alone: what else it does knows no width."""
    chosen = "(forward_passes or backward_passes or weight_gradients or fills_up)"
    chosen += " and (float32 or float64 and (dense or input_gradient or weight or fills_up))"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", chosen],
        env=environment(NBRNN_VECTOR_BYTES=width), check=False, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0 and "16 passed" in done.stdout, done.stdout
