"""Masked steps: held states, exact gradients, figures of the steps that count, and work that follows them."""

from itertools import pairwise

import numpy as np
import pytest
import reference_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_close, call_kernel, random_data, random_model
from table import CELLS

import nbrnn
from nbrnn import GRU, LSTM, Add, Bidirectional, Concatenate, Dense, Dropout, Flatten, Masking, SimpleRNN
from nbrnn import TimeDistributed as Each

MASKS = {
    "holes": [[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [1, 1, 0, 1, 0]],
    "lengths": [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]],
    "late": [[0, 0, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1], [0, 0, 1, 1, 1]],
    "nothing": [[1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]],
}
MASKS = {name: np.array(rows, bool) for name, rows in MASKS.items()}


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", CELLS)
def test_a_masked_step_holds_the_state(kind, mask, backwards, zero):
    for every in (True, False):
        layer = CELLS[kind](
            9, return_sequences=every, return_state=True, go_backwards=backwards, zero_output_for_mask=zero, name="cell"
        )
        model = random_model([layer], (5, 3), seed=3)
        x = np.random.default_rng(0).normal(size=(5, 5, 3))
        y, last, *_ = model.predict(x, mask=MASKS[mask])
        expected, states = reference_layers.held(layer, x, MASKS[mask])
        assert_close(y, expected if every else expected[:, -1], 1e-13)
        assert_close(last, states, 1e-13)


def graph(every=True):
    """Return a model of two masked inputs, shared weights, a join and two outputs."""
    a, b = nbrnn.Input((5, 3), name="a"), nbrnn.Input((5, 3), name="b")
    shared = GRU(3, return_sequences=True)
    left, right = shared(Masking()(a)), shared(b)
    both = Concatenate()([Add()([left, right]), left])
    ends = [LSTM(2, return_sequences=every)(both), Dense(1)(SimpleRNN(2)(Concatenate(1)([left, right])))]
    return nbrnn.Model([a, b], ends, seed=0, dtype="float64")


STACKS = {
    "stack": lambda: [LSTM(4, return_sequences=True), GRU(3, return_sequences=True), SimpleRNN(3), Dense(2)],
    "sequences": lambda: [
        GRU(3, return_sequences=True, zero_output_for_mask=True), Dropout(0.3), Each(Dense(4, "tanh")),
        SimpleRNN(3, return_sequences=True), Dense(2),
    ],
    "both ways": lambda: [Bidirectional(LSTM(3, return_sequences=True)), Bidirectional(GRU(2), "mul"), Dense(2)],
    "masking": lambda: [Masking(-1.0), LSTM(3, return_sequences=True), Dense(2)],
    "within": lambda: [SimpleRNN(3, "relu", return_sequences=True), Masking(), LSTM(2), Dense(1)],
    "dropped": lambda: [GRU(4, dropout=0.3, recurrent_dropout=0.4, reset_after=False, return_sequences=True), LSTM(2)],
    "penalties": lambda: [LSTM(3, return_sequences=True, kernel_regularizer="l2"), Dense(2, bias_regularizer="l1")],
} | {
    f"{name}{' sequences' * every}{' backwards' * back}": (
        lambda cell=cell, every=every, back=back: [cell(5, return_sequences=every, go_backwards=back), Dense(2)]
    )
    for name, cell in CELLS.items()
    for every, back in ((False, True), (True, False), (True, True))
}  # fmt: skip


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("stack", STACKS)
def test_gradients_are_exact_under_masks(stack, projected):
    model = random_model(STACKS[stack](), (5, 3), seed=1)
    model.compile("sgd", "mse")
    for mask in MASKS.values():
        x, y = random_data(model, 5, 0)
        x[1, 3] = x[4, 0] = -1.0
        report = nbrnn.check_gradients(model, x, None if projected else y, mask=mask)
        assert report.passed, report


def test_gradients_of_graphs_with_masks_are_exact():
    model = graph()
    model.compile("sgd", ["mse", "mae"], loss_weights=[0.3, 2.0])
    rng = np.random.default_rng(0)
    x, y = [rng.normal(size=(5, 5, 3)) for _ in "ab"], [rng.normal(size=(5, 5, 2)), rng.normal(size=(5, 1))]
    x[0][2, 1:3] = 0
    for masks in ({"b": MASKS["holes"]}, [MASKS["late"], MASKS["nothing"]]):
        report = nbrnn.check_gradients(model, x, y, mask=masks)
        assert report.passed, report
    with_lengths = nbrnn.check_gradients(model, x, y, mask={"a": MASKS["holes"]}, lengths={"b": [1, 2, 3, 4, 5]})
    assert with_lengths.passed, with_lengths


