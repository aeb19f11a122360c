"""Fits: every epoch as the naive trainer does it, the same bits anywhere, validation, progress, Ctrl-C, divergence."""

import hashlib
import io
import re
import sys

import numpy as np
import pytest
import reference
import reference_losses
from support import assert_close, random_data, random_model

import nbrnn
from nbrnn import Dense, DivergedError, SimpleRNN

OPTIMIZERS = {
    "sgd": (nbrnn.SGD, {"learning_rate": 0.05}, "sgd", [0.05, 0.0]),
    "momentum": (nbrnn.SGD, {"learning_rate": 0.02, "momentum": 0.8}, "sgd", [0.02, 0.8]),
    "nesterov": (nbrnn.SGD, {"learning_rate": 0.02, "momentum": 0.8, "nesterov": True}, "sgd", [0.02, 0.8]),
    "rmsprop": (nbrnn.RMSprop, {}, "rmsprop", [1e-3, 0.9, 1e-7, 0.0]),
    "adam": (nbrnn.Adam, {}, "adam", [1e-3, 0.9, 0.999, 1e-7, 1.0, 1.0]),
}
LOSSES = {"mse": "mse", "mae": "mae", "huber": "huber", "sharp huber": nbrnn.Huber(0.2)}


def small_model(dtype="float64", seed=3):
    layers = [SimpleRNN(3, "tanh", return_sequences=True), SimpleRNN(2, "elu"), Dense(2, "sigmoid")]
    return random_model(layers, (3, 2), seed=seed, dtype=dtype)


def twin_of(model, optimizer, clip=None, loss="mse"):
    _, settings, name, hyper = OPTIMIZERS[optimizer]
    twin_loss = {name: getattr(reference_losses, name) for name in ("mse", "mae", "huber")}.get(loss)
    twin_loss = twin_loss or (lambda *arguments: reference_losses.huber(*arguments, delta=0.2))
    return reference.Trainer(model, name, hyper, clip, settings.get("nesterov", False), twin_loss)


def compiled(optimizer, clip=None, loss="mse", **settings):
    kind, arguments, *_ = OPTIMIZERS[optimizer]
    model = small_model(**settings)
    model.compile(kind(**arguments, global_clipnorm=clip), LOSSES[loss])
    return model


def bits(model):
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()


# ---------------------------------------------------------------- the naive trainer


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("batch", "loss"), [(1, "huber"), (7, "mae"), (40, "mse"), (99, "sharp huber")])
def test_training_equals_the_naive_trainer(dtype, clip, optimizer, batch, loss):
    model = compiled(optimizer, clip, loss, dtype=dtype)
    x, y = random_data(model, 45, 4)  # 40 samples a batch: shards of 16, 16 and 8, then one of 5
    twin = twin_of(model, optimizer, clip, loss)
    before, losses = twin.weights, twin.fit(x.astype("f8"), y.astype("f8"), 2, batch)
    history = model.fit(x, y, batch_size=batch, epochs=2, verbose=0)
    tolerance = 1e-10 if dtype == "float64" else 2e-3
    for name, new, old, wanted in zip("abcdefgh", model.get_weights(), before, twin.weights, strict=True):
        assert_close(new - old, wanted - old, tolerance, f"the change of weight {name}")
    assert history.history["loss"] == pytest.approx(losses, rel=1e-12 if dtype == "float64" else 1e-4)


def test_samples_are_taken_in_their_order_without_shuffle():
    model = compiled("adam")
    x, y = random_data(model, 10, 4)
    twin = twin_of(model, "adam")
    twin.fit(x, y, 2, 3, shuffle=False)
    model.fit(x, y, batch_size=3, epochs=2, verbose=0, shuffle=False)
    other = compiled("adam")
    other.fit(x, y, batch_size=3, epochs=2, verbose=0)
    for new, wanted in zip(model.get_weights(), twin.weights, strict=True):
        assert_close(new, wanted, 1e-12)
    assert bits(other) != bits(model)


