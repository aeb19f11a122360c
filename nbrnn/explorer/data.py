"""What the explorer's page holds: a model and a trace of it, whole or for chosen units and steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers import SOFTMAX
from ..masking import Masking
from ..recurrent import Recurrent

if TYPE_CHECKING:
    from ..tracing import LayerTrace, Step, Trace

KINDS = ("SimpleRNN", "GRU", "LSTM")
BESIDE = ("Dense", "Flatten", "Activation", "Softmax", "Masking")
LOSSES = ("mse", "mae", "huber", "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")
TAKES = (
    "the explorer takes a chain of SimpleRNN, GRU, LSTM, Dense, Flatten, Activation, Softmax and Masking layers, at "
    "least one of them recurrent"
)
SHARES = ("dWx", "dWh", "dW", "db")  # of a step, in the gradients
BY_UNIT = ("h_prev", "c_prev", "rh", "h", "c", "s", "dh_loss", "dh_future", "dh", "dh_prev", "dc_here", "dc_future",
           "dc", "dc_prev", "ds", "i", "f", "n", "o", "z", "r", "di", "df", "dn", "do", "dz", "dr")  # fmt: skip
BY_COLUMN = ("xWx", "hWh", "b", "bh", "a", "da", "dq")  # gates one after the other


def check_model(model: Any) -> None:
    """Raise ValueError unless the page's arithmetic knows every layer."""
    if not model.graph.is_chain:
        raise ValueError(f"{TAKES}, but {model.graph.why_no_chain()}.")
    for layer in model.layers:
        kind = type(layer).__name__
        if kind not in (*KINDS, *BESIDE):
            raise ValueError(f"{TAKES}, but layer {layer.name} is a {kind}.")
        if kind == "Masking" and layer is not model.layers[0]:
            raise ValueError(f"{TAKES}, and Masking as the first of them, but {layer.name} masks computed numbers.")
        if getattr(layer, "dropout", 0) or getattr(layer, "recurrent_dropout", 0):
            raise ValueError(f"{TAKES}, without dropout, but layer {layer.name} has it: build it with dropout=0.")
    if not any(isinstance(layer, Recurrent) for layer in model.layers):
        raise ValueError(f"{TAKES}, but the model has only {', '.join(layer.name for layer in model.layers)}.")


def check_loss(model: Any) -> None:
    """Raise ValueError if a target is given whose loss the page does not know."""
    if model.loss is not None and model.loss.name not in LOSSES:
        raise ValueError(
            f"the explorer goes back from the losses {', '.join(LOSSES)}, not from {model.loss.name}: leave the target "
            "out to see the forward pass, or compile the model with one of them."
        )


def choose_layer(trace: Trace, layer: str | int | None) -> int:
    """Return the place of the recurrent layer that is shown, the first if none is named."""
    places = [k for k, one in enumerate(trace.layers) if isinstance(one.layer, Recurrent)]
    if layer is None:
        return places[0]
    for k in places:
        if layer in (k, trace.layers[k].name):
            return k
    named = ", ".join(f"{k} ({trace.layers[k].name})" for k in places)
    raise ValueError(f"layer must be a recurrent layer of the model, {named}, not {layer!r}.")


def counted_steps(layer: LayerTrace, steps: Sequence[int]) -> list[bool]:
    """Return which of some steps a layer takes; ValueError if none."""
    counted = [not layer.steps[t].masked for t in steps]
    if not any(counted):
        raise ValueError(
            f"steps {steps[0] + 1} to {steps[-1] + 1} are masked, so there is nothing to step through: one of the "
            "steps that are shown must count."
        )
    return counted


def choose_mask(trace: Trace) -> list[bool] | None:
    """Return which steps of the input count, None without a mask; what Masking finds the page finds too."""
    first = next(one for one in trace.layers if one.kind in (*KINDS, "Masking"))
    counted = [not step.masked for step in first.steps]
    if isinstance(first.layer, Masking):
        value = first.layer.mask_value
        counted = [yes or bool((step.x == value).all()) for yes, step in zip(counted, first.steps, strict=True)]
    if all(counted):
        return None
    return counted[::-1] if getattr(first.layer, "go_backwards", False) else counted


