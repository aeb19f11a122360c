"""The model: shapes and counts of the lessons, weights and how they begin, predictions, figures, arrays of any kind."""

import copy
import math
import pickle

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from support import activations, assert_close, few, random_data, random_model, seeds, sizes

import nbrnn
from nbrnn import Dense, Flatten, Sequential, SimpleRNN
from nbrnn.initializers import INITIALIZERS, initialize

# ---------------------------------------------------------------- the lessons' models


def dtn(step_shape):
    return Sequential([SimpleRNN(32, "relu"), Dense(8, "relu"), Dense(1)], input_shape=step_shape, seed=0)


def test_the_summary_of_one_step_of_four_features(capsys):
    dtn((1, 4)).summary()
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines if "(" in line}
    assert rows["simple_rnn"][1:] == ["(SimpleRNN)", "(None,", "32)", "1184"]
    assert rows["dense"][1:] == ["(Dense)", "(None,", "8)", "264"]
    assert rows["dense_1"][1:] == ["(Dense)", "(None,", "1)", "9"]
    assert any("Total params: 1457" in line for line in lines)
    assert any("Layer (type)" in line and "Output Shape" in line and "Param #" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_counts_of_the_other_lessons():
    model = dtn((4, 1))
    assert [layer.count_params() for layer in model.layers] == [1088, 264, 9] and model.count_params() == 1361
    assert Sequential([SimpleRNN(3, "tanh"), Dense(1, "tanh")], input_shape=(12, 1)).count_params() == 19
    assert Sequential([SimpleRNN(1)], input_shape=(10, 1)).count_params() == 3
    model = Sequential([SimpleRNN(5), Dense(1, "sigmoid")], input_shape=(10, 1))
    assert [layer.count_params() for layer in model.layers] == [35, 6] and model.count_params() == 41
    assert Sequential([Flatten(), Dense(1)], input_shape=(10, 2)).count_params() == 21


def test_one_step_of_the_perceptrons_lesson():
    model = Sequential([SimpleRNN(1, "tanh")], input_shape=(2, 1), dtype="float64")
    # After x = 0 with the bias b the state is tanh(b) = 0.4; then 3 w + 0.4 u + b must be 1.4722194896.
    b, w = math.atanh(0.4), 0.3
    model.set_weights([[[w]], [[(1.4722194896 - 3 * w - b) / 0.4]], [b]])
    assert model.predict([[[0.0], [3.0]]])[0, 0] == pytest.approx(0.9, abs=1e-9)


def test_summary_goes_where_it_is_told_and_shows_open_lengths():
    lines = []
    Sequential([SimpleRNN(3, return_sequences=True)], input_shape=(None, 2), name="open").summary(print_fn=lines.append)
    assert lines[0] == 'Model: "open"' and any("(None, None, 3)" in line for line in lines)


# ---------------------------------------------------------------- structure and weights


def test_weights_come_in_keras_order_and_layouts():
    layers = [SimpleRNN(3, return_sequences=True), SimpleRNN(4, use_bias=False), Dense(5), Dense(2, use_bias=False)]
    model = random_model(layers, (6, 2), seed=1)
    shapes = [(2, 3), (3, 3), (3,), (3, 4), (4, 4), (4, 5), (5,), (5, 2)]
    weights = model.get_weights()
    assert [w.shape for w in weights] == shapes
    weights[0][:] = 7  # a copy: the model must not see this
    assert (model.get_weights()[0] != 7).all()
    fresh = [np.random.default_rng(k).normal(size=s) for k, s in enumerate(shapes)]
    model.set_weights(fresh)
    assert all((a == b).all() for a, b in zip(model.get_weights(), fresh, strict=True))
    assert all((a == b).all() for a, b in zip(model.layers[1].get_weights(), fresh[3:5], strict=True))
    model.layers[2].set_weights([fresh[5] + 1, fresh[6]])
    assert (model.get_weights()[5] == fresh[5] + 1).all() and (model.get_weights()[4] == fresh[4]).all()


def test_add_and_input_shape_on_the_first_layer_make_the_same_model():
    model = Sequential(seed=3)
    model.add(SimpleRNN(units=4, input_shape=(5, 2), activation="relu"))
    model.add(Dense(2, name="head"))
    other = Sequential([SimpleRNN(4, "relu"), Dense(2)], input_shape=(5, 2), seed=3)
    assert [layer.name for layer in model.layers] == ["simple_rnn", "head"]
    assert model.output_shape == other.output_shape == (2,)
    assert all((a == b).all() for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_names_are_numbered_by_kind():
    model = Sequential([SimpleRNN(2, return_sequences=True), Dense(2), SimpleRNN(2), Dense(2), Dense(1)], (3, 1))
    assert [layer.name for layer in model.layers] == ["simple_rnn", "dense", "simple_rnn_1", "dense_1", "dense_2"]


def test_the_first_array_decides_the_input_shape():
    x = np.random.default_rng(0).normal(size=(5, 4, 3))
    late, early = (Sequential([SimpleRNN(2), Dense(1)], shape, seed=5) for shape in (None, (4, 3)))
    assert not late.built and (late.predict(x) == early.predict(x)).all() and late.input_shape == (4, 3)


def test_a_seed_decides_all_weights_and_no_two_alike():
    def weights(seed):
        layers = [SimpleRNN(6, return_sequences=True), SimpleRNN(6), Dense(6), Dense(6)]
        return Sequential(layers, input_shape=(3, 6), seed=seed).get_weights()

    assert all((a == b).all() for a, b in zip(weights(4), weights(4), strict=True))
    kernels = [w.tobytes() for w in weights(4) + weights(5) if w.ndim == 2]
    assert len(set(kernels)) == len(kernels)
    drawn = Sequential([Dense(3)], (2,)), Sequential([Dense(3)], (2,))
    assert drawn[0].seed != drawn[1].seed
    again = Sequential([Dense(3)], (2,), seed=drawn[0].seed)
    assert (again.get_weights()[0] == drawn[0].get_weights()[0]).all()


def test_adding_a_layer_keeps_the_weights_of_those_below():
    model = random_model([SimpleRNN(3)], (4, 2), seed=1)
    before = model.get_weights()
    model.add(Dense(1))
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=False))


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_a_copy_stands_on_its_own(copied):
    model = random_model([SimpleRNN(3), Dense(1)], (4, 2), seed=1)
    model.compile("adam", "mse")
    x, y = random_data(model, 9, 2)
    model.fit(x, y, verbose=0)
    before, twin = model.predict(x), copied(model)
    assert (twin.predict(x) == before).all()
    twin.fit(x, y, epochs=3, verbose=0)
    assert (model.predict(x) == before).all() and (twin.predict(x) != before).any()
    twin.set_weights([w + 1 for w in model.get_weights()])
    assert_close(twin.predict(x), reference.Trainer(twin).forward(x)[0], 1e-12)


