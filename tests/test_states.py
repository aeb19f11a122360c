"""First and last states: given, returned, carried from batch to batch, reset for single samples; their gradients."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import few, random_data, random_model, seeds

import nbrnn
from nbrnn import GRU, LSTM, Dense, SimpleRNN

CELLS = {
    "simple_rnn": SimpleRNN,
    "lstm": LSTM,
    "gru": GRU,
    "gru before": lambda units, **more: GRU(units, reset_after=False, **more),
}
cells = st.sampled_from(sorted(CELLS))


def stack(cell, units=3, **more):
    """Return a model of two recurrent layers with an open number of steps, the second one the cell's."""
    layers = [LSTM(2, return_sequences=True, stateful=more.get("stateful", False)), CELLS[cell](units, **more)]
    return random_model(layers, (None, 2), seed=3)


@given(cell=cells, samples=few, first=few, second=few, backwards=st.booleans(), seed=seeds)
def test_two_halves_with_the_state_handed_over_are_the_whole(cell, samples, first, second, backwards, seed):
    layers = [CELLS[cell](3, return_sequences=True, return_state=True, go_backwards=backwards)]
    model = random_model(layers, (None, 2), seed % 1000)
    x = np.random.default_rng(seed).normal(size=(samples, first + second, 2))
    whole, *last = model.predict(x)
    parts = (x[:, first:], x[:, :first]) if backwards else (x[:, :first], x[:, first:])
    begun, *handed = model.predict(parts[0])
    ended, *states = model.predict(parts[1], initial_state=handed)
    assert (np.concatenate([begun, ended], 1) == whole).all()
    assert len(last) == (2 if cell == "lstm" else 1)
    for one, other in zip(states, last, strict=True):
        assert one.shape == (samples, 3) and (one == other).all()
    assert (last[0] == whole[:, -1]).all()


def test_states_are_given_by_name_or_in_order_and_missing_ones_are_zero():
    model = stack("lstm", return_state=True)
    x, _ = random_data(model, 40, 5)  # 40 samples: shards
    rng = np.random.default_rng(1)
    names = {"lstm/h": 2, "lstm/c": 2, "lstm_1/h": 3, "lstm_1/c": 3}
    states = {name: rng.normal(size=(40, n)) for name, n in names.items()}
    by_name = model.predict(x, initial_state=states)
    for one, other in zip(by_name, model.predict(x, initial_state=list(states.values())), strict=True):
        assert (one == other).all()
    for one, other in zip(by_name, model(x, initial_state=dict(reversed(states.items()))), strict=True):
        assert (one == other).all()
    assert (by_name[0] != model.predict(x)[0]).any()
    some = model.predict(x, initial_state={"lstm/c": states["lstm/c"]}, batch_size=7)[0]
    zeros = states | {name: 0 * states[name] for name in names if name != "lstm/c"}
    assert (some == model.predict(x, initial_state=zeros)[0]).all() and (some != by_name[0]).any()
    one = random_model([SimpleRNN(3), Dense(1)], (4, 2))
    x, h = random_data(one, 5, 1)[0], rng.normal(size=(5, 3))
    assert (one.predict(x, initial_state=h) == one.predict(x, initial_state={"simple_rnn/h": h})).all()


def test_only_layers_with_return_state_return_theirs():
    model = random_model([GRU(2, return_sequences=True, return_state=True), LSTM(3), Dense(1)], (4, 2))
    x, _ = random_data(model, 6, 2)
    outputs, h = model.predict(x)
    assert outputs.shape == (6, 1) and h.shape == (6, 2)
    below = random_model([GRU(2)], (4, 2))
    below.set_weights(model.layers[0].get_weights())
    assert (below.predict(x) == h).all()
    assert isinstance(below.predict(x), np.ndarray)


