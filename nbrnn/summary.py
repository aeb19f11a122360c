"""What a model says about itself: its layers, the kernels that they call with their paths, and their memory."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, cast

from .checks import one_of, whole_number
from .listing import path_text, prepare_when, where
from .lowering import EVALUATE, PREDICT, TRAIN, example_feeds, make_plan
from .plan import Plan
from .program import Options
from .targets.cpu import get_num_threads

if TYPE_CHECKING:
    from .model import Model
    from .program import Call, Program
    from .stack import Stack

WIDTH = 65


def plan_of(model: Stack, mode: str, batch: int, samples: int, steps: int | None) -> Plan:
    """Return the plan for so many samples in C-contiguous arrays.

    Raises
    ------
    ValueError
        If the mode is unknown or the model lacks what it needs: its input shape, a loss, the number of steps.
    """
    model._built()
    one_of("mode", mode, (PREDICT, EVALUATE, TRAIN))
    if mode != PREDICT and model.loss is None:
        raise ValueError(f"the program for mode {mode!r} needs a loss: call compile() first.")
    x, y = example_feeds(model, samples, steps)
    own = cast("Model", model)
    predicts = mode == PREDICT
    threads = get_num_threads() if predicts and model.device == "cpu" else 0
    options = Options(kept=predicts and bool(own._units("return_state")), threads=threads, device=model.device)
    plan = make_plan(own, mode, x, None if predicts else y, batch, options)
    if model.device == "cuda":
        from .targets.cuda.calls import design_of

        for program in plan.programs.values():
            program.path_of = partial(design_of, program, model.precision)
    return plan


def summary_lines(model: Stack) -> list[str]:
    """Return the table of a model's layers."""
    lines = [f'Model: "{model.name}"', "_" * WIDTH]
    lines += [f" {'Layer (type)':<28}{'Output Shape':<24}{'Param #'}", "=" * WIDTH]
    graph = model.graph
    values = dict(enumerate(graph.inputs))
    if not graph.is_chain:
        rows = zip(graph.inputs, graph.shapes, strict=False)
        lines += [f" {f'{name} (Input)':<28}{(None, *shape)!s:<24}0" for name, shape in rows]
    for node in graph.nodes:
        layer = node.called()
        values |= dict.fromkeys(node.results, str(layer.name))
        text = f"{layer.name} ({type(layer).__name__})"
        shape = ", ".join(str((None, *graph.shapes[v])) for v in node.results)
        lines.append(f" {text:<27} {shape:<23} {0 if node.number else layer.count_params()}")
        if not graph.is_chain:
            lines.append(f"   reads {', '.join(values[v] for v in node.sources)}")
    count = model.count_params()
    return [
        *lines,
        "=" * WIDTH,
        f"Total params: {count} ({count * model.dtype.itemsize} bytes, {model.dtype.name})",
    ]


def kernel_lines(model: Stack, batch_size: int, steps: int | None) -> list[str]:
    """Return every layer's kernels with their paths, in the order in which a step calls them."""
    batch, trains = whole_number("batch_size", batch_size), model.optimizer is not None
    plan = plan_of(model, TRAIN if trains else PREDICT, batch, batch, steps)
    program = plan.programs[plan.shard]
    what = "training step" if trains else "prediction"
    cut = f", {plan.shards} shards of {plan.shard}" if plan.shards > 1 else ""
    lines = ["", f"Kernels of a {what}, batch {batch}{cut}, {program.dtype.name}", where(program)]
    for layer in (node.called() for node in model.graph.nodes):
        lines.append(f" {layer.name}")
        if program.prepare is not None:
            before = prepare_when(program)
            lines += _counted(program, [c for c in program.prepare.calls if c.layer == layer.name], f", {before}")
        lines += _counted(program, [c for c in program.calls if c.layer == layer.name], "")
    lines.append(f"Memory of a whole batch: {plan.memory.total:,} bytes")
    return lines


def _counted(program: Program, calls: list[Call], when: str) -> list[str]:
    """Return a line a kernel and path, with how often it is called."""
    counts = Counter((call.kernel, path_text(call, program)) for call in calls)
    return [
        f"   {kernel + (f' x {n}' if n > 1 else '') + when:<44}{path}".rstrip() for (kernel, path), n in counts.items()
    ]
