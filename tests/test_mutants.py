"""What no other test would notice: each of these fails for a small change that tools/mutate.py found to survive."""

import numba
import numpy as np
import pytest
import support
from support import assert_close, panels, random_model
from table import CELLS

import nbrnn
from nbrnn.kernels import activations, gemm

# ---------------------------------------------------------------- dropout


@pytest.mark.parametrize("kind", CELLS)
def test_the_gradient_of_masked_states_is_added_to_the_losss_at_every_step(kind):
    layers = [CELLS[kind](2, recurrent_dropout=0.4, return_sequences=True, seed=5), nbrnn.Dense(1)]
    model = random_model(layers, (3, 2), 1)
    assert nbrnn.check_gradients(model, np.random.default_rng(0).normal(size=(3, 3, 2))).passed


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("place", range(3))
def test_a_logit_far_above_the_others_overflows_nothing(place):
    model = nbrnn.Sequential([nbrnn.Activation("linear")], (3,), dtype="float64")
    model.compile("sgd", nbrnn.CategoricalCrossentropy(from_logits=True))
    x = np.zeros((2, 3))
    x[:, place] = 1000.0
    y = np.eye(3)[[(place + 1) % 3, place]]
    assert [model.evaluate(x[k : k + 1], y[k : k + 1]) for k in (0, 1)] == pytest.approx([1000.0, 0.0])
    assert nbrnn.check_gradients(model, x, y).passed


# ---------------------------------------------------------------- products: the loops behind the tiles


BLOCKED = ("tiled_gradient", "pack_rows", "pack_panels", "add_rows")


@pytest.fixture
def tiles(monkeypatch):
    """Let the products run as plain Python, on vectors of 2 float64; return the names of the tiles that were used."""
    for module in (gemm, support):
        monkeypatch.setattr(module, "VECTOR_BYTES", 16)
    used = []
    for name, vectors in (("wide", 2), ("narrow", 1)):
        monkeypatch.setattr(gemm, name, tile(name, used, vectors))
    for name in ("tiled_strip", "looped_strip", "panel_width", "joint_strip", "affine", *BLOCKED):
        monkeypatch.setattr(gemm, name, plain(getattr(gemm, name)))
    return used


def plain(function):
    """Return a kernel's helper as the Python function that it was."""
    return getattr(function, "py_func", function)


def tile(name, used, vectors):
    """Return what register tiles do, in plain Python; they note their name."""

    def run(A, a_at, a_step, a_row, a_k, B, b_at, b_k, K, H, h_at, h_row, W, w_at, w_k, S, I, i_at, i_row, begun,
            C, c_at, c_row, M, columns):  # fmt: skip
        a, b, h, w, i, c = (V.reshape(-1) for V in (A, B, H, W, I, C))
        wide = vectors * gemm.VECTOR_BYTES // C.itemsize
        wide = min(wide, columns) if name == "narrow" else wide
        used.append(name)
        for m in range(M):
            line = c[c_at + m * c_row :][:wide]
            assert line.size == wide, "beyond the matrix"
            line[:] = i[i_at + m * i_row :][:wide] if begun else 0
            here = a_at + m // gemm.ROWS * gemm.ROWS * a_step + m % gemm.ROWS * a_row
            for k in range(K):
                line += a[here + k * a_k] * b[b_at + k * b_k :][:wide]
            for k in range(S):
                line += h[h_at + m * h_row + k] * w[w_at + k * w_k :][:wide]

    return run


