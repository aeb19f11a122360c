"""From a model to programs: gather, forward, loss, backward for a shard, and the optimizer's step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import arrays_of, masks_of
from .checks import whole_number
from .graph import Graph, Node, Shape
from .heads import lower_figures
from .kernels.abi import CONTROL_WORDS
from .kernels.optimizers import LANES
from .losses import Loss, Rows
from .masking import count, given_mask
from .optimizers import Optimizer
from .plan import Plan, sample_counts, shard_size
from .products import gradient, share_weights
from .program import Buffer, Layout, Options, Program, numbered
from .supervision import check_figures, target_shape

if TYPE_CHECKING:
    from .layers import Backwards, Layer
    from .model import Model
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
    mask: Feed | None = None  # of its time steps, where the user gave one

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
        p.feeds[name] = self
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


Feeds = Feed | tuple[Feed, ...]  # one, or several as a tuple


def feeds_of(x: Any) -> Feeds:
    """Describe an array, or several, with their masks."""
    if isinstance(x, np.ndarray):
        return Feed.of(x)
    pairs = zip(arrays_of(x), masks_of(x), strict=True)
    return tuple(replace(Feed.of(one), mask=None if mask is None else Feed.of(mask)) for one, mask in pairs)


def listed(feeds: Feeds | None) -> tuple[Feed, ...]:
    """Return feeds as a tuple."""
    return () if feeds is None else (feeds,) if isinstance(feeds, Feed) else feeds


def example_feeds(model: Stack, samples: int, steps: int | None = None) -> tuple[Feeds, Feeds]:
    """Describe C-contiguous inputs and targets of a built model.

    Raises
    ------
    ValueError
        If the model's input shape leaves the time steps open and `steps` is no whole number.
    """
    graph = model.graph
    shapes = [filled(shape, steps) for shape in graph.shapes[: len(graph.inputs)]]
    ends = graph.resolve(shapes)
    if model.loss is not None:
        ends = [target_shape(head.loss, end) for head, end in zip(model.heads, ends, strict=True) if head.figures]
    sides = [tuple(Feed.contiguous(samples, tuple(int(n or 0) for n in shape)) for shape in s) for s in (shapes, ends)]
    x, y = (side[0] if len(side) == 1 else side for side in sides)
    return x, y


def filled(shape: Shape, steps: int | None) -> Shape:
    """Return the shape of one sample with so many time steps, where it leaves them open."""
    return tuple(whole_number("steps", steps) if n is None else n for n in shape)


def parameter_layout(model: Stack, gradients: bool = True) -> Layout:
    """Place every weight in the block of parameters, and its gradient at the same offset of the block of gradients."""
    layout = Layout(model.dtype.itemsize)
    blocks = {"params": "all parameters"} | ({"grads": "all gradients"} if gradients else {})
    for layer, shape in model.graph.owners:
        for weight in layer.declared(shape):
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
    if optimizer.schedule is not None:
        grown.add("schedule", (len(optimizer.schedule.numbers()),), "hyper")
    grown.add("lanes", (LANES,), "hyper")
    return grown


def shard_program(
    model: Model,
    mode: str,
    samples: int,
    x: Feeds,
    y: Feeds | None,
    batch: int,
    options: Options = Options(),  # noqa: B008
    prepare: Program | None = None,
    weights: Feeds | None = None,
) -> Program:
    """Lower a model for a shard of so many samples of a batch; what all shards share goes to `prepare`."""
    graph, feeds = model.graph, listed(x)
    layout = parameter_layout(model, gradients=mode == TRAIN)
    p = Program(model.dtype, samples, layout, f"{model.name}: {mode}", batch, options, prepare)
    p.taped = mode == TRAIN or options.tape
    p.training = options.sampled or (mode == TRAIN if options.training is None else options.training)
    control = p.buffer("control", CONTROL_WORDS, block="control")
    order = p.buffer("order", feeds[0].samples, block="order")
    calls = [(node, node.called()) for node in graph.nodes]
    free = [layer for node, layer in calls if layer.joins or len(node.sources) == 1]
    projections = sum(len(layer.state_names()) for layer in free) if options.projected else 0
    names = input_buffers(graph)
    values = {k: feed.lower(p, numbered("x", k), names[k]) for k, feed in enumerate(feeds)}
    for k, feed in enumerate(feeds):
        if feed.mask is not None:
            p.mask_of[k] = given_mask(p, feed.mask, k, names[k])
    fed = [] if y is None else [k for k, head in enumerate(model.heads) if head.figures]
    names_of = graph.output_names
    places = {k: (numbered("y", j), feed) for j, (k, feed) in enumerate(zip(fed, listed(y), strict=False))}
    targets: dict[int, Buffer] = {}

    def target(k: int) -> Buffer:
        """Return the targets of an output, which a layer may ask for before its loss does."""
        if k not in targets:
            block, feed = places[k]
            targets[k] = feed.lower(p, block, "target" if len(graph.outputs) == 1 else f"target {names_of[k]}")
        return targets[k]

    taught = {graph.outputs[k]: partial(target, k) for k in places}
    backwards = [lower_call(p, node, layer, values, taught.get(node.results[0])) for node, layer in calls]
    p.layer = ""
    ends = [values[v] for v in graph.outputs]
    masks = {k: p.mask_of[v] for k, v in enumerate(graph.outputs) if p.mask_of.get(v)}
    p.masked = tuple(k in masks for k in range(len(ends))) if masks else ()
    words = model.places_under(p.masked)[-1].stop if model.asked else 0
    p.buffer("stats", max(1, words + projections), block="stats")
    if mode == PREDICT:
        for k, value in enumerate(ends):
            steps = value.shape[0] if len(value.shape) == 3 else 1
            block = numbered("output", k)
            output = p.buffer(block, order.shape[0], steps, value.shape[-1], block=block)
            p.call("scatter", y=value.reshape(steps, samples, -1), order=order, control=control, output=output)
        return p
    targets = {k: target(k) for k in places}
    own = {
        k: feed.lower(
            p, numbered("sample_weights", j), "weight" if len(ends) == 1 else f"weight {names_of[k]}"
        ).reshape(-1)
        for j, (k, feed) in enumerate(zip(fed, listed(weights), strict=False))
    }
    rows = {k: (mask.valid.reshape(-1), count(p, mask)) for k, mask in masks.items() if k in targets}
    slopes = lower_figures(p, model.heads, model.asked, ends, targets, own, mode == TRAIN, rows)
    if options.projected:
        project_states(p, words, mode == TRAIN)
    if mode == TRAIN:
        flows = dict(zip(graph.outputs, slopes, strict=True))
        begun = {v: dy for v, dy in flows.items() if dy is not None}
        for v, dy in begun.items():
            keep(p, f"slope of {names_of[graph.outputs.index(v)]}", dy)
        for k, dx in lower_backward(p, graph, calls, backwards, values, begun).items():
            p.aliases[f"{names[k]} gradient"] = dx
    if not options.tape:  # a trace shows what the data do
        penalise(model, p, mode == TRAIN)
    return p


def penalise(model: Model, p: Program, train: bool) -> None:
    """Add the calls that add the weights' penalties to the loss and, in a training, to the gradients."""
    counted = model.places_under(p.masked)[0].stop - 1 if p.masked and len(model.heads) == 1 else -1
    for layer, shape in model.graph.owners:
        for weight in layer.declared(shape):
            if weight.regularizer is not None:
                name = f"{layer.name}/{weight.name}"
                weight.regularizer.lower(p, p[name], p[gradient(name)] if train else None, counted)