# ---------------------------------------------------------------- stateful


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("samples", [1, 5, 40])
def test_a_stateful_layer_goes_on_where_it_stopped(cell, samples):
    model, plain = stack(cell, stateful=True, return_sequences=True), stack(cell, return_sequences=True)
    x = np.random.default_rng(samples).normal(size=(samples, 9, 2))
    whole = plain.predict(x)
    parts = [model.predict(x[:, a:b]) for a, b in ((0, 2), (2, 3), (3, 9))]
    assert (np.concatenate(parts, 1) == whole).all()
    model.reset_states()
    assert model.states == {}
    assert (model.predict(x) == whole).all()
    states = model.states
    assert (states[f"{model.layers[1].name}/h"] == whole[:, -1]).all()
    states["lstm/h"][:] = 7  # a copy
    assert (model.states["lstm/h"] != 7).all()


def test_batches_of_one_call_follow_each_other_place_by_place():
    model, plain = stack("gru", stateful=True), stack("gru")
    x = np.random.default_rng(0).normal(size=(6, 3, 2))
    outputs = model.predict(x, batch_size=2)  # samples 0, 2, 4 are one sequence, and 1, 3, 5 another
    for place in (0, 1):
        joined = np.concatenate([x[place::2][k] for k in range(3)])[None]
        np.testing.assert_allclose(outputs[place + 4], plain.predict(joined)[0], rtol=1e-14)


def test_single_samples_are_reset():
    model = stack("lstm", stateful=True)
    x, _ = random_data(model, 4, 3)
    model.predict(x)
    before = model.states
    for chosen in ([1, 3], np.array([False, True, False, True]), slice(1, None, 2)):
        model.set_states(before)
        model.reset_states(chosen)
        for name, state in model.states.items():
            assert (state[[1, 3]] == 0).all() and (state[[0, 2]] == before[name][[0, 2]]).all()
    with pytest.raises(ValueError, match=r"samples must name some of the batch's 4, not \[9\]"):
        model.reset_states([9])


def test_training_carries_states_from_batch_to_batch():
    x, y = np.random.default_rng(2).normal(size=(6, 4, 2)), np.random.default_rng(3).normal(size=(6, 3))

    def trained(fit):
        model = stack("lstm", stateful=True)
        model.compile("sgd", "mse")
        fit(model)
        return model

    at_once = trained(lambda model: model.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0))
    singly = trained(lambda model: [model.train_on_batch(x[k : k + 2], y[k : k + 2]) for k in (0, 2, 4, 0, 2, 4)])
    forgetful = trained(
        lambda model: [(model.reset_states(), model.train_on_batch(x[k : k + 2], y[k : k + 2])) for k in (0, 2, 4) * 2]
    )
    for one, other, third in zip(at_once.get_weights(), singly.get_weights(), forgetful.get_weights(), strict=True):
        assert (one == other).all() and (one != third).any()
    for name, state in at_once.states.items():
        assert (state == singly.states[name]).all()


def test_a_validation_leaves_the_states_of_the_training():
    x, y = np.random.default_rng(2).normal(size=(6, 4, 2)), np.random.default_rng(3).normal(size=(6, 3))
    models = [stack("gru", stateful=True) for _ in range(2)]
    for model, held in zip(models, (None, (x[:2], y[:2])), strict=True):
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=2, epochs=3, shuffle=False, verbose=0, validation_data=held)
    for name, state in models[0].states.items():
        assert (state == models[1].states[name]).all()


def test_a_copy_carries_states_of_its_own():
    model = stack("gru", stateful=True)
    x, _ = random_data(model, 2, 4)
    model.predict(x)
    twin = copy.deepcopy(model)
    before = model.states
    twin.predict(x)
    assert all(
        (state == before[name]).all() and (twin.states[name] != state).any() for name, state in model.states.items()
    )


# ---------------------------------------------------------------- gradients