def choose(name: str, given: Sequence[int] | None, count: int, default: range) -> list[int]:
    """Return chosen places below count, in order, checked."""
    if given is None:
        return [*default]
    listed = [*given] if isinstance(given, Sequence) and not isinstance(given, str) else []
    if not listed or any(isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 0 for k in listed):
        raise ValueError(f"{name} must be a list of whole numbers from 0 on, not {given!r}.")
    if max(listed) >= count:
        raise ValueError(f"the layer has {count} {name}, so there is no number {max(listed) + 1} (counted from 1).")
    return sorted({*listed})


def whole(trace: Trace, shown: int, shares: bool = True) -> dict[str, Any]:
    """Return the page's data with all layers, units and steps; `shares` says whether with each step's dWx and dWh."""
    page = _common(trace, shown)
    page["layers"] = [_layer(one) for one in trace.layers]
    page["mask"] = choose_mask(trace)
    page["trace"] = {
        "layers": [_numbers(one, lambda name, array: array.tolist(), shares) for one in trace.layers],
        "loss": trace.loss,
    }
    if trace.target is not None:
        page["target"] = np.atleast_2d(trace.target).tolist()
    return page


def part(trace: Trace, shown: int, units: list[int], steps: range, shares: bool) -> dict[str, Any]:
    """Return the page's data for some units and steps of the layer that is shown.

    What the other units add to a sum stands in `rest`, a row a step; what the other steps add to a gradient in
    `outside`.
    """
    layer, page = trace.layers[shown], _common(trace, shown)
    H, D = layer.layer.units, len(layer.weights["Wx"])
    features = [*range(min(D, 8))]
    columns = [g * H + j for g in range(max(1, len(layer.gates))) for j in units]
    forward, backward = [layer.steps[t] for t in steps], [layer.backward[t] for t in steps if layer.backward]
    own = _layer(layer) | {
        "Wx": layer.weights["Wx"][features][:, columns].tolist(),
        "Wh": layer.weights["Wh"][units][:, columns].tolist(),
        "H": len(units),
        "backwards": False,  # the steps stand in the order in which they are taken
        "h0": forward[0].h_prev[units].tolist(),
        "rest": _rest(layer, forward, backward, units, features, columns),
    }
    if "b" in layer.weights:
        own["b"] = layer.weights["b"][..., columns].tolist()
    if "c_prev" in forward[0].names:
        own["c0"] = forward[0].c_prev[units].tolist()
    counted, taken = counted_steps(layer, steps), [not step.masked for step in layer.steps]
    own["begun"] = any(taken[: steps[0]])

    def chosen(name: str, array: np.ndarray) -> list[Any] | None:
        if name == "x":
            return array[features].tolist()
        if name == "dWx":
            return array[features][:, columns].tolist()
        if name == "dWh":
            return array[units][:, columns].tolist()
        if name in BY_UNIT:
            return array[units].tolist()
        return array[..., columns].tolist() if name in (*BY_COLUMN, "db") else None

    if backward:
        own["dh_end"] = backward[-1].dh_future[units].tolist()
        if "dc_future" in backward[-1].names:
            own["dc_end"] = backward[-1].dc_future[units].tolist()
        page["dys"] = [step.dh_loss[units].tolist() for step in backward]
        own["outside"] = {
            name: chosen(name, total - sum(step[name] for step in backward)) for name, total in layer.totals.items()
        }
    numbers = _numbers(layer, chosen, shares, steps)
    return page | {
        "shown": 0,
        "layers": [own],
        "x": [step.x[features].tolist() for step in forward],
        "mask": None if all(counted) else counted,
        "target": [] if backward else None,
        "trace": {"layers": [numbers], "loss": trace.loss},
        "partial": {
            "units": [j + 1 for j in units],
            "of_units": H,
            "first": steps[0] + 1,
            "of_steps": len(layer.steps),
            "counted": sum(taken),
            "features": len(features),
            "of_features": D,
            "below": [one.name for one in trace.layers[:shown]],
            "above": [one.name for one in trace.layers[shown + 1 :]],
        },
    }


