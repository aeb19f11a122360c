"""Losses in models: figures against NumPy, gradients, weights, batches, shards and threads, files, and bad input."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import assert_close, call_kernel, few, random_model, seeds

import nbrnn
from nbrnn import losses
from nbrnn.losses import Rows
from nbrnn.program import Buffer, Layout, Program
from nbrnn.targets import cpu

LOSSES = {
    "mse": "mse",
    "mae": "mae",
    "mape": "mape",
    "huber": nbrnn.Huber(0.3),
    "median": nbrnn.Quantile(0.5),
    "quantiles": nbrnn.Quantile([0.1, 0.7]),
    "binary": "binary_crossentropy",
    "binary logits": nbrnn.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
    "categorical": nbrnn.CategoricalCrossentropy(label_smoothing=0.2),
    "categorical logits": nbrnn.CategoricalCrossentropy(from_logits=True),
    "sparse": "sparse_categorical_crossentropy",
    "sparse logits": nbrnn.SparseCategoricalCrossentropy(from_logits=True),
}
names = st.sampled_from(sorted(LOSSES))
WEIGHTS = ("none", "samples", "steps")


def made(name, sequences, dtype="float64", outputs=4, seed=1, optimizer="sgd", **compiled):
    """Return a model whose outputs suit the loss."""
    loss = losses.get_loss(LOSSES[name])
    probabilities = not loss.parameters.get("from_logits", True)
    layers = [
        nbrnn.SimpleRNN(3, return_sequences=sequences),
        nbrnn.Dense(outputs, "sigmoid" if probabilities else None),
    ]
    model = random_model(layers, (3, 2), seed, dtype)
    model.compile(optimizer, loss, **compiled)
    return model


def data(model, samples, seed=0, weights="none"):
    """Return inputs, targets and weights, of which some are 0."""
    rng, steps = np.random.default_rng(seed), model.output_shape[:-1]
    x, y = rng.normal(size=(samples, 3, 2)), model.loss.example((samples, *model.output_shape), rng)
    shape = {"none": None, "samples": (samples,), "steps": (samples, *steps)}[weights]
    return x, y, None if shape is None else rng.uniform(0, 2, shape) * (rng.random(shape) < 0.8)


def by_hand(name, y, t):
    """Return the loss of every row, by NumPy."""
    loss = losses.get_loss(LOSSES[name])
    smooth, logits = loss.parameters.get("label_smoothing", 0.0), loss.parameters.get("from_logits")
    e = y - t if name in ("mse", "mae", "mape", "huber") else 0.0
    if name == "mse":
        return (e**2).mean(-1)
    if name == "mae":
        return np.abs(e).mean(-1)
    if name == "mape":
        return 100 * np.abs(e / np.maximum(np.abs(t), 1e-7)).mean(-1)
    if name == "huber":
        return np.where(np.abs(e) <= 0.3, e**2 / 2, 0.3 * (np.abs(e) - 0.15)).mean(-1)
    if loss.name == "quantile":
        q = np.array(loss.parameters["q"])
        e = t[..., None] - y.reshape(*t.shape, len(q))
        return np.maximum(q * e, (q - 1) * e).mean((-1, -2))
    if name.startswith("binary"):
        p = 1 / (1 + np.exp(-y)) if logits else np.clip(y, 1e-7, 1 - 1e-7)
        t = t * (1 - smooth) + smooth / 2
        return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(-1)
    p = np.exp(y) if logits else y
    p = np.clip(p / p.sum(-1, keepdims=True), 1e-7, 1 - 1e-7)
    t = np.eye(p.shape[-1])[t[..., 0].astype(int)] if loss.targets == losses.LABELS else t
    return -((t * (1 - smooth) + smooth / p.shape[-1]) * np.log(p)).sum(-1)


@given(name=names, sequences=st.booleans(), weights=st.sampled_from(WEIGHTS), samples=few, batch=few, seed=seeds)
def test_the_loss_is_the_weighted_sum_over_the_number_of_rows(name, sequences, weights, samples, batch, seed):
    model = made(name, sequences)
    x, y, w = data(model, samples, seed, weights)
    rows = by_hand(name, model.predict(x), y)
    wide = 1.0 if w is None else w.reshape(*w.shape, *[1] * (rows.ndim - w.ndim))
    expected = (rows * wide).sum() / rows.size
    assert model.evaluate(x, y, batch_size=batch, sample_weight=w) == pytest.approx(expected, rel=1e-12)
    assert model.test_on_batch(x, y, w) == pytest.approx(expected, rel=1e-12)
    assert model.train_on_batch(x, y, w) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_the_derivative(name, sequences, weights):
    model = made(name, sequences)
    x, y, w = data(model, 3, 5, weights)
    report = nbrnn.check_gradients(model, x, y, sample_weight=w)
    assert report.passed, report
    assert report.loss == pytest.approx(model.evaluate(x, y, sample_weight=w), rel=1e-12)
    assert np.abs(report.gradients["dense/kernel"]).max() > 1e-4


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_float32_is_float64_rounded(name, sequences):
    weights, gradients = [], []
    for dtype in ("float32", "float64"):
        model = made(name, sequences, dtype, seed=4, optimizer=nbrnn.SGD(1.0))
        x, y, w = data(model, 70, 2, "samples")
        before = model.get_weights()
        value = model.train_on_batch(x, y, w)
        gradients.append(np.concatenate([(a - b).ravel() for a, b in zip(before, model.get_weights(), strict=True)]))
        weights.append(value)
    assert weights[0] == pytest.approx(weights[1], rel=1e-5)
    assert_close(gradients[0].astype("f8"), gradients[1], 2e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_in_shards_takes_the_same_step(name):
    """Equal samples twice weigh as much as once with twice the weight, whatever shard they fall into."""
    steps = []
    for samples in (24, 96):  # one shard, and several with smaller work blocks
        model = made(name, True, seed=2, optimizer=nbrnn.SGD(0.5))
        x, y, w = data(model, 24, 3, "steps")
        x, y, w = (np.concatenate([a] * (samples // 24)) for a in (x, y, w))
        loss = model.train_on_batch(x, y, w)
        steps.append(np.concatenate([[loss], *(v.ravel() for v in model.get_weights())]))
    assert_close(steps[1], steps[0], 1e-12)


@pytest.mark.skipif(not cpu.JIT or cpu.config.NUMBA_NUM_THREADS < 2, reason="needs threads")
@pytest.mark.parametrize("name", ["quantiles", "binary logits", "sparse"])
def test_bits_do_not_depend_on_the_number_of_threads(name, monkeypatch):
    monkeypatch.setattr(cpu, "THREADS_FROM", 1)
    digests = set()
    before = nbrnn.get_num_threads()
    try:
        for threads in (1, 2, 1):
            nbrnn.set_num_threads(threads)
            model = made(name, True, "float32", metrics=["r2"] if name == "binary logits" else [])
            x, y, w = data(model, 100, 3, "steps")
            history = model.fit(x, y, batch_size=64, epochs=3, verbose=0, sample_weight=w).history
            parts = [*model.get_weights(), *(np.array(v) for v in history.values())]
            digests.add(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
    finally:
        nbrnn.set_num_threads(before)
    assert len(digests) == 1


def test_an_unweighted_mse_is_one_call():
    model = made("mse", False)
    kernels = [call.kernel for call in model.program(batch_size=1).calls]
    assert kernels[:5] == ["gather", "simple_rnn_forward", "dense_forward", "gather", "mse"]
    assert kernels.count("mse") == 1 and not set(kernels) & {"count_rows", "weigh_mask"}


# ---------------------------------------------------------------- numbers at the edge


def test_logits_of_any_size_have_finite_losses_and_exact_gradients():
    for loss, y in (
        (nbrnn.BinaryCrossentropy(from_logits=True), np.array([[1.0, 0.0, 1.0]])),
        (nbrnn.CategoricalCrossentropy(from_logits=True), np.array([[0.0, 0.0, 1.0]])),
    ):
        model = nbrnn.Sequential([nbrnn.Dense(3, use_bias=False)], input_shape=(1,), seed=0, dtype="float64")
        model.set_weights([np.array([[3e3, 2e3, -1e3]])])
        model.compile(nbrnn.SGD(1.0), loss)
        expected = {"binary_crossentropy": (2e3 + 1e3) / 3, "categorical_crossentropy": 4e3}[loss.name]
        slope = {"binary_crossentropy": [0, 1 / 3, -1 / 3], "categorical_crossentropy": [1, 0, -1]}[loss.name]
        assert model.train_on_batch(np.ones((1, 1)), y) == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(model.get_weights()[0][0], np.array([3e3, 2e3, -1e3]) - slope, rtol=0, atol=1e-9)


def test_small_losses_of_logits_keep_their_digits():
    model = nbrnn.Sequential([nbrnn.Dense(1, use_bias=False)], input_shape=(1,), seed=0)
    model.set_weights([[[40.0]]])
    model.compile("sgd", nbrnn.BinaryCrossentropy(from_logits=True))
    assert model.evaluate([[1.0]], [[1.0]]) == pytest.approx(np.exp(-40.0), rel=1e-6)


def test_a_quantile_is_what_training_finds():
    model = nbrnn.Sequential([nbrnn.Dense(2)], input_shape=(1,), seed=0, dtype="float64")
    model.compile(nbrnn.SGD(0.05), nbrnn.Quantile([0.1, 0.9]))
    y = np.random.default_rng(0).uniform(0, 1, 1000)
    x = np.zeros((1000, 1))
    model.fit(x, y, batch_size=1000, epochs=400, verbose=0)
    np.testing.assert_allclose(model.predict(x)[0], np.quantile(y, [0.1, 0.9]), atol=0.03)


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("name", ["binary", "categorical", "sparse"])
def test_class_weights_are_sample_weights(name):
    outputs = 1 if name == "binary" else 4
    table = {0: 0.5, 1: 3.0}
    for sequences in (False, True):
        a, b, c = (made(name, sequences, outputs=outputs) for _ in range(3))
        x, y, own = data(a, 20, 1, "samples")
        y = np.round(y)  # where any number from 0 to 1 is a target
        labels = y.argmax(-1) if name == "categorical" else y[..., 0].astype(int)
        w = np.choose(labels, [0.5, 3.0, 1.0, 1.0])
        a.fit(x, y, verbose=0, epochs=2, class_weight=table, batch_size=8)
        b.fit(x, y, verbose=0, epochs=2, sample_weight=w, batch_size=8)
        c.train_on_batch(x, y, own, table)
        wide = own[:, None] if sequences else own
        d = made(name, sequences, outputs=outputs)
        d.train_on_batch(x, y, wide * w)
        for one, other in ((a, b), (c, d)):
            for v, u in zip(one.get_weights(), other.get_weights(), strict=True):
                np.testing.assert_allclose(v, u, rtol=1e-13)
        assert not np.allclose(a.get_weights()[0], made(name, sequences, outputs=outputs).get_weights()[0])


def test_validation_takes_its_own_weights_and_a_split_those_of_its_samples():
    x, y, w = data(made("mse", False), 20, 1, "samples")
    parts = made("mse", False, metrics=["mse"])
    history = parts.fit(x, y, verbose=0, validation_split=0.25, sample_weight=w).history
    assert history["val_loss"][-1] == pytest.approx(parts.evaluate(x[15:], y[15:], sample_weight=w[15:])[0])
    assert history["val_mse"][-1] == pytest.approx(parts.evaluate(x[15:], y[15:])[0])
    given_ = made("mse", False, metrics=["mse"])
    held = (x[15:], y[15:], w[15:])
    again = given_.fit(x[:15], y[:15], verbose=0, validation_data=held, sample_weight=w[:15]).history
    assert again == history
    plain = made("sparse", False)
    x, y, _ = data(plain, 20, 1)
    history = plain.fit(x, y, verbose=0, validation_split=0.25, class_weight={0: 9.0}).history
    assert history["val_loss"][-1] == pytest.approx(plain.evaluate(x[15:], y[15:]))


@given(sequences=st.booleans(), seed=seeds)
def test_a_row_that_weighs_nothing_has_no_gradient(sequences, seed):
    for name in ("categorical logits", "binary", "mae"):
        model = made(name, sequences)
        x, y, _ = data(model, 4, seed)
        w = np.array([1.0, 0.0, 2.0, 0.0])
        gradient = nbrnn.check_gradients(model, x, y, sample_weight=w).gradients["x"]
        assert not gradient[[1, 3]].any() and gradient[[0, 2]].any()


# ---------------------------------------------------------------- masks: what losses and metrics do with one


@pytest.mark.parametrize("name", LOSSES)
def test_masked_rows_are_out_of_sums_and_denominators(name):
    """A program by hand: outputs, targets, weights and a mask stand in buffers, and the batch has another shard."""
    rng, loss = np.random.default_rng(3), losses.get_loss(LOSSES[name])
    T, B, O, elsewhere = 5, 3, 4, 6.0
    p = Program(np.dtype("f8"), B, Layout(8), "by hand", 8)
    control = p.buffer("control", 8, block="control")
    y, width = rng.uniform(0.1, 0.9, (T, B, O)), loss.targets_of(O)[0]
    arrays = {"y": y, "target": loss.example(y.shape, rng), "weight": rng.uniform(0.5, 2, T * B)}
    arrays |= {"mask": rng.integers(0, 2, T * B).astype(float)}
    arrays |= {"valid": np.array([arrays["mask"].sum() + elsewhere])}
    assert arrays["target"].shape == (T, B, width)
    buffers = {key: p.buffer(key, *array.shape) for key, array in arrays.items()}
    words = loss.words(O, masked=True)
    p.buffer("stats", words + 1, block="stats")
    dy = p.buffer("dy", T, B, O)
    seen = Rows(buffers["y"], buffers["target"], B, buffers["weight"], buffers["mask"], buffers["valid"])
    lossy, plain = Rows.pair(p, seen)
    loss.lower(p, lossy, 1, dy)
    assert plain.weight is buffers["mask"] and control.shape == (8,)

    blocks = {block: np.zeros(size) for block, size in p.layout.sizes.items()}
    blocks["control"] = np.zeros(8, np.int64)
    view = lambda b: blocks[b.block][b.offset : b.offset + b.size].reshape(b.shape)
    for key, array in arrays.items():
        view(buffers[key])[...] = array
    for call in p.calls:
        arguments = {k: view(v) if isinstance(v, Buffer) else v for k, v in call.arguments.items()}
        for key, array in call_kernel(call.kernel, "float64", arguments).items():
            view(call.arguments[key])[...] = array
    rows = by_hand(name, y, arrays["target"]).reshape(-1)
    both = arrays["weight"] * arrays["mask"]
    total = (rows * both).sum()
    assert loss.finish(view(p["stats"])[1:], 99, masked=True) == pytest.approx(total / arrays["mask"].sum())
    found = view(dy).reshape(T * B, O)
    assert not found[arrays["mask"] == 0].any()
    k, j, step = int(arrays["mask"].argmax()), 2, 1e-6
    values = []
    for sign in (1, -1):
        moved = y.copy().reshape(T * B, O)
        moved[k, j] += sign * step
        values.append((by_hand(name, moved.reshape(y.shape), arrays["target"]).reshape(-1) * both).sum())
    assert found[k, j] == pytest.approx((values[0] - values[1]) / (2 * step) / arrays["valid"][0], rel=1e-6)


# ---------------------------------------------------------------- files and names


@pytest.mark.parametrize("name", LOSSES)
def test_a_model_file_keeps_the_loss(name, tmp_path):
    model = made(name, False)
    x, y, _ = data(model, 5)
    model.save(tmp_path / "m.safetensors")
    again = nbrnn.load_model(tmp_path / "m.safetensors")
    assert again.loss == model.loss and again.evaluate(x, y) == model.evaluate(x, y)


@pytest.mark.parametrize("name", LOSSES)
def test_a_trace_and_drawn_targets_suit_the_loss(name):
    model = made(name, True)
    x, y, _ = data(model, 1)
    assert nbrnn.trace(model, x[0], y[0]).loss == pytest.approx(model.evaluate(x, y), rel=1e-12)
    nbrnn.testing.assert_gradients(model, samples=2)
    assert model.memory(batch_size=4)["targets"] == 4 * 3 * y.shape[-1] * 8
