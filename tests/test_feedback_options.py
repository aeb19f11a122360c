"""Layers that get their outputs back: chance, files, threads, graphs, and what is refused."""

import numpy as np
import pytest
from feedback_models import FREE, HALF, LAYERS, MODES, SEEN, TEACHER, compiled, data, one_step
from support import assert_close, random_model

import nbrnn
from nbrnn import GRU, LSTM, Activation, Dense, Feedback, Jordan, ScheduledSampling, SimpleRNN, Softmax
from nbrnn.kernels import feedback
from nbrnn.sampling import KINDS

# ---------------------------------------------------------------- scheduled sampling


@pytest.mark.parametrize(("kind", "k"), [("linear", 0.01), ("exponential", 0.97), ("inverse_sigmoid", 20.0)])
def test_the_share_of_targets_falls_as_the_schedule_says(kind, k):
    sampling = ScheduledSampling(kind, k, start=0.9, stop=0.1)
    model = random_model([Feedback(Dense(1), training=sampling)], (40, 2), 4)
    model.compile(nbrnn.SGD(learning_rate=0.0001), "mse")
    x, y = data(7, N=64, T=40, O=1)
    executor = model._executor("train", x, y, 64)
    shares = []
    for i in range(0, 120, 20):  # optimizer steps
        executor.run(i, i + 1, shuffle=False, seed=1, epoch=0, step=0)
        views = [executor.view(p["feedback/coins"], s) for s, p in enumerate([executor.plan.programs[16]] * 4)]
        falling = {"linear": 1 - k * i, "exponential": k**i, "inverse_sigmoid": k / (k + np.exp(min(i / k, 99)))}
        shares.append((np.mean(views), max(0.1, 0.9 * falling[kind])))
    seen, wanted = np.array(shares).T
    assert np.abs(seen - wanted).max() < 5 * 0.5 / np.sqrt(64 * 40)


def test_coins_depend_on_the_sample_not_on_shards_and_differ_by_step_and_seed():
    x, y = data(8, N=48, T=6)

    def run(samples, step, seed):
        model = compiled([Feedback(Dense(2), training=HALF)], T=6)
        executor = model._executor("train", x[:samples], y[:samples], samples)
        executor.run(step, step + 1, shuffle=False, seed=seed, epoch=0, step=0)
        plan = executor.plan
        sizes = [min(plan.shard, samples - s * plan.shard) for s in range(plan.shards)]
        parts = [executor.view(plan.programs[n]["feedback/coins"], s) for s, n in enumerate(sizes)]
        return np.concatenate(parts, axis=1)

    few_of_them, all_of_them = run(16, 0, 1), run(48, 0, 1)
    np.testing.assert_array_equal(few_of_them, all_of_them[:, :16])
    assert (run(48, 0, 2) != all_of_them).any()


def test_extremes_of_the_schedule_are_the_two_other_modes():
    x, y = data(9)
    for share, mode in ((1.0, TEACHER), (0.0, FREE)):
        sampled = compiled([Feedback([LSTM(3), Dense(2)], 2, training=ScheduledSampling(start=share, stop=share))])
        other = compiled([Feedback([LSTM(3), Dense(2)], 2, training=mode)])
        for ours, theirs in zip(one_step(sampled, x, y), one_step(other, x, y), strict=True):
            assert_close(ours, theirs, 1e-11, least=SEEN)


def test_a_sampled_fit_is_resumed_bit_for_bit(tmp_path):
    def make():
        model = compiled([Feedback([GRU(3), Dense(2)], training=HALF)])
        model.compile("adam", "mse")
        return model

    x, y = data(10, N=20)
    whole, half = make(), make()
    whole.fit(x, y, batch_size=5, epochs=4, verbose=0)
    keep = nbrnn.Checkpoint(tmp_path / "c.safetensors")
    half.fit(x, y, batch_size=5, epochs=2, verbose=0, callbacks=keep)
    again = make()
    again.fit(x, y, batch_size=5, epochs=4, verbose=0, resume=keep.path)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole.get_weights(), again.get_weights(), strict=True))