def input_buffers(graph: Graph) -> list[str]:
    """Return what the inputs' buffers are called: x, or x and the name of each."""
    return ["x"] if len(graph.inputs) == 1 else [f"x {name}" for name in graph.inputs]


def lower_call(
    p: Program, node: Node, layer: Layer, values: dict[int, Buffer], target: Callable[[], Buffer] | None = None
) -> Backwards:
    """Add the calls of a node's forward pass and enter what it gives; return what adds those of its backward pass."""
    if node.number:  # the weights are those of the first call
        share_weights(p, (name for name, _ in node.layer._named()), str(node.layer.name), str(layer.name))
    inputs = [values[v] for v in node.sources]
    p.layer, p.target, p.masks = str(layer.name), target, [p.mask_of.get(v) for v in node.sources]
    results, backward = layer.lower_all(p, inputs)
    results = results[: len(node.results)]  # a chain knows no states as values
    p.mask_of.update(zip(node.results, layer.out_masks(p, inputs, results), strict=True))
    for k, y in enumerate(results):
        p.aliases[f"output {k} of {layer.name}"] = y
    values.update(zip(node.results, results, strict=True))
    return backward


def keep(p: Program, name: str, v: Buffer) -> None:
    """Add a copy of a gradient for a trace: who gets one may write over it."""
    if p.options.tape:
        kept, columns = p.buffer(name, *v.shape), v.shape[-1]
        p.call("scaled", x=v.reshape(-1, columns), factor=1.0, y=kept.reshape(-1, columns))


