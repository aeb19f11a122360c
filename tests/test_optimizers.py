"""Optimizers: clipping, decay and every option against the formulas, on whole models; parity with Keras."""

import os

import numpy as np
import pytest
import reference
import reference_optim
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_close, call_kernel, random_data, random_model

import nbrnn
from nbrnn import LSTM, SGD, Adam, AdamW, Dense, RMSprop, SimpleRNN
from nbrnn.cases import Case, run_backward
from nbrnn.optimizers import OPTIMIZERS

CLIPS = [{}, {"clipnorm": 0.03}, {"clipvalue": 0.01}, {"global_clipnorm": 0.05}]
KINDS = [
    (SGD, {"learning_rate": 0.1}),
    (SGD, {"learning_rate": 0.1, "momentum": 0.8, "nesterov": True}),
    (RMSprop, {"learning_rate": 0.01}),
    (RMSprop, {"learning_rate": 0.01, "momentum": 0.7}),
    (RMSprop, {"learning_rate": 0.01, "centered": True, "epsilon": 1e-3}),
    (RMSprop, {"learning_rate": 0.01, "centered": True, "momentum": 0.7, "epsilon": 1e-3}),
    (Adam, {"learning_rate": 0.02}),
    (Adam, {"learning_rate": 0.02, "amsgrad": True, "beta_2": 0.5}),
    (AdamW, {"learning_rate": 0.02, "weight_decay": 0.3}),
]
MOVES = {"sgd": reference.sgd_move, "rmsprop": reference.rmsprop_move, "adam": reference.adam_move}


def model_of(optimizer, dtype="float64", seed=5, layers=None):
    layers = layers or [SimpleRNN(5), Dense(2, "tanh")]
    model = random_model(layers, (4, 3), seed=seed, dtype=dtype)
    model.compile(optimizer, "mse")
    return model


def one_by_one(model, x, y, steps):
    """Take steps weight by weight with the formulas, from the gradients that check_gradients proves elsewhere."""
    optimizer = model.optimizer
    weights = {f"{layer.name}/{n}": v.copy() for layer in model.layers for n, v in layer._views().items()}
    state = {name: {s: np.zeros_like(w) for s in optimizer.slots} for name, w in weights.items()}
    hyper = [*optimizer.hyper(), *[1.0] * optimizer.powers]
    work = random_model([type(layer)(**layer.config()) for layer in model.layers], (4, 3), seed=1, dtype="float64")
    work.loss = model.loss
    for step in range(steps):
        work.set_weights(list(weights.values()))
        gradients = run_backward(work, Case(x, y))[1]
        rate = optimizer.schedule(step) if optimizer.schedule else optimizer.learning_rate
        hyper[0] = rate
        if optimizer.powers:
            hyper[4], hyper[5] = hyper[4] * hyper[1], hyper[5] * hyper[2]
        total = np.sqrt(sum((gradients[name] ** 2).sum() for name in weights))
        for name, w in weights.items():
            g = gradients[name]
            norm = np.sqrt((g**2).sum())
            if optimizer.clipnorm and norm > optimizer.clipnorm:
                g = g * optimizer.clipnorm / norm
            if optimizer.global_clipnorm and total > optimizer.global_clipnorm:
                g = g * optimizer.global_clipnorm / total
            if optimizer.clipvalue:
                g = g.clip(-optimizer.clipvalue, optimizer.clipvalue)
            for at in np.ndindex(w.shape):
                p, own = w[at], {slot: array[at] for slot, array in state[name].items()}
                new, own = MOVES[optimizer.kernel](p, g[at], own, hyper, optimizer.options().get("nesterov"))
                for slot, number in own.items():
                    state[name][slot][at] = number
                decays = optimizer.weight_decay and not any(text in name for text in optimizer.decay_except)
                w[at] = new - (p * optimizer.weight_decay * rate if decays else 0.0)
    return list(weights.values())


@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize(("kind", "arguments"), KINDS, ids=str)
def test_three_steps_are_those_of_the_formulas(kind, arguments, clip):
    decay = {} if kind is AdamW else {"weight_decay": 0.2, "decay_except": ["bias"]}
    model = model_of(kind(**arguments, **clip, **decay))
    x, y = random_data(model, 33, 0)  # two shards
    expected = one_by_one(model, x, y, 3)
    for _ in range(3):
        model.train_on_batch(x, y)
    for ours, theirs in zip(model.get_weights(), expected, strict=True):
        assert_close(ours, theirs, 1e-11)