def test_gradients_of_states_are_checked_and_broken_ones_found(monkeypatch):
    model = stack("lstm", stateful=True, return_state=True)
    x, y = random_data(model, 3, 5)
    report = nbrnn.check_gradients(model, x)
    names = {"lstm/h0", "lstm/c0", "lstm_1/h0", "lstm_1/c0"}
    assert report.passed and names < {row.name for row in report.rows}
    assert all((report.gradients[name] != 0).all() for name in names)
    model.compile("sgd", "mse")
    at_zero = nbrnn.check_gradients(model, x, y)
    h = np.random.default_rng(0).normal(size=(3, 2))
    given = nbrnn.check_gradients(model, x, y, initial_state={"lstm/h": h})
    assert at_zero.passed and given.passed and at_zero.loss != given.loss
    assert at_zero.loss == pytest.approx(model.evaluate(x, y), rel=1e-12)


def test_a_path_of_its_own_for_zero_states_is_checked_too(monkeypatch):
    model = random_model([SimpleRNN(3), Dense(1)], (4, 2))
    x, _ = random_data(model, 3, 5)
    honest = nbrnn.gradcheck.run_backward

    def broken(model, case):
        loss, gradients = honest(model, case)
        if case.states is None:
            gradients["simple_rnn/kernel"] = -gradients["simple_rnn/kernel"]
        return loss, gradients

    monkeypatch.setattr(nbrnn.gradcheck, "run_backward", broken)
    report = nbrnn.check_gradients(model, x)
    assert [row.name for row in report.rows if row.relative_error > 1e-12] == ["simple_rnn/kernel"]


# ---------------------------------------------------------------- what is refused


def test_states_that_do_not_fit_are_refused():
    model = stack("gru")
    x, _ = random_data(model, 4, 1)
    h, c, g = np.zeros((4, 2)), np.zeros((4, 2)), np.zeros((4, 3))
    for states, sentence in [
        ([h, c], r"initial_state must be a dict or a list of 3 arrays \(lstm/h \(samples, 2\).*not 2 of them"),
        (h, "must be a dict or a list of 3 arrays .* not ndarray"),
        ({}, "initial_state: the dict is empty; the states are lstm/h"),
        ({"gru/h": g[None]}, r"gru/h has shape \(1, 4, 3\), but must have \(samples, units\) = \(samples, 3\)"),
        ({"gru/c": g}, "has no state 'gru/c'; the states are lstm/h .*, gru/h"),
        ({"gru/h": h}, r"initial_state gru/h has shape \(4, 2\), but must have \(samples, units\) = \(4, 3\)"),
        ({"gru/h": g[:3]}, r"gru/h has shape \(3, 3\).*\(4, 3\)"),
        ({"gru/h": g + np.nan}, "gru/h holds a number that is not finite in float64"),
        ({"gru/h": "zero"}, "gru/h must hold real numbers only"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            model.predict(x, initial_state=states)
    with pytest.raises(ValueError, match="no layer of the model is recurrent"):
        random_model([Dense(1)], (4, 2)).predict(np.zeros((1, 4, 2)), initial_state=[h])
    with pytest.raises(ValueError, match="no layer of the model is stateful; make one with stateful=True"):
        model.set_states([h, c, g])
    stateful = stack("gru", stateful=True)
    with pytest.raises(ValueError, match="call set_states first"):
        stateful.predict(x, initial_state=[h, c, g])
    with pytest.raises(ValueError, match=r"states gru/h has shape \(4, 2\)"):
        stateful.set_states([h, c, h])
    with pytest.raises(ValueError, match="states must be those of at least one sample"):
        stateful.set_states([h[:0], c[:0], g[:0]])
    assert stateful.states == {}
    with pytest.raises(ValueError, match="no layer of the model is stateful, so there are no states to reset"):
        model.reset_states()


def test_what_resets_no_sample_is_refused_and_an_empty_choice_is_none():
    model = stack("gru", stateful=True)
    model.predict(random_data(model, 4, 1)[0])
    before = model.states
    for samples in (9, [[0], [1, 2]], [[0, 1]], True, "all", [0.5]):
        with pytest.raises(ValueError, match="samples must name some of the batch's 4, not"):
            model.reset_states(samples)
    model.reset_states([])
    assert all((state == before[name]).all() for name, state in model.states.items())
    model.reset_states(3)
    assert (model.states["gru/h"][3] == 0).all() and (model.states["gru/h"][:3] == before["gru/h"][:3]).all()


def test_validation_data_that_does_not_fit_is_refused_before_training():
    model = stack("gru", stateful=True)
    model.compile("sgd", "mse")
    x, y = np.ones((8, 4, 2)), np.ones((8, 3))
    weights = model.get_weights()
    for held in (6, 2):
        with pytest.raises(ValueError, match="of the validation data"):
            model.fit(x, y, batch_size=4, shuffle=False, verbose=0, validation_data=(x[:held], y[:held]))
    with pytest.raises(ValueError, match="6 samples to train on do not fall into batches of 4"):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, validation_split=0.25)
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True)) and model.states == {}


