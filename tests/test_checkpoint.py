"""Checkpoints: the same bits from any batch, another fit refused, whole or not at all; optimizers in model files."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save
from support import random_data, random_model

import nbrnn
from nbrnn import Checkpoint, Dense, SimpleRNN
from nbrnn.checkpoint import fingerprint
from nbrnn.slots import optimizer_arrays

OPTIMIZERS = {
    "sgd": lambda: nbrnn.SGD(0.05),
    "momentum": lambda: nbrnn.SGD(0.02, momentum=0.8),
    "rmsprop": nbrnn.RMSprop,
    "adam": lambda: nbrnn.Adam(global_clipnorm=0.5),
}


def fresh(optimizer="adam", seed=3, dtype="float32", stateful=False, metrics=("mae",), units=3):
    layers = [nbrnn.GRU(units, return_sequences=True), SimpleRNN(2, stateful=stateful), Dense(1)]
    model = random_model(layers, (4, 2), seed=seed, dtype=dtype)
    model.compile(OPTIMIZERS[optimizer](), "mse", list(metrics))
    return model


def data(samples=23):
    return random_data(fresh(), samples, 5)


def everything(model):
    """Return all that a fit leaves, as bytes and numbers."""
    arrays = [*model.get_weights(), *optimizer_arrays(model).values(), *model.states.values()]
    history = model.history
    return [a.tobytes() for a in arrays], history.history, history.epoch, model.epochs, model.steps


class Collect(nbrnn.Callback):
    """Keeps a copy of the checkpoint of every batch that it sees."""

    def __init__(self, path, folder):
        self.path, self.folder, self.copies = path, folder, []

    def on_train_batch_begin(self, batch, logs=None):
        if self.path.exists():
            self.copies.append(shutil.copy(self.path, self.folder / f"copy{len(self.copies)}"))


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        ("adam", {}),
        ("momentum", {"validation_split": 0.2}),
        ("rmsprop", {"initial_epoch": 1}),
        ("sgd", {"shuffle": False, "stateful": True}),
    ],
)
def test_from_every_batch_a_fit_ends_with_the_same_bits(tmp_path, optimizer, settings):
    path, settings = tmp_path / "run", dict(settings)
    stateful = settings.pop("stateful", False)
    x, y = data(20 if stateful else 23)
    whole = fresh(optimizer, stateful=stateful)
    collect, how = Collect(path, tmp_path), {"batch_size": 5, "epochs": 3, "verbose": 0} | settings
    whole.fit(x, y, callbacks=[Checkpoint(path, every=1), collect], **how)
    assert len(collect.copies) >= 7
    for copy in [*collect.copies, path]:
        model = fresh(optimizer, stateful=stateful, seed=3)
        model.fit(x, y, resume=copy, **how)
        assert everything(model) == everything(whole), copy


def test_more_epochs_may_be_asked_for(tmp_path):
    path, (x, y) = tmp_path / "run", data()
    whole, model = fresh(), fresh()
    whole.fit(x, y, epochs=5, verbose=0)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[Checkpoint(path)])
    again = fresh()
    again.fit(x, y, epochs=5, verbose=0, resume=str(path))
    assert everything(again) == everything(whole)
    with pytest.raises(ValueError, match=r"it has done 2 epochs, but epochs=1 here\.$"):
        fresh().fit(x, y, epochs=1, verbose=0, resume=path)


def test_a_fit_that_has_ended_is_not_run_again(tmp_path):
    path, (x, y) = tmp_path / "run", data()
    stop = nbrnn.EarlyStopping("loss", min_delta=9.0, patience=1, restore_best_weights=True)
    whole, again = fresh(), fresh()
    whole.fit(x, y, epochs=9, verbose=0, callbacks=[Checkpoint(path), stop])
    assert len(whole.history.epoch) == 2
    history = again.fit(x, y, epochs=9, verbose=0, callbacks=[Checkpoint(path), stop], resume=True)
    assert everything(again) == everything(whole) and history is again.history and again.stop_training


def test_a_second_fit_of_a_model_goes_on_too(tmp_path):
    path, (x, y) = tmp_path / "run", data()
    models = [fresh() for _ in range(2)]
    for model in models:
        model.fit(x, y, epochs=2, verbose=0)
    models[0].fit(x, y, epochs=3, verbose=0, callbacks=[Checkpoint(path)])
    models[1].fit(x, y, epochs=3, verbose=0, resume=path)
    assert everything(models[0]) == everything(models[1]) and models[1].epochs == 5


def test_resume_true_begins_where_there_is_no_file_yet(tmp_path):
    path, (x, y) = tmp_path / "new" / "run", data()
    model, whole = fresh(), fresh()
    model.fit(x, y, verbose=0, callbacks=[Checkpoint(path)], resume=True)
    whole.fit(x, y, verbose=0)
    assert path.exists() and everything(model) == everything(whole)


def test_a_seed_that_was_drawn_is_taken_over(tmp_path):
    path, (x, y) = tmp_path / "run", data()

    def drawn():
        model = nbrnn.Sequential([SimpleRNN(3), Dense(1)], input_shape=(4, 2))
        model.compile("adam", "mse")
        return model

    model, again = drawn(), drawn()
    assert model.seed != again.seed
    model.fit(x, y, epochs=2, verbose=0, callbacks=[Checkpoint(path)])
    again.fit(x, y, epochs=4, verbose=0, resume=path)
    model.fit(x, y, epochs=2, verbose=0)
    assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in again.get_weights()]


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_leaves_a_checkpoint_of_the_batch_that_was_reached(tmp_path):
    path, (x, y) = tmp_path / "run", data()

    class Press(nbrnn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.steps == 7:
                os.kill(os.getpid(), signal.SIGINT)

    model, whole, again = fresh(), fresh(), fresh()
    how = {"batch_size": 5, "epochs": 4, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, callbacks=[Checkpoint(path, seconds=1e6), Press()], **how)
    assert nbrnn.load_model(path).steps == model.steps == 7
    whole.fit(x, y, **how)
    again.fit(x, y, resume=path, **how)
    assert everything(again) == everything(whole)


# ---------------------------------------------------------------- another fit


def change_y(x, y):
    y[7] += 1e-3
    return x, y


OTHERS = {
    "units": ({"units": 4}, {}, None, ["units of layer gru was 3 there, but is 4 here"]),
    "seed": ({"seed": 4}, {}, None, ["seed was 3 there, but is 4 here"]),
    "dtype": ({"dtype": "float64"}, {}, None, ["dtype was 'float32' there, but is 'float64' here"]),
    "optimizer": ({"optimizer": "sgd"}, {}, None, ["optimizer was 'adam' there"]),
    "metrics": ({"metrics": ()}, {}, None, ["metrics was"]),
    "batch size": ({}, {"batch_size": 6}, None, ["batch_size was 5 there, but is 6 here"]),
    "shuffle": ({}, {"shuffle": False}, None, ["shuffle was True there, but is False here"]),
    "first epoch": ({}, {"initial_epoch": 1}, None, ["initial_epoch was 0 there, but is 1 here"]),
    "samples": ({}, {}, lambda x, y: (x[1:], y[1:]), ["shape of x was [23, 4, 2] there, but is [22, 4, 2] here"]),
    "numbers": ({}, {}, change_y, ["numbers of y are others here"]),
    "validation": ({}, {"validation_split": 0.3}, None, ["shape of x was"]),
    "validation data": ({}, {"validation_data": data(3)}, None, ["shape of validation x was None there"]),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_fit_is_refused_by_what_differs(tmp_path, other):
    model_settings, settings, change, words = OTHERS[other]
    path, (x, y) = tmp_path / "run", data()
    how = {"batch_size": 5, "epochs": 3, "verbose": 0}
    fresh().fit(x, y, callbacks=[Checkpoint(path)], **how)
    model = fresh(**model_settings)
    before = everything(model)
    x, y = change(x.copy(), y.copy()) if change else (x, y)
    with pytest.raises(ValueError) as raised:
        model.fit(x, y, resume=path, **how | settings)
    text = str(raised.value)
    assert all(word in text for word in ["is a checkpoint of another fit: ", *words]) and "\n" not in text
    assert everything(model) == before


def test_the_fingerprint_does_not_depend_on_how_the_numbers_lie_in_memory():
    line = np.arange(50.0, dtype="f4")
    windows = np.lib.stride_tricks.sliding_window_view(line, 8)[..., None]
    model = fresh()
    assert fingerprint(model, {"x": windows}, {}) == fingerprint(model, {"x": windows.copy()}, {})
    assert fingerprint(model, {"x": windows}, {}) != fingerprint(model, {"x": windows[::-1]}, {})


def test_a_learning_rate_that_the_fit_has_changed_is_the_same_fit(tmp_path):
    path, (x, y) = tmp_path / "run", data()
    halve = nbrnn.LearningRateScheduler(lambda epoch, rate: rate / 2)
    whole = fresh()
    whole.fit(x, y, epochs=4, verbose=0, callbacks=[halve])
    fresh().fit(x, y, epochs=2, verbose=0, callbacks=[halve, Checkpoint(path)])
    for model in (fresh(), nbrnn.load_model(path)):
        model.fit(x, y, epochs=4, verbose=0, callbacks=[halve], resume=path)
        assert everything(model) == everything(whole) and model.optimizer.learning_rate == 1e-3 / 16


def test_callbacks_that_have_seen_something_must_be_given_again(tmp_path):
    path, (x, y) = tmp_path / "run", data()
    fresh().fit(x, y, verbose=0, callbacks=[nbrnn.EarlyStopping("loss"), Checkpoint(path)])
    with pytest.raises(ValueError, match="holds what its EarlyStopping has seen, but the fit has no such callback now"):
        fresh().fit(x, y, epochs=2, verbose=0, resume=path)
    more = [nbrnn.ReduceLROnPlateau("loss"), nbrnn.EarlyStopping("loss", patience=9)]
    history = fresh().fit(x, y, epochs=2, verbose=0, resume=path, callbacks=more)
    assert history.epoch == [0, 1] and more[1].best == min(history.history["loss"])


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("",), "path must name a file"),
        (("c", "batch"), "every must be 'epoch' or a number of batches, not 'batch'"),
        (("c", 0), "every must be a whole number of at least 1"),
        (("c", 3, 2.0), "every and seconds exclude each other"),
        (("c", "epoch", 0), "seconds must be a number above 0"),
    ],
)
def test_a_checkpoint_that_cannot_be_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Checkpoint(*arguments)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    path, (x, y) = tmp_path / "run", data()
    model = fresh()
    model.fit(x, y, verbose=0, callbacks=[Checkpoint(path)])
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-9])
    model.save(tmp_path / "model")
    for name, words in (("none", "there is no"), ("cut", "cut short"), ("model", "no place within a fit")):
        with pytest.raises(ValueError, match=words):
            model.fit(x, y, verbose=0, resume=tmp_path / name)
    for resume, words in ((True, "there is none"), (3, "resume must be the path of a checkpoint")):
        with pytest.raises(ValueError, match=words):
            model.fit(x, y, verbose=0, resume=resume)


BROKEN = {
    "no log": lambda fit, tensors: tensors.pop("fit/log"),
    "no weight": lambda fit, tensors: tensors.pop("dense/kernel"),
    "no slot": lambda fit, tensors: tensors.pop("optimizer/m/dense/kernel"),
    "slot of another shape": lambda fit, tensors: tensors.update({"optimizer/v/dense/bias": np.ones(3, "f4")}),
    "no fingerprint": lambda fit, tensors: fit.pop("fingerprint"),
    "history": lambda fit, tensors: fit.pop("history"),
    "callbacks": lambda fit, tensors: fit.update(callbacks=3),
    "log of another batch": lambda fit, tensors: fit.update(done=2),
    "place before the fit": lambda fit, tensors: fit.update(done=-1),
    "done": lambda fit, tensors: fit.update(done="many"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_checkpoint_that_contradicts_itself_is_refused_in_a_sentence(tmp_path, how):
    path, (x, y) = tmp_path / "run", data()
    fresh().fit(x, y, batch_size=5, verbose=0, callbacks=[Checkpoint(path)])
    with safe_open(path, framework="np") as file:
        tensors, metadata = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118
    config = json.loads(metadata["config"])
    BROKEN[how](config["fit"], tensors)
    path.write_bytes(save(tensors, metadata | {"config": json.dumps(config)}))
    with pytest.raises(ValueError, match="run ") as raised:
        fresh().fit(x, y, batch_size=5, epochs=2, verbose=0, resume=path)
    assert "\n" not in str(raised.value)


DIES = """
import os, signal, sys, numpy as np, nbrnn
real, writes = os.replace, []
def replace(*arguments):
    writes.extend([1] if str(arguments[1]) == sys.argv[1] else [])  # compiled code is renamed, too
    if len(writes) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments)
