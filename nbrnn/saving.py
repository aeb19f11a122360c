"""Model files: the safetensors format, weights by name, and a header in JSON. Nothing in a file is ever executed.

Version 1: tensors "<layer>/<weight>"; metadata "format" = "nbrnn", "version" = "1", "config" = JSON with "model"
(layers, input_shape, dtype, seed, name), "training" (optimizer, loss, metrics, epochs, steps) or null, and whatever a
caller adds under "extra" (scaler, columns, window ...). A reader ignores what it does not know.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from . import gated as _gated  # noqa: F401 (enters its layers into LAYERS)
from . import losses, optimizers
from .checks import one_of, whole_number
from .layers import LAYERS, assign

if TYPE_CHECKING:
    from .losses import Loss
    from .model import Sequential

VERSION = 1
ABOUT = ("dtype", "name", "seed")


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file beside its place and rename it: a reader sees the old file or the new one, never a part."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def save_model(model: Sequential, path: str | Path, extra: dict[str, Any] | None = None) -> None:
    """Write a model to one file, whole or not at all.

    Parameters
    ----------
    model : Sequential
        A built model in float32 or float64.
    path : str or Path
    extra : dict, optional
        What JSON can hold, kept beside the model: `load_extra` returns it.

    Raises
    ------
    ValueError
        If the model is not built, or complex.
    OSError
        If the file cannot be written; an older file of that name stays as it was.
    """
    if not model.built:
        raise ValueError("a model can be saved once it knows its input_shape; give it, or call fit first.")
    if model.dtype.kind == "c":
        raise ValueError("a complex128 model is for gradient checks and is not saved.")
    config: dict[str, Any] = {"model": _model_config(model), "training": None, "extra": extra or {}}
    if model.loss is not None and model.optimizer is not None:
        config["training"] = {
            "optimizer": {"name": model.optimizer.kernel, "config": model.optimizer.config()},
            "loss": _loss_config(model.loss),
            "metrics": [_loss_config(m) for m in model.metrics],
            "epochs": model.epochs,
            "steps": model.steps,
        }
    tensors = {name: np.ascontiguousarray(view) for layer in model.layers for name, view in layer._named()}
    metadata = {"format": "nbrnn", "version": str(VERSION), "config": json.dumps(config)}
    write_whole(path, save(tensors, metadata))


def load_model(path: str | Path) -> Sequential:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Sequential
        With its weights, and compiled if it was; the optimizer's running means begin anew.

    Raises
    ------
    ValueError
        If the file is missing, cut short, of another kind, or of a newer version.
    """
    config, tensors = _read(Path(path))
    try:
        model = _from_config(config["model"])
        pairs = [pair for layer in model.layers for pair in layer._named()]
        assign(pairs, [tensors[name] for name, _ in pairs], f"the file {path}")
        training = config["training"]
        if training is not None:
            chosen = optimizers.OPTIMIZERS[training["optimizer"]["name"]](**training["optimizer"]["config"])
            model.compile(chosen, _loss(training["loss"]), [_loss(m) for m in training["metrics"]])
            model.epochs = whole_number("epochs", training["epochs"], 0)
            model.steps = whole_number("steps", training["steps"], 0)
    except ValueError as error:
        raise ValueError(f"{path} is an nbrnn file, but contradicts itself: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is an nbrnn file, but its header cannot be understood ({error!r}).") from error
    return model


