"""A forecaster in one file: its models, window, columns, scaler, transform, and the rows that it goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .csvfile import Table
from .forecasting import Forecaster
from .layers import assign
from .saving import contents, copy_model, load_model, read_contents, write_model
from .scalers import scaler_from_dict

TAIL, MEMBER = "series/tail", "member"


def save_forecaster(forecaster: Forecaster, path: str | Path, **notes: Any) -> None:
    """Write a forecaster to one file, whole or not at all; `load_model` reads its first model alone.

    Parameters
    ----------
    forecaster : Forecaster
    path : str or Path
    **notes
        What else the file shall hold, as far as JSON can; `load_forecaster` gives it back.

    Raises
    ------
    ValueError
        If it was not fitted.
    OSError
        If the file cannot be written; an older file of that name stays as it was.
    """
    columns, tail = forecaster.columns, forecaster.tail
    if columns is None or tail is None:
        raise ValueError("this Forecaster has not seen a series yet; call fit first.")
    config, tensors = contents(forecaster.models[0])
    for k, model in enumerate(forecaster.models[1:], start=1):
        tensors |= {f"{MEMBER} {k}/{name}": view for layer in model.layers for name, view in layer._named()}
    own = {
        "window": forecaster.window,
        "stride": forecaster.stride,
        "horizon": forecaster.horizon,
        "columns": list(columns),
        "targets": list(forecaster.targets),
        "known": [columns[k] for k in forecaster.known_columns],
        "transform": forecaster.transform.kind,
        "missing": forecaster.missing,
        "scaler": None if forecaster.scaler is None else forecaster.scaler.to_dict(),
        "seeds": [model.seed for model in forecaster.models],
        "series": tail.name,
        "dates": None if tail.dates is None else list(tail.dates),
    }
    write_model(path, config | {"extra": {"forecaster": own, "notes": notes}}, tensors | {TAIL: tail.values})


def load_forecaster(path: str | Path) -> tuple[Forecaster, dict[str, Any]]:
    """Read a forecaster and the notes that were written with it.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ValueError
        As `load_model`, and if the file holds a model but no forecaster, or one that contradicts itself.
    """
    first = load_model(path)
    config, tensors = read_contents(Path(path))
    try:
        extra = config["extra"]
        own, notes = extra["forecaster"], extra["notes"]
    except (KeyError, TypeError):
        raise ValueError(
            f"{path} holds a model, but not the window, columns and units of a forecaster; `nbrnn train` and "
            "Forecaster.save write such files."
        ) from None
    try:
        models = [first]
        for k, seed in enumerate(own["seeds"][1:], start=1):
            twin = copy_model(first, first.dtype.name)
            twin.seed = int(seed)
            pairs = [pair for layer in twin.layers for pair in layer._named()]
            assign(pairs, [tensors[f"{MEMBER} {k}/{name}"] for name, _ in pairs], f"the file {path}")
            if first.optimizer is not None:
                twin.compile(first.optimizer, first.loss, first.metrics)
            models.append(twin)
        scaler = None if own["scaler"] is None else scaler_from_dict(own["scaler"])
        names = tuple(str(name) for name in own["columns"])
        dates = None if own["dates"] is None else tuple(str(date) for date in own["dates"])
        tail = Table(np.asarray(tensors[TAIL], np.float64), names, dates, str(own["series"]))
        forecaster = Forecaster(
            models,
            own["window"],
            scaler,
            own["targets"],
            own["stride"],
            own["transform"],
            known=own["known"],
            missing=own["missing"],
        )
        forecaster.meet(tail)
        if len(tail) != forecaster.past or forecaster.horizon != own["horizon"]:
            raise ValueError("its last rows do not fill a window.")
        forecaster.tail = tail
    except ValueError as error:
        raise ValueError(f"{path} is an nbrnn file, but contradicts itself: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is an nbrnn file, but its forecaster cannot be understood ({error!r}).") from error
    if not isinstance(notes, dict):
        raise ValueError(f"{path} is an nbrnn file, but its notes are no object.")
    return forecaster, notes
