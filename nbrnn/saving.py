"""Model files: the safetensors format, weights by name, and a header in JSON. Nothing in a file is ever executed.

Version 1: tensors "<layer>/<weight>"; metadata "format" = "nbrnn", "version" = "1", "config" = JSON with "model"
(layers, input_shape, dtype, seed, name), "training" (optimizer, loss, metrics, epochs, steps) or null, and whatever a
caller adds under "extra" (scaler, columns, window ...). The optimizer's arrays are tensors "optimizer/...", where they
were saved (slots.py). A checkpoint of a fit is a model file with more under "fit" (checkpoint.py). A reader ignores
what it does not know.
Version 2: a functional model: inputs, nodes and outputs, not input_shape (blueprint.py). 3: one with states as values.
"""

from __future__ import annotations

import inspect
import json
import math
import os
from pathlib import Path
from reprlib import repr as short
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from . import dropout, embedding, feedback, gated, joins, masking, optimizers, pointwise, shaping, simple, wrappers  # noqa: F401
from .blueprint import join_layers, layers_of, least_version, model_config
from .checks import flag, one_of, whole_number
from .described import UnknownLayerError
from .files import write_whole
from .graph import Shape, checked_shape, read_graph
from .kerasways import FILES, knows, of_keras
from .layers import LAYERS, Layer, assign
from .metrics import from_parameters
from .slots import optimizer_arrays, restore_optimizer

if TYPE_CHECKING:
    from .losses import Figure
    from .model import Model
    from .sequential import Sequential

VERSION = 3  # that of a chain is 1, of a graph without states as values 2
ABOUT = ("dtype", "name", "seed")
MOST_WEIGHTS = 50_000_000  # of a model in JSON, whose file may be tiny
MOST_LAYERS = 200
MOST_DIGITS = 40  # of a whole number in a file; 64 bits hold 19
TOO_DEEP = "its JSON nests lists or objects too deeply."


def save_model(
    model: Model, path: str | Path, extra: dict[str, Any] | None = None, include_optimizer: bool = True
) -> None:
    """Write a model to one file, whole or not at all.

    Parameters
    ----------
    model : Sequential or Model
        A built model in float32 or float64.
    path : str or Path
    extra : dict, optional
        What JSON can hold, kept beside the model: `load_extra` returns it.
    include_optimizer : bool, default True
        Whether the optimizer's arrays go into the file, so that a fit of the loaded model goes on from them.

    Raises
    ------
    ValueError
        If the model is not built, or complex.
    OSError
        If the file cannot be written, with its path; an older file of that name stays as it was.
    """
    config, tensors = contents(model, flag("include_optimizer", include_optimizer))
    write_model(path, config | {"extra": extra or {}}, tensors)


def contents(model: Model, include_optimizer: bool = True) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the tensors of a model's file."""
    if not model.built:
        raise ValueError("a model can be saved once it knows its input_shape; give it, or call fit first.")
    if model.dtype.kind == "c":
        raise ValueError("a complex128 model is for gradient checks and is not saved.")
    config: dict[str, Any] = {"model": model_config(model), "training": None}
    if model.loss is not None and model.optimizer is not None:
        progress = {"epochs": model.epochs, "steps": model.steps, "began": model.began}
        config["training"] = training_config(model) | progress
    tensors = {name: view for layer in model.layers for name, view in layer._named()}
    return config, tensors | (optimizer_arrays(model) if include_optimizer else {})


