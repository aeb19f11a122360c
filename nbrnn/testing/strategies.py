"""Hypothesis strategies for models, their inputs and masks.

Hypothesis is imported when a strategy is asked for, and not before. Models and arrays are drawn as arguments of
`random_model` and `random_array`, so that a failing example is printed as the call that makes it again.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import regularizers
from ..checks import one_of, whole_number
from ..dropout import Dropout
from ..feedback import FREE, Feedback
from ..gated import GRU, LSTM
from ..joins import Flatten
from ..kernels.activations import ACTIVATIONS
from ..layers import Dense, Layer, Shape
from ..losses import Loss, get_loss
from ..masking import Masking
from ..model import Model
from ..pointwise import Activation, Softmax
from ..recurrent import Recurrent
from ..simple import SimpleRNN
from ..wrappers import MERGES, Bidirectional, TimeDistributed
from .gradients import STEPS, sample_shape
from .randoms import DTYPES, LAYOUTS, VALUES, random_array, random_model

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

CELLS = {cell.kind: cell for cell in (SimpleRNN, LSTM, GRU)}
GATES = ("sigmoid", "hard_sigmoid", "tanh", "softsign")  # with gates that have no bounds a state explodes
EXTRAS = ("bidirectional", "pointwise", "dropout", "regularizers", "skips", "masking", "feedback")
NOT_FED_BACK = ("go_backwards", "dropout", "recurrent_dropout")  # what a layer within Feedback cannot have
RATES = (0.0, 0.2, 0.5)
PENALTIES = ("kernel_regularizer", "recurrent_regularizer", "bias_regularizer")
MOST_SEED = 2**32 - 1
MARKS = (0.0, -3.0)  # of masked steps
FIXED = ("read-only", "overlapping")  # layouts of arrays that nobody may write to
MASKS = {"all": 1, "right": 2, "left": 2, "holes": 3, "empty": 1}  # and the time steps that each needs


def models(
    cells: str | type[Recurrent] | Sequence[str | type[Recurrent]] | None = None,
    *,
    layers: int | tuple[int, int] = (1, 2),
    units: int | tuple[int, int] = (1, 4),
    features: int | tuple[int, int] = (1, 3),
    steps: int | tuple[int, int] | None = (1, 5),
    activations: str | Sequence[str] | None = None,
    losses: str | Loss | Sequence[str | Loss | None] | None = (None, "mse", "mae", "huber"),
    dtype: str = "float64",
    extras: str | Sequence[str] = (),
) -> SearchStrategy[Model]:
    """Return a strategy for models made by `random_model`: recurrent layers, perhaps with Dense and Flatten on top.

    It draws the layers' options too: activations, gates' activations, use_bias, go_backwards, return_sequences, and
    both forms of the GRU's reset. Examples shrink to one unit, one step and one feature. A test that runs models needs
    Hypothesis' setting deadline=None: its first examples compile kernels.

    Parameters
    ----------
    cells : str, subclass of Recurrent or sequence of them, optional
        Of the recurrent layers: "simple_rnn", "lstm", "gru", or a class of yours; the three, if it is not given.
    layers : int or (least, most)
        Number of recurrent layers; 0 gives models of Dense and Flatten.
    units, features : int or (least, most)
        Units of every layer; features of the input.
    steps : int, (least, most) or None
        Time steps that the model is built for; None leaves them open.
    activations : str or sequence of str, optional
        Of the layers; all of them, if it is not given.
    losses : str, Loss, None or a sequence of them
        None means a model that is not compiled.
    dtype : {"float32", "float64"}
    extras : str or sequence of str
        What may be drawn too: "bidirectional" puts recurrent layers into Bidirectional; "pointwise" adds Activation,
        Softmax and TimeDistributed; "dropout" adds it, as a layer and in recurrent ones; "regularizers" gives layers
        penalties; "skips" joins what stands further below to a layer's input, by Concatenate; "masking" puts Masking
        below, whose steps `sequences` then draws; "feedback" puts recurrent layers into Feedback that runs free.

    Returns
    -------
    hypothesis.strategies.SearchStrategy

    Raises
    ------
    ValueError
        If a name is unknown or a range is empty.
    ModuleNotFoundError
        If Hypothesis is not installed.
    """
    st = _import_hypothesis().strategies
    kinds = _several("cells", CELLS if cells is None else cells, _cell)
    acts = _names("activations", ACTIVATIONS if activations is None else activations, ACTIVATIONS)
    chosen_losses = _several("losses", losses, _loss)
    counts, widths, inputs = _range("layers", layers, 0), _range("units", units), _range("features", features)
    lengths = None if steps is None else _range("steps", steps)
    one_of("dtype", dtype, DTYPES)
    fixed = {} if dtype == "float64" else {"dtype": dtype}
    more = set(_names("extras", extras, EXTRAS) if extras else ())

    def layer(draw: Any, cls: type[Layer], without: Sequence[str] = (), **options: Any) -> Layer:
        """Draw a layer's options; those at their default are left out of what is printed."""
        parameters = inspect.signature(cls).parameters
        wanted: dict[str, Sequence[Any]] = {
            "activation": acts,
            "recurrent_activation": GATES,
            "reset_after": (True, False),
        }
        wanted |= {"use_bias": (True, False), "go_backwards": (False, True)}
        wanted |= {"dropout": RATES, "recurrent_dropout": RATES} if "dropout" in more else {}
        wanted |= dict.fromkeys(PENALTIES, (None, *regularizers.NAMES)) if "regularizers" in more else {}
        able = {name: values for name, values in wanted.items() if name in parameters and name not in without}
        options |= {name: draw(st.sampled_from(values)) for name, values in able.items()}
        changed = {name: st.just(value) for name, value in options.items() if value != parameters[name].default}
        return draw(st.builds(cls, st.integers(*widths), **changed))

    def recurrent(draw: Any, cls: type[Recurrent], every: bool, masked: bool) -> Layer:
        """Draw a recurrent layer, perhaps within another."""
        frames = [
            name for name in ("bidirectional", "feedback") if name in more and not (masked and name == "feedback")
        ]
        frame = draw(st.sampled_from(frames)) if frames and draw(st.booleans()) else ""
        if frame == "feedback":
            made, lags = layer(draw, cls, NOT_FED_BACK), draw(st.integers(1, 2))
            own = {"lags": lags, "training": FREE, "return_sequences": every}
            return draw(st.builds(Feedback, st.just(made), **{name: st.just(value) for name, value in own.items()}))
        made = layer(draw, cls, return_sequences=every)
        return draw(st.builds(Bidirectional, st.just(made), st.sampled_from(MERGES))) if frame else made

    def between(draw: Any) -> list[Layer]:
        """Draw layers without weights that stand above another."""
        kinds = [st.builds(Dropout, st.sampled_from(RATES[1:]))] if "dropout" in more else []
        kinds += [st.builds(Activation, st.sampled_from(acts)), st.builds(Softmax)] if "pointwise" in more else []
        return [draw(st.one_of(kinds))] if kinds and draw(st.booleans()) else []

    def shortcuts(draw: Any, stack: list[Layer], shape: Shape) -> dict[str, Any]:
        """Draw a way round some layers, between values that are both sequences or both vectors."""
        shapes = [shape]
        for one in stack:
            shapes += one.shapes(shapes[-1:])
        pairs = [(k, to) for to in range(1, len(stack)) for k in range(to) if len(shapes[k]) == len(shapes[to])]
        return {"skips": [draw(st.sampled_from(pairs))]} if pairs and draw(st.booleans()) else {}

    @st.composite
    def drawn_models(draw: Any) -> Model:
        count = draw(st.integers(*counts))
        sequences = draw(st.booleans()) or not count  # whether every state of the layers' top goes on
        drawn = [draw(st.sampled_from(kinds)) for _ in range(count)]
        masked = bool(drawn) and "masking" in more and draw(st.booleans())
        stack: list[Layer] = [draw(st.builds(Masking, st.sampled_from(MARKS)))] if masked else []
        for k, cell in enumerate(drawn):
            stack += [recurrent(draw, cell, sequences or k < count - 1, masked), *between(draw)]
        if not count or draw(st.booleans()):
            stack.append(layer(draw, Dense))
            if "pointwise" in more and sequences and draw(st.booleans()):
                stack[-1] = draw(st.builds(TimeDistributed, st.just(stack[-1])))
        if sequences and lengths is not None and not masked and draw(st.booleans()):
            stack += [draw(st.builds(Flatten)), layer(draw, Dense)]
        shape = (lengths and draw(st.integers(*lengths)), draw(st.integers(*inputs)))
        loss = draw(st.sampled_from(chosen_losses))
        compiled = {} if loss is None else {"loss": loss}
        compiled |= shortcuts(draw, stack, shape) if "skips" in more else {}
        given = {name: st.just(value) for name, value in (fixed | compiled).items()}
        return draw(st.builds(random_model, st.just(stack), st.just(shape), seed=st.integers(0, MOST_SEED), **given))

    return drawn_models()


