"""Cells from outside the package: a module in another folder is imported, and its class is a layer like others."""

import sys
from pathlib import Path

import numpy as np
import pytest
from cases_cells import MIN_GRU, TEXTS, changed, forget, own_cell, written
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_close, few, seeds

import nbrnn
from nbrnn import Bidirectional, Dense
from nbrnn.layers import LAYERS
from nbrnn.targets import cache, cpu
from nbrnn.targets.fingerprints import fingerprint
from nbrnn.testing import assert_gradients, random_model
from nbrnn.tracing.itemise import itemise

needs_jit = pytest.mark.skipif(not cpu.JIT, reason="about compiled code")


@pytest.fixture(scope="module")
def cells():
    """Return the custom cells by name."""
    return {name: own_cell(name) for name in TEXTS}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def parts_of(layer, x):
    """Return z and n of minGRU for all steps, which need no state."""
    Wz, bz, Wn, bn = layer.get_weights()
    return sigmoid(x @ Wz + bz), x @ Wn + bn


def in_turn(z, n, h):
    """minGRU step by step."""
    states = []
    for t in range(z.shape[1]):
        h = (1 - z[:, t]) * h + z[:, t] * n[:, t]
        states.append(h)
    return np.stack(states, axis=1)


def in_parallel(z, n, h):
    """minGRU as its paper trains it: pairs (a, b) of h = a h_prev + b are joined, in log2(T) rounds for all steps."""
    a, b = 1 - z, z * n
    step = 1
    while step < a.shape[1]:
        b = np.concatenate([b[:, :step], a[:, step:] * b[:, :-step] + b[:, step:]], axis=1)
        a = np.concatenate([a[:, :step], a[:, step:] * a[:, :-step]], axis=1)
        step *= 2
    return a * h[:, None] + b


# ---------------------------------------------------------------- the numbers


@given(steps=st.sampled_from((1, 2, 5, 8)), features=few, units=st.sampled_from((1, 3, 17, 40)), seed=seeds)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_min_gru_is_its_equations_step_by_step_and_in_parallel(cells, dtype, steps, features, units, seed):
    model = random_model([cells["MinGRU"](units, return_sequences=True)], (steps, features), seed=seed, dtype=dtype)
    rng = np.random.default_rng(seed)
    x, h0 = rng.normal(size=(3, steps, features)), rng.normal(size=(3, units))
    got = model.predict(x, initial_state=[h0])
    for way in (in_turn, in_parallel):
        expected = way(*parts_of(model.layers[0], x.astype(dtype)), h0.astype(dtype))
        assert_close(got, expected, 1e-5 if dtype == "float32" else 1e-12)


def test_a_cell_of_two_states_is_the_packages_lstm(cells):
    shape, rng = (6, 3), np.random.default_rng(0)
    x, y = rng.normal(size=(40, *shape)), rng.normal(size=(40, 2))
    models, states = [], {"h": rng.normal(size=(40, 5)), "c": rng.normal(size=(40, 5))}
    for cell in (nbrnn.LSTM, cells["OwnLSTM"]):
        model = random_model([cell(5, return_state=True, name="one"), Dense(2)], shape, seed=3, loss="mse")
        model.compile("adam", "mse")
        models.append(model)
    models[1].set_weights(models[0].get_weights())
    given = {f"one/{name}": state for name, state in states.items()}
    for ours, theirs in zip(*(m.predict(x, initial_state=given) for m in models), strict=True):
        assert_close(theirs, ours, 1e-12)
    reports = [nbrnn.check_gradients(m, x[:3], initial_state={n: s[:3] for n, s in given.items()}) for m in models]
    assert all(report.passed for report in reports)
    for (name, ours), theirs in zip(reports[0].gradients.items(), reports[1].gradients.values(), strict=True):
        assert_close(theirs, ours, 1e-11, name)
    losses = [m.fit(x, y, batch_size=20, epochs=3, shuffle=False, verbose=0).history["loss"] for m in models]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-10)