def test_without_options_a_step_makes_the_calls_that_it_made():
    for optimizer, calls in (
        (SGD(), ["sgd"]),
        (Adam(), ["adam"]),
        (AdamW(), ["adam", "decay_weights", "take_over"]),
        (AdamW(decay_except=["bias"]), ["adam", *["decay_weights"] * 3, "take_over"]),
        (Adam(clipnorm=1.0), [*["clip_norm"] * 5, "adam"]),
        (SGD(nbrnn.CosineDecay(0.1, 5), clipvalue=1.0), ["cosine_decay", "clip_value", "sgd"]),
        (RMSprop(global_clipnorm=1.0, weight_decay=0.0), ["clip_norm", "rmsprop"]),
    ):
        model = model_of(optimizer)
        x, y = random_data(model, 3, 0)
        model.train_on_batch(x, y)
        (executor,) = model._executors.values()
        assert [call.kernel for call in executor.plan.update.calls] == calls


def test_an_infinite_gradient_stays_infinite_when_values_are_clipped():
    grads = np.array([np.inf, -np.inf, np.nan, 3.0, -3.0, 0.5])
    after = call_kernel("clip_value", "float64", {"limit": 2.0, "grads": grads})["grads"]
    np.testing.assert_array_equal(after, [np.inf, -np.inf, np.nan, 2.0, -2.0, 0.5])


@pytest.mark.parametrize("decay", [None, 0.5])
def test_a_step_that_overflows_leaves_the_weights_undecayed(decay):
    model = model_of(SGD(1e308, weight_decay=decay))
    x, y = random_data(model, 4, 0)
    before = model.get_weights()
    with pytest.raises(nbrnn.DivergedError, match="the optimizer's step"):
        model.fit(x, y * 100, epochs=1, verbose=0)
    for ours, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, kept)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_bits_do_not_depend_on_threads_and_a_fit_of_two_halves_is_the_whole(data):
    kind, arguments = data.draw(st.sampled_from(KINDS))
    clip, seed = data.draw(st.sampled_from(CLIPS)), data.draw(st.integers(0, 99))
    first, second = (model_of(kind(**arguments, **clip), "float32", seed) for _ in range(2))
    x, y = random_data(first, data.draw(st.integers(1, 70)), seed)
    first.fit(x, y, batch_size=40, epochs=4, verbose=0)
    threads = nbrnn.get_num_threads()
    try:
        nbrnn.set_num_threads(1)
        for _ in range(2):
            second.fit(x, y, batch_size=40, epochs=2, verbose=0)
    finally:
        nbrnn.set_num_threads(threads)
    assert [w.tobytes() for w in first.get_weights()] == [w.tobytes() for w in second.get_weights()]


# ---------------------------------------------------------------- files and bad input


@pytest.mark.parametrize("optimizer", [kind(**arguments, **CLIPS[k % 4]) for k, (kind, arguments) in enumerate(KINDS)])
def test_a_configuration_makes_the_optimizer_again(optimizer, tmp_path):
    again = type(optimizer)(**optimizer.config())
    assert repr(again) == repr(optimizer) and again.config() == optimizer.config() and again.slots == optimizer.slots
    model_of(optimizer).save(tmp_path / "m")
    loaded = nbrnn.load_model(tmp_path / "m").optimizer
    assert type(loaded) is type(optimizer) and loaded.config() == optimizer.config()


