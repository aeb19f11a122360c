"""Model files: they come back exactly, whole or not at all; a bad one gives one sentence; an old one stays readable."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save as encode
from support import activations, assert_close, few, random_data, random_model, seeds

import nbrnn
from nbrnn import Dense, Flatten, Sequential, SimpleRNN
from nbrnn.optimizers import Optimizer
from nbrnn.saving import load_extra, save_model

KEPT = Path(__file__).parent / "data" / "model-v1.safetensors"  # made once by data/make_model_v1.py


def small_model():
    layers = [SimpleRNN(3, "relu", return_sequences=True), Flatten(), Dense(2, "elu", use_bias=False, name="top")]
    model = random_model(layers, (4, 2), seed=5, dtype="float32")
    model.compile(nbrnn.Adam(0.01, beta_1=0.8, global_clipnorm=2.0), nbrnn.Huber(0.3), ["rmse", "mae"])
    return model


@given(
    activation=activations,
    units=few,
    bias=st.booleans(),
    dtype=st.sampled_from(("float32", "float64")),
    optimizer=st.sampled_from(
        (nbrnn.SGD(0.2, 0.9, True), nbrnn.SGD(), nbrnn.RMSprop(rho=0.5, epsilon=1e-3), nbrnn.Adam(beta_2=0.9))
    ),
    steps=st.sampled_from((3, None)),
    seed=seeds,
)
def test_a_model_comes_back_exactly(tmp_path, activation, units, bias, dtype, optimizer, steps, seed):
    layers = [SimpleRNN(units, activation, bias, return_sequences=True), Dense(2, activation, bias)]
    model = random_model(layers, (steps, 2), seed, dtype)
    model.compile(optimizer, nbrnn.Huber(0.4), ["mse", "rmse"])
    model.save(tmp_path / "m.safetensors")
    again = nbrnn.load_model(tmp_path / "m.safetensors")
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes() and a.dtype == b.dtype == dtype
    assert [repr(layer) for layer in again.layers] == [repr(layer) for layer in layers]
    assert (again.name, again.seed, again.input_shape) == (model.name, model.seed, model.input_shape)
    assert repr(again.optimizer) == repr(optimizer) and isinstance(again.optimizer, Optimizer)
    x, y = random_data(model, 5, seed, steps=3)
    assert again.predict(x).tobytes() == model.predict(x).tobytes()
    assert again.evaluate(x, y, return_dict=True) == model.evaluate(x, y, return_dict=True)


def test_a_loaded_model_goes_on_with_the_next_epochs_order(tmp_path):
    x, y = random_data(small_model(), 20, 1)
    models = []
    for saved in (False, True):
        model = small_model()
        model.compile("sgd", "mse")  # it has no running means, which begin anew after loading
        model.fit(x, y, batch_size=3, epochs=2, verbose=0)
        if saved:
            model.save(tmp_path / "m")
            model = nbrnn.load_model(tmp_path / "m")
        assert (model.epochs, model.steps) == (2, 14)
        model.fit(x, y, batch_size=3, epochs=1, verbose=0)
        models.append(model)
    for a, b in zip(*(m.get_weights() for m in models), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_model_that_is_not_compiled_and_extra_words_come_back(tmp_path):
    model = random_model([Dense(2)], (3,), seed=1)
    save_model(model, tmp_path / "m", {"scaler": {"low": 0.25, "high": [1, 2]}, "columns": ["Sunspots"]})
    again = nbrnn.load_model(str(tmp_path / "m"))
    assert again.loss is None and again.optimizer is None
    assert load_extra(tmp_path / "m") == {"scaler": {"low": 0.25, "high": [1, 2]}, "columns": ["Sunspots"]}


def test_the_file_is_plain_safetensors(tmp_path):
    model = small_model()
    model.save(tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", framework="np") as file:
        assert file.metadata()["format"] == "nbrnn" and file.metadata()["version"] == "1"
        names = ["simple_rnn/kernel", "simple_rnn/recurrent_kernel", "simple_rnn/bias", "top/kernel"]
        assert set(file.keys()) == set(names)
        for name, weight in zip(names, model.get_weights(), strict=True):
            assert file.get_tensor(name).tobytes() == weight.tobytes()


def test_the_kept_file_of_version_1_stays_readable():
    model = nbrnn.load_model(KEPT)
    t = 100 + np.arange(3)[:, None] + np.arange(6)[None, :]
    x = np.stack([np.sin(0.7 * t), np.cos(0.31 * t)], axis=-1)
    expected = [[0.45689756, 0.56055677], [0.43844363, 0.60781026], [0.47470874, 0.6245782]]
    assert_close(model.predict(x), np.array(expected), 2e-6)
    assert [layer.name for layer in model.layers] == ["simple_rnn", "simple_rnn_1", "head"]
    assert (model.name, model.dtype.name, model.seed, model.epochs, model.steps) == ("kept", "float32", 11, 3, 15)
    settings = "learning_rate=0.002, global_clipnorm=0.5, rho=0.9, momentum=0.0, epsilon=1e-07, centered=False"
    assert repr(model.optimizer) == f"RMSprop({settings})"
    assert model.metrics_names == ["loss", "mae", "rmse"] and model.loss.parameters == {"delta": 0.5}
    assert load_extra(KEPT) == {"note": "version 1"}
    model.fit(x, np.zeros((3, 2)), verbose=0)  # and it can go on


# ---------------------------------------------------------------- bad files


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A good file's bytes, tensors and metadata."""
    path = tmp_path_factory.mktemp("good") / "m.safetensors"
    small_model().save(path)
    with safe_open(path, framework="np") as file:
        return path.read_bytes(), {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118


def refuse(path, *words):
    """Load a bad file: one sentence that names it."""
    with pytest.raises(ValueError) as refused:
        nbrnn.load_model(path)
    text = str(refused.value)
    assert type(refused.value) is ValueError and "\n" not in text and text[-1] in ".?", text
    for word in (str(path), *words):
        assert word in text, text


def test_a_truncated_file_is_refused_at_every_length(tmp_path, good):
    content = good[0]
    path = tmp_path / "cut.safetensors"
    for length in (*range(0, 64), *range(64, len(content), 13), len(content) - 1):
        path.write_bytes(content[:length])
        refuse(path, "cut short")
    path.write_bytes(content + b"more")
    refuse(path)


OURS = {"format": "nbrnn", "version": "1"}
FOREIGN = {
    "text": (b"date,value\n1749-01,58.0\n", ["no model file"]),
    "numpy's": (b"\x93NUMPY" + bytes(200), ["no model file"]),
    "noise": (b"\xff" * 300, ["no model file"]),
    "bare safetensors": (encode({"w": np.ones(3)}), ["safetensors file", "nbrnn did not write it"]),
    "PyTorch's": (encode({"w": np.ones(3)}, {"format": "pt"}), ["safetensors file", "nbrnn did not write it"]),
    "version 4": (encode({}, OURS | {"version": "4"}), ["version 4", "reads up to 3", "update"]),
    "version 11": (encode({}, OURS | {"version": "11"}), ["version 11"]),
    "version two": (encode({}, OURS | {"version": "two"}), []),
    "no version": (encode({}, {"format": "nbrnn"}), []),
    "no config": (encode({}, OURS), []),
    "no JSON": (encode({}, OURS | {"config": "{"}), []),
    "a list": (encode({}, OURS | {"config": "[]"}), []),
    "an empty config": (encode({}, OURS | {"config": "{}"}), []),
    "a null model": (encode({}, OURS | {"config": '{"model": null}'}), []),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_or_newer_file_is_refused(tmp_path, kind):
    content, words = FOREIGN[kind]
    path = tmp_path / "foreign"
    path.write_bytes(content)
    refuse(path, *words)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refuse(tmp_path / "nowhere.safetensors", "no model file")
    refuse(tmp_path, "no model file")


@settings(max_examples=200)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_changed_byte_never_gives_another_error(tmp_path, good, place, byte):
    content = bytearray(good[0])
    content[place % len(content)] = byte
    path = tmp_path / "changed"
    path.write_bytes(content)
    try:
        nbrnn.load_model(path)
    except ValueError as error:
        assert "\n" not in str(error)


CHANGES = {
    "tensor of another shape": (lambda c, t: t.update({"top/kernel": np.ones((3, 3), "f4")}), ["top/kernel", "(3, 3)"]),
    "tensor that is not finite": (lambda c, t: t["simple_rnn/bias"].fill(np.nan), ["simple_rnn/bias", "not finite"]),
    "missing tensor": (lambda c, t: t.pop("simple_rnn/bias"), ["simple_rnn/bias"]),
    "unknown layer": (lambda c, t: c["model"]["layers"][0].update({"class": "Conv1D"}), ["Conv1D"]),
    "unknown argument": (lambda c, t: c["model"]["layers"][0]["config"].update({"gates": 3}), ["gates"]),
    "unknown activation": (lambda c, t: c["model"]["layers"][2]["config"].update({"activation": "gelu"}), ["gelu"]),
    "negative units": (lambda c, t: c["model"]["layers"][0]["config"].update({"units": -3}), ["units", "-3"]),
    "no layers": (lambda c, t: c["model"].pop("layers"), ["layers"]),
    "layers that are no list": (lambda c, t: c["model"].update({"layers": 5}), []),
    "unknown dtype": (lambda c, t: c["model"].update({"dtype": "float33"}), ["float33"]),
    "unknown loss": (lambda c, t: c["training"]["loss"].update({"name": "mre", "parameters": {}}), ["mre"]),
    "unknown optimizer": (lambda c, t: c["training"]["optimizer"].update({"name": "lion"}), ["lion"]),
    "epochs that are no number": (lambda c, t: c["training"].update({"epochs": "many"}), ["many"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, good, change):
    _, tensors, metadata = good
    tensors, config = {k: v.copy() for k, v in tensors.items()}, json.loads(metadata["config"])
    alter, words = CHANGES[change]
    alter(config, tensors)
    path = tmp_path / "odd"
    path.write_bytes(encode(tensors, metadata | {"config": json.dumps(config)}))
    refuse(path, *words)


def test_what_a_reader_does_not_know_it_ignores(tmp_path, good):
    _, tensors, metadata = good
    config = json.loads(metadata["config"]) | {"random_key": [1, 2], "window": {"length": 12}}
    path = tmp_path / "richer"
    extra = {"optimizer/m": np.ones(4, "f4")}
    path.write_bytes(encode(tensors | extra, metadata | {"config": json.dumps(config), "author": "somebody"}))
    for a, b in zip(nbrnn.load_model(path).get_weights(), small_model().get_weights(), strict=True):
        assert (a == b).all()


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "m.safetensors"
    small_model().save(path)
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    other = random_model([Dense(2)], (3,), seed=2)
    with pytest.raises(OSError, match="No space left"):
        other.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]
    monkeypatch.undo()
    other.save(path)
    assert nbrnn.load_model(path).count_params() == 8 and os.listdir(tmp_path) == [path.name]


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="knows its input_shape"):
        Sequential([Dense(1)]).save(tmp_path / "m")
    with pytest.raises(ValueError, match="complex128"):
        Sequential([Dense(1)], input_shape=(2,), dtype="complex128").save(tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named_as_the_user_named_it(tmp_path):
    (tmp_path / "taken").write_text("")
    (tmp_path / "folder").mkdir()
    wrong = {"no such folder/m": FileNotFoundError, "taken/m": NotADirectoryError, "folder": IsADirectoryError}
    for place, kind in wrong.items():
        with pytest.raises(kind) as refused:
            small_model().save(tmp_path / place)
        assert refused.value.filename == str(tmp_path / place) and str(refused.value).count("'") == 2
    for path in ("", ".", "/"):
        with pytest.raises(ValueError, match=f"path must name a file, not {path!r}"):
            small_model().save(path)
    assert sorted(os.listdir(tmp_path)) == ["folder", "taken"] and os.listdir(tmp_path / "folder") == []


def test_a_name_as_long_as_a_folder_takes_can_be_written(tmp_path):
    small_model().save(tmp_path / ("m" * 255))
    assert os.listdir(tmp_path) == ["m" * 255]


def test_a_model_rebuilt_for_another_shape_comes_back_with_it(tmp_path):
    model = random_model([SimpleRNN(2, input_shape=(3, 1))], None, seed=1)
    model.build((None, 1))
    model.save(tmp_path / "m")
    assert nbrnn.load_model(tmp_path / "m").input_shape == (None, 1)