# ---------------------------------------------------------------- as any layer


@pytest.mark.parametrize("mode", sorted(MODES))
def test_models_are_saved_and_read(mode, tmp_path):
    for layer in (Jordan(3, 2, "relu", "tanh", training=MODES[mode]), Feedback(LAYERS["stack"](), 3, MODES[mode])):
        model = compiled([layer])
        model.save(tmp_path / "m.safetensors")
        again = nbrnn.load_model(tmp_path / "m.safetensors")
        x, y = data(11)
        np.testing.assert_array_equal(again.predict(x), model.predict(x))
        assert repr(again.layers[0]) == repr(model.layers[0])
        for ours, theirs in zip(one_step(again, x, y), one_step(model, x, y), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", sorted(LAYERS))
def test_float32_is_near_float64(kind):
    model = compiled([Feedback(LAYERS[kind](), 2, training=FREE)], T=12)
    small = random_model([Feedback(LAYERS[kind](), 2, training=FREE)], (12, 2), 1, dtype="float32")
    small.set_weights(model.get_weights())
    x, _ = data(12, T=12)
    assert_close(small.predict(x.astype("float32")), model.predict(x), 2e-5)


def test_many_samples_on_any_number_of_threads_give_the_same_bits():
    x, y = data(13, N=70, T=4)
    found = []
    for threads in (1, 2):
        nbrnn.set_num_threads(threads)
        model = compiled([Feedback([LSTM(17), Dense(2)], 2, training=HALF)], T=4)
        model.fit(x, y, batch_size=48, epochs=2, verbose=0)
        found.append([w.tobytes() for w in model.get_weights()] + [model.predict(x).tobytes()])
    assert found[0] == found[1]


def test_it_stands_in_graphs_and_is_called_twice():
    a, b = nbrnn.Input((4, 2), name="a"), nbrnn.Input((4, 2), name="b")
    for mode in (TEACHER, FREE):
        layer = Feedback([SimpleRNN(3), Dense(2)], 2, training=mode)
        model = nbrnn.Model([a, b], [layer(a), layer(b)], seed=0, dtype="float64")
        model.compile("sgd", "mse")
        model.set_weights([np.random.default_rng(1).normal(0, 0.5, w.shape) for w in model.get_weights()])
        rng = np.random.default_rng(2)
        arrays = [rng.normal(size=(2, 4, 2)) for _ in range(4)]
        assert nbrnn.check_gradients(model, arrays[:2], arrays[2:]).passed
        assert nbrnn.check_gradients(model, arrays[:2]).passed


def test_summary_and_trace_show_it():
    model = compiled([Feedback([LSTM(3), Dense(2)], 2)])
    lines = []
    model.summary(print_fn=lines.append, kernels=True)
    assert any("feedback (Feedback)" in line and "(None, 5, 2)" in line for line in lines)
    assert any("lag" in line for line in lines)
    x, y = data(14)
    assert_close(nbrnn.trace(model, x[:1], y[:1]).output, model.predict(x[:1])[0], 1e-13)


@pytest.mark.parametrize("mode", sorted(MODES))
def test_a_fit_that_diverges_says_where(mode):
    model = compiled([Feedback([LSTM(3), Dense(2)], 2, training=MODES[mode])])
    model.compile(nbrnn.SGD(learning_rate=1e200), "mse")
    x, y = data(15)
    with pytest.raises(nbrnn.DivergedError) as error:
        model.fit(x, y, epochs=30, verbose=0)
    assert error.value.buffer
    assert {"feedback/outputs", "feedback/lstm"} == set(error.value.gradient_norms)
    assert all(np.shape(norms) == (5,) for norms in error.value.state_norms.values())


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Feedback([]), "layers of Feedback must hold at least one layer"),
        (lambda: Feedback([nbrnn.Flatten()]), "must be Dense, Activation, Softmax, SimpleRNN, LSTM or GRU layers"),
        (lambda: Feedback("lstm"), "must be Dense, Activation, Softmax, SimpleRNN, LSTM or GRU layers, not str"),
        (lambda: Feedback(Activation("tanh")), "one of the layers of Feedback must have units"),
        (lambda: Feedback(LSTM(2, go_backwards=True)), "cannot have go_backwards or dropout"),
        (lambda: Feedback(LSTM(2, recurrent_dropout=0.5)), "cannot have go_backwards or dropout"),
        (lambda: Feedback(Dense(1), lags=0), "lags must be a whole number of at least 1, not 0"),
        (lambda: Feedback(Dense(1), training="teacher"), "training 'teacher' is unknown"),
        (lambda: Feedback(Dense(1), return_sequences=False), "leaves no targets for the steps to feed back"),
        (lambda: Feedback([Dense(1, name="a"), Dense(1, name="a")]), "two layers have the name 'a'"),
        (lambda: Jordan(0, 1), "units must be a whole number"),
        (lambda: Jordan(1, 0), "outputs must be a whole number"),
        (lambda: Jordan(1, 1, "than"), "activation 'than' is unknown"),
        (lambda: ScheduledSampling("cosine"), "kind 'cosine' is unknown"),
        (lambda: ScheduledSampling("linear", k=0), "k must be a number above 0"),
        (lambda: ScheduledSampling("exponential", k=1.0), "k of an exponential ScheduledSampling must be below 1"),
        (lambda: ScheduledSampling("inverse_sigmoid", k=0.5), "k must be a number of at least 1"),
        (lambda: ScheduledSampling(start=1.5), "start must be a number"),
        (lambda: random_model([Jordan(1, 1)], (3,)), "needs sequences"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("mode", ["teacher", "sampled"])
def test_a_feedback_layer_without_targets_is_refused(mode):
    x, y = data(16)
    inside = compiled([Feedback(Dense(3), training=MODES[mode]), Dense(2)])
    with pytest.raises(ValueError, match="its output must be an output of the model with a loss") as error:
        inside.fit(x, y, verbose=0)
    assert "\n" not in str(error.value)
    labels = compiled([Feedback([Dense(2), Softmax()], training=MODES[mode])])
    labels.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="the loss must take 2 numbers a step as targets, not 1"):
        labels.fit(x, np.zeros((3, 5), int), verbose=0)
    free = compiled([Feedback(Dense(3), training=FREE), Dense(2)])
    free.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="y is None, but targets are needed"):
        compiled([Feedback(Dense(2), training=MODES[mode])]).fit(x, None, verbose=0)


