"""Heads: what is asked of each output of a model, and the sum of all of it that is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .checks import real_number
from .graph import by_name
from .losses import Loss, get_loss, get_metric
from .program import Buffer, Program

TOTAL = Loss("loss", "weigh")  # of several outputs: the sum of their losses, each times its weight


@dataclass(frozen=True)
class Head:
    """An output's name, its loss with its weight, and its metrics."""

    name: str
    loss: Loss | None
    weight: float = 1.0
    metrics: tuple[Loss, ...] = ()

    @property
    def figures(self) -> list[Loss]:
        """The loss, if there is one, and the metrics."""
        return [*([] if self.loss is None else [self.loss]), *self.metrics]


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


def all_figures(heads: Sequence[Head]) -> list[tuple[str, Loss]]:
    """Return names and figures in the order of the statistics; the loss, of several outputs the total, comes first.

    A name that comes again has a number.
    """
    start = "" if len(heads) == 1 else "{}_"
    own = [("loss" if not start else f"{head.name}_loss", head.loss) for head in heads if head.loss is not None]
    if not own:
        return []
    found = own if not start else [("loss", TOTAL), *own]
    found += [(start.format(head.name) + metric.name, metric) for head in heads for metric in head.metrics]
    again = [sum(other == name for other, _ in found[:k]) for k, (name, _) in enumerate(found)]
    return [(f"{name} {n + 1}" if n else name, figure) for (name, figure), n in zip(found, again, strict=True)]


def lower_figures(
    p: Program, heads: Sequence[Head], ends: Sequence[Buffer], targets: Mapping[int, Buffer], train: bool
) -> list[Buffer | None]:
    """Add the calls of all losses and metrics; return what the total loss gives back to each output, if it is asked."""
    if len(heads) == 1:
        dy = p.buffer("dy", *ends[0].shape) if train else None
        for slot, figure in enumerate(heads[0].figures):
            figure.lower(p, ends[0], targets[0], ends[0].size // p.samples, slot, dy if slot == 0 else None)
        return [dy]
    slopes: list[Buffer | None] = []
    slot = 1
    for k, (head, value) in enumerate(zip(heads, ends, strict=True)):
        slopes.append(None)
        if head.loss is None:
            continue
        dy = slopes[k] = p.buffer(f"dy {head.name}", *value.shape) if train else None
        head.loss.lower(p, value, targets[k], value.size // p.samples, slot, dy)
        p.call("weigh", weight=head.weight, slot=slot, first=int(slot == 1), stats=p["stats"])
        if dy is not None and head.weight != 1:
            flat = dy.reshape(1, -1)
            p.call("scaled", x=flat, factor=head.weight, y=flat)
        slot += 1
    for k, head in enumerate(heads):
        for metric in head.metrics:
            metric.lower(p, ends[k], targets[k], ends[k].size // p.samples, slot, None)
            slot += 1
    return slopes


def losses_by_output(loss: Any, names: Sequence[str]) -> Any:
    """Return a loss for all outputs, or a dict of losses by output; what a dict leaves out has none.

    Raises
    ------
    ValueError
        If a name is unknown, or no output has a loss.
    """
    if isinstance(loss, (str, Loss)) or (len(names) == 1 and not isinstance(loss, (dict, list, tuple))):
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

    def several(some: Any) -> list[Loss]:
        if some is None:
            return []
        return [get_metric(m) for m in ([some] if isinstance(some, (str, Loss)) else some)]

    if len(names) == 1 and not isinstance(metrics, Mapping):
        return several(metrics)
    if isinstance(metrics, (str, Loss)):
        return {name: several(metrics) for name in names}
    if not isinstance(metrics, Mapping) and not metrics:
        return {}
    found = {name: several(some) for name, some in by_name("metrics", metrics, names, "output").items()}
    return found.get(names[0], []) if len(names) == 1 else found