@pytest.mark.parametrize("kind", CELLS)
def test_large_layers_in_parts_are_the_small_ones_sums(kind):
    """Float32 with packed weights, some steps at a time and several shards, against float64 sample by sample."""
    layers = lambda: [CELLS[kind](33, return_sequences=True), CELLS[kind](33), Dense(1)]
    model, exact = random_model(layers(), (21, 5), seed=1, dtype="float32"), random_model(layers(), (None, 5), seed=1)
    exact.set_weights(model.get_weights())
    x, y = random_data(model, 40, 0)
    mask = np.random.default_rng(1).random((40, 21)) < 0.5
    for m in (model, exact):
        m.compile(nbrnn.SGD(1.0), "mse")
    before = exact.get_weights()
    model.train_on_batch(x, y, mask=mask)
    steps = [0.0] * len(before)
    for i in range(40):
        exact.set_weights(before)
        exact.train_on_batch(x[i : i + 1, mask[i]], y[i : i + 1])
        steps = [s + (w - b) / 40 for s, w, b in zip(steps, exact.get_weights(), before, strict=True)]
    for name, w, b, s in zip(range(9), model.get_weights(), before, steps, strict=False):
        assert_close(w - b.astype("f4"), s, 2e-4, f"weight {name}")


def test_a_mean_is_that_of_the_steps_that_count():
    """In any batches, with several shards: the loss and the metrics of the valid rows alone."""
    model = random_model([GRU(3, return_sequences=True), Dense(2)], (5, 3), seed=1)
    model.compile("sgd", "mse", ["mae", "r2", "rmse"])
    x, y = random_data(model, 70, 0)
    rng = np.random.default_rng(0)
    mask, weights = rng.random((70, 5)) < 0.4, rng.uniform(0, 2, (70, 5))
    error = (model.predict(x, mask=mask) - y)[mask]
    wanted = {"loss": (error**2).mean(), "mae": abs(error).mean(), "rmse": np.sqrt((error**2).mean())}
    total = ((y[mask] - y[mask].mean(axis=0)) ** 2).sum(axis=0)
    wanted["r2"] = (1 - (error**2).sum(axis=0) / total).mean()
    for batch in (7, 40, 70):
        found = model.evaluate(x, y, batch, return_dict=True, mask=mask)
        assert found == pytest.approx(wanted, rel=1e-12)
    weighed = model.evaluate(x, y, return_dict=True, mask=mask, sample_weight=weights)
    assert weighed["loss"] == pytest.approx((error**2 * weights[mask][:, None]).mean(), rel=1e-12)
    assert weighed["mae"] == pytest.approx(wanted["mae"], rel=1e-12)
    history = model.fit(x, y, batch_size=70, verbose=0, mask=mask, validation_data=(x, y, None, mask)).history
    assert history["loss"] == pytest.approx([wanted["loss"]], rel=1e-12)
    assert history["val_loss"] == [model.evaluate(x, y, mask=mask)[0]]


@pytest.mark.parametrize("kind", CELLS)
def test_targets_in_masked_steps_do_not_matter(kind):
    model = random_model([CELLS[kind](4, return_sequences=True), Dense(2)], (5, 3), seed=1, dtype="float32")
    model.compile("sgd", "mse")
    x, y = random_data(model, 5, 0)
    other_x, other_y = (np.where(MASKS["holes"][..., None], a, 77).astype("f4") for a in (x, y))
    start, ends = model.get_weights(), []
    for pair in ((x, y), (other_x, other_y)):
        model.set_weights(start)
        loss = model.train_on_batch(*pair, mask=MASKS["holes"])
        ends.append([loss, *(w.tobytes() for w in model.get_weights())])
    assert ends[0] == ends[1]


