"""Assert that gradients are right; tell before a check what it costs."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from ..checks import whole_number
from ..gradcheck import GradientReport, check_gradients
from ..layers import known
from ..lowering import filled
from ..model import Model
from ..saving import copy_model
from ..tokens import token_inputs
from .randoms import random_array

TOLERANCE = 1e-10  # of the complex step: among many random models one has a sum that cancels four digits
ROUNDING = 1e-9  # a formula that is wrong is further from the right one, a float32 constant among float64 too
SAMPLES, STEPS = 3, 5  # of an x that is drawn


def assert_gradients(
    model: Model,
    x: Any = None,
    y: Any = None,
    *,
    initial_state: Any = None,
    method: str = "complex",
    tolerance: float | None = None,
    seed: int = 0,
    samples: int | None = None,
    steps: int | None = None,
) -> None:
    """Assert that backpropagation gives the derivatives of the forward pass, for every parameter, input and state.

    Parameters
    ----------
    model : Sequential or Model
        Built; its weights are used, whatever its dtype, in float64.
    x : array (samples, time steps, features) or (samples, features), optional
        A few short samples; drawn from [-2, 2] where it is not given.
    y : array, optional
        Targets for the model's loss, which alone is checked then. Without them all outputs and last states are
        projected on random directions, and a model that has a loss is checked once more, with targets that are drawn.
    initial_state : dict or list of arrays (samples, units), optional
        As for `nbrnn.check_gradients`.
    method : {"complex", "central"}
        The complex step, or central differences.
    tolerance : float, optional
        Largest relative error that passes: 1e-10 for the complex step, 1e-6 for central differences.
    seed : int
        Of what is drawn at random.
    samples : int, optional
        Samples of an x that is drawn: 3.
    steps : int, optional
        Time steps of an x that is drawn for a model that leaves them open: 5.

    Raises
    ------
    AssertionError
        If a gradient is wrong, with the printed reports: the parameter, the place of its worst entry, both numbers
        there and a hint.
    ValueError
        If the model is not built, an array does not fit it, or two arguments exclude each other.
    ArithmeticError
        If the complex forward pass has another real part than the float64 one.
    """
    drawn = ""
    if x is None:
        if y is not None:
            raise ValueError("y was given without x; give both, or neither.")
        x = random_inputs(model, samples, steps, seed)
        shapes = " and ".join(str(array.shape) for array in (x if isinstance(x, list) else [x]))
        drawn = f"\n\nx was drawn: shape {shapes}, seed {seed}."
    elif samples is not None or steps is not None:
        raise ValueError("samples and steps are those of an x that is drawn; leave them out where x is given.")
    options = {"initial_state": initial_state, "method": method, "tolerance": tolerance, "seed": seed}
    reports = gradient_reports(model, x, y, **options)
    if not passed(reports):
        raise AssertionError(f"a gradient is wrong.\n\n{reports_text(reports)}{drawn}")


def gradient_reports(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    initial_state: Any = None,
    method: str = "complex",
    tolerance: float | None = None,
    seed: int = 0,
) -> dict[str, GradientReport]:
    """Return by headings what `assert_gradients` looks at: a report for the outputs, for the loss, or both."""
    if tolerance is None and method == "complex":
        tolerance = TOLERANCE
    options = {"initial_state": initial_state, "method": method, "tolerance": tolerance, "seed": seed}

    def report(*targets: Any) -> GradientReport:
        return _without_noise(check_gradients(model, x, *targets, **options))

    if y is not None:
        if model.loss is None:
            raise ValueError("y was given, but the model has no loss: call compile() first, or leave y out.")
        return {f"The loss, {_loss_name(model)}": report(y)}
    reports = {"The outputs, projected on random directions": report()}
    if model.loss is not None:
        given, rng = copy_model(model, "float64")._samples(x), np.random.default_rng(seed + 1)
        ends = zip(model.heads, model._ends(given), strict=True)
        ys = [head.example((len(given), *end), rng) for head, end in ends if head.figures]
        y = ys[0] if len(ys) == 1 else ys
        if options["initial_state"] is None:  # from zero states relu and elu may stand at their kink
            options["initial_state"] = random_states(model, len(given), seed + 2)
        reports[f"The loss, {_loss_name(model)}, with random targets"] = report(y)
    return reports


def _loss_name(model: Model) -> str:
    """Return the name of a model's loss, or those of all outputs."""
    return " + ".join(head.loss.name for head in model.heads if head.loss is not None)


