"""Heads: what is asked of each output of a model, and the sum of all of it that is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from .checks import by_name, flag, real_number
from .losses import Figure, Loss, Rows, get_loss
from .metrics import get_metric
from .program import Buffer, Program

TOTAL = Figure("loss", "weigh")  # of several outputs: the sum of their losses, each times its weight


@dataclass(frozen=True)
class Head:
    """An output's name, its loss with its weight, and its metrics."""

    name: str
    loss: Loss | None
    weight: float = 1.0
    metrics: tuple[Figure, ...] = ()

    @property
    def figures(self) -> list[Figure]:
        """The loss, if there is one, and the metrics."""
        return [*([] if self.loss is None else [self.loss]), *self.metrics]

    def example(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw targets for outputs of a shape, (..., outputs)."""
        return rng.uniform(-2.0, 2.0, shape) if self.loss is None else self.loss.example(shape, rng)


@dataclass(frozen=True)
class Asked:
    """A figure of a model: its name, whose it is, and whether it is a loss; the total loss is no output's."""

    name: str
    figure: Figure
    head: int = -1
    loss: bool = False


def make_heads(names: Sequence[str], loss: Any, weights: Mapping[str, float], metrics: Any) -> list[Head]:
    """Return a head for each output; a loss that is no dict belongs to all of them, metrics likewise."""
    return [
        Head(
            name,
            loss.get(name) if isinstance(loss, dict) else loss,
            weights.get(name, 1.0),
            tuple(metrics.get(name, ()) if isinstance(metrics, dict) else metrics),
        )
        for name in names
    ]


def all_figures(heads: Sequence[Head]) -> list[Asked]:
    """Return the figures in the order of the statistics; the loss, of several outputs the total, comes first.

    A name that comes again has a number, as in Keras: mae, mae_1.
    """
    start = "" if len(heads) == 1 else "{}_"
    own = [
        Asked("loss" if not start else f"{head.name}_loss", head.loss, k, True)
        for k, head in enumerate(heads)
        if head.loss is not None
    ]
    if not own:
        return []
    found = own if not start else [Asked("loss", TOTAL), *own]
    for k, head in enumerate(heads):
        found += [Asked(start.format(head.name) + (metric.label or metric.name), metric, k) for metric in head.metrics]
    again = [sum(other.name == one.name for other in found[:k]) for k, one in enumerate(found)]
    return [replace(one, name=f"{one.name}_{n}") if n else one for one, n in zip(found, again, strict=True)]


def places_of(asked: Sequence[Asked], outputs: Sequence[int], masked: Sequence[bool] = ()) -> list[slice]:
    """Return the place of each figure's statistics, for so many numbers of each output; `masked`: of which outputs."""
    under = masked or [False] * len(outputs)
    words = [
        one.figure.words(1) if one.head < 0 else one.figure.words(outputs[one.head], under[one.head]) for one in asked
    ]
    ends = np.cumsum([0, *words]).tolist()
    return [slice(start, stop) for start, stop in pairwise(ends)]


def lower_figures(
    p: Program,
    heads: Sequence[Head],
    asked: Sequence[Asked],
    ends: Sequence[Buffer],
    targets: Mapping[int, Buffer],
    weights: Mapping[int, Buffer],
    train: bool,
    masks: Mapping[int, tuple[Buffer, Buffer]],
) -> list[Buffer | None]:
    """Add the calls of all losses and metrics; return what the total loss gives back to each output, if it is asked.

    `masks` are those of masked outputs, a number a row, with the number of rows of the batch that they leave.
    """
    several = len(heads) > 1
    seen = {
        k: Rows.pair(p, Rows(ends[k], targets[k], p.samples, weights.get(k), *masks.get(k, (None, None))))
        for k in targets
    }
    slopes: list[Buffer | None] = [None] * len(heads)
    first = 1
    for one, place in zip(asked, places_of(asked, [end.shape[-1] for end in ends], p.masked), strict=True):
        if one.head < 0:
            continue
        head, dy = heads[one.head], None
        if one.loss and train:
            dy = slopes[one.head] = p.buffer(f"dy {head.name}" if several else "dy", *ends[one.head].shape)
        one.figure.lower(p, seen[one.head][0 if one.loss else 1], place.start, dy)
        if not (several and one.loss):
            continue
        valid = masks[one.head][1] if one.head in masks else None
        for slot in range(place.start, place.stop - (valid is not None)):
            own = {"valid": valid, "control": p["control"], "weight": head.weight, "slot": slot}
            p.call("weigh", **own, first=first, stats=p["stats"])
            first = 0
        if dy is not None and head.weight != 1:
            flat = dy.reshape(1, -1)
            p.call("scaled", x=flat, factor=head.weight, y=flat)
    return slopes


def losses_by_output(loss: Any, names: Sequence[str]) -> Any:
    """Return a loss for all outputs, or a dict of losses by output; what a dict leaves out has none.

    Raises
    ------
    ValueError
        If a name is unknown, or no output has a loss.
    """
    if isinstance(loss, (str, Figure)) or (len(names) == 1 and not isinstance(loss, (dict, list, tuple))):
        return get_loss(loss)
    found = {name: get_loss(one) for name, one in by_name("loss", loss, names, "output").items() if one is not None}
    if not found:
        raise ValueError(f"loss is None for every output ({', '.join(names)}); one of them at least must have a loss.")
    return found[names[0]] if len(names) == 1 else found


def weights_by_output(weights: Any, names: Sequence[str]) -> dict[str, float]:
    """Return the losses' weights by output; ValueError if one is no number of at least 0."""
    if weights is None:
        return {}
    found = by_name("loss_weights", weights, names, "output")
    return {name: real_number(f"loss_weights of {name}", weight) for name, weight in found.items()}


def metrics_by_output(metrics: Any, names: Sequence[str]) -> Any:
    """Return the metrics of a single output as a list, those of several as a dict of lists."""

    def several(some: Any) -> list[Figure]:
        if some is None:
            return []
        if not isinstance(some, (str, Figure, list, tuple, set)):
            raise ValueError(f'metrics must be a list such as ["mae", "rmse"], not {some!r:.80}.')
        return [get_metric(m) for m in ([some] if isinstance(some, (str, Figure)) else some)]

    if len(names) == 1 and not isinstance(metrics, Mapping):
        return several(metrics)
    if isinstance(metrics, (str, Figure)):
        return {name: several(metrics) for name in names}
    if not isinstance(metrics, Mapping) and not metrics:
        return {}
    found = {name: several(some) for name, some in by_name("metrics", metrics, names, "output").items()}
    return found.get(names[0], []) if len(names) == 1 else found


def shown(figures: dict[str, float], named: bool) -> float | list[float] | dict[str, float]:
    """Return figures by name, or as a list, or the only one."""
    if flag("return_dict", named):
        return figures
    return list(figures.values()) if len(figures) > 1 else figures["loss"]