@settings(max_examples=12, deadline=None)
@given(kind=st.sampled_from(sorted(CELLS)), samples=st.integers(1, 70), seed=st.integers(0, 99))
def test_bits_depend_neither_on_threads_nor_on_how_a_mask_is_given(kind, samples, seed):
    lengths = np.random.default_rng(seed).integers(1, 6, samples)

    def trained(threads, **steps):
        model = random_model([CELLS[kind](6, recurrent_dropout=0.2), Dense(1)], (5, 3), seed=1, dtype="float32")
        model.compile("adam", "mse")
        x, y = random_data(model, samples, 0)
        x = [one[:n] for one, n in zip(x, lengths, strict=True)] if steps.pop("ragged", False) else x
        before = nbrnn.get_num_threads()
        try:
            nbrnn.set_num_threads(threads)
            model.fit(x, y, batch_size=40, epochs=2, verbose=0, **steps)
        finally:
            nbrnn.set_num_threads(before)
        return [w.tobytes() for w in model.get_weights()]

    expected = trained(1, lengths=lengths)
    assert expected == trained(nbrnn.get_num_threads(), mask=np.arange(5) < lengths[:, None])
    if len(set(lengths)) > 1:
        assert expected == trained(1, ragged=True)


def test_rows_at_work_are_the_valid_steps():
    """Whatever the mask looks like, and whichever way a layer goes, as many rows are computed as there are steps."""
    layers = [Bidirectional(LSTM(4, return_sequences=True)), GRU(3), Dense(1)]
    model = random_model(layers, (9, 3), seed=1, dtype="float32")
    model.compile("sgd", "mse")
    x, y = random_data(model, 50, 0)
    mask = np.random.default_rng(3).random((50, 9)) < 0.3
    model.train_on_batch(x, y, mask=mask)
    (executor,) = model._executors.values()
    sums, shards = {}, [executor.plan.programs[n] for n in (16, 16, 16, 2)]
    for s, program in enumerate(shards):
        for call in program.calls:
            if call.kernel in ("lstm_forward", "gru_after_forward"):
                rows = executor.view(call.arguments["alive"], s)
                sums.setdefault(call.layer, []).append(rows.sum())
                assert (np.diff(rows) <= 0).all()
    assert len(sums) == 2 and {name: sum(rows) for name, rows in sums.items()} == {
        "bidirectional": 2 * mask.sum(),
        "gru": mask.sum(),
    }


@pytest.mark.parametrize("stateful", [False, True])
def test_a_fit_that_diverges_under_a_mask_says_where(stateful):
    model = random_model([SimpleRNN(3, "linear", stateful=stateful), Dense(1)], (5, 3), seed=1, dtype="float32")
    model.compile(nbrnn.SGD(1e12), "mse")
    x, y = random_data(model, 5, 0)
    with pytest.raises(nbrnn.DivergedError) as caught:
        model.fit(x, y, epochs=9, batch_size=5, verbose=0, shuffle=False, mask=MASKS["holes"])
    assert "simple_rnn" in caught.value.report()
    assert np.isfinite(np.concatenate([w.ravel() for w in model.get_weights()])).all()
    assert all(np.isfinite(state).all() for state in model.states.values())