os.replace = replace
model = nbrnn.Sequential([nbrnn.Dense(1)], input_shape=(2,), seed=0)
model.compile("adam", "mse")
model.fit(np.ones((9, 2)), np.ones(9), epochs=4, verbose=0, callbacks=[nbrnn.Checkpoint(sys.argv[1])], resume=True)
print(model.epochs)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by a signal")
def test_a_process_killed_while_it_writes_leaves_the_checkpoint_before_and_nothing_after_the_next(
    environment, tmp_path
):
    path = tmp_path / "run"
    for dies, epochs in ((3, 2), (99, 4)):
        command = [sys.executable, "-c", DIES, str(path), str(dies)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == (-signal.SIGKILL if dies == 3 else 0), done.stderr
        assert nbrnn.load_model(path).epochs == epochs
        assert len(list(tmp_path.iterdir())) == (2 if dies == 3 else 1)


# ---------------------------------------------------------------- optimizers in model files


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loaded_model_trains_on_as_the_saved_one(tmp_path, optimizer, dtype):
    model, (x, y) = fresh(optimizer, dtype=dtype), data()
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "with")
    model.save(tmp_path / "without", include_optimizer=False)
    again, anew = nbrnn.load_model(tmp_path / "with"), nbrnn.load_model(tmp_path / "without")
    for each in (model, again, anew):
        each.fit(x, y, epochs=2, verbose=0)
    assert everything(again) == everything(model)
    assert (everything(anew) == everything(model)) == (optimizer == "sgd")


