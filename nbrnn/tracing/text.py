"""A trace as text: the formulas of every step with the numbers filled in, at most 80 columns wide.

Steps, units, rows and columns count from 1 here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import one_of, whole_number
from ..feedback import Feedback
from .custom import described, equations
from .numbers import Numbers, Row, activation_of
from .text_back import BACKWARD, At, masked_back

if TYPE_CHECKING:
    from . import LayerTrace, Step, Trace

WIDTH, LABEL = 80, 12  # columns of a line, and of its label
MOST_LINES, MOST_DIGITS = 3000, 17

EQUATIONS = {
    "SimpleRNN": "a = x Wx + h_prev Wh + b     h = {act}(a)",
    "LSTM": "a = x Wx + h_prev Wh + b     i, f, o = {gate}(a)   n = {act}(a)\n"
    "c = f c_prev + i n     s = {act}(c)     h = o s",
    "GRU after": "z, r = {gate}(x Wx + b + h_prev Wh + bh)\n"
    "n = {act}(x Wx + b + r (h_prev Wh + bh))     h = z h_prev + (1 - z) n",
    "GRU before": "z, r = {gate}(x Wx + b + h_prev Wh)\n"
    "n = {act}(x Wx + b + (r h_prev) Wh)     h = z h_prev + (1 - z) n",
    "Dense": "a = x W + b     y = {act}(a)",
    "Activation": "y = {act}(x)",
    "Flatten": "y = the steps side by side",
    "Dropout": "y = x: nothing is dropped but in a training",
    "Masking": "y = x; a step whose features all are {value} is masked, and 0",
    "Add": "y = x1 + x2 + ...",
    "Concatenate": "y = x1, x2 ... side by side",
    "Concatenate in time": "y = x1, x2 ... one after the other",
    "Bidirectional concat": "y = x1, x2 side by side: what both directions give at a time step",
    "Bidirectional sum": "y = x1 + x2: what both directions give at a time step",
    "Bidirectional ave": "y = (x1 + x2)/2: what both directions give at a time step",
    "Bidirectional mul": "y = x1 * x2: what both directions give at a time step",
    "Feedback": "y = x1, x2 side by side: the input, and the last outputs, the youngest first",
}
SOFTMAX = "y_j = exp({letter}_j) / (exp({letter}_1) + exp({letter}_2) + ...)"


def trace_text(trace: Trace, steps: Sequence[int] | None, layers: Sequence[str] | None, digits: int) -> str:
    """Return the formulas; see `Trace.text`."""
    number = Numbers(whole_number("digits", digits))
    if number.digits > MOST_DIGITS:
        raise ValueError(f"digits must be at most {MOST_DIGITS}, as many as a float64 has, not {digits}.")
    for what, value in (("steps", steps), ("layers", layers)):
        if value is not None and (isinstance(value, str) or not isinstance(value, Sequence) or not value):
            raise ValueError(f"{what} must be a list of at least one, not {value!r}.")
    names = [layer.name for layer in trace.layers]
    wanted = [one_of("layer", name, names) for name in layers] if layers is not None else names
    chosen = [layer for layer in trace.layers if layer.name in wanted]
    most = max(len(layer.steps) for layer in chosen)
    for t in steps or ():
        if not isinstance(t, (int, np.integer)) or not 0 <= t < most:
            raise ValueError(f"steps must be from 0 to {most - 1}, not {t!r}.")
    size = count_lines(trace, steps, wanted)
    if size > MOST_LINES:
        raise ValueError(
            f"the trace would be about {size:,} lines long, more than {MOST_LINES:,}: choose steps (in Python "
            "steps=[0, 1], on the command line --steps 1,2) or layers, or write all of it as JSON or CSV."
        )
    lines = [_head(trace, number)]
    for layer in chosen:
        lines += _layer_forward(layer, steps, number)
    if trace.loss is not None:
        lines += _loss(trace, number)
        for layer in reversed(chosen):
            lines += _layer_backward(layer, readers(trace, layer), steps, number)
        for layer in chosen if steps is None else ():
            lines += _totals(trace, layer, number)
    if trace.numeric is not None:
        lines += ["", str(trace.numeric)]
    return "\n".join(lines)


def readers(trace: Trace, layer: LayerTrace) -> list[LayerTrace]:
    """Return the layers that read what a layer gives."""
    return [other for other in trace.layers if layer.name in other.reads]


def count_lines(trace: Trace, steps: Sequence[int] | None = None, layers: Sequence[str] | None = None) -> int:
    """Return about how many lines the text has, without making it."""
    lines = 10
    for layer in trace.layers:
        if layers is not None and layer.name not in layers:
            continue
        gates, backward, units = max(1, len(layer.gates)), bool(layer.backward), getattr(layer.layer, "units", 0)
        taken = len(layer.steps) if steps is None else len([t for t in steps if t < len(layer.steps)])
        each = units * ((4 * gates + 3) + backward * (2 * gates + 4))
        if layer.kind not in FORWARD:
            each = 4 + backward * 6
        elif not layer.weights:
            each = (1 + backward) * (2 + layer.steps[0].y.size)
        lines += taken * each
        lines += backward * (steps is None) * sum(total.size for total in layer.totals.values())
    return lines


def outline(trace: Trace) -> str:
    """Return what stands for a trace that is too long to print."""
    return (
        f"{_head(trace, Numbers(6))}\nThe formulas would fill about {count_lines(trace):,} lines. Print chosen steps "
        "with\ntext(steps=[0, 1]), look at layers[k].steps[t], or write all of it with\nto_json(path) or to_csv(path)."
    )


# ---------------------------------------------------------------- frame


def _head(trace: Trace, number: Numbers) -> str:
    lines = [f"Trace of {trace.model.name} in float64; steps, units, rows and columns count from 1."]
    inputs = list(trace.model.graph.inputs)
    below = [inputs, *([layer.name] for layer in trace.layers)]
    chain = all(layer.reads == names for layer, names in zip(trace.layers, below, strict=False))
    for layer in trace.layers:
        units, masked = getattr(layer.layer, "units", None), sum(step.masked for step in layer.steps)
        facts = [layer.kind] + ([] if units is None or not layer.weights else [_count(units, "unit")])
        facts += [_count(len(layer.steps), "step")] + [f"{masked} masked"] * (masked > 0)
        text = f"  {layer.name}: {', '.join(facts)}"
        lines += _wrap(text if chain else f"{text}; reads {', '.join(layer.reads)}")
    for name, output in _named(trace.output, "output").items():
        lines += _wrap(f"  {name} {number.vector(output.reshape(-1))}")
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number > 1)}"


def _named(arrays: Any, what: str) -> dict[str, Any]:
    """Return one array, or several with their names."""
    return {f"{what} {name}": one for name, one in arrays.items()} if isinstance(arrays, dict) else {what: arrays}


def _equation(layer: LayerTrace) -> list[str]:
    """Return the layer's equations in words of its own activations."""
    kind, own = layer.kind, layer.layer
    if kind == "GRU":
        kind += " after" if own.reset_after else " before"
    elif kind == "Bidirectional":
        kind += f" {own.merge_mode}"
    elif kind == "Concatenate":
        kind += " in time" * (layer.steps[0].y.ndim > 1)
    act, gate = (getattr(own, name, "") for name in ("activation", "recurrent_activation"))
    text = EQUATIONS.get("Feedback" if isinstance(own, Feedback) else kind)
    if kind == "Softmax" or act == "softmax":
        text = "a = x W + b     " * (kind == "Dense") + SOFTMAX.replace("{letter}", "a" if kind == "Dense" else "x")
    text = text or equations(own).replace("{", "{{").replace("}", "}}")
    value = number_of(getattr(own, "mask_value", 0.0))
    filled = text.format(act=act, gate=gate, value=value)
    return [part for line in filled.splitlines() for part in _wrap(f"  {line}")]