def _without_noise(report: GradientReport) -> GradientReport:
    """Pass rows that differ by no more than roundings of the largest gradient: sums that cancel to all but zero."""
    noise = 64 * np.finfo(np.float64).eps * max(np.abs(gradient).max() for gradient in report.gradients.values())
    rows = []
    for row in report.rows:
        far = row.relative_error > max(report.tolerance, TOLERANCE)
        cancelled = far and abs(row.backward - row.numeric) <= noise
        rows.append(replace(row, relative_error=0.0, hint="") if cancelled else row)
    return replace(report, rows=rows)


def reports_text(reports: dict[str, GradientReport]) -> str:
    """Return the reports with their headings, as text for people; errors that look like rounding are called so."""
    parts = [f"{heading}\n{report}" for heading, report in reports.items()]
    if not passed(reports) and max(report.max_relative_error for report in reports.values()) < ROUNDING:
        parts.append(
            "Errors as small as these are mostly rounding: activations that saturate, or a\n"
            "sum that cancels. Take another seed, smaller weights or a larger tolerance."
        )
    return "\n\n".join(parts)


def passed(reports: dict[str, GradientReport]) -> bool:
    """Return whether all reports have passed."""
    return all(report.passed for report in reports.values())


def random_inputs(model: Model, samples: int | None, steps: int | None, seed: int) -> Any:
    """Return float64 inputs for a model, of several inputs a list; None means the number that is usual."""
    count = SAMPLES if samples is None else samples
    model._built()
    if len(model.graph.inputs) == 1:
        arrays = [random_array((count, *sample_shape(model, steps)), seed=seed)]
    else:
        shapes = [filled(shape, STEPS if steps is None else steps) for shape in model.graph.shapes]
        inputs = range(len(model.graph.inputs))
        arrays = [random_array((count, *map(known, shapes[k])), seed=seed) for k in inputs]
    for k, layer in token_inputs(model.graph).items():
        arrays[k] = np.floor(1000 * abs(arrays[k])) % layer.tokens
    return arrays[0] if len(arrays) == 1 else arrays


def random_states(model: Model, samples: int, seed: int) -> dict[str, np.ndarray] | None:
    """Return first states for all recurrent layers, if there are any."""
    named = [(name, layer.units) for layer in model.recurrent() for name in layer.state_names()]
    return {name: random_array((samples, n), seed=seed + k) for k, (name, n) in enumerate(named)} or None


def sample_shape(model: Model, steps: int | None) -> tuple[int, ...]:
    """Return the shape of one sample, with so many time steps where the model leaves them open."""
    model._built()
    if len(model.graph.inputs) > 1:
        raise ValueError(
            f"the model has the inputs {', '.join(model.graph.inputs)}; one is asked for here: use check_gradients."
        )
    shape: tuple[int | None, ...] = model.input_shape or ()
    fixed = shape[0] if len(shape) == 2 else 1
    if steps is not None and (len(shape) == 1 or fixed not in (None, steps)):
        built = f"for {fixed} time steps" if len(shape) == 2 else "for vectors, which have no time steps"
        raise ValueError(f"steps is {steps}, but the model was built {built}; leave it out.")
    return tuple(whole_number("steps", STEPS if steps is None else steps) if n is None else n for n in shape)


def check_size(model: Model, samples: int, shape: tuple[int, ...]) -> int:
    """Return how many numbers a check varies, each at the price of a forward pass: weights, inputs, first states."""
    states = sum(layer.units * len(layer.states) for layer in model.recurrent())
    return model.count_params() + samples * (int(np.prod(shape)) + states)


def check_seconds(model: Model, x: np.ndarray, method: str) -> float:
    """Return about how many seconds `gradient_reports` takes for a model and x, from the time of one forward pass."""
    twin = copy_model(model, "complex128" if method == "complex" else "float64")
    twin.predict(x)  # compiles the kernels
    times = []
    for _ in range(3):
        started = perf_counter()
        twin.predict(x)
        times.append(perf_counter() - started)
    passes = (1 if method == "complex" else 2) * (1 if model.loss is None else 2)
    return passes * check_size(model, len(x), x.shape[1:]) * min(times)