SHAPES = [(M, K, N) for M in (1, 3, 4, 5, 8) for K in (1, 3) for N in (1, 2, 3, 4, 5, 7, 8, 9)]


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("start", [0, 1, "all"])
@pytest.mark.parametrize("transposed", [False, True])
def test_strips_cover_every_element_once(tiles, dtype, start, transposed):
    rng = np.random.default_rng(0)
    for M, K, N in SHAPES:
        draw = lambda *shape: rng.normal(size=shape).astype(dtype)
        A, B, H, W, C, I = draw(M, K), draw(K, N), draw(M, 2), draw(2, N), draw(M, N), draw(M, N)
        I = C if start == "all" else I[:start]
        begins = I.copy() if len(I) else 0
        fill = gemm._strip(numba.typeof(C), *[None] * 12)
        for states in (0, 2):
            wanted, given = begins + A @ B + H[:, :states] @ W[:states], np.ascontiguousarray(A.T) if transposed else A
            for run in (fill, gemm.strip):
                D = C.copy()
                for first in range(0, N, 4):
                    count = min(4, N - first)
                    begin = D if start == "all" else I
                    run(D, first, count, given, transposed, 0, B, first, H, states, W, first, begin)
                assert_close(D, wanted, 1e-14, (M, K, N))
    assert set(tiles) == (set() if dtype == "complex128" else {"wide", "narrow"})


@pytest.mark.parametrize("states", [0, 2])
def test_packed_weights_give_what_plain_ones_give(tiles, monkeypatch, states):
    monkeypatch.setattr(gemm, "strip", gemm.tiled_strip)
    rng = np.random.default_rng(1)
    for M, K, N in SHAPES:
        A, B, H, W, I = (rng.normal(size=shape) for shape in ((M, K), (K, N), (M, 2), (2, N), (1, N)))
        found, none = np.zeros((2, M, N)), np.zeros((0, 0, 0))
        gemm.affine(found[0], A, B, panels(B), H, states, W, panels(W), I)
        gemm.affine(found[1], A, B, none, H, states, W, none, I)
        assert_close(found[0], I + A @ B + H[:, :states] @ W[:states], 1e-14, (M, K, N))
        assert found[0].tobytes() == found[1].tobytes()
    assert set(tiles) == {"wide", "narrow"}


@pytest.mark.parametrize("N", [1, 3, 8, 9, 11, 12, 25])
def test_blocks_of_a_weight_gradient_cover_it_once(tiles, monkeypatch, N):
    """Small blocks of few rows, columns and panels; what is packed stands in places that held no numbers."""
    for name, size in (("ROWS", 4), ("DEPTH", 11), ("TALL", 8), ("PANELS", 2)):
        monkeypatch.setattr(gemm, name, size)
    monkeypatch.setattr(gemm, "strip", gemm.tiled_strip)
    rng, L = np.random.default_rng(N), 4
    for F, O in [(F, O) for F in (1, 3, 4, 5, 8, 9, 21) for O in (1, 2, 3, 4, 5, 7, 8, 9, 12, 17)]:
        x, da = rng.normal(size=(N, F)), np.concatenate([rng.normal(size=(N, O)), np.full((N, 2), np.nan)], 1)
        depth, panel_count = min(11, N), min(2, -(-O // L))
        tall, room = np.full((depth * max(1, min(8, F) // 4), 4), np.nan), np.full((depth * panel_count, L), np.nan)
        for add in (0, 1):
            before, some = rng.normal(size=(F, O)), rng.normal(size=O)
            for db in (some.copy(), some[:0]):
                dW = before.copy() if add else np.full((F, O), np.nan)
                gemm.tiled_gradient(x, da, add, dW, db, tall, room)
                assert_close(dW, x.T @ da[:, :O] + add * before, 1e-14, (N, F, O))
                if db.size:
                    assert_close(db, some + da[:, :O].sum(0), 1e-14, (N, F, O))
    assert set(tiles) == {"wide", "narrow"}


@pytest.mark.parametrize("rows", range(10))
def test_sums_of_rows_begin_with_what_is_there(tiles, rows):
    rng = np.random.default_rng(rows)
    room, db = rng.normal(size=(12, 5)), rng.normal(size=9)
    after = db.copy()
    gemm.add_rows(room, rows, 3, after, 4)
    assert_close(after[4:7], db[4:7] + room[:rows, :3].sum(0), 1e-14)
    assert (after[:4] == db[:4]).all() and (after[7:] == db[7:]).all()


# ---------------------------------------------------------------- activations


def test_the_complex_step_sees_relu_flat_at_zero_as_its_slope_does():
    a = np.complex128(1e-20j)
    assert plain(activations.act)(a, activations.RELU) == 0
    assert plain(activations.slope)(np.float64(0.0), activations.RELU) == 0