def number_of(value: float) -> str:
    """Return a number as an equation has it."""
    return f"{value:g}"


def _row(label: str, formula: str, value: float, number: Numbers) -> list[str]:
    """Return a label, a formula, wrapped where it is long, and its result at the right."""
    space = WIDTH - LABEL - number.width - 5
    parts = textwrap.wrap(formula, space, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    lines = [f"  {label if k == 0 else '':<{LABEL}}{part}" for k, part in enumerate(parts)]
    lines[-1] = f"{lines[-1]:<{WIDTH - number.width - 2}}= {number(value):>{number.width}}"
    return lines


def _rows(rows: Iterator[Row], number: Numbers) -> list[str]:
    return [line for row in rows for line in _row(*row, number)]


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * 9, break_long_words=False, break_on_hyphens=False)


def _in_time(layer: LayerTrace) -> bool:
    """Whether the layer takes steps: one on a vector does not."""
    return "h" in layer.steps[0].names or len(layer.steps) > 1


def _title(text: str) -> list[str]:
    return ["", f"-- {text} " + "-" * max(0, WIDTH - len(text) - 4)]


def _selected(count: int, steps: Sequence[int] | None) -> list[int]:
    return list(range(count)) if steps is None else sorted({int(t) for t in steps if t < count})


# ---------------------------------------------------------------- forward