def _common(trace: Trace, shown: int) -> dict[str, Any]:
    """Return what both forms of the page have."""
    numeric = trace.to_dict()["numeric"] if trace.numeric is not None else None
    loss = None
    if trace.target is not None and trace.model.loss is not None:
        loss = {"name": trace.model.loss.name, **trace.model.loss.parameters}
    return {
        "version": 1,
        "model": trace.model.name,
        "shown": shown,
        "x": trace.x.tolist(),
        "target": None,
        "mask": None,
        "loss": loss,
        "numeric": numeric,
        "partial": None,
        "value": {"loss": trace.loss, "output": np.atleast_2d(trace.output).tolist()},
    }


def _layer(layer: LayerTrace) -> dict[str, Any]:
    """Return a layer as the page's arithmetic takes it."""
    config = layer.layer.config()
    own: dict[str, Any] = {"name": layer.name, "kind": layer.kind, "act": config.get("activation")}
    if layer.kind == "Softmax":
        own["act"] = SOFTMAX
    if layer.kind == "Masking":
        own["value"] = config["mask_value"]
    own |= {name: array.tolist() for name, array in layer.weights.items()}
    own.setdefault("b", None)
    if layer.kind in KINDS:
        own |= {"zero": bool(config.get("zero_output_for_mask"))}
        own |= {"H": layer.layer.units, "sequences": config["return_sequences"], "backwards": config["go_backwards"]}
        own |= {"gate": config.get("recurrent_activation"), "after": bool(config.get("reset_after"))}
        first = layer.steps[0]
        own |= {state: first[f"{name}_prev"].tolist() for state, name in (("h0", "h"), ("c0", "c"))
                if f"{name}_prev" in first.names}  # fmt: skip
    return own


def _numbers(layer: LayerTrace, take: Any, shares: bool, steps: range | None = None) -> dict[str, Any]:
    """Return a layer's trace, each array as `take` gives it; with None it is left out."""

    def taken(step: Step) -> dict[str, Any]:
        kept = {name: take(name, step[name]) for name in step.names if shares or name not in SHARES}
        return {name: array for name, array in kept.items() if array is not None}

    places = range(len(layer.steps)) if steps is None else steps
    return {
        "name": layer.name,
        "steps": [taken(layer.steps[t]) for t in places],
        "backward": [taken(layer.backward[t]) for t in places if layer.backward],
        "totals": {name: take(name, total) for name, total in layer.totals.items()},
    }


def _rest(
    layer: LayerTrace,
    forward: list[Step],
    backward: list[Step],
    units: list[int],
    features: list[int],
    columns: list[int],
) -> dict[str, Any]:
    """Return what the units and features that are left out add to the sums, a row a step."""
    Wx, Wh, H = layer.weights["Wx"], layer.weights["Wh"], layer.layer.units
    others = np.setdiff1d(np.arange(H), units)
    left = np.setdiff1d(np.arange(len(Wx)), features)
    closed = np.setdiff1d(np.arange(Wh.shape[1]), columns)
    before = layer.kind == "GRU" and not layer.layer.reset_after
    gated = np.array(columns) < 2 * H  # of a GRU that resets before its product: what sees h, not r h
    rest: dict[str, list[Any]] = {"x": [], "h": []}
    for step in forward:
        if step.masked:
            rest["h"].append([0.0] * len(columns))
            rest["x"].append([0.0] * len(columns))
            continue
        through = step.h_prev[others] @ Wh[others][:, columns]
        if before:
            reset = step.rh[others] @ Wh[others][:, columns]
            through = np.where(gated, through, reset)
        rest["h"].append(through.tolist())
        rest["x"].append((step.x[left] @ Wx[left][:, columns]).tolist())
    if not backward:
        return rest
    rest["future"] = []
    for back in backward:
        d = back["dq"] if "dq" in back.names else back["da"]
        if before:
            late = closed[closed >= 2 * H]
            m = Wh[units][:, late] @ back.da[late]
            rest.setdefault("m", []).append(m.tolist())
            future = Wh[units][:, closed[closed < 2 * H]] @ back.da[closed[closed < 2 * H]]
        else:
            future = Wh[units][:, closed] @ d[closed]
        rest["future"].append(future.tolist())
    return rest
