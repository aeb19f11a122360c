"""What Keras has and nbrnn has not is refused with the way to do it here; what changes nothing is taken."""

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from support import random_data, random_model
from test_bad_input import refused

import nbrnn
from nbrnn import GRU, LSTM, Bidirectional, Dense, SimpleRNN, kerasways


def model(**settings):
    made = random_model([LSTM(2), Dense(1)], (4, 3), seed=1)
    made.compile(**{"optimizer": "adam", "loss": "mse"} | settings)
    return made


MODEL = model()
X, Y = random_data(MODEL, 6, 0)


@pytest.mark.parametrize(("place", "name"), [(p, name) for p, names in kerasways.NAMES.items() for name in names])
def test_a_name_that_is_not_there_tells_the_way(place, name):
    module = importlib.import_module(f"nbrnn.{place}".rstrip("."))
    with pytest.raises(AttributeError) as raised:
        getattr(module, name)
    assert f"has no attribute {name!r}; {kerasways.NAMES[place][name]}" in str(raised.value)


def test_a_name_that_nobody_has_tells_no_way():
    with pytest.raises(AttributeError, match=r"has no attribute 'Lstm'$"):
        _ = nbrnn.layers.Lstm


CALLS = {  # for each table, what takes its arguments
    "LAYER": [lambda **a: LSTM(2, **a), lambda **a: GRU(2, **a), lambda **a: Dense(2, **a)],
    "INPUT": [lambda **a: nbrnn.Input((4, 3), **a)],
    "COMPILE": [lambda **a: model().compile("adam", "mse", **a)],
    "FIT": [lambda **a: MODEL.fit(X, Y, verbose=0, **a)],
    "TEST": [lambda **a: MODEL.evaluate(X, Y, **a)],
    "SUMMARY": [lambda **a: MODEL.summary(print_fn=lambda line: None, **a)],
    "OPTIMIZER": [lambda **a: nbrnn.Adam(0.1, **a), lambda **a: nbrnn.SGD(0.1, **a)],
    "FIGURE": [lambda **a: nbrnn.losses.MeanSquaredError(**a), lambda **a: nbrnn.losses.Huber(0.1, **a)],
    "INITIALIZER": [lambda **a: nbrnn.initializers.GlorotNormal(**a), lambda **a: nbrnn.initializers.Orthogonal(**a)],
    "CHECKPOINT": [lambda **a: nbrnn.ModelCheckpoint("m", **a)],
    "PLATEAU": [lambda **a: nbrnn.ReduceLROnPlateau(**a)],
}


@pytest.mark.parametrize(("table", "call"), [(table, call) for table, calls in CALLS.items() for call in calls])
def test_an_argument_that_changes_nothing_is_taken_and_another_is_refused(table, call):
    call()
    for name, entry in getattr(kerasways, table).items():
        if isinstance(entry, kerasways.Other):
            continue
        neutral, way = entry
        for value in neutral:
            call(**{name: "anything" if value is kerasways.ANY else value})
        if kerasways.ANY not in neutral:
            refused(lambda name=name: call(**{name: "never"}), f" takes no {name}='never': {way}.")
    with pytest.raises(TypeError, match="nobody"):
        call(nobody=1)


def test_an_argument_may_have_another_name():
    assert Dense(2, input_dim=3).input_shape == (3,) and LSTM(2, batch_input_shape=(1, 4, 3)).input_shape == (4, 3)
    assert nbrnn.layers.InputLayer(input_shape=(4, 3)).shape == (4, 3)
    refused(lambda: Dense(2, input_dim=3, input_shape=(3,)), "Dense takes input_shape or input_dim, one of the two")
    refused(lambda: LSTM(2, batch_input_shape="4"), "input_shape must be (time steps, features) or (features,)")
    assert nbrnn.Embedding(9, 2).input_dim == 9


def test_every_table_of_arguments_is_tried():
    tables = {name for name, value in vars(kerasways).items() if name.isupper() and isinstance(value, dict)}
    assert tables - {"NAMES", "OF_LAYERS", "OF_MODELS", "HOOKS"} == {*CALLS, "FILES"}


def test_files_take_keras_arguments(tmp_path):
    MODEL.save(tmp_path / "m", overwrite=True)
    again = nbrnn.load_model(tmp_path / "m", custom_objects=None, safe_mode=False)
    assert again.compiled and not nbrnn.load_model(tmp_path / "m", compile=False).compiled
    again.save_weights(tmp_path / "w", overwrite=True)
    again.load_weights(tmp_path / "w", skip_mismatch=False)
    refused(lambda: MODEL.save(tmp_path / "m", overwrite=False), "save takes no overwrite=False: a file of that name")
    refused(lambda: nbrnn.load_model(tmp_path / "m", custom_objects={"a": 1}), "import the module that defines")
    refused(lambda: nbrnn.load_model(tmp_path / "m", compile="no"), "compile must be True or False")