def sequences(
    model: Model | None = None,
    *,
    samples: int | tuple[int, int] = (1, 3),
    steps: int | tuple[int, int] | None = None,
    features: int | tuple[int, int] | None = None,
    dtype: str | None = None,
    values: str | Sequence[str] = "moderate",
    layouts: str | Sequence[str] = "C",
) -> SearchStrategy[np.ndarray]:
    """Return a strategy for inputs (samples, time steps, features), made by `random_array`.

    Of a model that begins with Masking some steps are masked: they hold its value.

    Parameters
    ----------
    model : Sequential or Model, optional
        A built model that the inputs shall fit; one of vectors gets (samples, features).
    samples : int or (least, most)
    steps : int or (least, most), optional
        1 to 5, if neither it nor the model says.
    features : int or (least, most), optional
        1 to 3, if there is no model.
    dtype : {"float32", "float64"}, optional
        The model's, else float64.
    values, layouts : str or sequence of str
        As for `random_array`; the first is what examples shrink to.

    Returns
    -------
    hypothesis.strategies.SearchStrategy

    Raises
    ------
    ValueError
        If a name is unknown, a range is empty, or the model says otherwise.
    ModuleNotFoundError
        If Hypothesis is not installed.
    """
    hypothesis = _import_hypothesis()
    st = hypothesis.strategies
    lengths = [_range("samples", samples)]
    if model is None:
        lengths += [_range("steps", (1, STEPS) if steps is None else steps)]
        lengths += [_range("features", (1, 3) if features is None else features)]
    elif features is not None:
        raise ValueError("features are the model's; leave them out where a model is given.")
    else:
        asked = (None, None) if steps is None else _range("steps", steps)
        low, high = (sample_shape(model, n) for n in asked)
        lengths += list(zip(low, high, strict=True))
        if asked[0] is None and model.input_shape and model.input_shape[0] is None:
            lengths[1] = (1, STEPS)
    bottom = None if model is None else model.layers[0]
    kinds, places = _names("values", values, VALUES), _names("layouts", layouts, LAYOUTS)
    single = model is not None and model.dtype == np.float32
    kind = one_of("dtype", dtype or ("float32" if single else "float64"), DTYPES)

    @st.composite
    def drawn_sequences(draw: Any) -> np.ndarray:
        shape = tuple(draw(st.integers(*length)) for length in lengths)
        how = {"seed": draw(st.integers(0, MOST_SEED)), "dtype": kind}
        how |= {"values": draw(st.sampled_from(kinds)), "layout": draw(st.sampled_from(places))}
        # An array's repr says nothing of its layout, and leaves numbers out where there are many.
        hypothesis.note(f"random_array({shape}, {', '.join(f'{name}={value!r}' for name, value in how.items())})")
        x = random_array(shape, **how)
        if isinstance(bottom, Masking) and how["layout"] not in FIXED:
            mask = draw(masks(*shape[:2]))
            mask[0, 0] |= not mask.any()  # of no step there is no mean
            hypothesis.note(f"x[~np.array({mask.tolist()})] = {bottom.mask_value}")
            x[~mask] = bottom.mask_value
        return x

    return drawn_sequences()