@pytest.mark.parametrize("mode", sorted(MODES))
def test_masked_steps_are_refused(mode):
    x, y = data(18)
    model = compiled([nbrnn.Masking(), Feedback([GRU(2), Dense(2)], training=MODES[mode])])
    for call in (lambda: model.fit(x, y, verbose=0), lambda: model.predict(x)):
        with pytest.raises(ValueError, match="layer feedback cannot leave out masked steps: give sample_weight"):
            call()


def test_first_states_that_do_not_fit_a_fit_are_refused():
    x, y = data(17)
    model = compiled([Feedback(Dense(2), 2)])
    with pytest.raises(ValueError, match=r"initial_state feedback/y has shape \(3, 2\)"):
        model.fit(x, y, verbose=0, initial_state={"feedback/y": np.zeros((3, 2))})
    with pytest.raises(ValueError, match="initial_state cannot be split"):
        model.fit(x, y, verbose=0, validation_split=0.4, initial_state=[np.zeros((3, 4))])
    with pytest.raises(ValueError, match="no layer of the model is recurrent"):
        compiled([Dense(2)]).fit(x, y, verbose=0, initial_state=[np.zeros((3, 4))])
    stateful = compiled([Feedback(Dense(2), stateful=True)])
    with pytest.raises(ValueError, match="initial_state is for layers that are not stateful"):
        stateful.fit(x, y, verbose=0, shuffle=False, initial_state=[np.zeros((3, 2))])


def test_kinds_of_schedules_are_the_kernels():
    assert KINDS == ("linear", "exponential", "inverse_sigmoid")
    assert (feedback.LINEAR, feedback.EXPONENTIAL, feedback.INVERSE_SIGMOID) == (0, 1, 2)
