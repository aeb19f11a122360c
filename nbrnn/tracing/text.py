"""A trace as text: the formulas of every step with the numbers filled in, at most 80 columns wide.

Steps, units, rows and columns count from 1 here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..checks import one_of, whole_number
from .cells import SLOPES

if TYPE_CHECKING:
    from . import LayerTrace, Step, Trace

WIDTH, LABEL = 80, 12  # columns of a line, and of its label
MOST_LINES = 3000
Row = tuple[str, str, float]  # a label, a formula with numbers, its result

EQUATIONS = {
    "SimpleRNN": "a = x Wx + h_prev Wh + b     h = {act}(a)",
    "LSTM": "a = x Wx + h_prev Wh + b     i, f, o = {gate}(a)   n = {act}(a)\n"
    "c = f c_prev + i n     s = {act}(c)     h = o s",
    "GRU after": "z, r = {gate}(x Wx + b + h_prev Wh + bh)\n"
    "n = {act}(x Wx + b + r (h_prev Wh + bh))     h = z h_prev + (1 - z) n",
    "GRU before": "z, r = {gate}(x Wx + b + h_prev Wh)\n"
    "n = {act}(x Wx + b + (r h_prev) Wh)     h = z h_prev + (1 - z) n",
    "Dense": "a = x W + b     y = {act}(a)",
    "Flatten": "y = the steps side by side",
}


class Numbers:
    """Writes numbers, sums and products with so many significant digits."""

    def __init__(self, digits: int) -> None:
        self.digits, self.width = digits, max(13, digits + 7)

    def __call__(self, value: float) -> str:
        text = f"{float(value):.{self.digits}g}"
        return "0" if float(text) == 0 else text

    def inner(self, value: float) -> str:
        """Return a number as it stands within a formula."""
        text = self(value)
        return f"({text})" if text.startswith("-") else text

    def product(self, *factors: float) -> str:
        """Return a * b * c."""
        return "*".join([self(factors[0]), *(self.inner(f) for f in factors[1:])])

    def products(self, left: Iterable[float], right: Iterable[float]) -> str:
        """Return a1*b1 + a2*b2 + ..."""
        return self.join(self.product(a, b) for a, b in zip(left, right, strict=True))

    def sum(self, *terms: float) -> str:
        """Return a + b + c."""
        return self.join(self(t) for t in terms)

    @staticmethod
    def join(terms: Iterator[str]) -> str:
        """Return terms as a sum; a negative one is subtracted."""
        first, *others = [*terms]
        return first + "".join(f" - {t[1:]}" if t.startswith("-") else f" + {t}" for t in others)

    def vector(self, values: np.ndarray) -> str:
        """Return (a, b, c), cut short where it is long."""
        shown = [self(v) for v in values[:8]] + ["..."] * (len(values) > 8)
        return "(" + ", ".join(shown) + ")"


def trace_text(trace: Trace, steps: Sequence[int] | None, layers: Sequence[str] | None, digits: int) -> str:
    """Return the formulas; see `Trace.text`."""
    number = Numbers(whole_number("digits", digits))
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
            lines += _layer_backward(layer, steps, number)
        if steps is None:
            for layer in chosen:
                lines += _totals(layer, number)
    if trace.numeric is not None:
        lines += ["", str(trace.numeric)]
    return "\n".join(lines)


def count_lines(trace: Trace, steps: Sequence[int] | None = None, layers: Sequence[str] | None = None) -> int:
    """Return about how many lines the text has, without making it."""
    lines = 10
    for layer in trace.layers:
        if layers is not None and layer.name not in layers:
            continue
        units = getattr(layer.layer, "units", 0)
        gates, backward = max(1, len(layer.gates)), bool(layer.backward)
        taken = len(layer.steps) if steps is None else len([t for t in steps if t < len(layer.steps)])
        lines += taken * units * ((4 * gates + 3) + backward * (2 * gates + 4))
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
    for layer in trace.layers:
        units = getattr(layer.layer, "units", None)
        size = "" if units is None else f", {units} unit{'s' * (units > 1)}"
        lines.append(f"  {layer.name}: {layer.kind}{size}, {len(layer.steps)} step{'s' * (len(layer.steps) > 1)}")
    lines += _wrap(f"  output {number.vector(trace.output.reshape(-1))}")
    return "\n".join(lines)


def _equation(layer: LayerTrace) -> list[str]:
    """Return the layer's equations in words of its own activations."""
    kind = layer.kind
    if kind == "GRU":
        kind += " after" if layer.layer.reset_after else " before"
    text = EQUATIONS.get(kind, "")
    act, gate = (getattr(layer.layer, name, "") for name in ("activation", "recurrent_activation"))
    return [f"  {line}" for line in text.format(act=act, gate=gate).splitlines()]


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
        before = [f"{n} = {number.vector(step[n])}" for n in ("h_prev", "c_prev") if n in step.names]
        title = f"step {t + 1}   " if _in_time(layer) else ""
        lines += ["", *_wrap(title + "   ".join([f"x = {number.vector(step.x.reshape(-1))}", *before]))]
        if describe is None:
            lines += _wrap(f"  y = {number.vector(step.y)}")
            continue
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