# ---------------------------------------------------------------- initialisers


@given(rows=sizes, columns=sizes, seed=seeds)
def test_orthogonal_weights_are_orthonormal(rows, columns, seed):
    q = initialize("orthogonal", (rows, columns), (seed,))
    gram = q.T @ q if rows >= columns else q @ q.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)
    assert q.shape == (rows, columns)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_an_initializer_has_its_bounds_and_spread(name):
    shape = (60, 90)
    w = initialize(name, shape, (1, 2))
    scale, fan = (2.0 if name.startswith("he") else 1.0), (75 if name.startswith("glorot") else 60)
    spread = math.sqrt(scale / fan)
    if name in ("zeros", "ones", "constant", "identity"):
        assert (w == {"ones": 1.0, "identity": np.eye(*shape)}.get(name, 0.0)).all()
        return
    assert (initialize(name, shape, (1, 2)) == w).all() and (initialize(name, shape, (2, 1)) != w).any()
    wanted = {"random_normal": 0.05, "random_uniform": 0.05 / math.sqrt(3), "orthogonal": 1 / math.sqrt(90)}
    wanted["truncated_normal"] = 0.05 * 0.87962566103423978
    assert w.std() == pytest.approx(wanted.get(name, spread), rel=0.05)
    assert abs(w.mean()) < 5 * w.std() / math.sqrt(w.size)
    if name.endswith("uniform"):
        limit = 0.05 if name == "random_uniform" else math.sqrt(3) * spread
        assert 0.98 * limit < np.abs(w).max() <= limit
    if name.endswith("_normal") and name != "random_normal":  # cut at two deviations of the wider normal
        assert np.abs(w).max() <= (0.1 if name == "truncated_normal" else 2 * spread / 0.87962566103423978)


def test_the_defaults_are_glorot_orthogonal_and_zeros():
    model = Sequential([SimpleRNN(20), Dense(10)], input_shape=(3, 30), seed=0, dtype="float64")
    Wx, Wh, b, W, c = model.get_weights()
    limit = math.sqrt(6 / (30 + 20))
    assert 0.95 * limit < np.abs(Wx).max() <= limit and np.abs(W).max() <= math.sqrt(6 / (20 + 10))
    np.testing.assert_allclose(Wh @ Wh.T, np.eye(20), atol=1e-12)
    assert not b.any() and not c.any()
    chosen = SimpleRNN(20, kernel_initializer="ones", recurrent_initializer="zeros", bias_initializer="ones")
    Wx, Wh, b = Sequential([chosen], input_shape=(3, 30)).get_weights()
    assert (Wx == 1).all() and not Wh.any() and (b == 1).all()


