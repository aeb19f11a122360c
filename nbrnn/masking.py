"""Masks of time steps: the layer that makes one, how masks go through a graph, and how recurrent layers skip steps.

A mask travels beside a value: a layer whose output is a sequence hands it on, one that gives vectors ends it. What a
recurrent layer does with it stands at the top of kernels/masking.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .checks import real_number
from .layers import Backward, Layer, Shape
from .products import input_gradient
from .program import Buffer, Program, numbered


@dataclass(frozen=True)
class Mask:
    """Which time steps of a value count.

    Attributes
    ----------
    valid : Buffer
        (T, B), 1 or 0 for every step of a shard's samples.
    batch : callable or None
        Writes the same of all samples of the batch, (T, M), for a loss, whose denominator is the number of valid steps
        of the batch; None where a shard cannot know it.
    maker : str
        What the mask comes from, for sentences.
    """

    valid: Buffer
    batch: Callable[[], Buffer] | None
    maker: str


def given_mask(p: Program, feed: Any, number: int, name: str) -> Mask:
    """Add the call that fetches the mask that the user gave with an input; `feed` describes its memory."""
    block, label = numbered("mask", number), f"mask of {name}"
    fetched = feed.lower(p, block, label)
    valid = fetched.reshape(*fetched.shape[:2])
    source = p[f"{label} of all samples"]
    return Mask(valid, lambda: whole_batch(p, f"{label} of the batch", [(source, feed, 0.0)]), label)


def whole_batch(p: Program, name: str, sources: list[tuple[Buffer, Any, float]]) -> Buffer:
    """Add the calls that write the mask of a whole batch: the steps that in every source are not a value."""
    if name in p.layout.buffers:
        return p[name]
    valid = p.buffer(name, sources[0][1].steps, p.batch)
    p.call("fill", value=1.0, v=valid.reshape(-1))
    for source, feed, value in sources:
        strides = dict(zip(("per_sample", "per_step", "per_feature"), feed.strides, strict=True))
        own = {"order": p["order"], "control": p["control"], "batch": p.batch, "features": feed.features}
        p.call("mask_batch", source=source, **own, **strides, value=value, valid=valid)
    return valid


def beside(p: Program, layer: Layer, x: Buffer, feed: Any, valid: Buffer, value: float) -> Mask:
    """Return the mask that a layer makes of its input: steps that are `value` do not count.

    `feed` describes the users' array, None where the layer reads computed numbers.
    """
    before, whole, name = p.masks[0], None, f"{layer.name}/valid steps of the batch"
    if feed is not None and (before is None or before.batch is not None):
        sources = [(p[f"{x.name} of all samples"], feed, value)]
        if before is not None:
            sources.append((p[f"{before.valid.name} of all samples"], p.feeds[before.valid.name], 0.0))
        whole = lambda: whole_batch(p, name, sources)  # noqa: E731
    return Mask(valid, whole, f"layer {layer.title}")


def count(p: Program, mask: Mask) -> Buffer:
    """Return how many steps of the whole batch a mask leaves, as a loss needs it.

    Raises
    ------
    ValueError
        If a shard cannot know it.
    """
    name = f"valid steps, {mask.valid.name}"
    if name in p.layout.buffers:
        return p[name]
    if mask.batch is None:
        raise ValueError(
            f"{mask.maker} masks computed numbers, and a loss divides by the valid steps of the whole batch, which are "
            "counted from inputs: let Masking read an input of the model, or give fit a mask or lengths."
        )
    counted = p.buffer(name, 1)
    p.call("count_valid", valid=mask.batch(), count=counted)
    return counted


def joined(p: Program, name: str, masks: list[Mask | None]) -> Mask | None:
    """Return the mask of values that stand side by side: a step counts where it does in one of them, as in Keras."""
    first = masks[0]
    for k, other in enumerate(masks[1:]):
        if first is None or other is None:
            return None
        if other.valid == first.valid:
            continue
        first = _either(p, f"{name}/mask{k}", first, other)
    return first


def _either(p: Program, name: str, first: Mask, other: Mask) -> Mask:
    def both(label: str, a: Buffer, b: Buffer) -> Buffer:
        if label in p.layout.buffers:
            return p[label]
        made = p.buffer(label, *a.shape)
        p.call("join_masks", a=a.reshape(-1), b=b.reshape(-1), both=made.reshape(-1))
        return made

    wholes = first.batch, other.batch
    whole = None if None in wholes else lambda: both(f"{name} of the batch", *(w() for w in wholes if w))
    return Mask(both(name, first.valid, other.valid), whole, name)


def in_time(p: Program, name: str, masks: list[Mask | None], inputs: list[Buffer]) -> Mask | None:
    """Return the mask of values that stand one after the other."""
    if not any(masks):
        return None

    def together(label: str, samples: int, parts: list[Buffer | None]) -> Buffer:
        if label in p.layout.buffers:
            return p[label]
        made, at = p.buffer(label, sum(x.shape[0] for x in inputs), samples), 0
        for x, part in zip(inputs, parts, strict=True):
            place = made[at : at + x.shape[0]]
            if part is None:
                p.call("fill", value=1.0, v=place.reshape(-1))
            else:
                p.call("scaled", x=part, factor=1.0, y=place)
            at += x.shape[0]
        return made

    def whole() -> Buffer:
        return together(
            f"{name}/mask of the batch", p.batch, [None if m is None or m.batch is None else m.batch() for m in masks]
        )

    known = all(mask is not None and mask.batch is not None for mask in masks)
    parts = [None if mask is None else mask.valid for mask in masks]
    return Mask(together(f"{name}/mask", p.samples, parts), whole if known else None, name)


class Packing:
    """Where a shard's valid steps stand while recurrent layers work on them; one for a mask and a direction.

    Attributes
    ----------
    row, seen, source, alive : Buffer
        See kernels/masking.py.
    """

    def __init__(self, p: Program, mask: Mask, backwards: bool) -> None:
        valid = mask.valid
        steps, samples = valid.shape
        name = f"{valid.name}, {'backwards' if backwards else 'forwards'}"
        shapes = {"row": (samples,), "seen": valid.shape, "source": valid.shape, "alive": (steps,)}
        made = {key: p.buffer(f"{key} of {name}", *shape, block="control") for key, shape in shapes.items()}
        self.row, self.seen, self.source, self.alive = made.values()
        self.steps = slice(0, steps)  # that are going back
        p.call("order_steps", valid=valid, backwards=int(backwards), **made)

    @classmethod
    def of(cls, p: Program, mask: Mask, backwards: bool) -> Packing:
        """Return the packing of a mask, made where it is first asked for."""
        if p.options.truncate:
            raise ValueError(
                f"truncate={p.options.truncate} counts steps from the end of all sequences, which under a mask is "
                "another step for each sample: leave out truncate, or the mask."
            )
        key = mask.valid.name, backwards
        if key not in p.packings:
            p.packings[key] = cls(p, mask, backwards)
        return p.packings[key]

    def squeezed(self, p: Program, x: Buffer, name: str) -> Buffer:
        """Return a sequence's valid steps in their rows."""
        z = p.buffer(name, *x.shape)
        p.call("squeeze", x=x, source=self.source, alive=self.alive, z=z)
        return z

    def outputs(self, p: Program, h: Buffer, steps: int, zero: bool, name: str) -> Buffer:
        """Return the outputs of the last steps from a layer's states."""
        y = p.buffer(name, steps, *h.shape[1:])
        p.call("hold", h=h, row=self.row, seen=self.seen, zero=int(zero), y=y)
        return y

    def back(self, p: Program, dy: Buffer, last: Buffer | None, zero: bool, dh: Buffer) -> Buffer:
        """Take gradients of outputs and of the last state to the states."""
        p.call("unhold", dy=dy, last=last, row=self.row, seen=self.seen, zero=int(zero), dh=dh)
        return dh

    def last(self, p: Program, s: Buffer) -> Buffer:
        """Return each sample's last state."""
        last = p.buffer(f"{s.name} last", *s.shape[1:])
        p.call("last_state", s=s, row=self.row, seen=self.seen, last=last)
        return last

    def to_rows(self, p: Program, v: Buffer | None, rows: Buffer) -> Buffer:
        """Put what belongs to samples into their rows, zeros where there is nothing."""
        if v is None:
            p.clear(rows)
        else:
            p.call("to_rows", v=v, row=self.row, rows=rows)
        return rows

    def from_rows(self, p: Program, rows: Buffer, last: Buffer | None, name: str) -> Buffer:
        """Return gradients of first states, by samples, from their rows and the gradients of the last ones."""
        v = p.buffer(name, *rows.shape)
        p.call("from_rows", rows=rows, last=last, row=self.row, seen=self.seen, v=v)
        return v

    def input_gradient(self, p: Program, da: Buffer, W: Buffer, dx: Buffer) -> None:
        """Add the calls that take dL/da, whose rows have no gaps, to dL/dx where the steps came from."""
        name = f"{dx.name}_rows"
        if name not in p.layout.buffers:
            p.buffer(name, *dx.shape)
            p.clear(dx)
        rows, alive = p[name][: da.shape[0]], self.alive[self.steps]
        input_gradient(p, da, W, rows, alive)
        p.call("unsqueeze", dz=rows, source=self.source[self.steps], alive=alive, dx=dx)