@settings(max_examples=40)
@given(data=st.data(), steps=st.sampled_from((1, 2, 4)), features=few, seed=seeds)
@pytest.mark.parametrize("name", ("MinGRU", "OwnLSTM", "Leaky"))
def test_gradients_are_exact_whatever_the_options(cells, name, data, steps, features, seed):
    draw = lambda values: data.draw(st.sampled_from(values))
    own = {"leak": draw((0.5, 0.9)), "order": draw((1, 2))} if name == "Leaky" else {}
    options = {key: draw((False, True)) for key in ("return_sequences", "go_backwards", "stateful")} | own
    layer = cells[name](draw((1, 2, 3)), dropout=draw((0.0, 0.25)), **options)
    layers = [Bidirectional(layer)] if draw((False, True)) else [layer]
    if draw((False, True)):
        layers.insert(0, nbrnn.GRU(2, return_sequences=True))
    if layer.return_sequences and draw((False, True)):
        layers.append(cells[name](2))
    assert_gradients(random_model([*layers, Dense(1)], (steps, features), seed=seed, loss="mse"), seed=seed)


def test_a_shared_cell_adds_its_gradients(cells):
    a, b, shared = nbrnn.Input((4, 2), "a"), nbrnn.Input((4, 2), "b"), cells["MinGRU"](3)
    model = nbrnn.Model([a, b], Dense(1)(nbrnn.Concatenate()([shared(a), shared(b)])), seed=0, dtype="float64")
    rng = np.random.default_rng(0)
    assert nbrnn.check_gradients(model, [rng.normal(size=(2, 4, 2)) for _ in range(2)]).passed


def test_states_are_carried_set_and_streamed(cells):
    model = random_model([cells["OwnLSTM"](3, stateful=True)], (4, 2), seed=1)
    x = np.random.default_rng(2).normal(size=(2, 8, 2))
    whole = random_model([cells["OwnLSTM"](3)], (8, 2), seed=1)
    first, last = model.predict(x[:, :4], batch_size=2), model.predict(x[:, 4:], batch_size=2)
    assert not np.allclose(first, last)
    assert_close(last, whole.predict(x), 1e-12)
    assert sorted(name.rpartition("/")[2] for name in model.states) == ["c", "h"]
    session = whole.stream(batch_size=2)
    for t in range(8):
        now = session.step(x[:, t])
    assert_close(now, whole.predict(x), 1e-12)


# ---------------------------------------------------------------- training and files


def trained(cell, threads, epochs=3):
    model = nbrnn.Sequential([cell(9, return_sequences=True), cell(5), Dense(1)], input_shape=(6, 3), seed=0)
    model.compile("adam", "mse")
    rng, before = np.random.default_rng(0), nbrnn.get_num_threads()
    x, y = rng.normal(size=(96, 6, 3)), rng.normal(size=(96, 1))
    nbrnn.set_num_threads(threads)
    try:
        history = model.fit(x, y, batch_size=64, epochs=epochs, verbose=0).history["loss"]
    finally:
        nbrnn.set_num_threads(before)
    return model, x, history


@pytest.mark.parametrize("name", ("MinGRU", "OwnLSTM"))
def test_the_bits_are_the_same_for_any_number_of_threads(cells, name):
    one, two = (trained(cells[name], threads) for threads in (1, 2))
    assert one[2] == two[2] and one[2][-1] < one[2][0]
    for ours, theirs in zip(one[0].get_weights(), two[0].get_weights(), strict=True):
        assert (ours == theirs).all()


PLAIN = """
import sys, numpy as np
sys.path[:0] = sys.argv[1:3]
from cases_cells import MIN_GRU, written
from pathlib import Path
from test_cells import trained
from nbrnn.targets import cpu
assert not cpu.JIT
model, x, history = trained(written(Path(sys.argv[2]), "mingru", MIN_GRU).MinGRU, 1)
np.savez(sys.argv[2] + "/plain.npz", *model.get_weights(), y=model.predict(x[:4]))
"""


@needs_jit
def test_plain_python_gives_the_compiled_weights(cells, run_python, tmp_path):
    run_python(PLAIN, Path(__file__).parent, tmp_path, NUMBA_DISABLE_JIT=1)
    model, x, _ = trained(cells["MinGRU"], 1)
    plain = np.load(tmp_path / "plain.npz")
    assert_close(plain["y"], model.predict(x[:4]), 1e-4)
    for k, weight in enumerate(model.get_weights()):
        assert_close(plain[f"arr_{k}"], weight, 1e-4)