def _activation(layer: LayerTrace, gate: str) -> str:
    """Return the name of a gate's activation; n is the candidate."""
    return str(layer.layer.activation if gate == "n" else layer.layer.recurrent_activation)


def _plain(layer: LayerTrace, step: Step, j: int, number: Numbers) -> Iterator[Row]:
    """SimpleRNN and Dense."""
    yield from _terms(layer, step, j, "", number)
    yield "a", number.sum(*(step[name][j] for name in ("xW", "xWx", "hWh", "b") if name in step.names)), step.a[j]
    out = "h" if "h" in step.names else "y"
    yield out, f"{layer.layer.activation}({number(step.a[j])})", step[out][j]


def _lstm(layer: LayerTrace, step: Step, j: int, number: Numbers) -> Iterator[Row]:
    own, H = layer.layer, layer.layer.units
    for g, gate in enumerate(layer.gates):
        k = g * H + j
        yield from _terms(layer, step, k, gate, number)
        yield f"{gate}: a", number.sum(step.xWx[k], step.hWh[k], step.b[k]), step.a[k]
        yield gate, f"{_activation(layer, gate)}({number(step.a[k])})", step[gate][j]
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
        yield gate, f"{_activation(layer, gate)}({number(step.a[k])})", step[gate][j]
        if gate == "r" and "rh" in step.names:
            yield "rh", number.product(step.r[j], step.h_prev[j]), step.rh[j]
    z, h_prev, n = number(step.z[j]), number.inner(step.h_prev[j]), number.inner(step.n[j])
    yield "h", f"{z}*{h_prev} + (1 - {number.inner(step.z[j])})*{n}", step.h[j]


FORWARD: dict[str, Callable[[LayerTrace, Step, int, Numbers], Iterator[Row]]] = {
    "SimpleRNN": _plain,
    "Dense": _plain,
    "LSTM": _lstm,
    "GRU": _gru,
}


# ---------------------------------------------------------------- backward


def _loss(trace: Trace, number: Numbers) -> list[str]:
    assert trace.target is not None and trace.loss is not None and trace.model.loss is not None
    output, target = trace.output.reshape(-1), trace.target.reshape(-1)
    last = trace.layers[-1].backward[-1]
    last_step = " of the last step" if trace.output.ndim > 1 else ""
    slope = last["dy"] if "dy" in last.names else last["dh_loss"]
    return [
        *_title(f"loss: {trace.model.loss.name}"),
        *_wrap(f"  o = {number.vector(output)}   target = {number.vector(target)}"),
        *_wrap(f"  L = {number(trace.loss)}   dL/do = {number.vector(slope)}{last_step}"),
    ]


def _layer_backward(layer: LayerTrace, steps: Sequence[int] | None, number: Numbers) -> list[str]:
    describe = BACKWARD.get(layer.kind)
    if describe is None:
        return []
    lines = _title(f"backward: {layer.name}")
    for t in reversed(_selected(len(layer.backward), steps)):
        step, back = layer.steps[t], layer.backward[t]
        later = layer.backward[t + 1] if t + 1 < len(layer.backward) else None
        lines += ["", f"step {t + 1}"] if _in_time(layer) else [""]
        for j in range(layer.layer.units):
            lines += [f" unit {j + 1}", *_rows(describe(layer, step, back, later, j, number), number)]
    return lines


def _slope(upstream: float, activation: str, y: float, number: Numbers) -> str:
    """Return dy * act', with act' from the output y."""
    shown = number.inner(y)
    known = {"tanh": f"(1 - {shown}^2)", "sigmoid": f"{shown}*(1 - {shown})"}
    return f"{number(upstream)}*{known.get(activation) or number(float(SLOPES[activation](np.array(y))))}"