def lower_backward(
    p: Program,
    graph: Graph,
    calls: list[tuple[Node, Layer]],
    backwards: list[Backwards],
    values: dict[int, Buffer],
    flows: dict[int, Buffer],
) -> dict[int, Buffer]:
    """Add the calls of the backward pass, from the gradients that reach values from the losses; return the inputs'.

    What several readers of a value give is added. A node that no loss depends on is left out, and its weights'
    gradients are zero.
    """
    needed, reached = graph.needed(p.options.input_gradient), set()

    def zeros(value: int) -> Buffer:
        buffer = p.buffer(f"no gradient {value}", *values[value].shape)
        p.clear(buffer)
        return buffer

    for (node, layer), backward in zip(reversed(calls), reversed(backwards), strict=True):
        wanted = [v in needed for v in node.sources]
        if flows.keys().isdisjoint(node.results) and not p.options.input_gradient:
            continue
        if needed.isdisjoint(node.results):
            continue
        p.layer, p.adding = str(layer.name), node.layer in reached
        dys = [flows[v] if v in flows else zeros(v) for v in node.results]
        for k, dy in enumerate(dys):
            keep(p, f"back to output {k} of {p.layer}", dy)
        for v, dx in zip(node.sources, backward(dys, wanted), strict=True):
            if dx is None:
                continue
            if v in flows:
                columns = dx.shape[-1]
                p.call("accumulate", v=dx.reshape(-1, columns), into=flows[v].reshape(-1, columns))
            else:
                flows[v] = dx
        reached.add(node.layer)
    p.adding = False
    for layer, shape in graph.owners:
        for weight in layer.declared(shape) if layer not in reached else ():
            p.layer = str(layer.name)
            p.clear(p[gradient(f"{layer.name}/{weight.name}")])
    return {k: flows[k] if k in flows else zeros(k) for k in range(len(graph.inputs)) if k in needed}


def project_states(p: Program, slot: int, train: bool) -> None:
    """Add the calls that project every last state on a direction of its own: a check then sees its gradient."""
    own = {name: state for name, state in p.last.items() if name not in p.handed}
    for k, (name, state) in enumerate(own.items()):
        source = p.buffer(f"{name} in directions", p["order"].shape[0], state.shape[1], block="directions")
        target = p.buffer(f"direction of {name}", *state.shape)
        p.call("load_state", source=source, order=p["order"], control=p["control"], carried=0, state=target)
        d = p.from_last[name] = p.buffer(f"loss to {name}", *state.shape)
        Loss("projection", "projection").lower(p, Rows(state, target, p.samples), slot + k, d if train else None)


def update_program(model: Model, optimizer: Optimizer, shards: int) -> Program:
    """Lower the optimizer's step, which runs once a batch after all shards."""
    layout = add_optimizer(parameter_layout(model), optimizer)
    p = Program(model.dtype, 0, layout, f"{model.name}: step of {type(optimizer).__name__}")
    p.buffer("control", CONTROL_WORDS, block="control")
    size = p.layout.sizes["grads"]
    p.layout.buffers["gradients of all shards"] = Buffer("gradients of all shards", "grads", 0, (shards, size))
    optimizer.lower(p, shards, model.began)
    return p


def make_plan(
    model: Model,
    mode: str,
    x: Feeds,
    y: Feeds | None,
    batch: int,
    options: Options = Options(),  # noqa: B008
    weights: Feeds | None = None,
) -> Plan:
    """Lower a model for all shards that batches of this size meet."""
    if mode != PREDICT:
        for head, value in zip(model.heads, model.graph.outputs, strict=True):
            if head.loss is not None:
                check_figures(head.figures, model.graph.shapes[value])
    samples = listed(x)[0].samples
    batch = min(batch, samples)
    shard = shard_size(batch, options.threads, options.device)
    sizes = sorted(sample_counts(samples, batch, shard))
    programs: dict[int, Program] = {}
    prepare = update = None
    for n in sizes:
        programs[n] = shard_program(model, mode, n, x, y, batch, options, prepare, weights)
        prepare = programs[n].prepare
    if mode == TRAIN and model.optimizer is not None:
        update = update_program(model, model.optimizer, -(-batch // shard))
    plan = Plan(programs, update, prepare, samples, batch, shard, programs[sizes[0]].masked)
    for program in programs.values():
        program.memory, program.every_batch = plan.memory, update is not None
    return plan
