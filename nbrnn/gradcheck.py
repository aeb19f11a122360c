"""Is the backward pass the derivative of the forward pass? A proof by numbers, for every parameter and the input.

Complex step (Squire & Trapp, SIAM Review 40, 1998): dL/dp = Im L(p + i s) / s, with s = 1e-30. Nothing is subtracted,
so nothing cancels; the forward kernels run in complex128 for it, and their real part must be the float64 loss.
Central differences stand beside it: (L(p + s) - L(p - s)) / 2s, where half of the digits are lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .checks import one_of, real_number
from .losses import Loss
from .lowering import EVALUATE, TRAIN, Feed, make_plan
from .program import Plan
from .saving import copy_model
from .targets import cpu

if TYPE_CHECKING:
    from .model import Sequential

COMPLEX_STEP, CENTRAL_STEP = 1e-30, 1e-6
TOLERANCES = {"complex": 1e-12, "central": 1e-6}
PROJECTION = Loss("projection", "projection")


@dataclass(frozen=True)
class GradientRow:
    """One parameter's result: the worst entry, and the two gradients there."""

    name: str
    shape: tuple[int, ...]
    relative_error: float  # largest |difference| over largest |gradient|; 0 where both are exactly zero
    index: tuple[int, ...]
    backward: float
    numeric: float
    hint: str


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found; print it for a row a parameter.

    Attributes
    ----------
    passed : bool
        Whether every row's relative error is within the tolerance.
    max_relative_error : float
        The largest of the rows.
    loss : float
        The float64 loss at which the gradients were taken.
    rows : list of GradientRow
    gradients : dict of str to numpy.ndarray
        The float64 gradients by backpropagation, by name; "x" is the input's.
    """

    rows: list[GradientRow]
    tolerance: float
    method: str
    loss: float
    gradients: dict[str, np.ndarray] = field(repr=False)

    @property
    def max_relative_error(self) -> float:
        """The largest relative error of all rows."""
        return max(row.relative_error for row in self.rows)

    @property
    def passed(self) -> bool:
        """Whether every relative error is within the tolerance."""
        return all(row.relative_error <= self.tolerance for row in self.rows)

    def __str__(self) -> str:
        step = "complex step" if self.method == "complex" else "central differences"
        lines = [f"backpropagation against {step}, float64, tolerance {self.tolerance:g}"]
        lines.append(f"{'parameter':<32}{'shape':<12}{'relative error':>15}")
        for row in self.rows:
            good = row.relative_error <= self.tolerance
            shape = "x".join(map(str, row.shape))
            lines.append(f"{row.name:<32}{shape:<12}{row.relative_error:>15.1e}  {'ok' if good else 'WRONG'}")
            if not good:
                place = ", ".join(map(str, row.index))
                lines.append(f"  worst at [{place}]: backward {row.backward:.10g}, numeric {row.numeric:.10g}")
                lines.append(f"  {row.hint}")
        lines.append("passed" if self.passed else "FAILED")
        return "\n".join(lines)


def check_gradients(
    model: Sequential,
    x: Any,
    y: Any = None,
    *,
    method: str = "complex",
    tolerance: float | None = None,
    seed: int = 0,
) -> GradientReport:
    """Compare backpropagation with numeric gradients, for every parameter and the input, in float64.

    Parameters
    ----------
    model : Sequential
        Built; its weights are used, whatever its dtype.
    x : array (samples, time steps, features) or (samples, features)
        A few short samples: every number of the model and of x costs a forward pass.
    y : array, optional
        Targets for the model's loss. Without them, or without a loss, the outputs are projected on random directions,
        which shows every output's gradient.
    method : {"complex", "central"}
        The complex step, or central differences.
    tolerance : float, optional
        Largest relative error that passes: 1e-12 for the complex step, 1e-6 for central differences. Where activations
        saturate, a slope such as 1 - h^2 has cancelled and 1e-12 asks too much.
    seed : int
        Of the random directions.

    Returns
    -------
    GradientReport

    Raises
    ------
    ValueError
        If the model is not built, or an array does not fit it.
    ArithmeticError
        If the complex forward pass has another real part than the float64 one: a kernel treats complex numbers wrongly.
    """
    one_of("method", method, TOLERANCES)
    limit = TOLERANCES[method] if tolerance is None else real_number("tolerance", tolerance, open_low=True)
    real = copy_model(model, "float64")
    if y is None or real.loss is None:
        real.loss, real.metrics = PROJECTION, []
        outputs = real.predict(x)
        y = np.random.default_rng(seed).normal(size=outputs.shape)
    x, y = real._pair(x, y)
    loss, backward = _backward(real, x, y)
    numeric = _complex_step(real, x, y, loss) if method == "complex" else _central(real, x, y)
    rows = [_compare(name, backward[name], numeric[name], limit) for name in backward]
    return GradientReport(rows, limit, method, loss, backward)


def _executor(model: Sequential, plan: Plan, x: np.ndarray, y: np.ndarray) -> cpu.Executor:
    arrays = {"params": model.params, "order": np.arange(len(x)), "x": x.reshape(-1), "y": y.reshape(-1)}
    return cpu.Executor(plan, arrays)


def _plan(model: Sequential, mode: str, x: np.ndarray, y: np.ndarray) -> Plan:
    plan = make_plan(model, mode, Feed.of(x), Feed.of(y), len(x), input_gradient=True)
    return Plan(plan.programs, None, plan.samples, plan.batch, plan.shard)


def _backward(model: Sequential, x: np.ndarray, y: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """Run forward and backward once; the gradients of the shards are summed."""
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
    plan = _plan(model, TRAIN, x, y)
    executor = _executor(model, plan, x, y)
    log = executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)[1]
    gradients: dict[str, np.ndarray] = {}
    for layer in model.layers:
        for name, view in layer._views().items():
            full = f"{layer.name}/{name}"
            at = model.layout.buffers[full].offset
            parts = executor.private["grads"][:, at : at + view.size]
            gradients[full] = parts.sum(axis=0).reshape(view.shape)
    dx = []
    for s in range(plan.shards):
        program = plan.programs[min(plan.shard, len(x) - s * plan.shard)]
        part = executor.view(program["x gradient"], s)
        dx.append(part.swapaxes(0, 1) if x.ndim == 3 else part)
    gradients["x"] = np.concatenate(dx)
    return float(log[0, 0]) / len(x), gradients


def _complex_step(model: Sequential, x: np.ndarray, y: np.ndarray, loss: float) -> dict[str, np.ndarray]:
    twin = copy_model(model, "complex128")
    twin.loss = model.loss
    x, y = np.ascontiguousarray(x, np.complex128), np.ascontiguousarray(y, np.complex128)
    executor = _executor(twin, _plan(twin, EVALUATE, x, y), x, y)

    def value() -> complex:
        log = executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)[1]
        return complex(log[0, 0], log[0, 1]) / len(x)

    here = value()
    if abs(here.real - loss) > 1e-12 * max(1.0, abs(loss)):
        raise ArithmeticError(
            f"the complex forward pass gives the loss {here.real!r}, the float64 one {loss!r}: "
            "a kernel treats complex numbers wrongly."
        )

    def entry(array: np.ndarray, k: tuple[int, ...]) -> float:
        kept = array[k]
        array[k] = kept + 1j * COMPLEX_STEP
        slope = value().imag / COMPLEX_STEP
        array[k] = kept
        return slope

    return _each(twin, x, entry)


def _central(model: Sequential, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    x, y = np.array(x), np.ascontiguousarray(y)
    executor = _executor(model, _plan(model, EVALUATE, x, y), x, y)

    def entry(array: np.ndarray, k: tuple[int, ...]) -> float:
        kept, step = array[k], CENTRAL_STEP * max(1.0, abs(array[k]))
        values = []
        for sign in (1, -1):
            array[k] = kept + sign * step
            values.append(executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)[1][0, 0])
        array[k] = kept
        return float(values[0] - values[1]) / (2 * step * len(x))

    return _each(model, x, entry)


def _each(model: Sequential, x: np.ndarray, entry: Any) -> dict[str, np.ndarray]:
    """Take the numeric gradient of every entry of every parameter and of the input."""
    arrays = dict(pair for layer in model.layers for pair in layer._named()) | {"x": x}
    return {
        name: np.array([entry(array, k) for k in np.ndindex(array.shape)]).reshape(array.shape)
        for name, array in arrays.items()
    }


def _compare(name: str, backward: np.ndarray, numeric: np.ndarray, limit: float) -> GradientRow:
    difference = np.abs(backward - numeric)
    largest = max(np.abs(numeric).max(), np.abs(backward).max())
    k = np.unravel_index(difference.argmax(), difference.shape)
    relative = float(difference[k] / largest) if largest > 0 else 0.0
    relative = relative if np.isfinite(relative) else np.inf
    hint = _hint(backward, numeric) if relative > limit else ""
    index = tuple(int(i) for i in k)
    return GradientRow(name, backward.shape, relative, index, float(backward[k]), float(numeric[k]), hint)


def _hint(backward: np.ndarray, numeric: np.ndarray) -> str:
    """Guess why a gradient is wrong from how it differs."""

    def near(a: np.ndarray, b: np.ndarray) -> bool:
        return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(numeric).max())

    if not np.isfinite(backward).all():
        return "the backward pass gives numbers that are not finite."
    if not backward.any():
        return "the backward pass gives zero: is the gradient added at all, and does dh reach the earlier steps?"
    if near(-backward, numeric):
        return "the sign is flipped."
    if backward.ndim == 2 and near(backward.T, numeric):
        return "the matrix is transposed."
    ratio = float((backward * numeric).sum() / (numeric * numeric).sum())
    if near(backward / ratio if ratio else backward, numeric):
        return f"it is {ratio:.4g} times the right one: a factor, a mean for a sum, or a second backward pass added?"
    return "some terms are missing or wrong: look at what flows from the future (dh) and at the activation's slope."