def _received(
    layer: LayerTrace, back: Step, later: Step | None, j: int, number: Numbers, future: str = ""
) -> Iterator[Row]:
    """Yield dh and its two sources."""
    if later is None:
        formula = "there is no later step"
    elif layer.kind == "GRU":
        formula = "what the later step hands back"
    else:
        formula = number.products(later.da, layer.weights["Wh"][j])
    yield "dh loss", "from above", back.dh_loss[j]
    yield "dh future", formula, back.dh_future[j]
    yield "dh", number.sum(back.dh_loss[j], back.dh_future[j]), back.dh[j]


def _rnn_back(layer: LayerTrace, step: Step, back: Step, later: Step | None, j: int, number: Numbers) -> Iterator[Row]:
    yield from _received(layer, back, later, j, number)
    yield "da", _slope(back.dh[j], layer.layer.activation, step.h[j], number), back.da[j]


def _dense_back(
    layer: LayerTrace, step: Step, back: Step, later: Step | None, j: int, number: Numbers
) -> Iterator[Row]:
    yield "da", _slope(back.dy[j], layer.layer.activation, step.y[j], number), back.da[j]


def _lstm_back(layer: LayerTrace, step: Step, back: Step, later: Step | None, j: int, number: Numbers) -> Iterator[Row]:
    yield from _received(layer, back, later, j, number)
    yield "ds", number.product(back.dh[j], step.o[j]), back.ds[j]
    yield "dc here", _slope(back.ds[j], layer.layer.activation, step.s[j], number), back.dc_here[j]
    yield "dc", number.sum(back.dc_here[j], back.dc_future[j]), back.dc[j]
    sources = {"i": (back.dc, step.n), "f": (back.dc, step.c_prev), "n": (back.dc, step.i), "o": (back.dh, step.s)}
    for g, gate in enumerate(layer.gates):
        k = g * layer.layer.units + j
        left, right = sources[gate]
        d = back[f"d{gate}"][j]
        yield f"d{gate}", number.product(left[j], right[j]), d
        yield f"da {gate}", _slope(d, _activation(layer, gate), step[gate][j], number), back.da[k]


def _gru_back(layer: LayerTrace, step: Step, back: Step, later: Step | None, j: int, number: Numbers) -> Iterator[Row]:
    yield from _received(layer, back, later, j, number)
    H = layer.layer.units
    dh, z = number(back.dh[j]), number.inner(step.z[j])
    for gate, formula in (
        ("z", f"{dh}*({number.sum(step.h_prev[j], -step.n[j])})"),
        ("n", f"{dh}*(1 - {z})"),
        ("r", _reset(layer, step, back, j, number)),
    ):
        k = layer.gates.index(gate) * H + j
        d = back[f"d{gate}"][j]
        yield f"d{gate}", formula, d
        yield f"da {gate}", _slope(d, _activation(layer, gate), step[gate][j], number), back.da[k]


def _reset(layer: LayerTrace, step: Step, back: Step, j: int, number: Numbers) -> str:
    """Return what reaches the reset gate."""
    H = layer.layer.units
    if "bh" in step.names:
        k = 2 * H + j
        return f"{number(back.da[k])}*({number.sum(step.hWh[k], step.bh[k])})"
    through = number.products(back.da[2 * H :], layer.weights["Wh"][j, 2 * H :])
    return f"({through}) * {number.inner(step.h_prev[j])}"


BACKWARD: dict[str, Callable[[LayerTrace, Step, Step, Step | None, int, Numbers], Iterator[Row]]] = {
    "SimpleRNN": _rnn_back,
    "Dense": _dense_back,
    "LSTM": _lstm_back,
    "GRU": _gru_back,
}


def _totals(layer: LayerTrace, number: Numbers) -> list[str]:
    """Return every weight's gradient as the sum of its steps' shares."""
    if not layer.totals:
        return []
    many = len(layer.backward) > 1
    lines = _title(f"gradients: {layer.name}" + ", a term a step" * many)

    def rows() -> Iterator[Row]:
        for name, total in layer.totals.items():
            shares = np.array([back[name] for back in layer.backward])
            for index in np.ndindex(total.shape):
                place = ",".join(str(k + 1) for k in index)
                yield f"{name}[{place}]", number.sum(*shares[:, *index]), float(total[index])

    return [*lines, *_rows(rows(), number)]