def at_work(p: Program, steps: slice = slice(None)) -> dict[str, Buffer]:
    """Return the kernels' argument `alive` for some steps, where the layer that is lowered has a mask."""
    return {} if p.packing is None else {"alive": p.packing.alive[steps]}


def rows_at_work(p: Program, name: str, states: Buffer, *others: Buffer) -> tuple[dict[str, Buffer], dict[str, Buffer]]:
    """Put what enters weight gradients of the steps that go back together, without gaps, where there is a mask.

    Return what their calls need for the inputs and for the states: these are copied, for other steps need them.
    """
    if p.packing is None:
        return {}, {}
    alive, count = p.packing.alive[p.packing.steps], states.shape[0]
    if name not in p.layout.buffers:  # the part that goes first may be shorter than others
        p.buffer(name, p.packing.alive.size, *states.shape[1:])
    for v in others:
        p.call("compact", v=v, alive=alive, rows=v)
    p.call("compact", v=states, alive=alive, rows=p[name][:count])
    return {"alive": alive}, {"alive": alive, "rows": p[name][:count]}


class Masking(Layer):
    """Mask the time steps whose features all equal a value; they become 0.

    Recurrent layers skip masked steps, losses and metrics leave them out; see docs/masking.md.

    Parameters
    ----------
    mask_value : float, default 0.0
        What marks a step: all of its features equal it.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If the value is no finite number; when it is built, if its input is a vector.
    """

    kind = "masking"

    def __init__(self, mask_value: float = 0.0, *, input_shape: Shape | None = None, name: str | None = None) -> None:
        super().__init__(input_shape=input_shape, name=name)
        self.mask_value = real_number("mask_value", mask_value, -float("inf"))

    def config(self) -> dict[str, Any]:
        return super().config() | {"mask_value": self.mask_value}

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"layer {self.title} needs sequences (time steps, features), but its input is {shape}.")
        return shape

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        before = p.masks[0]
        y, valid = p.buffer(f"{self.name}/y", *x.shape), p.buffer(f"{self.name}/valid", *x.shape[:2])
        own = {"before": None if before is None else before.valid, "value": self.mask_value}
        p.call("mask_steps", x=x, **own, valid=valid, y=y)

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            if not wanted:
                return None
            dx = p.buffer(f"{self.name}/dx", *x.shape)
            p.call("mask_back", dy=dy, valid=valid, dx=dx)
            return dx

        return y, backward

    def out_masks(self, p: Program, inputs: list[Buffer], results: list[Buffer]) -> list[Mask | None]:
        (x,) = inputs
        return [beside(p, self, x, p.feeds.get(x.name), p[f"{self.name}/valid"], self.mask_value)]