def test_states_that_overflow_are_not_gone_on_from():
    model = nbrnn.Sequential([SimpleRNN(2, "relu", stateful=True)], (3, 1))
    model.set_weights([np.full((1, 2), 1e30), np.full((2, 2), 1e30), np.zeros(2)])
    x = np.ones((1, 3, 1))
    assert np.isinf(model.predict(x)).all()
    with pytest.raises(ValueError, match=r"states are not finite any more: call reset_states\(\)"):
        model.predict(x)
    model.reset_states()
    model.predict(0 * x)


def test_a_missing_return_sequences_is_named_with_what_to_write():
    for layers, shape, sentence in [
        ([LSTM(3, name="low"), GRU(2, name="high")], (5, 2), r"write layer low as LSTM\(3, return_sequences=True\)"),
        ([LSTM(3, name="low"), Dense(2), GRU(2)], (5, 2), r"layer gru needs .* write layer low as LSTM\(3, ret"),
        ([nbrnn.Flatten(), GRU(2)], (5, 2), "leave out layer flatten, which makes vectors"),
        ([GRU(2)], (5,), r"input_shape must be \(time steps, features\); vectors have no time steps"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            nbrnn.Sequential(layers, shape)


@pytest.mark.parametrize("flag", ["return_sequences", "return_state", "go_backwards", "stateful", "use_bias"])
def test_flags_are_true_or_false(flag):
    for value in ("no", 1, None, float("nan"), np.array([True, False])):
        with pytest.raises(ValueError, match=f"{flag} must be True or False, not"):
            GRU(2, **{flag: value})
    assert getattr(GRU(2, **{flag: np.True_}), flag) is True


def test_batches_that_do_not_fit_a_stateful_layer_are_refused():
    model = stack("gru", stateful=True)
    model.compile("sgd", "mse")
    x, y = np.zeros((5, 4, 2)), np.zeros((5, 3))
    with pytest.raises(ValueError, match=r"layer lstm is stateful.* 5 samples do not fall into batches of 2"):
        model.predict(x, batch_size=2)
    with pytest.raises(ValueError, match="stateful layer goes on from batch to batch, so fit needs shuffle=False"):
        model.fit(x, y, verbose=0)
    model.predict(x)
    with pytest.raises(ValueError, match="keeps the states of 5 samples, but a batch of 3 came: give batches of 5"):
        model.predict(x[:3])
    with pytest.raises(ValueError, match="keeps the states of 5"):
        model.train_on_batch(x[:1], y[:1])
    model.reset_states()
    model.predict(x[:3])


def test_flags_are_saved(tmp_path):
    model = stack("lstm", stateful=True, return_state=True)
    model.save(tmp_path / "m.safetensors")
    layer = nbrnn.load_model(tmp_path / "m.safetensors").layers[1]
    assert layer.stateful and layer.return_state and not layer.return_sequences