def test_a_file_loads_where_the_cell_is_known_and_says_what_to_import_elsewhere(cells, tmp_path, monkeypatch):
    model = random_model([Bidirectional(cells["Leaky"](3, leak=0.25)), Dense(1)], (4, 2), loss="mse")
    path, x = tmp_path / "m.safetensors", np.ones((1, 4, 2))
    model.save(path)
    again = nbrnn.load_model(path)
    assert again.layers[0].both[0].values == {"leak": 0.25, "order": 2}
    assert (again.predict(x) == model.predict(x)).all()
    monkeypatch.delitem(LAYERS, "Leaky")
    with pytest.raises(ValueError, match=r"its layer Leaky is none of nbrnn's; .* module 'leaky': import that first"):
        nbrnn.load_model(path)


# ---------------------------------------------------------------- traces


@pytest.mark.parametrize("name", ("MinGRU", "OwnLSTM", "Leaky"))
@pytest.mark.parametrize("backwards", (False, True))
def test_a_trace_has_the_declared_arrays_of_every_step(cells, name, backwards):
    layers = [cells[name](3, return_sequences=True, go_backwards=backwards), cells[name](2), Dense(1)]
    model = random_model(layers, (4, 2), seed=5, loss="mse")
    x = np.random.default_rng(1).normal(size=(4, 2))
    states = {n: np.full((1, units), 0.3) for n, units in model._units().items()}
    found = nbrnn.trace(model, x, [0.5], initial_state=states)
    first, own = found.layers[0], layers[0].steps
    for step, back in zip(first.steps, first.backward, strict=True):
        assert {"x", "h_prev", "h", *own.tape} <= set(step.names)
        assert {"dh_loss", "dh_future", "dh", "dh_prev", "dx", *own.scratch} <= set(back.names)
    assert_close(first.steps[1].h_prev, first.steps[0].h, 0)
    if name == "MinGRU":
        z, _ = parts_of(found.model.layers[0], (x[::-1] if backwards else x)[None])
        assert_close(np.array([s.z for s in first.steps]), z[0], 1e-12)
        assert_close(np.array([b.dn for b in first.backward]), z[0] * np.array([b.dh for b in first.backward]), 1e-12)
    for layer in found.layers[:2]:
        for weight, shares in itemise(layer).items():
            assert_close(shares.sum(axis=(0, 1)), layer.totals[weight], 1e-11)
            assert np.abs(shares).max() > 0
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"  {array} = (" in text for array in (*own.tape, *own.scratch, "dh_prev"))
    assert set(found.to_dict()["layers"][0]["params"]) == set(own.params)


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("edit", "wrong"),
    (
        (("add_sum(dbz, daz)", "add_sum(dbz, dn)"), {"bz"}),
        (("add_outer(dWn, x, dn)", "add_outer(dWn, x, daz)"), {"Wn"}),
        (("dh[i, j] - dn[i, j]", "dh[i, j]"), {"Wz", "bz", "Wn", "bn", "x", "h0"}),
    ),
)
def test_a_wrong_backward_is_named_by_parameter(tmp_path, monkeypatch, edit, wrong):
    forget(monkeypatch, "MinGRU")
    module = written(tmp_path, "mingru", changed(MIN_GRU, edit))
    model = random_model([module.MinGRU(3), Dense(1)], (4, 2), seed=1, loss="mse")
    report = nbrnn.check_gradients(model, np.random.default_rng(0).normal(size=(2, 4, 2)))
    failed = {row.name.rpartition("/")[2] for row in report.rows if row.relative_error > 1e-12}
    assert failed == wrong and not report.passed
    for name in wrong - {"x"}:
        assert any(line.startswith(f"min_gru/{name} ") and "WRONG" in line for line in str(report).splitlines())