def write_model(path: str | Path, config: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Write a header and tensors to one file, whole or not at all."""
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    metadata = {"format": "nbrnn", "version": least_version(config["model"]), "config": json.dumps(config)}
    write_whole(path, save(tensors, metadata))


@knows(FILES)
def load_model(path: str | Path, compile: bool = True) -> Model:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : str or Path
    compile : bool, default True
        Whether the optimizer, the loss and the metrics are taken over, too.

    Returns
    -------
    Sequential or Model
        With its weights, and compiled if it was; the optimizer goes on where the file holds its arrays.

    Raises
    ------
    ValueError
        If the file is missing, cut short, of another kind, or of a newer version, or if its tensors are not the ones
        that its layers need: that is seen before memory is asked for.
    """
    config, tensors = read_contents(Path(path))
    try:
        model = model_from_config(config["model"], tensors)
        pairs = [pair for layer in model.layers for pair in layer._named()]
        assign(pairs, [tensors[name] for name, _ in pairs], f"the file {path}")
        training = config["training"] if flag("compile", compile) else None
        if training is not None:
            chosen = optimizers.OPTIMIZERS[training["optimizer"]["name"]](**training["optimizer"]["config"])
            metrics = _every(lambda some: [_figure(m) for m in some], training["metrics"])
            model.compile(chosen, _every(_figure, training["loss"]), metrics, training.get("loss_weights") or None)
            model.epochs = whole_number("epochs", training["epochs"], 0)
            model.steps = whole_number("steps", training["steps"], 0)
            model.began = whole_number("began", training.get("began", 0), 0)
            restore_optimizer(model, tensors)
    except ValueError as error:
        wrong = "" if isinstance(error, UnknownLayerError) else ", but contradicts itself"
        raise ValueError(f"{path} is an nbrnn file{wrong}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is an nbrnn file, but its header cannot be understood ({error!r}).") from error
    except RecursionError:
        raise ValueError(f"{path} is an nbrnn file, but {TOO_DEEP}") from None
    return model


def read_model(path: str | Path) -> Model:
    """Read a model from a file that `save` wrote, or from one in JSON that a person wrote.

    Parameters
    ----------
    path : str or Path
        One that ends in .json holds {"layers": [{"class": "SimpleRNN", "units": 2}, ...], "input_shape": [3, 1],
        "weights": [...]}, arrays in the order of `get_weights`, or random ones where there are none; "loss" is "mse"
        and "dtype" "float64" where they are not given.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If the file is missing, is no model, or its parts do not fit each other; in JSON also if it has more than 200
        layers or 50 million weights, which are counted before memory is asked for.
    """
    path = Path(path)
    if path.suffix != ".json" or not os.path.isfile(path):
        return load_model(path)
    try:
        return _from_person(_parsed(path.read_text(encoding="utf-8")), path.stem)
    except RecursionError:
        raise ValueError(f"{path}: {TOO_DEEP}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: this is not JSON, which is text in UTF-8: {error}.") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parsed(text: str) -> Any:
    """Return what a text in JSON holds."""
    try:
        return json.loads(text, parse_int=_digits)
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not JSON: {error}.") from None


def _digits(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a whole number has {len(text)} digits; at most {MOST_DIGITS} are read.")
    return int(text)


def _from_person(config: Any, stem: str) -> Model:
    """Return the model of a file that a person wrote."""
    wanted = 'the file must hold an object with "layers", "input_shape" and perhaps "weights"'
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise ValueError(f"{wanted}.")
    unknown = set(config) - {"layers", "input_shape", "weights", "loss", *ABOUT}
    if unknown:
        raise ValueError(f"{wanted}, but no {', '.join(short(key) for key in sorted(unknown))}.")
    if not 1 <= len(config["layers"]) <= MOST_LAYERS:
        raise ValueError(f'"layers" must hold 1 to {MOST_LAYERS} layers, not {len(config["layers"]):,}.')
    layers = [_layer(entry) for entry in config["layers"]]
    given = config.get("input_shape")
    shape = layers[0].input_shape if given is None else _shape(given)
    if shape is None:
        raise ValueError('the file needs "input_shape", the shape of one sample, such as [3, 1].')
    if layers[0].input_shape not in (None, shape):
        raise ValueError('"input_shape" stands in the file and in its first layer, but differs; leave one out.')
    weights = sum(math.prod(size) for _, size in _sizes(layers, shape))
    if weights > MOST_WEIGHTS:
        raise ValueError(f"the layers have {weights:,} weights; at most {MOST_WEIGHTS:,} are made from a file in JSON.")
    about: dict[str, Any] = {"dtype": "float64", "name": stem, "seed": 0} | {k: config[k] for k in ABOUT if k in config}
    one_of("dtype", about["dtype"], ("float32", "float64"))
    model = _stacked(layers, shape, about)
    if "weights" in config:
        if _holds_boolean(config["weights"]):
            raise ValueError('"weights" must hold numbers, not true or false.')
        model.set_weights(config["weights"])
    model.compile(loss=config.get("loss", "mse"))
    return model


def _layer(entry: Any) -> Layer:
    """Return a layer that a person described."""
    if not isinstance(entry, dict) or "class" not in entry:
        raise ValueError(f'a layer looks like {{"class": "SimpleRNN", "units": 2}}, not {short(entry)}.')
    kinds = [name for name, known in LAYERS.items() if known.kind != "layer"]
    kind = LAYERS[one_of("class", entry["class"], kinds)]
    arguments = {key: value for key, value in entry.items() if key != "class"}
    takes = inspect.signature(kind).parameters
    for key in arguments:
        if key not in takes:
            raise ValueError(f"{kind.__name__}: got an unexpected key {short(key)}; it takes {', '.join(takes)}.")
    missing = [key for key, value in takes.items() if value.default is value.empty and key not in arguments]
    if missing:
        raise ValueError(f"{kind.__name__}: {' and '.join(map(repr, missing))} must be given.")
    name = arguments.get("name")
    if name is not None and not (isinstance(name, str) and name.isprintable() and name and "/" not in name):
        raise ValueError(f"a layer's name must be text without line breaks or '/', not {short(name)}.")
    for key in ("layer", "backward_layer"):  # of those that wrap others
        if arguments.get(key) is not None and key in takes:
            arguments[key] = _layer(arguments[key])
    if arguments.get("input_shape") is not None:
        arguments["input_shape"] = _shape(arguments["input_shape"])
    return kind(**arguments)


def _shape(value: Any) -> Shape:
    try:
        return checked_shape(value)
    except ValueError:
        raise ValueError(
            '"input_shape" must be [time steps, features] or [features], whole numbers of at least 1 '
            f"(null for any number of time steps), not {short(value)}."
        ) from None


def _holds_boolean(value: Any) -> bool:
    return any(map(_holds_boolean, value)) if isinstance(value, list) else isinstance(value, bool)


def _sizes(layers: list[Layer], shape: Shape) -> list[tuple[str, tuple[int, ...]]]:
    """Return the names and shapes of a model's weights, with nothing allocated."""
    found = []
    for layer in layers:
        try:
            after = layer.output_shape(shape)
        except ValueError:  # building the model stops here too, and says why
            break
        found += [(f"{layer.name}/{weight.name}", weight.shape) for weight in layer.declared(shape)]
        shape = after
    return found


def load_extra(path: str | Path) -> dict[str, Any]:
    """Return what `save_model` was given as `extra`; raises as `load_model` does."""
    extra = read_contents(Path(path))[0].get("extra", {})
    if not isinstance(extra, dict):
        raise ValueError(f"{path} is an nbrnn file, but what it holds as extra is no object: {short(extra)}.")
    return extra


def read_contents(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a file's header and tensors."""
    if not os.path.isfile(path):
        raise ValueError(f"there is no model file {path}.")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, AttributeError, KeyError) as error:  # also a dtype NumPy lacks
        raise ValueError(f"{path} is no model file, or is cut short ({error}){of_keras(path)}.") from error
    if metadata.get("format") != "nbrnn":
        raise ValueError(f"{path} is a safetensors file, but nbrnn did not write it: it names no nbrnn model.")
    version = metadata.get("version", "")
    if not version.isdecimal() or len(version) > MOST_DIGITS:
        raise ValueError(f"{path} names no format version that is a number: {short(version)}.")
    if int(version) > VERSION:
        raise ValueError(f"{path} has format version {version}, but this nbrnn reads up to {VERSION}; update it.")
    try:
        config = _parsed(metadata.get("config", ""))
    except RecursionError:
        raise ValueError(f"{path} is an nbrnn file, but {TOO_DEEP}") from None
    except ValueError as error:
        raise ValueError(f"{path} is an nbrnn file, but its header cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} is an nbrnn file, but its header is no object: {short(config)}.")
    return config, tensors


def copy_model(model: Model, dtype: str) -> Model:
    """Return a copy of a built model in another dtype, with its weights, loss and metrics but no optimizer."""
    if not model.built:
        raise ValueError("the model does not know its input_shape yet: give it, or call fit or predict first.")
    twin = model_from_config(model_config(model) | {"dtype": dtype})
    twin.set_weights(model.get_weights())
    twin.loss, twin.loss_weights, twin.metrics = model.loss, model.loss_weights, model.metrics
    return twin


def model_classes() -> tuple[type[Model], type[Sequential]]:
    """Return Model and Sequential, which themselves import this module."""
    from .model import Model
    from .sequential import Sequential

    return Model, Sequential


def model_from_config(config: dict[str, Any], tensors: dict[str, np.ndarray] | None = None) -> Model:
    """Return the model of a configuration, whose weights are in the tensors if they are given."""
    layers, about = layers_of(config), {key: config[key] for key in ABOUT}
    if "nodes" in config:
        _check_names(layers, about)
        ends = join_layers(config, layers)
        owners = read_graph(*ends)[0].owners
        sizes = [(f"{layer.name}/{w.name}", w.shape) for layer, shape in owners for w in layer.declared(shape)]
    else:
        shape = checked_shape(config["input_shape"])
        sizes = _sizes(layers, shape)
    for name, size in sizes if tensors is not None else []:
        _fits(name, size, tensors)  # type: ignore[arg-type]
    return model_classes()[0](*ends, **about) if "nodes" in config else _stacked(layers, shape, about)


def _fits(name: str, size: tuple[int, ...], tensors: dict[str, np.ndarray]) -> None:
    """Raise ValueError unless a weight's tensor is there, has its shape and holds numbers."""
    if name not in tensors:
        raise ValueError(f"its layers need {name} with the shape {size}, which it does not hold.")
    if tensors[name].shape != size or tensors[name].dtype.kind == "b":
        came = f"{tensors[name].shape} of {tensors[name].dtype}"
        raise ValueError(f"{name} must hold numbers in the shape {size}, but holds {came}.")


def _stacked(layers: list[Layer], shape: Shape, about: dict[str, Any]) -> Model:
    """Return a model that is built once, at the end, not again for every layer."""
    _check_names(layers, about)
    first, layers[0].input_shape = layers[0].input_shape, None
    model = model_classes()[1](layers, **about)
    layers[0].input_shape = first
    model.build(shape)
    return model


def _check_names(layers: list[Layer], about: dict[str, Any]) -> None:
    """Raise ValueError unless there are layers, and all names are text."""
    if not isinstance(about["name"], str):
        raise ValueError(f"a model's name must be text, not {short(about['name'])}.")
    if not layers or not all(layer.name is None or isinstance(layer.name, str) for layer in layers):
        raise ValueError("a model needs layers, and their names must be text.")


def _each(encode: Any, asked: Any) -> Any:
    """Return what was asked of an output, or of each by name, as what JSON can hold."""
    if not isinstance(asked, dict):
        return encode(asked)
    return {"outputs": {name: None if one is None else encode(one) for name, one in asked.items()}}


def _every(decode: Any, config: Any) -> Any:
    """Return what `_each` was given."""
    if not isinstance(config, dict) or "outputs" not in config:
        return decode(config)
    return {name: None if one is None else decode(one) for name, one in config["outputs"].items()}


def training_config(model: Model) -> dict[str, Any]:
    """Return what compiles a model again."""
    assert model.optimizer is not None
    return {
        "optimizer": {"name": model.optimizer.name, "config": model.optimizer.config()},
        "loss": _each(_figure_config, model.loss),
        "metrics": _each(lambda some: [_figure_config(m) for m in some], model.metrics),
        "loss_weights": dict(model.loss_weights),
    }


def _figure_config(figure: Figure) -> dict[str, Any]:
    return {"name": figure.name, "parameters": figure.parameters} | ({"label": figure.label} if figure.label else {})


def _figure(config: dict[str, Any]) -> Figure:
    return from_parameters(config["name"], config["parameters"], config.get("label", ""))
