"""Is the backward pass the derivative of the forward pass? A proof by numbers, for every parameter, input and state.

Complex step (Squire & Trapp, SIAM Review 40, 1998): dL/dp = Im L(p + i s) / s, with s = 1e-30. Nothing is subtracted,
so nothing cancels; the forward kernels run in complex128 for it, and their real part must be the float64 loss.
Central differences stand beside it: (L(p + s) - L(p - s)) / 2s, where half of the digits are lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import arrays_of, plain_arrays
from .cases import Case, plain_copy, run_backward, run_loss
from .checks import flag, one_of, real_number
from .losses import Loss
from .lowering import EVALUATE, input_buffers
from .states import state_views

if TYPE_CHECKING:
    from .model import Model

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
        The float64 gradients by backpropagation, by name; "x" is the input's, "lstm/h0" a first state's.
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
            lines.append(f"{row.name:<31} {shape:<11} {row.relative_error:>15.1e}  {'ok' if good else 'WRONG'}")
            if not good:
                place = ", ".join(map(str, row.index))
                lines.append(f"  worst at [{place}]: backward {row.backward:.10g}, numeric {row.numeric:.10g}")
                lines.append(f"  {row.hint}")
        lines.append("passed" if self.passed else "FAILED")
        return "\n".join(lines)


def check_gradients(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    initial_state: Any = None,
    training: bool = True,
    sample_weight: Any = None,
    mask: Any = None,
    lengths: Any = None,
    method: str = "complex",
    tolerance: float | None = None,
    seed: int = 0,
) -> GradientReport:
    """Compare backpropagation with numeric gradients, for every parameter, the input and the first states, in float64.

    Parameters
    ----------
    model : Sequential or Model
        Built; its weights are used, whatever its dtype.
    x : array (samples, time steps, features) or (samples, features)
        A few short samples: every number of the model and of x costs a forward pass. Of several inputs a list or dict.
    y : array, optional
        Targets for the model's loss. Without them all outputs and last states are projected on random directions,
        which shows the gradient of each.
    initial_state : dict or list of arrays (samples, units), optional
        The recurrent layers' first states, as for `Sequential.predict`. If not given: zeros with targets, random
        numbers without.
    training : bool, default True
        Whether dropout drops; its masks stand still during the check.
    sample_weight : array (samples,) or (samples, time steps), optional
        Weights of the loss; they need targets.
    mask, lengths : arrays, optional
        Which time steps count, as for `fit`; a mask is no number and is not checked.
    method : {"complex", "central"}
        The complex step, or central differences.
    tolerance : float, optional
        Largest relative error that passes: 1e-12 for the complex step, 1e-6 for central differences. Where activations
        saturate, a slope such as 1 - h^2 has cancelled and 1e-12 asks too much.
    seed : int
        Of what is drawn at random.

    Returns
    -------
    GradientReport

    Raises
    ------
    ValueError
        If the model is not built, has no loss for targets, an array does not fit it, or weights have no targets.
    ArithmeticError
        If the complex forward pass has another real part than the float64 one: a kernel treats complex numbers wrongly.
    """
    one_of("method", method, TOLERANCES)
    limit = TOLERANCES[method] if tolerance is None else real_number("tolerance", tolerance, open_low=True)
    real = plain_copy(model, "float64")
    x = real._inputs(x, mask, lengths)
    case = _case(real, x, y, initial_state, sample_weight, seed)
    case = replace(case, training=flag("training", training))
    loss, backward = run_backward(real, case)
    numeric = _complex_step(real, case, loss) if method == "complex" else _central(real, case)
    rows = {name: _compare(name, backward[name], numeric[name], limit) for name in backward}
    if case.states is not None:  # training begins at zero states without reading them: a path of its own
        zeros = replace(case, states=np.zeros_like(case.states))
        plain, zero = (run_backward(real, c)[1] for c in (replace(case, states=None), zeros))
        for name, gradient in plain.items():
            row = _compare(name, gradient, zero[name], limit)
            rows[name] = max(rows[name], row, key=lambda r: r.relative_error)
    return GradientReport(list(rows.values()), limit, method, loss, backward)


def _case(model: Model, x: Any, y: Any, initial_state: Any, sample_weight: Any, seed: int) -> Case:
    """Return the arrays of a check; without targets for a loss, random directions for all outputs and last states."""
    rng = np.random.default_rng(seed)
    units = model._units()
    projected = y is None
    if projected:
        if sample_weight is not None:
            raise ValueError("sample_weight was given without y: weights are those of the loss.")
        model.loss = PROJECTION
        drawn_y = [rng.normal(size=(len(x), *end)) for end in model._ends(x)]
        y = drawn_y[0] if len(drawn_y) == 1 else drawn_y
    x, y = (plain_arrays(side) for side in model._pair(x, y))

    def drawn() -> np.ndarray:
        return model._given({name: rng.normal(size=(len(x), n)) for name, n in units.items()}, len(x))

    states = None
    if initial_state is not None:
        states = model._given(initial_state, len(x))
    elif units:
        states = drawn()
        if not projected:
            states[:] = 0
    weights = model._weighted(y, sample_weight)
    weights = None if weights is None else plain_arrays(weights)
    return Case(x, y, states, drawn() if projected and units else None, weights)


def _complex_step(model: Model, case: Case, loss: float) -> dict[str, np.ndarray]:
    twin, real_case, case = plain_copy(model, "complex128"), case, case.complex()
    twin.loss, twin.loss_weights = model.loss, model.loss_weights
    executor = case.executor(twin, EVALUATE)
    here = run_loss(executor, twin)
    outputs = model.predict(real_case.x)
    listed = list(outputs.values()) if isinstance(outputs, dict) else outputs
    largest = max(float(np.abs(a).max()) for a in (listed if isinstance(listed, list) else [listed]))
    scale = max(1.0, abs(loss), largest)  # a projection may cancel
    if abs(here.real - loss) > 1e-12 * scale:
        raise ArithmeticError(
            f"the complex forward pass gives the loss {here.real!r}, the float64 one {loss!r}: "
            "a kernel treats complex numbers wrongly."
        )

    def entry(array: np.ndarray, k: tuple[int, ...]) -> float:
        kept = array[k]
        array[k] = kept + 1j * COMPLEX_STEP
        slope = run_loss(executor, twin).imag / COMPLEX_STEP
        array[k] = kept
        return slope

    return _each(twin, case, entry)


def _central(model: Model, case: Case) -> dict[str, np.ndarray]:
    executor = case.executor(model, EVALUATE)

    def entry(array: np.ndarray, k: tuple[int, ...]) -> float:
        kept, step = array[k], CENTRAL_STEP * max(1.0, abs(array[k]))
        values = []
        for sign in (1, -1):
            array[k] = kept + sign * step
            values.append(run_loss(executor, model).real)
        array[k] = kept
        return (values[0] - values[1]) / (2 * step)

    return _each(model, case, entry)


def _each(model: Model, case: Case, entry: Any) -> dict[str, np.ndarray]:
    """Take the numeric gradient of every entry of every parameter, of the input and of the first states."""
    arrays = dict(pair for layer in model.layers for pair in layer._named())
    arrays |= dict(zip(input_buffers(model.graph), arrays_of(case.x), strict=True))
    if case.states is not None:
        views = state_views(model._units(), len(case.x), case.states)
        arrays |= {f"{name}0": view for name, view in views.items()}
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
    square = float((numeric * numeric).sum())
    ratio = float((backward * numeric).sum()) / square if square else 0.0
    if abs(ratio - 1) > 1e-3 and near(backward / ratio if ratio else backward, numeric):
        return f"it is {ratio:.4g} times the right one: a factor, a mean for a sum, or a second backward pass added?"
    return "some terms are missing or wrong: look at what flows from the future (dh) and at the activation's slope."