def test_the_seed_decides_the_order_of_the_samples():
    results = []
    for seed in (1, 1, 2):
        model = random_model([Dense(2)], (3,), seed=1)
        model.seed = seed
        model.compile("sgd", "mse")
        model.fit(*random_data(model, 20, 5), batch_size=3, verbose=0)
        results.append(bits(model))
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("optimizer", ["momentum", "rmsprop", "adam"])
def test_two_fits_of_three_epochs_are_one_of_six(optimizer):
    """The order follows from the epochs that the model has seen, and the optimizer's means go on."""
    x, y = random_data(small_model(), 20, 6)
    once, twice = compiled(optimizer), compiled(optimizer)
    whole = once.fit(x, y, batch_size=6, epochs=6, verbose=0).history["loss"]
    parts = [twice.fit(x, y, batch_size=6, epochs=3, verbose=0).history["loss"] for _ in range(2)]
    assert bits(once) == bits(twice) and parts[0] + parts[1] == whole
    assert (once.epochs, once.steps) == (twice.epochs, twice.steps) == (6, 24)
    twice.compile(*[nbrnn.Adam()], "mse")  # begins anew
    once.fit(x, y, batch_size=6, verbose=0)
    twice.fit(x, y, batch_size=6, verbose=0)
    assert bits(once) != bits(twice)


def test_the_learning_rate_may_be_changed_between_fits():
    model = compiled("adam")
    x, y = random_data(model, 12, 7)
    twin = twin_of(model, "adam")
    for rate in (1e-3, 0.03):
        model.optimizer.learning_rate = twin.hyper[0] = rate
        model.fit(x, y, batch_size=5, verbose=0)
        twin.fit(x, y, 1, 5)
    for new, wanted in zip(model.get_weights(), twin.weights, strict=True):
        assert_close(new, wanted, 1e-11)


def test_one_batch_is_one_step():
    model, other = compiled("adam"), compiled("adam")
    model.compile(model.optimizer, "mse", ["mae"])
    x, y = random_data(model, 9, 8)
    before = model.evaluate(x, y)
    history = model.history
    assert model.train_on_batch(x, y) == pytest.approx(before, rel=1e-12)
    assert (model.epochs, model.steps) == (0, 1) and model.history is history
    other.fit(x, y, batch_size=9, shuffle=False, verbose=0)
    assert bits(model) == bits(other)
    assert isinstance(other.train_on_batch(x, y), float)


def test_the_control_words_say_where_a_shard_stands():
    model = compiled("sgd")
    x, y = random_data(model, 91, 5)
    for _ in range(2):
        model.fit(x, y, batch_size=50, epochs=3, verbose=0)
    (executor,) = model._executors.values()
    shards = executor.control[:3]  # of the last batch: 41 samples
    assert shards[:, :6].tolist() == [[50 + 16 * s, 41, 3, 11, 5, model.seed] for s in range(3)]