# ---------------------------------------------------------------- predictions and figures


@st.composite
def models(draw, dtype="float64"):
    every = draw(st.booleans())
    layers = [SimpleRNN(draw(sizes), draw(activations), draw(st.booleans()), return_sequences=every)]
    layers += [Flatten()] if every and draw(st.booleans()) else []
    layers += [Dense(draw(sizes), draw(activations), draw(st.booleans()))] if draw(st.booleans()) else []
    return random_model(layers, (draw(few), draw(few)), draw(seeds), dtype, scale=0.3)


@given(model=models(), samples=st.integers(1, 40), seed=seeds)
def test_predictions_are_the_twins(model, samples, seed):
    x, _ = random_data(model, samples, seed)
    assert_close(model.predict(x), reference.Trainer(model).forward(x)[0], 1e-12)
    assert model.predict(x).shape == (samples, *model.output_shape)


@given(samples=st.integers(1, 600), batch=st.integers(1, 600))
def test_the_batch_size_does_not_change_a_prediction(samples, batch):
    model = random_model([SimpleRNN(9), Dense(2)], (3, 1), seed=1)
    x, _ = random_data(model, samples, 2)
    whole = model.predict(x)
    assert_close(model.predict(x, batch_size=batch), whole, 1e-14)
    assert_close(model.predict_on_batch(x), whole, 1e-14)
    assert (model(x) == whole).all()


def test_a_prediction_stays_as_it_is_when_the_next_is_made():
    model = random_model([SimpleRNN(3), Dense(2)], (4, 2), seed=1)
    x, _ = random_data(model, 9, 2)
    first = model.predict(x)
    kept = first.copy()
    model.predict(2 * x)
    assert (first == kept).all() and first.flags.writeable


@given(model=models(), samples=st.integers(1, 40), batch=st.integers(1, 40), seed=seeds)
def test_evaluate_gives_the_figures_by_hand(model, samples, batch, seed):
    x, y = random_data(model, samples, seed)
    error = model.predict(x) - y
    far = np.abs(error) > 0.7
    by_hand = {
        "loss": np.where(far, 0.7 * (np.abs(error) - 0.35), error**2 / 2).mean(),
        "mse": (error**2).mean(),
        "mae": np.abs(error).mean(),
        "rmse": math.sqrt((error**2).mean()),
    }
    model.compile("sgd", nbrnn.Huber(0.7), ["mse", "mae", "rmse"])
    assert model.evaluate(x, y, batch_size=batch, return_dict=True) == pytest.approx(by_hand, rel=1e-12)
    assert model.evaluate(x, y) == pytest.approx(list(by_hand.values()), rel=1e-12)
    model.compile("sgd", "mean_absolute_error")
    assert model.evaluate(x, y) == pytest.approx(by_hand["mae"], rel=1e-12)


def test_every_metric_is_reported_even_twice():
    model = random_model([Dense(2)], (3,))
    model.compile("sgd", "mse", ["mae", "mse", "mean_absolute_error"])
    x, y = random_data(model, 9, 1)
    figures = model.evaluate(x, y)
    assert len(figures) == len(model.metrics_names) == 4 and figures[1] == figures[3]
    assert model.train_on_batch(x, y) == pytest.approx(figures)


def test_evaluate_prints_only_if_asked(capsys):
    model = random_model([Dense(1)], (3,))
    model.compile("sgd", "mse", "mae")
    x, y = random_data(model, 9, 1)
    model.evaluate(x, y)
    assert capsys.readouterr().out == ""
    loss, mae = model.evaluate(x, y, verbose=1)
    assert capsys.readouterr().out == f"loss {loss:.4g}  mae {mae:.4g}\n"


def test_a_target_vector_means_one_column_and_is_never_broadcast():
    model = random_model([SimpleRNN(3), Dense(1)], (4, 2))
    model.compile("sgd", "mse")
    x, y = random_data(model, 6, 1)
    assert model.evaluate(x, y[:, 0]) == model.evaluate(x, y) == pytest.approx(((model.predict(x) - y) ** 2).mean())
    wide = random_model([SimpleRNN(3), Dense(6)], (4, 2))
    wide.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"y has shape \(6, 1\), but the model's output has shape \(6, 6\)"):
        wide.evaluate(x, y[:, 0])


