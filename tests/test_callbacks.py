"""Callbacks: when which hook is called and with what, and decisions as Keras 3's own classes make them."""

import csv
import io
import os
import sys

import numpy as np
import pytest
from support import random_data, random_model

import nbrnn
from nbrnn import Callback, CSVLogger, Dense, EarlyStopping, LearningRateScheduler, ModelCheckpoint, SimpleRNN


def fresh(optimizer="adam", metrics=("mae",), stateful=False, scale=0.5):
    layers = [SimpleRNN(3, stateful=stateful), Dense(1)]
    model = random_model(layers, (4, 2), seed=3, dtype="float32", scale=scale)
    model.compile(optimizer, "mse", list(metrics))
    return model


def fit(model, callbacks, samples=23, **settings):
    settings = {"batch_size": 5, "epochs": 3, "verbose": 0} | settings
    return model.fit(*random_data(model, samples, 5), callbacks=callbacks, **settings)


class Between(Callback):
    """Notes what it is told, without hooks for batches."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(("train begin", dict(logs)))

    def on_train_end(self, logs=None):
        self.calls.append(("train end", dict(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch end", epoch, dict(logs)))

    def on_test_begin(self, logs=None):
        self.calls.append(("test begin",))

    def on_test_end(self, logs=None):
        self.calls.append(("test end", dict(logs)))


class Batches(Between):
    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(("batch begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("batch end", batch, dict(logs)))


def names(calls):
    return [call[0] for call in calls]


# ---------------------------------------------------------------- hooks


def test_hooks_come_in_order_with_what_they_are_owed():
    model, seen = fresh(), Batches()
    history = fit(model, [seen], validation_split=0.3, epochs=2)
    batch = ["batch begin", "batch end"]
    epoch = ["epoch begin", *batch * 4, "test begin", "test end", "epoch end"]
    assert names(seen.calls) == ["train begin", *epoch * 2, "train end"]
    assert seen.model is model and seen.params["epochs"] == 2 and seen.params["steps"] == 4
    ends = [call for call in seen.calls if call[0] == "epoch end"]
    for k, (_, number, logs) in enumerate(ends):
        assert number == k and list(logs) == seen.params["metrics"]
        assert list(logs) == ["loss", "mae", "val_loss", "val_mae", "learning_rate"]
        assert {name: value for name, value in logs.items() if name != "learning_rate"} == {
            name: values[k] for name, values in history.history.items()
        }
        assert logs["learning_rate"] == 1e-3
    held = [call[1] for call in seen.calls if call[0] == "test end"][-1]
    assert held == {"loss": ends[-1][2]["val_loss"], "mae": ends[-1][2]["val_mae"]}
    assert seen.calls[-1][1] == {name: values[-1] for name, values in history.history.items()}


def test_a_batchs_logs_are_the_means_of_the_epoch_so_far():
    model, seen, twin = fresh(), Batches(), fresh()
    history = fit(model, [seen], epochs=1)
    logs = [call[2] for call in seen.calls if call[0] == "batch end"]
    assert logs[-1] == {name: values[0] for name, values in history.history.items()}
    x, y = random_data(twin, 23, 5)
    order = next(iter(model._executors.values())).order
    first, second = (twin.train_on_batch(x[order[k : k + 5]], y[order[k : k + 5]]) for k in (0, 5))
    assert logs[0]["loss"] == pytest.approx(first[0], rel=1e-6)
    assert logs[1]["loss"] == pytest.approx((first[0] + second[0]) / 2, rel=1e-6)


@pytest.mark.parametrize(("kind", "calls"), [(Between, 3), (Batches, 15)])
def test_epochs_are_native_calls_where_no_callback_has_a_hook_for_batches(monkeypatch, kind, calls):
    runs, real = [], nbrnn.targets.cpu.Executor.run
    count = lambda self, first, stop, **rest: (runs.append((first, stop)), real(self, first, stop, **rest))[1]
    monkeypatch.setattr("nbrnn.training.first_guess", lambda executor: 1e-9)
    monkeypatch.setattr(nbrnn.targets.cpu.Executor, "run", count)
    plain, model = fresh(), fresh()
    fit(plain, [])
    assert runs == [(0, 15)]
    runs.clear()
    fit(model, [kind()])
    assert runs[-1][1] == 15 and len(runs) >= calls and all((a // 5) == (b - 1) // 5 for a, b in runs)
    assert len(runs) == calls or kind is Between  # a machine that was halted takes smaller slices
    assert [w.tobytes() for w in plain.get_weights()] == [w.tobytes() for w in model.get_weights()]


def test_what_a_callback_adds_to_the_logs_is_in_the_history():
    class Add(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["square"] = np.float32(epoch) ** 2

    stop = EarlyStopping("square", mode="min", patience=1)
    history = fit(fresh(), [Add(), stop], epochs=9)
    assert history.history["square"] == [0.0, 1.0] and "learning_rate" not in history.history


@pytest.mark.parametrize("where", ["on_train_batch_end", "on_epoch_end"])
def test_stop_training_ends_the_fit(where):
    model = fresh()

    def stop(self, number, logs=None):
        if self.model.steps == 7 or (where == "on_epoch_end" and number == 1):
            self.model.stop_training = True

    history = fit(model, [type("Stop", (Callback,), {where: stop})()], validation_split=0.2)
    steps = 7 if where == "on_train_batch_end" else 8
    assert model.stop_training and model.steps == steps and model.epochs == 2
    assert history.epoch == [0, 1] and {len(v) for v in history.history.values()} == {2}
    fit(model, [])
    assert not model.stop_training and model.steps == steps + 15


def test_the_first_epoch_may_have_another_number():
    seen, plain, model = Between(), fresh(), fresh()
    history = fit(model, [seen], initial_epoch=4, epochs=6)
    assert history.epoch == [4, 5] == [call[1] for call in seen.calls if call[0] == "epoch begin"]
    assert history.history == fit(plain, [], epochs=2).history
    with pytest.raises(ValueError, match=r"initial_epoch=6 leaves nothing to do of epochs=6\.$"):
        fit(model, [], initial_epoch=6, epochs=6)


def test_a_callback_may_reset_the_states_between_epochs():
    class Reset(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.reset_states()

    model, twin = fresh(stateful=True), fresh(stateful=True)
    fit(model, [Reset()], samples=20, shuffle=False)
    for _ in range(3):
        twin.reset_states()
        fit(twin, [], samples=20, shuffle=False, epochs=1)
    assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in twin.get_weights()]
    assert [h.tobytes() for h in model.states.values()] == [h.tobytes() for h in twin.states.values()]


@pytest.mark.parametrize(
    ("callbacks", "words"),
    [
        (3, "callbacks must be a list of callbacks, not int"),
        ([print], "callbacks must be objects such as nbrnn.EarlyStopping"),
        ([EarlyStopping], r"write EarlyStopping\(\.\.\.\)"),
        (
            [EarlyStopping()],
            "EarlyStopping monitors 'val_loss', but an epoch's logs hold loss, mae, learning_rate",
        ),
        ([ModelCheckpoint("{val_mae}.x")], "has the field 'val_mae', but an epoch's logs hold epoch, loss"),
        ([CSVLogger], r"write CSVLogger\(\.\.\.\)"),
    ],
)
def test_callbacks_that_cannot_work_are_refused_before_the_first_batch(callbacks, words):
    model = fresh()
    with pytest.raises(ValueError, match=words):
        fit(model, callbacks)
    assert model.steps == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EarlyStopping(patience=-1), "patience must be a whole number of at least 0"),
        (lambda: EarlyStopping(mode="less"), "mode 'less' is unknown"),
        (lambda: EarlyStopping(3), "monitor must be the name of a figure"),
        (lambda: EarlyStopping(restore_best_weights="no"), "restore_best_weights must be True or False"),
        (lambda: nbrnn.ReduceLROnPlateau(factor=1.0), "factor must be below 1"),
        (lambda: nbrnn.ReduceLROnPlateau(factor=0), "factor must be a number above 0"),
        (lambda: LearningRateScheduler(0.1), "schedule must be a function"),
        (lambda: CSVLogger("a", ""), "separator must be one character"),
        (lambda: ModelCheckpoint("a{"), "has fields that cannot be read"),
    ],
)
def test_arguments_that_cannot_be_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_schedule_that_returns_no_learning_rate_is_refused():
    with pytest.raises(ValueError, match="learning_rate must be a number above 0"):
        fit(fresh(), [LearningRateScheduler(lambda epoch, rate: -1.0)])


# ---------------------------------------------------------------- what each one does


def test_the_scheduler_sets_the_rate_of_every_epoch():
    model, twin = fresh("sgd"), fresh("sgd")
    history = fit(model, [LearningRateScheduler(lambda epoch, rate: rate / (epoch + 1))])
    assert history.history["learning_rate"] == [0.01, 0.005, 0.005 / 3]
    for rate in history.history["learning_rate"]:
        twin.optimizer.learning_rate = rate
        fit(twin, [], epochs=1)
    assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in twin.get_weights()]


def test_early_stopping_brings_the_best_weights_back():
    model, twin = fresh(nbrnn.SGD(0.6)), fresh(nbrnn.SGD(0.6))
    history = fit(model, [EarlyStopping(patience=3, restore_best_weights=True)], validation_split=0.3, epochs=60)
    held = history.history["val_loss"]
    best = int(np.argmin(held))
    assert best + 4 == len(held) < 60
    fit(twin, [], validation_split=0.3, epochs=best + 1)
    assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in twin.get_weights()]


def test_model_checkpoint_saves_every_epoch_or_the_best(tmp_path):
    model, only = fresh(nbrnn.SGD(0.3)), tmp_path / "best"
    every = ModelCheckpoint(tmp_path / "deep" / "m{epoch:02d}-{val_loss:.4f}", save_weights_only=True)
    best = ModelCheckpoint(only, save_best_only=True)
    history = fit(model, [every, best], validation_split=0.3, epochs=8)
    held = history.history["val_loss"]
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == [
        f"m{k + 1:02d}-{v:.4f}" for k, v in enumerate(held)
    ]
    k = int(np.argmin(held))
    again = nbrnn.load_model(only)
    assert again.epochs == k + 1 and 0 < k < 7
    x, y = random_data(model, 23, 5)
    assert again.evaluate(x[16:], y[16:])[0] == held[k]


def test_model_checkpoint_removes_what_a_killed_process_left(tmp_path):
    left = [tmp_path / name for name in (".m03.0123456789ab.partial", ".other.0123456789ab.partial")]
    for path in left:
        path.touch()
    fit(fresh(), [ModelCheckpoint(tmp_path / "m{epoch:02d}")], epochs=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == [left[1].name, "m01"]


def test_the_csv_logger_writes_a_row_an_epoch(tmp_path):
    path = tmp_path / "log.csv"
    history = fit(fresh(), [CSVLogger(path, separator=";")])
    rows = list(csv.reader(path.open(), delimiter=";"))
    assert rows[0] == ["epoch", "learning_rate", "loss", "mae"] and [row[0] for row in rows[1:]] == ["0", "1", "2"]
    assert [float(row[2]) for row in rows[1:]] == history.history["loss"]
    fit(fresh(), [CSVLogger(path, separator=";", append=True)], epochs=1)
    assert len(path.read_text().splitlines()) == 5 and path.read_text().count("epoch") == 1
    fit(fresh(), [CSVLogger(path)], epochs=1)
    assert len(path.read_text().splitlines()) == 2


def test_terminate_on_nan_ends_without_an_exception(capsys):
    model, quiet = fresh(nbrnn.SGD(1e19)), nbrnn.TerminateOnNaN()
    with np.errstate(all="ignore"):
        history = fit(model, [quiet], epochs=50)
    assert not np.isfinite(history.history["loss"][-1]) and np.isfinite(history.history["loss"][:-1]).all()
    assert all(np.isfinite(w).all() for w in model.get_weights()) and model.stop_training
    assert isinstance(quiet.error, nbrnn.DivergedError) and str(quiet.error) in capsys.readouterr().out
    assert len(history.epoch) < 50 and quiet.error.epoch == history.epoch[-1]


def test_what_callbacks_say_does_not_tear_the_live_line(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    fit(fresh(), [LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1)], verbose=1)
    lines = [line.split("\r")[-1] for line in terminal.getvalue().splitlines()]
    assert [line for line in lines if line.startswith("epoch")][:2] == [
        "epoch 1: the learning rate is 0.0005",
        "epoch 2: the learning rate is 0.00025",
    ]


# ---------------------------------------------------------------- Keras


class Stub:
    """What callbacks touch of a model, for Keras' classes and ours."""

    def __init__(self):
        self.stop_training, self.weights, self.optimizer = False, 0, self
        self.learning_rate, self.jit_compile = 0.1, False

    def get_weights(self):
        return [np.array(self.weights)]

    def set_weights(self, weights):
        self.weights = int(weights[0])