def test_training_learns_a_sum():
    x = np.random.default_rng(1).normal(size=(300, 5, 1))
    model = nbrnn.Sequential([SimpleRNN(8), Dense(1)], input_shape=(5, 1), seed=0)
    model.compile(nbrnn.Adam(0.01), "mse")
    losses = model.fit(x, x.sum(axis=1) / 5, epochs=40, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 50


# ---------------------------------------------------------------- validation, history, progress


def test_validation_split_takes_the_last_samples_and_does_not_change_training():
    model, plain = compiled("adam"), compiled("adam")
    model.compile(model.optimizer, "mse", ["mae"])
    x, y = random_data(model, 23, 9)
    history = model.fit(x, y, batch_size=4, epochs=3, validation_split=0.3, verbose=0).history
    plain.fit(x[:16], y[:16], batch_size=4, epochs=3, verbose=0)  # floor(23 * 0.7) = 16
    assert bits(model) == bits(plain)
    assert list(history) == ["loss", "mae", "val_loss", "val_mae"] and {len(v) for v in history.values()} == {3}
    assert [history["val_loss"][-1], history["val_mae"][-1]] == model.evaluate(x[16:], y[16:])


def test_validation_data_wins_over_the_split():
    model = compiled("adam")
    x, y = random_data(model, 20, 9)
    other = random_data(model, 7, 10)
    history = model.fit(x, y, validation_split=0.5, validation_data=other, verbose=0).history
    assert history["val_loss"] == [model.evaluate(*other)] and model.steps == 1  # all 20 samples: one batch of 32


def test_the_history_has_a_number_an_epoch():
    model = compiled("sgd")
    history = model.fit(*random_data(model, 9, 1), epochs=4, batch_size=2, verbose=0)
    assert history is model.history and history.epoch == [0, 1, 2, 3] and list(history.history) == ["loss"]
    again = model.fit(*random_data(model, 9, 1), epochs=2, verbose=0)
    assert again.epoch == [0, 1] and len(again.history["loss"]) == 2


def test_progress_is_silent_or_a_line_an_epoch(capsys):
    model = compiled("sgd")
    x, y = random_data(model, 9, 1)
    model.fit(x, y, epochs=3, verbose=0)
    assert capsys.readouterr() == ("", "")
    losses = model.fit(x, y, epochs=3, verbose=2, validation_split=0.5).history
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("compiling")]
    figures = [f"loss {a:.4g}  val_loss {b:.4g}" for a, b in zip(losses["loss"], losses["val_loss"], strict=True)]
    assert lines == [f"epoch {k + 1}/3  {text}" for k, text in enumerate(figures)]
    loss = model.fit(x, y, epochs=3, verbose=1).history["loss"][-1]
    assert capsys.readouterr().out.splitlines()[-1] == f"epoch 3/3  loss {loss:.4g}"


def test_a_loud_fit_does_not_make_a_later_silent_one_speak():
    model = compiled("sgd")
    model.fit(*random_data(model, 9, 1), verbose=1)
    assert nbrnn.targets.compiling.announce is None  # else what a silent fit compiles would be announced