def test_the_masking_layer_is_a_mask():
    layers = lambda: [LSTM(4, return_sequences=True), Dense(2)]
    model, plain = random_model([Masking(7.0), *layers()], (5, 3), seed=1), random_model(layers(), (5, 3), seed=1)
    plain.set_weights(model.get_weights())
    x, y = random_data(model, 40, 0)
    mask = np.random.default_rng(3).random((40, 5)) < 0.5
    x[~mask] = 7.0
    x[0, 0, :2] = 7.0  # a step counts if one of its features differs
    mask[0, 0] = True
    results = []
    for m, steps in ((model, {}), (plain, {"mask": mask})):
        m.compile("sgd", "mse", ["mae"])
        results.append([m.predict(x, **steps), m.evaluate(x, y, **steps), m.train_on_batch(x, y, **steps)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for w, v in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(w, v)


def test_states_are_those_after_the_last_valid_step():
    model = random_model([LSTM(4, return_state=True, name="cell")], (5, 3), seed=1)
    one = random_model([LSTM(4, return_state=True, name="cell")], (None, 3), seed=1)
    one.set_weights(model.get_weights())
    rng, x = np.random.default_rng(0), np.random.default_rng(1).normal(size=(5, 5, 3))
    first = {"cell/h": rng.normal(size=(5, 4)), "cell/c": rng.normal(size=(5, 4))}
    for name in ("holes", "nothing"):
        y, h, c = model.predict(x, initial_state=first, mask=MASKS[name])
        for i, valid in enumerate(MASKS[name]):
            own = {key: value[i : i + 1] for key, value in first.items()}
            if valid.any():
                expected = one.predict(x[i : i + 1, valid], initial_state=own)
            else:  # as in Keras: no output, but the state that came
                expected = [np.zeros((1, 4)), *own.values()]
            for found, wanted in zip((y, h, c), expected, strict=True):
                assert_close(found[i : i + 1], wanted, 1e-13)


def test_a_stateful_layer_goes_on_from_the_last_valid_step():
    model = random_model([GRU(4, stateful=True)], (5, 3), seed=1)
    x = np.random.default_rng(1).normal(size=(40, 5, 3))
    mask = np.random.default_rng(2).random((40, 5)) < 0.5
    model.predict(x[:20], mask=mask[:20])
    found = model.predict(x[20:], mask=mask[20:])
    plain = random_model([GRU(4)], (None, 3), seed=1)
    plain.set_weights(model.get_weights())
    for i in range(20):
        steps = np.concatenate([x[i, mask[i]], x[20 + i, mask[20 + i]]])
        if mask[20 + i].any():
            assert_close(found[i], plain.predict(steps[None])[0], 1e-13)
    both = np.concatenate([x[0, mask[0]], x[20, mask[20]]])
    assert_close(model.states["gru/h"][0], plain.predict(both[None])[0], 1e-13)


def test_ragged_sequences_are_padded():
    model = random_model([LSTM(4, return_sequences=True), Dense(2)], (None, 3), seed=1)
    model.compile("sgd", "categorical_crossentropy")
    rng, lengths = np.random.default_rng(0), [3, 1, 5]
    x = [rng.normal(size=(n, 3)) for n in lengths]
    y = [np.eye(2)[rng.integers(0, 2, n)] for n in lengths]
    found = model.predict(x)
    for k, n in enumerate(lengths):
        assert_close(found[k, :n], model.predict(x[k][None])[0], 1e-13)
    full, zeros = np.zeros((3, 5, 3)), np.zeros((3, 5, 2))
    for k, n in enumerate(lengths):
        full[k, :n], zeros[k, :n] = x[k], y[k]
    model.layers[1].set_weights([w * 0 + 0.25 for w in model.layers[1].get_weights()])
    losses = [model.evaluate(x, y), model.evaluate(full, zeros, lengths=lengths)]
    assert losses[0] == losses[1]


def test_masks_are_cut_with_a_validation_split_and_resumed(tmp_path):
    x, mask = np.random.default_rng(0).normal(size=(40, 5, 3)), np.random.default_rng(1).random((40, 5)) < 0.5
    y = np.random.default_rng(2).normal(size=(40, 5, 1))

    def fitted(epochs, mask, **settings):
        model = random_model([SimpleRNN(3, return_sequences=True), Dense(1)], (5, 3), seed=1)
        model.compile("adam", "mse")
        callbacks = [nbrnn.Checkpoint(tmp_path / "c")] if "resume" in settings else []
        data = dict(validation_split=0.25, mask=mask, callbacks=callbacks)
        history = model.fit(x, y, 8, epochs, verbose=0, **data, **settings).history
        return history, model

    history, model = fitted(4, mask)
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(x[30:], y[30:], mask=mask[30:]), rel=1e-12)
    fitted(2, mask, resume=True)
    with pytest.raises(ValueError, match="mask"):
        fitted(4, ~mask, resume=True)


def test_masks_are_saved_and_stated(tmp_path):
    model = random_model([Masking(2.5), LSTM(3, zero_output_for_mask=True, return_sequences=True)], (5, 3), seed=1)
    model.save(tmp_path / "m")
    again = nbrnn.load_model(tmp_path / "m")
    assert [repr(layer) for layer in again.layers] == [repr(layer) for layer in model.layers]
    x = np.random.default_rng(0).normal(size=(5, 5, 3))
    np.testing.assert_array_equal(model.predict(x, mask=MASKS["holes"]), again.predict(x, mask=MASKS["holes"]))
    lines = []
    model.summary(lines.append)
    assert any("masking (Masking)" in line for line in lines)
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((5, 5, 3)), verbose=0, mask=MASKS["holes"])
    plans = [executor.plan for key, executor in model._executors.items() if key[0] == "train"]
    assert all(plan.memory.total == sum(part.nbytes for part in plan.memory.parts) for plan in plans)


def test_a_flatten_layer_says_that_it_ends_a_mask():
    model = random_model([SimpleRNN(3, return_sequences=True), Flatten(), Dense(1)], (5, 3), seed=1)
    with pytest.warns(UserWarning, match="flatten ends the mask"):
        model.predict(np.zeros((5, 5, 3)), mask=MASKS["holes"])