def _layer_forward(layer: LayerTrace, steps: Sequence[int] | None, number: Numbers) -> list[str]:
    lines = _title(f"forward: {layer.name}") + _equation(layer)
    describe = FORWARD.get(layer.kind)
    for t in _selected(len(layer.steps), steps):
        step = layer.steps[t]
        heads = [n for n in step.names if n in ("h_prev", "c_prev") or n.rstrip("0123456789") == "x"]
        title = f"step {t + 1}   " if _in_time(layer) else ""
        lines += ["", *_wrap(title + "   ".join(f"{n} = {number.vector(step[n].reshape(-1))}" for n in heads))]
        rest = [n for n in step.names if n not in heads]
        if step.masked:
            word = "stays" if "h" in step.names else "is"
            lines += _wrap("  masked: " + "   ".join(f"{n} {word} {number.vector(step[n])}" for n in rest))
        elif describe is None:
            lines += [part for line in described(step, tuple(heads), number) for part in _wrap(line)]
        elif not layer.weights:
            lines += [line for j in range(step.y.size) for line in _rows(describe(layer, step, j, number), number)]
        else:
            for j in range(layer.layer.units):
                lines += [f" unit {j + 1}", *_rows(describe(layer, step, j, number), number)]
    return lines


def _terms(layer: LayerTrace, step: Step, k: int, gate: str, number: Numbers) -> Iterator[Row]:
    """Yield x Wx and h_prev Wh of column k."""
    W, name = layer.weights, gate and f"{gate}: "
    kernel = "Wx" if "Wx" in W else "W"
    yield f"{name}x {kernel}", number.products(step.x, W[kernel][:, k]), step[f"x{kernel}"][k]
    if "Wh" in W:
        state = step.rh if gate == "n" and "rh" in step.names else step.h_prev
        label = f"{name}rh Wh" if state is not step.h_prev else f"{name}h Wh"
        yield label, number.products(state, W["Wh"][:, k]), step.hWh[k]


def _plain(layer: LayerTrace, step: Step, j: int, number: Numbers) -> Iterator[Row]:
    """SimpleRNN and Dense."""
    yield from _terms(layer, step, j, "", number)
    yield "a", number.sum(*(step[name][j] for name in ("xW", "xWx", "hWh", "b") if name in step.names)), step.a[j]
    out = "h" if "h" in step.names else "y"
    if layer.layer.activation == "softmax":
        yield out, _share(step.a, j, number), step.y[j]
    else:
        yield out, f"{layer.layer.activation}({number(step.a[j])})", step[out][j]


def _share(a: np.ndarray, j: int, number: Numbers) -> str:
    """Return softmax' formula for unit j."""
    powers = [f"exp({number(value)})" for value in a]
    return f"{powers[j]}/({' + '.join(powers)})"


def _pointwise(layer: LayerTrace, step: Step, j: int, number: Numbers) -> Iterator[Row]:
    """Activation and Softmax."""
    x, act = step.x, getattr(layer.layer, "activation", "softmax")
    yield f"y[{j + 1}]", _share(x, j, number) if act == "softmax" else f"{act}({number(x[j])})", step.y[j]


def _add(layer: LayerTrace, step: Step, j: int, number: Numbers) -> Iterator[Row]:
    """Add."""
    yield f"y[{j + 1}]", number.sum(*(step[name][j] for name in step.names if name != "y")), step.y[j]


def _lstm(layer: LayerTrace, step: Step, j: int, number: Numbers) -> Iterator[Row]:
    own, H = layer.layer, layer.layer.units
    for g, gate in enumerate(layer.gates):
        k = g * H + j
        yield from _terms(layer, step, k, gate, number)
        yield f"{gate}: a", number.sum(step.xWx[k], step.hWh[k], step.b[k]), step.a[k]
        yield gate, f"{activation_of(layer, gate)}({number(step.a[k])})", step[gate][j]
    i, f, n, o = (step[gate][j] for gate in layer.gates)
    yield "c", number.products([f, i], [step.c_prev[j], n]), step.c[j]
    yield "s", f"{own.activation}({number(step.c[j])})", step.s[j]
    yield "h", number.product(o, step.s[j]), step.h[j]