def test_a_model_that_was_not_trained_is_saved_without_an_optimizers_arrays(tmp_path):
    fresh().save(tmp_path / "m")
    with safe_open(tmp_path / "m", framework="np") as file:
        assert not [name for name in file.keys() if name.startswith("optimizer")]  # noqa: SIM118
    with pytest.raises(ValueError, match="include_optimizer must be True or False"):
        fresh().save(tmp_path / "m", include_optimizer="no")


# ---------------------------------------------------------------- graphs


def graph():
    """Return a model of two inputs and two outputs, compiled."""
    a, b = nbrnn.Input((5, 2), name="a"), nbrnn.Input((3,), name="b")
    h = nbrnn.Concatenate()([nbrnn.GRU(4)(a), b])
    model = nbrnn.Model([a, b], {"one": nbrnn.Dense(1)(h), "two": nbrnn.Dense(2)(h)}, seed=3)
    model.compile("adam", {"one": "mse", "two": "mae"}, {"one": ["mae"]}, {"two": 0.5})
    return model


def test_a_graph_with_two_outputs_goes_on_to_the_same_bits_and_another_one_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(20, 5, 2)), rng.normal(size=(20, 3))]
    y = {"one": rng.normal(size=(20, 1)), "two": rng.normal(size=(20, 2))}
    whole, begun, resumed = graph(), graph(), graph()
    history = whole.fit(x, y, batch_size=8, epochs=4, verbose=0).history

    def saving():
        return [nbrnn.Checkpoint(tmp_path / "run")]

    begun.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=saving())
    again = resumed.fit(x, y, batch_size=8, epochs=4, verbose=0, callbacks=saving(), resume=True).history
    assert again == history
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    other = graph()
    other.compile("adam", {"one": "mse", "two": "mse"}, {"one": ["mae"]}, {"two": 0.5})
    with pytest.raises(ValueError, match="is a checkpoint of another fit: loss was"):
        other.fit(x, y, batch_size=8, epochs=4, verbose=0, callbacks=saving(), resume=True)