@pytest.mark.parametrize("begins", [b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"])
def test_a_file_of_keras_is_known(begins, tmp_path):
    for name, content in (("theirs", begins + bytes(200)), ("cut", b"PK")):
        (tmp_path / name).write_bytes(content)
    refused(lambda: nbrnn.load_model(tmp_path / "theirs"), "is no model file", "set_weights(keras_model.get_weights())")
    with pytest.raises(ValueError, match="cut short") as raised:
        nbrnn.load_model(tmp_path / "cut")
    assert "set_weights" not in str(raised.value)


def test_own_arguments_are_not_keras():
    """A layer's own argument keeps its meaning, and signatures stay what they are."""

    class Own(nbrnn.Dense):
        def __init__(self, units, unroll):
            super().__init__(units)
            self.unrolled = unroll

    assert Own(2, unroll="mine").unrolled == "mine"
    assert "unroll" not in inspect.signature(LSTM).parameters and "units" in inspect.signature(LSTM).parameters
    del nbrnn.layers.LAYERS["Own"]


@pytest.mark.parametrize("name", kerasways.OF_MODELS)
def test_an_attribute_of_keras_models_tells_the_way(name):
    with pytest.raises(AttributeError) as raised:
        getattr(MODEL, name)
    assert f"Sequential has no attribute {name!r}; {kerasways.OF_MODELS[name]}" == str(raised.value)
    assert not hasattr(MODEL, name) and name not in dir(MODEL) and "predict" in dir(MODEL)


@pytest.mark.parametrize("name", kerasways.OF_LAYERS)
def test_an_attribute_of_keras_layers_tells_the_way(name):
    for layer in (*MODEL.layers, Bidirectional(SimpleRNN(2))):
        with pytest.raises(AttributeError) as raised:
            getattr(layer, name)
        assert f"has no attribute {name!r}; {kerasways.OF_LAYERS[name]}" in str(raised.value)


@pytest.mark.parametrize("hook", kerasways.HOOKS)
def test_a_hook_that_nobody_calls_is_refused(hook):
    own = type("Own", (nbrnn.Callback,), {hook: lambda self, *given: None})
    assert not hasattr(nbrnn.Callback, hook)
    refused(lambda: MODEL.fit(X, Y, verbose=0, callbacks=own()), f"Own.{hook} would not be called: ")


@pytest.mark.parametrize("kind", [nbrnn.Model, nbrnn.Sequential, nbrnn.layers.Layer, Dense])
def test_a_call_in_python_is_refused(kind):
    refused(lambda: type("Own", (kind,), {"call": lambda self, x: x}), "Own.call would not be run", "custom-cells.md")
    assert "Own" not in nbrnn.layers.LAYERS


def test_nothing_is_frozen():
    made = model()
    made.trainable = True

    def freeze():
        made.trainable = False

    refused(freeze, "trainable of model sequential cannot be False", "every layer is trained")
    assert made.trainable and all(layer.trainable for layer in made.layers)


class Batches:
    """What gives batches by their numbers, as Keras' PyDataset does."""

    def __len__(self):
        return 2

    def __getitem__(self, k):
        if k > 1:
            raise IndexError
        return X[3 * k : 3 * k + 3 + k], Y[3 * k : 3 * k + 3 + k]


@pytest.mark.parametrize("batches", [lambda: iter([(X, Y)]), Batches, lambda: ((X, Y) for _ in range(2))])
def test_what_gives_batches_is_no_array(batches):
    for call in (MODEL.fit, MODEL.predict, MODEL.evaluate):
        refused(lambda call=call: call(batches()), f"x must be an array, not {type(batches()).__name__}", "concatenate")
    refused(lambda: MODEL.fit(X, batches()), "y must be an array")


def test_targets_that_are_forgotten_are_asked_for():
    for call in (MODEL.fit, MODEL.evaluate, MODEL.train_on_batch, MODEL.test_on_batch):
        refused(lambda call=call: call(X), "y is None, but targets are needed")


def test_functions_of_python_are_refused_with_the_way():
    def own(y_true, y_pred):
        return abs(y_true - y_pred)

    refused(lambda: model(loss=own), "loss cannot be a Python function, as own is", "nbrnn.Huber(delta)")
    refused(lambda: model(loss=nbrnn.losses.Huber), "write loss=nbrnn.losses.Huber()")
    refused(
        lambda: model(metrics=[own]), "a metric cannot be a Python function, as own is", "a callback's on_epoch_end"
    )
    refused(lambda: model(metrics=[nbrnn.metrics.R2Score]), "a metric must be made by calling R2Score: write R2Score()")
    refused(lambda: model(metrics=[nbrnn.Huber]), "a metric must be made by calling Huber")


def test_a_sample_weight_of_another_shape_names_itself_before_a_way():
    refused(lambda: MODEL.fit(X, Y, sample_weight=np.ones(3), verbose=0), "sample_weight has 3 weights")


PAGE = Path(nbrnn.__file__).parents[1] / "docs" / "keras.md"


@pytest.mark.skipif(not PAGE.exists(), reason="the pages do not travel with the package")
def test_the_page_lists_what_is_refused():
    tables = [*kerasways.NAMES.values(), kerasways.OF_LAYERS, kerasways.OF_MODELS]
    tables += [getattr(kerasways, name) for name in (*CALLS, "FILES")]
    known = {name for table in tables for name in table}
    rows = PAGE.read_text(encoding="utf-8").split("| --- | --- |")[1].strip().splitlines()
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert len(rows) > 15 and set(named) <= known


def test_an_array_as_such_an_argument_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"^Embedding takes no weights=array\(.*: set_weights of the model"):
        nbrnn.Embedding(5, 3, weights=np.ones((5, 3)))