def _gru(layer: LayerTrace, step: Step, j: int, number: Numbers) -> Iterator[Row]:
    H = layer.layer.units
    for g, gate in enumerate(layer.gates):
        k = g * H + j
        yield from _terms(layer, step, k, gate, number)
        if "bh" not in step.names:
            formula = number.sum(step.xWx[k], step.b[k], step.hWh[k])
        elif gate == "n":
            inner = number.sum(step.hWh[k], step.bh[k])
            formula = f"{number.sum(step.xWx[k], step.b[k])} + {number(step.r[j])}*({inner})"
        else:
            formula = number.sum(step.xWx[k], step.b[k], step.hWh[k], step.bh[k])
        yield f"{gate}: a", formula, step.a[k]
        yield gate, f"{activation_of(layer, gate)}({number(step.a[k])})", step[gate][j]
        if gate == "r" and "rh" in step.names:
            yield "rh", number.product(step.r[j], step.h_prev[j]), step.rh[j]
    z, h_prev, n = number(step.z[j]), number.inner(step.h_prev[j]), number.inner(step.n[j])
    yield "h", f"{z}*{h_prev} + (1 - {number.inner(step.z[j])})*{n}", step.h[j]


FORWARD: dict[str, Callable[[LayerTrace, Step, int, Numbers], Iterator[Row]]] = {
    "SimpleRNN": _plain,
    "Dense": _plain,
    "LSTM": _lstm,
    "GRU": _gru,
    "Activation": _pointwise,
    "Softmax": _pointwise,
    "Add": _add,
}


# ---------------------------------------------------------------- backward


def _loss(trace: Trace, number: Numbers) -> list[str]:
    losses = [head.loss.name for head in trace.model.heads if head.loss is not None]
    lines, whole = _title(f"loss: {' + '.join(losses)}"), f"  L = {number(trace.loss or 0.0)}"
    outputs, targets = (_named(side, "") for side in (trace.output, trace.target))
    for (name, slope), target in zip(trace.slopes.items(), targets.values(), strict=True):
        several = len(outputs) > 1
        own, label = outputs[f" {name}" if several else ""], f" {name}" * several
        last = slope if slope.ndim == 1 else slope[-1]
        heard = f"dL/do{label} = {number.vector(last)}{' of the last step' * (slope.ndim > 1)}"
        ends = number.vector(own.reshape(-1)), number.vector(target.reshape(-1))
        lines += _wrap(f"  o{label} = {ends[0]}   target = {ends[1]}")
        lines += _wrap(f"  {heard}" if several else f"{whole}   {heard}")
    return [*lines, whole] if len(outputs) > 1 else lines


def _layer_backward(
    layer: LayerTrace, above: list[LayerTrace], steps: Sequence[int] | None, number: Numbers
) -> list[str]:
    describe = BACKWARD.get(layer.kind)
    lines = _title(f"backward: {layer.name}")
    for t in reversed(_selected(len(layer.backward), steps)):
        back, skip = layer.backward[t], tuple(layer.totals)  # which follow, as sums over the steps
        lines += ["", f"step {t + 1}"] if _in_time(layer) else [""]
        recurs = any(name.endswith("_prev") for name in back.names)
        if back.masked and recurs:
            lines.append("  masked: what comes back to the states goes on to the step before")
            skip = tuple(name for name in back.names if not name.startswith(flows_of(layer)))
        if describe is None:
            lines += [part for line in described(back, skip, number) for part in _wrap(line)]
        elif not layer.weights:
            rows = (describe(At(layer, above, t, j, number)) for j in range(layer.steps[t].y.size))
            lines += [line for row in rows for line in _rows(row, number)]
        else:
            for j in range(layer.layer.units):
                at = At(layer, above, t, j, number)
                lines += [f" unit {j + 1}", *_rows(masked_back(at) if back.masked else describe(at), number)]
    return lines


def flows_of(layer: LayerTrace) -> tuple[str, ...]:
    """Return how the names of the states' gradients begin."""
    return tuple(f"d{name}" for name in layer.layer.states)


def _totals(trace: Trace, layer: LayerTrace, number: Numbers) -> list[str]:
    """Return every weight's gradient as the sum of its steps' shares."""
    if not layer.totals:
        return []
    many = len(layer.backward) > 1
    lines = _title(f"gradients: {layer.name}" + ", a term a step" * many)
    calls = [other for other in trace.layers if other.layer.views is layer.layer.views]
    if len(calls) > 1:
        lines += _wrap(f"  of this call; the run's gradient is the sum over {', '.join(c.name for c in calls)}")

    def rows() -> Iterator[Row]:
        for name, total in layer.totals.items():
            shares = np.array([back[name] for back in layer.backward])
            for index in np.ndindex(total.shape):
                place = ",".join(str(k + 1) for k in index)
                yield f"{name}[{place}]", number.sum(*shares[:, *index]), float(total[index])

    return [*lines, *_rows(rows(), number)]