def decisions(callback, losses):
    """Return what a callback does at each of a scripted sequence of losses."""
    model, seen = Stub(), []
    callback.set_model(model)
    callback.on_train_begin({})
    for epoch, loss in enumerate(losses):
        model.weights = epoch
        callback.on_epoch_begin(epoch, {})
        callback.on_epoch_end(epoch, {"val_loss": loss, "loss": loss})
        seen.append((model.stop_training, pytest.approx(model.learning_rate, rel=1e-6)))
    callback.on_train_end({})
    return [*seen, model.weights]


SETTINGS = {
    "EarlyStopping": [
        {},
        {"patience": 2},
        {"patience": 3, "min_delta": 0.05},
        {"patience": 2, "restore_best_weights": True, "start_from_epoch": 3},
        {"patience": 3, "baseline": 0.4, "restore_best_weights": True},
        {"patience": 2, "mode": "max", "restore_best_weights": True},
    ],
    "ReduceLROnPlateau": [
        {"patience": 1},
        {"patience": 2, "factor": 0.5, "cooldown": 2},
        {"patience": 0, "factor": 0.3, "min_lr": 0.02},
        {"patience": 3, "min_delta": 0.1, "monitor": "loss"},
        {"patience": 2, "mode": "max", "factor": 0.9},
    ],
}


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("name", "k"), [(name, k) for name, cases in SETTINGS.items() for k in range(len(cases))])
def test_decisions_are_those_of_keras_own_classes(name, k, seed):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    callbacks = pytest.importorskip("keras.callbacks", reason="Keras is not installed")
    rng = np.random.default_rng(seed)
    losses = np.round(np.exp(-0.1 * np.arange(30)) + rng.normal(0, 0.1, 30), 2).tolist()
    losses[11] = float("nan")
    arguments = SETTINGS[name][k]
    ours, theirs = (decisions(getattr(home, name)(**arguments), losses) for home in (nbrnn, callbacks))
    assert ours == theirs
