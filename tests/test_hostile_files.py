"""Model files that ask for too much or hold nonsense: one sentence that names the file, and no memory asked for."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.numpy import save as encode
from support import random_model

import nbrnn
from nbrnn.cli import main
from nbrnn.saving import load_extra, read_model
from nbrnn.sequential import Sequential

DEEP = "[" * 200_000 + "]" * 200_000
RNN = {"class": "SimpleRNN", "units": 2}
DENSE = {"class": "Dense", "units": 1}


@pytest.fixture
def nothing_built(monkeypatch):
    """Let no model be built."""

    def build(*arguments):
        raise AssertionError("memory was asked for")

    monkeypatch.setattr(Sequential, "build", build)


def sentence(refused, path):
    """Return the one sentence of an error, which names the file."""
    text = str(refused.value)
    assert type(refused.value) is ValueError and text.startswith(str(path)), text
    assert "\n" not in text and text[-1] in ".?" and len(text) < 600, text
    return text


def model(*layers, **other):
    return json.dumps({"layers": [*layers], "input_shape": [3, 1]} | other)


WRITTEN = {
    "deep": (DEEP, "nests lists or objects too deeply"),
    "deep weights": (model(RNN)[:-1] + f', "weights": {DEEP}}}', "nests lists or objects too deeply"),
    "many digits": (f'{{"layers": {"9" * 5000}}}', "a whole number has 5000 digits"),
    "no text": (b"\xff\xfe", "codec can't decode"),
    "many units": (model(RNN | {"units": 10**9}), "have 1,000,000,002,000,000,000 weights; at most 50,000,000"),
    "units for 7 GB": (model(RNN | {"units": 30_000}), "900,060,000 weights; at most 50,000,000"),
    "many features": (model(RNN, input_shape=[3, 10**12]), "2,000,000,000,006 weights"),
    "many steps to flatten": (model({"class": "Flatten"}, DENSE, input_shape=[10**12, 1]), "1,000,000,000,001 weights"),
    "large above small": (model(DENSE, DENSE | {"units": 10**7}, DENSE | {"units": 10}), "120,000,012 weights"),
    "features of the layer": (model(RNN | {"input_shape": [3, 10**12]}), "differs; leave one out"),
    "many layers": (model(*[DENSE] * 3000), '"layers" must hold 1 to 200 layers, not 3,000'),
    "no layers": (model(), '"layers" must hold 1 to 200 layers, not 0'),
    "name of a list": (model(RNN | {"name": ["a"]}), "name must be text without line breaks or '/', not ['a']"),
    "name with a line break": (model(RNN | {"name": "a\nb"}), r"not 'a\nb'"),
    "name with a stroke": (model(RNN | {"name": "a/b"}), "not 'a/b'"),
    "model's name": (model(RNN, name=5), "a model's name must be text, not 5"),
    "no input_shape": (json.dumps({"layers": [RNN]}), 'the file needs "input_shape"'),
    "no features": (model(RNN, input_shape=[3, 0]), "whole numbers of at least 1 (null for any number of time steps)"),
    "no features of a layer": (json.dumps({"layers": [RNN | {"input_shape": [3, 0]}]}), "not [3, 0]"),
    "self": (model(RNN | {"self": 1}), "SimpleRNN: got an unexpected key 'self'; it takes units, activation"),
    "no units": (model({"class": "LSTM"}), "LSTM: 'units' must be given"),
    "deep layer": (model([[[[[[[[5] * 900]]]]]]]), "a layer looks like"),
    "complex": (model(RNN, dtype="complex128"), "dtype 'complex128' is unknown"),
    "one boolean": (model(DENSE, weights=[[[1.5]], [True]]), '"weights" must hold numbers, not true or false'),
    "booleans": (model(DENSE, weights=[[[True]], [False]]), '"weights" must hold numbers, not true or false'),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_hostile_file_in_json_is_refused(tmp_path, kind, request):
    if "boolean" not in kind:  # they are seen after the model is built
        request.getfixturevalue("nothing_built")
    content, wanted = WRITTEN[kind]
    path = tmp_path / "m.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as refused:
        read_model(path)
    assert wanted in sentence(refused, path)


@pytest.mark.parametrize("kind", ["deep", "many units", "name of a list", "self"])
def test_the_command_line_tells_it_with_exit_code_2(tmp_path, kind):
    path = tmp_path / "m.json"
    path.write_text(WRITTEN[kind][0])
    for command in (["trace", str(path), "--sequence", "1,2,3"], ["gradcheck", str(path)]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 2 and isinstance(result.exception, SystemExit)
        assert WRITTEN[kind][1] in result.stderr and result.stdout == ""


def test_a_name_too_long_for_a_file_is_no_model():
    with pytest.raises(ValueError, match="there is no model file"):
        read_model("m" * 5000 + ".json")


def test_as_many_layers_as_are_read_are_built(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(model(*[DENSE] * 199, RNN | {"return_sequences": True}))
    assert read_model(path).count_params() == 199 * 2 + 8


# ---------------------------------------------------------------- safetensors


@pytest.fixture
def parts(tmp_path):
    """A good file's path, tensors, metadata and config."""
    path = tmp_path / "m.safetensors"
    random_model([nbrnn.LSTM(2, name="lstm"), nbrnn.Dense(1)], (3, 1), seed=1, dtype="float32").save(path)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
        return path, {k: file.get_tensor(k) for k in file.keys()}, metadata, json.loads(metadata["config"])  # noqa: SIM118