def masks(
    samples: int | tuple[int, int] = (1, 3),
    steps: int | tuple[int, int] = (1, 5),
    *,
    kinds: str | Sequence[str] = tuple(MASKS),
) -> SearchStrategy[np.ndarray]:
    """Return a strategy for boolean masks (samples, time steps), True where a step is kept, as in Keras.

    Parameters
    ----------
    samples, steps : int or (least, most)
    kinds : str or sequence of str
        Of each row: "all" kept; padded on the "right" or the "left", with at least one step kept and one not; "holes"
        between a first and a last step that are kept; "empty", no step kept. Rows of several kinds stand in one mask.

    Returns
    -------
    hypothesis.strategies.SearchStrategy

    Raises
    ------
    ValueError
        If a name is unknown, a range is empty, or no kind fits into so few steps.
    ModuleNotFoundError
        If Hypothesis is not installed.
    """
    st = _import_hypothesis().strategies
    rows, (least, most), names = _range("samples", samples), _range("steps", steps), _names("kinds", kinds, MASKS)
    needed = min(MASKS[name] for name in names)
    if most < needed:
        raise ValueError(f"steps must reach {needed} for rows of the kind {' or '.join(names)}, not {most}.")

    @st.composite
    def drawn_masks(draw: Any) -> np.ndarray:
        n, T = draw(st.integers(*rows)), draw(st.integers(max(least, needed), most))
        mask = np.ones((n, T), bool)
        for row in mask:
            kind = draw(st.sampled_from([name for name in names if MASKS[name] <= T]))
            if kind in ("right", "left"):
                row[draw(st.integers(1, T - 1)) :] = False
            elif kind == "holes":
                row[draw(st.lists(st.integers(1, T - 2), min_size=1, max_size=T - 2, unique=True))] = False
            row[:] = {"left": row[::-1].copy(), "empty": False}.get(kind, row)
        return mask

    return drawn_masks()