LIES = {
    "a product's weights": (
        (("affine(z, x, Wz, bz)", "affine(z, h_prev, Wz, bz)"),),
        r"forward fails on .* at `affine\(z, h_prev, Wz, bz\)`, with .* Wz\[D,H\], bz\[H\] .*do not fit",
    ),
    "a declaration": ((("Wn[D,H]", "Wn[H,H]"),), r"`affine\(n, x, Wn, bn\)`, with .*Wn\[H,H\].* do not fit"),
    "an axis of a loop": (
        (("range(h.shape[1])", "range(x.shape[1])"),),
        r"(forward must write all of h\[B,H\]|.*IndexError)",
    ),
    "a gradient's order": ((("add_outer(dWz, x, daz)", "add_outer(dWz, daz, x)"),), r"backward .*dWz\[D,H\]"),
    "a transpose left out": ((("product(dx, daz, Wz_T)", "product(dx, daz, Wz)"), (" Wz_T,", " Wz,")), r"Wz\[D,H\]"),
    "an output not written": ((("product(dx, daz, Wz_T)\n", ""),), r"backward must write all of dx\[B,D\]"),
    "a sum that is set": ((("add_sum(dbn, dn)", "dbn[:] = dn.sum(0)"),), r"backward must add to dbn\[H\]"),
    "an input written": ((("(n, x, Wn, bn)", "(n, x, Wn, bn); x[:] = 0"),), r"forward writes to x\[B,D\]"),
    "complex numbers": (
        (("sigmoid(z[i, j])", "1 / (1 + math.exp(-z[i, j]))"), ("import nbrnn\n", "import math\nimport nbrnn\n")),
        r"forward fails on complex numbers.*math.exp.*ComplexWarning",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_shapes_that_lie_are_refused_when_the_layer_is_lowered(tmp_path, lie):
    edits, message = LIES[lie]
    module = written(tmp_path, "lying_gru", changed(MIN_GRU, ("class MinGRU", "class LyingGRU"), *edits))
    model = nbrnn.Sequential([module.LyingGRU(4)], input_shape=(3, 4), seed=0)
    with pytest.raises(ValueError, match=f"cell LyingGRU: .*{message}") as caught:
        model.program(batch_size=2, mode="predict")
    assert "\n" not in str(caught.value)


REFUSED = {
    "an unknown argument": ((("h, z, n)", "h, z, m)"),), r"forward takes 'm', which is not declared"),
    "an output not taken": (((", dbn, daz", ", daz"),), r"backward does not take dbn"),
    "a weight not taken": ((("forward(x, h_prev, Wz, bz,", "forward(x, h_prev, Wz,"),), r"forward does not take bz"),
    "a default": ((("h, z, n):", "h, z, n=None):"),), r"forward must take plain arguments, not 'n=None'"),
    "an unknown letter": ((("Wz[D,H]", "Wz[T,H]"),), r"params has 'Wz\[T,H\]'.* D, H, not 'T'"),
    "no shape": (((" bz[H]", " bz"),), r"params has 'bz', where an array such as 'Wz\[D,H\]' should stand"),
    "a dtype": ((("z[B,H] n", "z[B,H]:f8 n"),), r"tape has 'z\[B,H\]:f8'"),
    "an unknown initializer": (
        (("bz[H]", "bz[H]=onse"),),
        r"initializer of bz 'onse' is unknown \(did you mean 'ones'",
    ),
    "an array declared twice": ((('bn[H]"', 'bn[H] bz[H]"'),), r"params declares bz twice"),
    "two meanings": (((' dn[B,H]"', ' dbz[B,H]"'),), r"dbz would be both the gradient of the weight bz and"),
    "no output": ((("    tape =", "    carry = 'c[B,H]'\n    tape ="),), r"carry must declare h\[B,H\]"),
    "a state's shape": ((("    tape =", "    carry = 'h[B,2H]'\n    tape ="),), r"a state has the shape \[B,H\]"),
    "a number": ((("    tape =", "    numbers = 'leak=1'\n    tape ="),), r"numbers has 'leak=1'"),
    "a number's name": ((("    tape =", "    numbers = 'seed:int=1'\n    tape ="),), r"cannot be called seed"),
    "no backward": ((("def backward", "def forwards"),), r"needs the function backward"),
    "a name that is taken": ((("class Refused", "class GRU"),), r"there is a layer GRU already, in nbrnn.gated"),
    "a kernel's name": ((("class Refused", "class SimpleRnn"),), r"kernel simple_rnn_forward .* rename it"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_declaration_that_does_not_hold_is_refused_where_it_stands(tmp_path, case):
    edits, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        written(tmp_path, "refused", changed(MIN_GRU, ("class MinGRU", "class Refused"), *edits))
    assert "\n" not in str(caught.value) and "Refused" not in LAYERS


def test_a_cell_may_be_defined_anew_where_it_was_defined(tmp_path, monkeypatch):
    forget(monkeypatch, "MinGRU")
    x = np.full((1, 1, 1), 0.5)
    ys = []
    for edit in (("sigmoid(z[i, j])", "sigmoid(z[i, j])"), ("sigmoid(z[i, j])", "sigmoid(z[i, j]) / 2")):
        module = written(tmp_path, "mingru", changed(MIN_GRU, edit))
        ys.append(random_model([module.MinGRU(1)], (1, 1), seed=0).predict(x))
    assert_close(ys[1], ys[0] / 2, 1e-12)


def test_arguments_of_a_layer_are_checked(cells):
    for make, message in (
        (lambda: cells["Leaky"](2, leek=0.1), r"Leaky takes no argument 'leek' \(did you mean 'leak'\?\)"),
        (lambda: cells["Leaky"](2, leak="much"), "leak must be a number"),
        (lambda: cells["Leaky"](2, order=0.5), "order must be a whole number"),
        (lambda: cells["MinGRU"](0), "units must be a whole number"),
        (lambda: nbrnn.Cell(3), "make a subclass of it"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@needs_jit
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("affine(n, x, Wn, bn)", "affine(n, x, Wn, bn); h.tolist()"), r" \(exotic.py, line \d+\): .*tolist"),
        (("affine(n, x, Wn, bn)", "n[:] = numpy.einsum('ij,jk->ik', x, Wn)"), r"\): Use of unsupported .*function\.$"),
        (("affine(n, x, Wn, bn)", "n[:] = x @ Wn"), "scipy.*; for products of matrices take affine, product"),
        (
            ("h[i, j] = h_prev", "h[i, j] = max(h_prev[i, j], 0) if h_prev[i, j] > 0 else h_prev"),
            "no order: write pick",
        ),
        (("h[i, j] = h_prev", "h[i, j] = max(h_prev[i, j], 0) + h_prev"), "no order: write pick"),
    ],
)
def test_what_numba_cannot_compile_is_one_sentence(tmp_path, monkeypatch, edit, message):
    monkeypatch.setitem(sys.modules, "scipy.linalg.cython_blas", None)
    text = changed("import numpy\n" + MIN_GRU, ("class MinGRU", "class Exotic"), edit)
    model = nbrnn.Sequential([written(tmp_path, "exotic", text).Exotic(2)], input_shape=(2, 2), seed=0)
    with pytest.raises(ValueError, match=f"exotic_forward cannot be compiled for .*{message}") as caught:
        nbrnn.check_gradients(model, np.ones((1, 2, 2)))
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- the cache


HELPED = """
import math
from nbrnn.cells import sigmoid
FACTOR = 2.0
def helper(a):
    return FACTOR * sigmoid(a) + 1
def own(a):
    return helper(math.floor(a))
"""


def test_a_fingerprint_follows_helpers_and_constants_and_nothing_else(tmp_path):
    prints = [fingerprint(written(tmp_path, "helped", HELPED).own) for _ in range(2)]
    assert prints[0] == prints[1] and prints[0].startswith("_")
    assert fingerprint(written(tmp_path, "helped", "# a line more\n" + HELPED).own) == prints[0]
    for edit in (
        ("2.0", "3.0"),
        (") + 1", ") + 2"),
        ("math.floor", "math.ceil"),
        ("import sigmoid", "import tanh as sigmoid"),
    ):
        assert fingerprint(written(tmp_path, "helped", changed(HELPED, edit)).own) != prints[0], edit
    unseen = changed(HELPED, ("FACTOR = 2.0", "FACTOR = type('Odd', (), {})()"))
    assert fingerprint(written(tmp_path, "helped", unseen).own) is None


@needs_jit
def test_a_cells_machine_code_is_kept(cells):
    random_model([cells["MinGRU"](2)], (2, 1)).predict(np.ones((1, 2, 1)))
    cache._held.clear()
    own = fingerprint(nbrnn.kernels.KERNELS["min_gru_forward"].function)
    assert cache.holds(f"min_gru_forward{own}_float64")


def test_pictures_of_a_cell_are_drawn_or_refused_by_name(cells):
    model = random_model([cells["MinGRU"](3)], (4, 2), loss="mse")
    found = nbrnn.trace(model, np.ones((4, 2)), np.ones(3))
    for figure in (nbrnn.plot_hidden(found), nbrnn.plot_itemised(found, weight="dWz")):
        assert figure.axes
    with pytest.raises(ValueError, match=r"layer min_gru is a custom cell, MinGRU, whose arrays .* no places"):
        nbrnn.plot_unrolled(found)


@settings(max_examples=15)
@given(data=st.data())
def test_strategies_draw_models_of_a_cell(cells, data):
    model = data.draw(nbrnn.testing.models([cells["Leaky"], cells["MinGRU"]]))
    assert_gradients(model)