HEADERS = {
    "list": ({"config": "[]"}, "its header is no object: []"),
    "null": ({"config": "null"}, "its header is no object: None"),
    "number": ({"config": "5"}, "its header is no object: 5"),
    "deep": ({"config": DEEP}, "nests lists or objects too deeply"),
    "many digits": ({"config": "9" * 5000}, "a whole number has 5000 digits"),
    "no JSON": ({"config": "{"}, "this is not JSON"),
    "version of many digits": ({"version": "9" * 5000}, "names no format version that is a number"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_hostile_header_is_refused(parts, kind):
    path, tensors, metadata, _ = parts
    change, wanted = HEADERS[kind]
    path.write_bytes(encode(tensors, metadata | change))
    for read in (nbrnn.load_model, load_extra):
        with pytest.raises(ValueError) as refused:
            read(path)
        assert wanted in sentence(refused, path)


@pytest.mark.parametrize("extra", [None, 5, [1, 2], "text"])
def test_extra_words_that_are_no_object_are_refused(parts, extra):
    path, tensors, metadata, config = parts
    path.write_bytes(encode(tensors, metadata | {"config": json.dumps(config | {"extra": extra})}))
    with pytest.raises(ValueError) as refused:
        load_extra(path)
    assert "what it holds as extra is no object" in sentence(refused, path)


def layer(**config):
    return lambda m: m["layers"][0]["config"].update(config)


CONFIGS = {
    "many units": (layer(units=10**9), "lstm/kernel must hold numbers in the shape (1, 4000000000)"),
    "one unit more": (layer(units=3), "lstm/kernel must hold numbers in the shape (1, 12), but holds (1, 8)"),
    "no bias": (lambda m: m["layers"][1]["config"].update(units=10**12), "dense/kernel must hold numbers"),
    "many features": (lambda m: m.update(input_shape=[3, 10**12]), "in the shape (1000000000000, 8)"),
    "another name": (layer(name="other"), "its layers need other/kernel with the shape (1, 8)"),
    "no name": (layer(name=None), "its layers need None/kernel"),
    "name of a list": (layer(name=["a"]), "its layers need ['a']/kernel"),
    "many layers": (lambda m: m["layers"].extend([m["layers"][1]] * 3000), "dense/kernel must hold numbers"),
    "no layers": (lambda m: m.update(layers=[]), "a model needs layers"),
    "model's name": (lambda m: m.update(name=["a"]), "a model's name must be text, not ['a']"),
    "deep shape": (lambda m: m.update(input_shape=json.loads("[" * 900 + "]" * 900)), "input_shape must be"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_tensors_that_are_not_the_layers_are_refused_before_memory_is_asked_for(parts, kind, nothing_built):
    path, tensors, metadata, config = parts
    alter, wanted = CONFIGS[kind]
    alter(config["model"])
    path.write_bytes(encode(tensors, metadata | {"config": json.dumps(config)}))
    with pytest.raises(ValueError) as refused:
        nbrnn.load_model(path)
    text = str(refused.value)
    assert wanted in text and text.startswith(str(path)) and "\n" not in text


def test_the_input_shape_of_a_layer_asks_for_no_memory(parts):
    path, tensors, metadata, config = parts
    layer(input_shape=[3, 10**12])(config["model"])
    path.write_bytes(encode(tensors, metadata | {"config": json.dumps(config)}))
    assert nbrnn.load_model(path).input_shape == (3, 1)  # the model's own decides


def test_booleans_are_no_weights(parts):
    path, tensors, metadata, _ = parts
    path.write_bytes(encode(tensors | {"dense/bias": np.array([True])}, metadata))
    with pytest.raises(ValueError) as refused:
        nbrnn.load_model(path)
    assert "dense/bias must hold numbers in the shape (1,), but holds (1,) of bool" in sentence(refused, path)


def test_a_type_of_numbers_that_numpy_lacks_is_refused(parts):
    path, _, metadata, _ = parts
    header = {"__metadata__": metadata, "dense/bias": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0")
    for read in (nbrnn.load_model, load_extra):
        with pytest.raises(ValueError) as refused:
            read(path)
        sentence(refused, path)


def test_a_file_that_may_not_be_read_is_told_in_one_sentence(tmp_path, monkeypatch):
    path = tmp_path / "m.json"
    path.write_text(model(RNN))

    def closed(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "read_text", closed)
    with pytest.raises(ValueError) as refused:
        read_model(path)
    assert "cannot be read: Permission denied." in sentence(refused, path)