def test_names_and_defaults_are_kerass():
    assert sorted(OPTIMIZERS) == ["adam", "adamw", "rmsprop", "sgd"]
    assert AdamW().weight_decay == 0.004 and Adam().weight_decay is None and RMSprop().momentum == 0.0
    model = random_model([Dense(1)], (3,), seed=0)
    model.compile("AdamW", "mse")
    assert type(model.optimizer) is AdamW


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Adam(clipnorm=1.0, clipvalue=1.0), "only one of clipnorm, clipvalue, global_clipnorm can be given, "
            "not clipnorm and clipvalue"),
        (lambda: SGD(clipvalue=0), "clipvalue must be a number above 0, not 0"),
        (lambda: SGD(clipnorm="big"), "clipnorm must be a number above 0, not 'big'"),
        (lambda: AdamW(weight_decay=-1), "weight_decay must be a number of at least 0, not -1"),
        (lambda: AdamW(weight_decay=None), "weight_decay must be a number of at least 0, not None"),
        (lambda: AdamW(decay_except=[1]), "decay_except must be a list of parts of weights' names"),
        (lambda: Adam(amsgrad=1), "amsgrad must be True or False, not 1"),
        (lambda: RMSprop(momentum=2), "momentum must be a number of at least 0 and at most 1, not 2"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(make, words):
    with pytest.raises(ValueError) as caught:
        make()
    assert words in str(caught.value)


def test_weights_are_excluded_before_the_first_fit_only():
    optimizer = AdamW()
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert optimizer.config()["decay_except"] == ["bias"]
    model = model_of(optimizer)
    model.train_on_batch(*random_data(model, 3, 0))
    with pytest.raises(ValueError, match="before the first fit"):
        optimizer.exclude_from_weight_decay(["kernel"])


# ---------------------------------------------------------------- parity with Keras


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="Keras is not installed")


def theirs(keras, optimizer):
    """Return Keras' optimizer of the same settings."""
    config = optimizer.config()
    excluded = config.pop("decay_except")
    if optimizer.schedule is not None:
        described = config["learning_rate"]
        config["learning_rate"] = getattr(keras.optimizers.schedules, described["class"])(**described["config"])
    other = getattr(keras.optimizers, type(optimizer).__name__)(**config)
    if excluded:
        other.exclude_from_weight_decay(var_names=excluded)
    return other


SCHEDULES = [
    nbrnn.ExponentialDecay(0.05, 2, 0.5),
    nbrnn.ExponentialDecay(0.05, 2, 0.5, True),
    nbrnn.InverseTimeDecay(0.05, 2, 0.5),
    nbrnn.InverseTimeDecay(0.05, 2, 0.5, True),
    nbrnn.PolynomialDecay(0.05, 3, 0.01, 2.0),
    nbrnn.PolynomialDecay(0.05, 2, 0.01, 1.0, True),
    nbrnn.PiecewiseConstantDecay([1, 3], [0.05, 0.02, 0.01]),
    nbrnn.CosineDecay(0.05, 4, 0.1),
    nbrnn.CosineDecay(0.0, 4, 0.1, 0.05, 2),
    nbrnn.CosineDecayRestarts(0.05, 2, 2.0, 0.8, 0.1),  # where t_mul is 1.5, Keras' float32 misses a restart
    nbrnn.CosineDecayRestarts(0.05, 2, 1.0, 0.8, 0.1),
]
CHOSEN = [kind(**arguments, **clip) for kind, arguments in KINDS for clip in CLIPS]
CHOSEN += [kind(**arguments, weight_decay=0.1) for kind, arguments in KINDS[:8]]
CHOSEN += [AdamW(0.02, 0.3, decay_except=["bias"])]
CHOSEN += [SGD(schedule) for schedule in SCHEDULES] + [AdamW(SCHEDULES[0])]


@pytest.mark.parity
@pytest.mark.parametrize("optimizer", CHOSEN, ids=repr)
def test_five_steps_are_kerass(keras, optimizer):
    model = model_of(type(optimizer)(**optimizer.config()), "float32", layers=[LSTM(3), Dense(2)])
    x, y = random_data(model, 6, 0)
    other = keras.Sequential([keras.Input((4, 3)), keras.layers.LSTM(3), keras.layers.Dense(2)])
    other.set_weights(model.get_weights())
    other.compile(theirs(keras, optimizer), "mse")
    for _ in range(5):
        ours, kerass = model.train_on_batch(x, y), other.train_on_batch(x, y)
        np.testing.assert_allclose(ours, kerass, rtol=1e-5)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_schedule_gives_kerass_rates(keras, schedule):
    described = schedule.described()
    other = getattr(keras.optimizers.schedules, described["class"])(**described["config"])
    for step in range(12):
        assert schedule(step) == pytest.approx(float(other(step)), rel=2e-5, abs=1e-9), step


def test_the_twins_cover_the_kernels():
    assert set(reference_optim.SCHEDULED) == {s.kernel for s in SCHEDULES}
