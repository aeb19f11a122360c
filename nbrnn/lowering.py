"""From a model to programs: gather, forward, loss, backward for a shard, and the optimizer's step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .checks import whole_number
from .kernels.abi import CONTROL_WORDS
from .kernels.optimizers import LANES
from .layers import gradient
from .losses import Loss
from .optimizers import Optimizer
from .program import Buffer, Layout, Options, Plan, Program, sample_counts, shard_size

if TYPE_CHECKING:
    from .model import Sequential
    from .stack import Stack

PREDICT, EVALUATE, TRAIN = "predict", "evaluate", "train"


@dataclass(frozen=True)
class Feed:
    """How a user's array of samples lies in memory: (N, T, D), or (N, D) as one step; strides count elements."""

    samples: int
    steps: int
    features: int
    strides: tuple[int, int, int]
    vector: bool

    @classmethod
    def of(cls, array: np.ndarray) -> Feed:
        """Describe an array of two or three axes."""
        strides = [s // array.itemsize for s in array.strides]
        if array.ndim == 2:
            return cls(array.shape[0], 1, array.shape[1], (strides[0], 0, strides[1]), True)
        samples, steps, features = array.shape
        return cls(samples, steps, features, (strides[0], strides[1], strides[2]), False)

    @classmethod
    def contiguous(cls, samples: int, shape: tuple[int, ...]) -> Feed:
        """Describe a C-contiguous array of samples of a shape."""
        features = shape[-1]
        steps = shape[0] if len(shape) == 2 else 1
        return cls(samples, steps, features, (steps * features, features, 1), len(shape) == 1)

    @property
    def extent(self) -> int:
        """Number of elements from the first to the last, ends included."""
        lengths = (self.samples, self.steps, self.features)
        return 1 + sum((n - 1) * s for n, s in zip(lengths, self.strides, strict=True))

    def lower(self, p: Program, block: str, name: str) -> Buffer:
        """Add the call that fetches a shard's samples; sequences come out time-major."""
        source = p.buffer(f"{name} of all samples", self.extent, block=block)
        x = p.buffer(name, self.steps, p.samples, self.features)
        p.call(
            "gather",
            source=source,
            order=p["order"],
            control=p["control"],
            per_sample=self.strides[0],
            per_step=self.strides[1],
            per_feature=self.strides[2],
            x=x,
        )
        return x[0] if self.vector else x


def example_feeds(model: Stack, samples: int, steps: int | None = None) -> tuple[Feed, Feed]:
    """Describe C-contiguous inputs and targets of a built model.

    Raises
    ------
    ValueError
        If the model's input shape leaves the time steps open and `steps` is no whole number.
    """
    shapes = []
    for shape in (model.input_shape, model.output_shape):
        assert shape is not None
        if len(shape) == 2:
            shape = (shape[0] or whole_number("steps", steps), shape[1])
        shapes.append(tuple(int(n or 0) for n in shape))
    return Feed.contiguous(samples, shapes[0]), Feed.contiguous(samples, shapes[1])


def parameter_layout(model: Stack, gradients: bool = True) -> Layout:
    """Place every weight in the block of parameters, and its gradient at the same offset of the block of gradients."""
    layout = Layout(model.dtype.itemsize)
    blocks = {"params": "all parameters"} | ({"grads": "all gradients"} if gradients else {})
    for layer, shape in zip(model.layers, model.input_shapes, strict=True):
        for weight in layer.weights(shape):
            name = f"{layer.name}/{weight.name}"
            for block in blocks:
                layout.add(name if block == "params" else gradient(name), weight.shape, block)
    size = -(-layout.sizes.get("params", 0) // LANES) * LANES  # whole vectors
    for block, whole in blocks.items():
        layout.sizes[block] = size
        layout.buffers[whole] = Buffer(whole, block, 0, (size,))
    return layout


def add_optimizer(layout: Layout, optimizer: Optimizer) -> Layout:
    """Return the layout with the optimizer's slots and hyper-parameters added."""
    grown = Layout(layout.itemsize, dict(layout.buffers), dict(layout.sizes))
    for slot in optimizer.slots:
        grown.add(f"slots/{slot}", (layout.sizes["params"],), "slots")
    grown.add("hyper", (len(optimizer.hyper()) + optimizer.powers,), "hyper")
    grown.add("lanes", (LANES,), "hyper")
    return grown


def shard_program(
    model: Sequential,
    mode: str,
    samples: int,
    x: Feed,
    y: Feed | None,
    batch: int,
    options: Options = Options(),  # noqa: B008
    prepare: Program | None = None,
) -> Program:
    """Lower a model for a shard of so many samples of a batch; what all shards share goes to `prepare`."""
    layout = parameter_layout(model, gradients=mode == TRAIN)
    p = Program(model.dtype, samples, layout, f"{model.name}: {mode}", batch, options, prepare)
    p.taped = mode == TRAIN or options.tape
    control = p.buffer("control", CONTROL_WORDS, block="control")
    order = p.buffer("order", x.samples, block="order")
    projections = sum(len(layer.state_names()) for layer in model.layers) if options.projected else 0
    p.buffer("stats", max(1, len(model.figures) + projections), block="stats")
    value = x.lower(p, "x", "x")
    backwards = []
    for layer in model.layers:
        p.aliases[f"into {layer.name}"], p.layer = value, str(layer.name)
        value, backward = layer.lower(p, value)
        p.aliases[f"out of {layer.name}"] = value
        backwards.append(backward)
    p.layer = ""
    if mode == PREDICT:
        steps = value.shape[0] if len(value.shape) == 3 else 1
        output = p.buffer("output", x.samples, steps, value.shape[-1], block="output")
        p.call("scatter", y=value.reshape(steps, samples, -1), order=order, control=control, output=output)
        return p
    assert y is not None
    target = y.lower(p, "y", "target")
    dy = p.buffer("dy", *value.shape) if mode == TRAIN else None
    outputs = value.size // samples
    for slot, figure in enumerate(model.figures):
        figure.lower(p, value, target, outputs, slot, dy if slot == 0 else None)
    if options.projected:
        project_states(p, len(model.figures), mode == TRAIN)
    if dy is not None:
        flow: Buffer | None = dy
        for k in range(len(model.layers) - 1, -1, -1):
            assert flow is not None
            p.layer = str(model.layers[k].name)
            p.aliases[f"back to {p.layer}"] = flow
            trained = any(layer.weights(model.input_shapes[j]) for j, layer in enumerate(model.layers[:k]))
            below = trained or options.input_gradient
            flow = backwards[k](flow, below)
            if not below:
                break
        if options.input_gradient and flow is not None:
            p.aliases["x gradient"] = flow
    return p


def project_states(p: Program, slot: int, train: bool) -> None:
    """Add the calls that project every last state on a direction of its own: a check then sees its gradient."""
    for k, (name, state) in enumerate(p.last.items()):
        source = p.buffer(f"{name} in directions", p["order"].shape[0], state.shape[1], block="directions")
        target = p.buffer(f"direction of {name}", *state.shape)
        p.call("load_state", source=source, order=p["order"], control=p["control"], carried=0, state=target)
        d = p.from_last[name] = p.buffer(f"loss to {name}", *state.shape)
        Loss("projection", "projection").lower(p, state, target, state.shape[1], slot + k, d if train else None)


def update_program(model: Sequential, optimizer: Optimizer, shards: int) -> Program:
    """Lower the optimizer's step, which runs once a batch after all shards."""
    layout = add_optimizer(parameter_layout(model), optimizer)
    p = Program(model.dtype, 0, layout, f"{model.name}: step of {type(optimizer).__name__}")
    p.buffer("control", CONTROL_WORDS, block="control")
    size = p.layout.sizes["grads"]
    p.layout.buffers["gradients of all shards"] = Buffer("gradients of all shards", "grads", 0, (shards, size))
    optimizer.lower(p, shards)
    return p


def make_plan(
    model: Sequential,
    mode: str,
    x: Feed,
    y: Feed | None,
    batch: int,
    options: Options = Options(),  # noqa: B008
) -> Plan:
    """Lower a model for all shards that batches of this size meet."""
    batch = min(batch, x.samples)
    shard = shard_size(batch, options.threads)
    sizes = sorted(sample_counts(x.samples, batch, shard))
    programs: dict[int, Program] = {}
    prepare = update = None
    for n in sizes:
        programs[n] = shard_program(model, mode, n, x, y, batch, options, prepare)
        prepare = programs[n].prepare
    if mode == TRAIN and model.optimizer is not None:
        update = update_program(model, model.optimizer, -(-batch // shard))
    plan = Plan(programs, update, prepare, x.samples, batch, shard)
    for program in programs.values():
        program.memory, program.every_batch = plan.memory, update is not None
    return plan