def test_sequences_come_out_step_by_step_and_lengths_may_be_open():
    model = random_model([SimpleRNN(3, return_sequences=True), Dense(2)], (None, 2))
    model.compile("sgd", "mse")
    for steps in (1, 4, 7):
        x, y = random_data(model, 5, steps, steps=steps)
        out = model.predict(x)
        assert out.shape == (5, steps, 2)
        assert_close(out, reference.Trainer(model).forward(x)[0], 1e-12)
        assert model.evaluate(x, y) == pytest.approx(((out - y) ** 2).mean())
    longer, _ = random_data(model, 5, 7, steps=7)
    np.testing.assert_array_equal(model.predict(longer)[:, :4], model.predict(longer[:, :4]))  # causal


# ---------------------------------------------------------------- users' arrays


def record_field(x):
    """Return x as a field of packed records: strides that are no multiples of an element's size."""
    records = np.zeros(x.shape, np.dtype([("flag", "u1"), ("x", x.dtype)]))
    records["x"] = x
    return records["x"]


def spread(x):
    """Return x as every second element of an array that holds NaN elsewhere."""
    wide = np.full([2 * n for n in x.shape], np.nan, x.dtype)
    wide[tuple(slice(1, None, 2) for _ in x.shape)] = x
    return wide[tuple(slice(1, None, 2) for _ in x.shape)]


KINDS = {
    "strided": spread,
    "fortran order": np.asfortranarray,
    "swapped axes": lambda x: x.swapaxes(0, 1).copy().swapaxes(0, 1),
    "reversed samples": lambda x: x[::-1].copy()[::-1],
    "reversed steps": lambda x: x[:, ::-1].copy()[:, ::-1],
    "all axes reversed": lambda x: np.flip(np.flip(x).copy()),
    "float64": lambda x: x.astype("f8"),
    "float64 reversed": lambda x: x.astype("f8")[::-1].copy()[::-1],
    "big-endian": lambda x: x.astype(">f4"),
    "int64": lambda x: x.astype("i8"),
    "int8 strided": lambda x: spread(x)[:].astype("i1"),
    "field of records": record_field,
    "nested lists": np.ndarray.tolist,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", ["predict", "fit"])
def test_an_array_of_any_kind_counts_as_its_contiguous_copy(kind, call):
    plain = np.random.default_rng(2).integers(-9, 9, (37, 4, 3)).astype("f4")  # whole numbers: exact in every dtype
    y = np.random.default_rng(3).normal(size=(37, 2)).astype("f4")
    x, results = KINDS[kind](plain), []
    assert np.array_equal(np.asarray(x), plain)
    if isinstance(x, np.ndarray):
        x.flags.writeable = False
        base = x if x.base is None else x.base
        before = base.tobytes()
    for samples in (x, plain.copy()):
        model = random_model([SimpleRNN(3), Dense(2)], (4, 3), seed=1, dtype="float32", scale=0.1)
        model.compile("adam", "mse")
        if call == "fit":
            model.fit(samples, y, epochs=2, batch_size=8, verbose=0)
            results.append(np.concatenate([w.reshape(-1) for w in model.get_weights()]))
        else:
            results.append(model.predict(samples))
    assert results[0].tobytes() == results[1].tobytes()
    if isinstance(x, np.ndarray):
        assert base.tobytes() == before


def test_overlapping_windows_and_repeated_samples_count_as_their_copies():
    series = np.random.default_rng(4).normal(size=80)
    model = random_model([SimpleRNN(3), Dense(1)], (12, 1), seed=1)
    for x in (
        np.lib.stride_tricks.sliding_window_view(series, 12)[..., None],
        np.lib.stride_tricks.sliding_window_view(series, 12)[::-7, ::-1, None],
        np.broadcast_to(series[:12, None], (9, 12, 1)),
    ):
        for version in (x, x.astype("f4")):
            assert (model.predict(version) == model.predict(np.ascontiguousarray(version))).all()
    assert (series == np.random.default_rng(4).normal(size=80)).all()


def test_targets_of_any_kind_count_as_their_contiguous_copy():
    model = random_model([SimpleRNN(3), Dense(2)], (4, 3), seed=1, dtype="float32")
    model.compile("sgd", "mse")
    x, y = random_data(model, 20, 5)
    for kind in ("strided", "fortran order", "reversed samples", "float64 reversed", "nested lists"):
        assert model.evaluate(x, KINDS[kind](y)) == model.evaluate(x, y), kind