@pytest.mark.parametrize("name", ["weight_gradient", "input_gradient"])
def test_gradients_of_rows_that_count(name):
    rng = np.random.default_rng(0)
    x, da, W = rng.normal(size=(12, 9)), rng.normal(size=(12, 17)), rng.normal(size=(9, 17))
    for alive in ([3, 2, 0, 0], [4, 4, 1, 0], [0, 0, 0, 0], [3, 3, 3, 3]):
        n, packed = sum(alive), rng.normal(size=(12, 9))
        if name == "input_gradient":
            found = call_kernel(name, "float64", dict(da=da, W=W, alive=np.array(alive), dx=x))["dx"]
            assert_close(found[:n], (da @ W.T)[:n], 1e-13)
            assert np.isnan(found[n:]).all()
            continue
        arguments = dict(x=x, packed=packed, da=da, alive=np.array(alive), add=0, dW=W, db=W[0])
        found = call_kernel(name, "float64", arguments)
        gaps = any(a < 3 and b for a, b in pairwise(alive))
        assert_close(found["dW"], (packed if gaps else x)[:n].T @ da[:n], 1e-13)
        assert_close(found["db"], da[:n].sum(axis=0), 1e-13)


X, Y = np.zeros((4, 5, 3)), np.zeros((4, 1))


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"lengths": [5, 0, 2, 1]}, "lengths must be whole numbers from 1 to the 5 time steps, but sample 1 has 0"),
        ({"lengths": [5, 6, 2, 1]}, "lengths must be whole numbers from 1 to the 5 time steps, but sample 1 has 6"),
        ({"lengths": [5, 2.5, 2, 1]}, "but sample 1 has 2.5"),
        (
            {"lengths": [5, 2]},
            "lengths must be a whole number for each of the 4 samples, not int64",
        ),
        ({"lengths": "five"}, "lengths must be a whole number for each of the 4 samples"),
        ({"mask": np.ones((4, 4), bool)}, "mask has shape (4, 4), but must have (samples, time steps) = (4, 5)"),
        ({"mask": np.full((4, 5), 2)}, "mask must be True for each time step that counts"),
        ({"mask": np.ones((4, 5)), "lengths": [1, 1, 1, 1]}, "lengths was given, but which time steps count is known"),
        ({"mask": {"y": np.ones((4, 5))}}, "mask names the input 'y', but the model has x"),
    ],
)
def test_bad_masks_are_refused(steps, words):
    model = random_model([SimpleRNN(2), Dense(1)], (5, 3), seed=1)
    model.compile("sgd", "mse")
    for verb in (lambda: model.fit(X, Y, verbose=0, **steps), lambda: model.predict(X, **steps)):
        with pytest.raises(ValueError) as caught:
            verb()
        assert words in str(caught.value)


def test_other_things_that_masks_refuse():
    with pytest.raises(ValueError, match="mask_value must be"):
        Masking("zero")
    with pytest.raises(ValueError, match="masking needs sequences"):
        random_model([Masking()], (3,))
    dense = random_model([Dense(1)], (3,))
    with pytest.raises(ValueError, match="mask was given, but the input holds vectors"):
        dense.predict(X[:, 0], mask=np.ones((4, 5)))
    with pytest.raises(ValueError, match="sample 1 has 2"):
        random_model([SimpleRNN(2)], (None, 3)).predict([X[0], X[0, :2, :2]])
    with pytest.raises(ValueError, match="sample 1 has 7 time steps"):
        random_model([SimpleRNN(2)], (5, 3)).predict([X[0], np.zeros((7, 3))])
    model = random_model([Dense(3, "relu"), Masking(), SimpleRNN(2, return_sequences=True)], (5, 3))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="layer masking masks computed numbers"):
        model.fit(X, np.zeros((4, 5, 2)), verbose=0)
    with pytest.raises(ValueError, match="masking"):
        model.stream()
    with pytest.raises(ValueError, match="truncate=2 counts steps"):
        plain = random_model([SimpleRNN(2), Dense(1)], (5, 3))
        plain.compile("sgd", "mse")
        plain.fit(X, Y, verbose=0, truncate=2, lengths=[1, 2, 3, 4])
    with pytest.raises(ValueError, match="its rows differ in length"):
        random_model([SimpleRNN(2)], (5, 3)).predict([[1.0, 2.0], [1.0]])