def _import_hypothesis() -> Any:
    try:
        return importlib.import_module("hypothesis")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the strategies of nbrnn.testing need Hypothesis, which is not installed; type: pip install hypothesis"
        ) from error


def _cell(cell: Any) -> type[Recurrent]:
    """Return a recurrent layer's class from its name, or as it came."""
    return cell if isinstance(cell, type) and issubclass(cell, Recurrent) else CELLS[one_of("cells", cell, CELLS)]


def _loss(loss: Any) -> Any:
    """Return a loss as it came, None among them."""
    if loss is not None:
        get_loss(loss)
    return loss


def _range(name: str, value: Any, least: int = 1) -> tuple[int, int]:
    """Return (least, most) from a number or a pair."""
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be a whole number or a pair (least, most), not {value!r}.")
    low, high = (whole_number(name, n, least) for n in pair)
    if low > high:
        raise ValueError(f"{name} must be a whole number or a pair (least, most), but {low} is more than {high}.")
    return low, high


def _several(name: str, value: Any, check: Callable[[Any], Any]) -> list[Any]:
    """Return one thing or several as a list, each as `check` returns it."""
    one = isinstance(value, (str, type, Loss)) or not isinstance(value, Iterable)
    things = [check(thing) for thing in ([value] if one else value)]
    if not things:
        raise ValueError(f"{name} is empty; give at least one.")
    return things


def _names(name: str, value: Any, options: Iterable[str]) -> list[str]:
    return _several(name, value, lambda thing: one_of(name, thing, options))