def test_progress_in_a_terminal_is_one_line_that_ends_full(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    model = compiled("sgd")
    model.fit(*random_data(model, 40, 1), epochs=30, batch_size=2, verbose=1)
    text = terminal.getvalue()
    drawn = text.split("\r")
    assert text.count("\n") - text.count("compiling") == 1 and text.endswith("\n")
    assert all(len(line.rstrip("\n")) < 80 for line in drawn)
    assert "epoch 30/30" in drawn[-1] and "." * 3 not in drawn[-1].split(" ")[0] and "#" * 8 in drawn[-1]


# ---------------------------------------------------------------- the same bits

REPEAT = """
import sys, hashlib, numpy as np, nbrnn
nbrnn.set_num_threads(int(sys.argv[1]))
rng = np.random.default_rng(0)
x, y = rng.normal(size=(100, 5, 2)), rng.normal(size=(100, 1))
def layers(): return [nbrnn.SimpleRNN(20, return_sequences=True), nbrnn.SimpleRNN(3, "sigmoid"), nbrnn.Dense(1, "elu")]
model = nbrnn.Sequential(layers(), input_shape=(5, 2), seed=1)
model.compile(nbrnn.Adam(global_clipnorm=0.1), "mse")
model.fit(x, y, batch_size=48, epochs=3, verbose=1)
other = nbrnn.Sequential(layers(), input_shape=(5, 2), seed=1)
other.compile("sgd", "huber")
other.fit(x, y, batch_size=48, epochs=3, verbose=1)
exact = nbrnn.Sequential(layers()[1:], input_shape=(5, 2), seed=1, dtype="complex128")
numbers = [w for m in (model, other) for w in m.get_weights()] + [exact.predict(x)]
print("bits", hashlib.sha256(b"".join(n.tobytes() for n in numbers)).hexdigest())
"""


def test_the_same_bits_with_one_and_two_threads_compiled_and_loaded(run_python, tmp_path):
    runs = [run_python(REPEAT, threads, NBRNN_CACHE_DIR=tmp_path, NUMBA_NUM_THREADS=2) for threads in (2, 2, 1)]
    assert len({re.search("bits (.*)", text)[1] for text in runs}) == 1
    if nbrnn.targets.compiling.JIT:
        assert [text.count("compiling kernels") for text in runs] == [1, 0, 0]  # said once, and only where it is so


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_in_one_process_for_any_number_of_threads(dtype):
    before, found = nbrnn.get_num_threads(), set()
    for threads in {1, before}:
        nbrnn.set_num_threads(threads)
        model = compiled("adam", 0.1, dtype=dtype)
        model.fit(*random_data(model, 300, 2), batch_size=130, epochs=5, verbose=0)
        found.add(bits(model))
    nbrnn.set_num_threads(before)
    assert len(found) == 1


PACKED = """
import hashlib, sys, numpy as np, nbrnn
nbrnn.set_num_threads(int(sys.argv[1]))
rng = np.random.default_rng(0)
x, y = rng.normal(size=(150, 6, 3)), rng.normal(size=(150, 1))
for name, options in (("LSTM", {}), ("GRU", {}), ("GRU", {"reset_after": False})):
    layers = [getattr(nbrnn, name)(65, **options), nbrnn.Dense(1)]
    model = nbrnn.Sequential(layers, input_shape=(6, 3), seed=1, dtype=sys.argv[2])
    model.compile("adam", "mse")
    losses = model.fit(x, y, batch_size=64, epochs=3, verbose=0).history["loss"]
    (executor,) = model._executors.values()
    assert executor.worth_threads and executor.plan.prepare is not None and nbrnn.get_num_threads() == int(sys.argv[1])
    numbers = [*model.get_weights(), np.array(losses)]
    print(name, hashlib.sha256(b"".join(n.tobytes() for n in numbers)).hexdigest())
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_packed_weights_give_the_same_bits_with_one_and_two_threads(run_python, dtype):
    found = [run_python(PACKED, threads, dtype, NUMBA_NUM_THREADS=2) for threads in (1, 2)]
    assert len(set(found)) == 1 and len(set(found[0].splitlines())) == 3


@pytest.mark.parametrize("text", ["0", "3", "two", "1.5", "-1"])
def test_a_number_of_threads_that_cannot_be_is_refused_by_the_name_of_its_variable(run_python, text):
    code = "import nbrnn\ntry: nbrnn.get_num_threads()\nexcept ValueError as error: print(error)"
    said = run_python(code, NBRNN_NUM_THREADS=text, NUMBA_NUM_THREADS=2)
    assert said.startswith("NBRNN_NUM_THREADS must be from 1 to 2, a whole number; ")
    assert said.endswith(f"not {text}.\n" if text.isdecimal() else f"not {text!r}.\n") and said.count("\n") == 1


# ---------------------------------------------------------------- divergence


def diverge(model, x, y, **settings):
    """Fit until it diverges; the model must keep finite weights, and count what it has done."""
    with pytest.raises(DivergedError) as raised, np.errstate(all="ignore"):
        model.fit(x, y, verbose=0, **settings)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    error, text = raised.value, str(raised.value)
    assert isinstance(error, ValueError) and "\n" not in text
    where = "the loss itself" if error.buffer == "stats" else error.buffer
    for word in (f"epoch {error.epoch + 1},", f"batch {error.batch + 1}:", where, "smaller learning_rate"):
        assert word in text
    return error


def dense_model(weight=0.5):
    model = nbrnn.Sequential([Dense(1)], input_shape=(2,), seed=0)
    model.set_weights([[[weight], [-weight]], [0.1]])
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_learning_rate_that_is_too_large(dtype):
    model = random_model([Dense(1)], (2,), dtype=dtype)
    model.compile(nbrnn.SGD(learning_rate=5.0), "mse")
    error = diverge(model, *random_data(model, 20, 1), epochs=400, batch_size=4)
    assert error.epoch > 0  # it takes some epochs to overflow
    assert len(model.history.history["loss"]) == model.epochs == error.epoch  # those that were finished
    assert model.steps == error.epoch * 5 + error.batch
    assert np.isfinite(model.history.history["loss"]).all()


def test_a_relu_that_explodes_names_the_state_and_the_step():
    model = random_model([SimpleRNN(4, "relu"), Dense(1)], (60, 1), seed=2, dtype="float32", scale=1.0)
    Wx, Wh, *rest = model.get_weights()
    model.set_weights([abs(Wx), 9 * abs(Wh), *rest])
    model.compile("adam", "mse")
    x, h = np.random.default_rng(0).uniform(0.5, 1, (3, 60, 1)).astype("f4"), np.zeros((3, 4), "f4")
    Wx, Wh, b, *_ = model.get_weights()
    with np.errstate(over="ignore"):
        step = next(t + 1 for t in range(60) if np.isinf(h := np.maximum(x[:, t] @ Wx + h @ Wh + b, 0)).any())
    before = bits(model)
    error = diverge(model, x, np.zeros(3))
    assert (error.epoch, error.batch, error.buffer) == (0, 0, "simple_rnn/h")
    assert (
        f"the loss is not finite in epoch 1, batch 1: the first such number stands in simple_rnn/h (step {step})"
        in str(error)
    )
    assert bits(model) == before


def test_targets_too_large_to_square_stop_at_their_batch_with_the_weights_before_it():
    model, twin = (compiled("adam", dtype="float32") for _ in range(2))
    x, y = random_data(model, 12, 3)
    y[9] = 1e38
    error = diverge(model, x, y, batch_size=4, epochs=3, shuffle=False)
    assert (error.epoch, error.batch) == (0, 2) and "the loss is not finite in epoch 1, batch 3" in str(error)
    twin.fit(x[:8], y[:8], batch_size=4, shuffle=False, verbose=0)
    assert bits(model) == bits(twin)


def test_a_gradient_that_overflows_is_named():
    model = dense_model(0.0)
    model.compile("sgd", "mse")
    error = diverge(model, np.full((4, 2), 1e25), np.full(4, 1e15))
    assert error.buffer == "dense/dkernel" and str(error).startswith("a gradient is not finite")


def test_a_step_that_overflows_is_named_as_such():
    model = dense_model()
    model.compile(nbrnn.SGD(learning_rate=3e38), "mse")
    error = diverge(model, np.ones((4, 2)), np.full(4, 50.0))  # loss and gradients are finite
    assert str(error).startswith("the optimizer's step is not finite"), str(error)


def test_clipping_keeps_a_fit_finite_that_diverges_without():
    model = random_model([SimpleRNN(3, "linear"), Dense(1)], (3, 2), dtype="float32")
    model.compile(nbrnn.SGD(learning_rate=5.0, global_clipnorm=1e-3), "mse")
    losses = model.fit(*random_data(model, 20, 1), epochs=50, batch_size=4, verbose=0).history["loss"]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_sample(bad):
    model = compiled("adam")
    x, y = random_data(model, 12, 3)
    before = bits(model)
    for name, array, index in (("x", x, (7, 1, 0)), ("y", y, (3, 1))):
        kept = array[index]
        array[index] = bad
        for call in (model.fit, model.evaluate, model.train_on_batch):
            with pytest.raises(
                ValueError, match=rf"^{name} holds a number that is not finite .* in sample {index[0]}\.$"
            ):
                call(x, y)
        array[index] = kept
    assert bits(model) == before