def read_model(path: str | Path) -> Sequential:
    """Read a model from a file that `save` wrote, or from one in JSON that a person wrote.

    Parameters
    ----------
    path : str or Path
        One that ends in .json holds {"layers": [{"class": "SimpleRNN", "units": 2}, ...], "input_shape": [3, 1],
        "weights": [...]}, arrays in the order of `get_weights`, or random ones where there are none; "loss" is "mse"
        and "dtype" "float64" where they are not given.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If the file is missing, is no model, or its parts do not fit each other.
    """
    path = Path(path)
    if path.suffix != ".json" or not path.is_file():
        return load_model(path)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from None
    wanted = f'{path} must hold an object with "layers", "input_shape" and perhaps "weights"'
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise ValueError(f"{wanted}.")
    unknown = set(config) - {"layers", "input_shape", "weights", "loss", "dtype", "name", "seed"}
    if unknown:
        raise ValueError(f"{wanted}, but no {', '.join(map(repr, sorted(unknown)))}.")
    layers = []
    for entry in config["layers"]:
        if not isinstance(entry, dict) or "class" not in entry:
            raise ValueError(f'{wanted}; a layer looks like {{"class": "SimpleRNN", "units": 2}}, not {entry!r}.')
        kind = LAYERS[
            one_of("class", entry["class"], [name for name, known in LAYERS.items() if known.kind != "layer"])
        ]
        try:
            layers.append(kind(**{key: value for key, value in entry.items() if key != "class"}))
        except TypeError as error:
            raise ValueError(f"{path}: {kind.__name__}: {str(error).split('() ')[-1]}.") from None
    about: dict[str, Any] = {"dtype": "float64", "name": path.stem, "seed": 0} | {
        k: config[k] for k in ABOUT if k in config
    }
    model = model_class()(layers, config.get("input_shape"), **about)
    if "weights" in config:
        model.set_weights(config["weights"])
    model.compile(loss=config.get("loss", "mse"))
    return model


def load_extra(path: str | Path) -> dict[str, Any]:
    """Return what `save_model` was given as `extra`; raises as `load_model` does."""
    return dict(_read(Path(path))[0].get("extra", {}))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a file's header and tensors."""
    if not path.is_file():
        raise ValueError(f"there is no model file {path}.")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != "nbrnn":
                raise ValueError(f"{path} is a safetensors file, but nbrnn did not write it: it names no nbrnn model.")
            if not metadata.get("version", "").isdecimal():
                raise ValueError(f"{path} names no format version that is a number: {metadata.get('version')!r}.")
            if int(metadata["version"]) > VERSION:
                raise ValueError(
                    f"{path} has format version {metadata['version']}, but this nbrnn reads up to {VERSION}; update it."
                )
            config = json.loads(metadata["config"])
            return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no model file, or is cut short ({error}).") from error


def copy_model(model: Sequential, dtype: str) -> Sequential:
    """Return a copy of a built model in another dtype, with its weights, loss and metrics but no optimizer."""
    if not model.built:
        raise ValueError("the model does not know its input_shape yet: give it, or call fit or predict first.")
    twin = _from_config(_model_config(model) | {"dtype": dtype})
    twin.set_weights(model.get_weights())
    twin.loss, twin.metrics = model.loss, model.metrics
    return twin


def _model_config(model: Sequential) -> dict[str, Any]:
    return {
        "name": model.name,
        "dtype": model.dtype.name,
        "seed": model.seed,
        "input_shape": list(model.input_shape or ()),
        "layers": [{"class": type(layer).__name__, "config": layer.config()} for layer in model.layers],
    }


def model_class() -> type[Sequential]:
    """Return Sequential, which itself imports this module."""
    from .model import Sequential

    return Sequential


def _from_config(config: dict[str, Any]) -> Sequential:
    layers = []
    for entry in config["layers"]:
        arguments = {k: tuple(v) if k == "input_shape" else v for k, v in entry["config"].items()}
        layers.append(LAYERS[entry["class"]](**arguments))  # type: ignore[arg-type]
    shape = tuple(config["input_shape"])
    return model_class()(layers, input_shape=shape, seed=config["seed"], dtype=config["dtype"], name=config["name"])


def _loss_config(loss: Loss) -> dict[str, Any]:
    return {"name": loss.name, "parameters": loss.parameters}


def _loss(config: dict[str, Any]) -> Loss:
    return losses.Huber(**config["parameters"]) if config["parameters"] else losses.METRICS[config["name"]]
