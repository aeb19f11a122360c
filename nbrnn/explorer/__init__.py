"""The explorer: one HTML file in which a reader steps through a model on a sequence, forward and back.

The page holds a model and its trace, and recomputes everything in the browser's doubles, so that weights and inputs
can be edited; it needs no network.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import path_of, write_whole
from ..tracing import trace
from .data import check_loss, check_model, choose, choose_layer, counted_steps, part, whole

if TYPE_CHECKING:
    from ..model import Model

MOST = 1_000_000  # bytes of a page
CHECKED = 2_000  # weights; a model with more is not checked by the complex step, which costs a pass a weight
LONGEST = 200  # steps of a sequence that is shown whole; more are no longer looked through
UNITS, STEPS = 8, 50  # of what is not shown whole
STYLES = ("page.css",)
SCRIPTS = (
    "dom.js", "losses.js", "engine.js", "formulas.js", "head.js", "backward.js", "strip.js", "views.js", "panels.js",
    "tour.js", "app.js", "start.js",
)  # fmt: skip


def explore(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    mask: Any = None,
    lengths: Any = None,
    layer: str | int | None = None,
    units: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    path: str | Path | None = None,
) -> str:
    """Return a page in which one sample's way through a model, and back, can be walked step by step.

    Parameters
    ----------
    model : Sequential or Model
        A chain of SimpleRNN, GRU, LSTM, Dense, Flatten, Activation and Softmax layers, after Masking or not, built,
        and compiled with mse, mae, huber or a cross-entropy where a target is given. Its weights are used, in float64.
    x : array (T, D), (1, T, D), or (T,) for one feature
        One sample.
    y : number or array of the output's shape, optional
        Its target, of sparse_categorical_crossentropy the class; without it the page has no backward pass.
    mask : array (T,) or (1, T) of bool, optional
        Which steps count; the others are shown greyed.
    lengths : int, optional
        How many of the first steps count, instead of a mask.
    layer : str or int, optional
        The recurrent layer that is shown, by name or place; the first if not given.
    units : sequence of int, optional
        Only these units of the layer, counted from 0; by default all, or the first 8 where the page would be larger
        than 1 MB or the sequence is longer than 200 steps.
    steps : sequence of int, optional
        The first and the last step shown, counted from 0; by default all, or the last 50 likewise.
    path : str or Path, optional
        Where the page is written.

    Returns
    -------
    str
        The page: HTML, at most 1,000,000 bytes.

    Raises
    ------
    ValueError
        If the model has other layers or another loss, an argument does not fit it, no step counts, or no page of 1 MB
        holds the units and steps that were asked for.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import nbrnn
    >>> model = nbrnn.Sequential([nbrnn.SimpleRNN(2), nbrnn.Dense(1)], input_shape=(3, 1), seed=0)
    >>> model.compile(loss="mse")
    >>> page = nbrnn.explore(model, [1, 2, 3], 4)
    >>> page[:15]
    '<!DOCTYPE html>'
    """
    if path is not None:
        path = path_of("path", path)
    check_model(model)
    if y is not None:
        check_loss(model)
    numeric = y is not None and model.count_params() <= CHECKED
    found = trace(model, x, y, mask=mask, lengths=lengths, numeric=numeric)
    shown = choose_layer(found, layer)
    text = _smallest(found, shown, units, steps)
    if path is not None:
        write_whole(path, text.encode())
    return text


def _smallest(found: Any, shown: int, units: Sequence[int] | None, steps: Sequence[int] | None) -> str:
    """Return the fullest page that is no larger than MOST."""
    one = found.layers[shown]
    counted_steps(one, range(len(one.steps)))
    if units is None and steps is None and len(one.steps) <= LONGEST:
        for shares in (True, False):
            text = assemble(whole(found, shown, shares))
            if len(text.encode()) <= MOST:
                return text
    H = one.layer.units
    T = 1 + max(t for t, step in enumerate(one.steps) if not step.masked)  # what follows is padding
    some = choose("units", units, H, range(min(H, UNITS)))
    ends = choose("steps", steps, len(one.steps), range(max(0, T - STEPS), T))
    for shares in (True, False):
        text = assemble(part(found, shown, some, range(ends[0], ends[-1] + 1), shares))
        if len(text.encode()) <= MOST:
            return text
    raise ValueError(
        f"a page of 1 MB does not hold {len(some)} units in {ends[-1] + 1 - ends[0]} steps: choose fewer units, or "
        "steps nearer to each other."
    )


def assemble(data: dict[str, Any]) -> str:
    """Return the page for its data: styles, scripts and data in one file.

    Names may hold anything: within the data `<`, `>` and `&` are written as JSON's escapes, and the page's scripts
    put text in as text only.
    """
    here = Path(__file__).parent
    numbers = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        numbers = numbers.replace(character, f"\\u{ord(character):04x}")
    parts = {
        "title": html.escape(f"{data['model']} - nbrnn explorer"),
        "styles": "\n".join((here / name).read_text(encoding="utf-8") for name in STYLES),
        "scripts": "\n".join((here / name).read_text(encoding="utf-8") for name in SCRIPTS),
        "data": numbers,
    }
    pieces = (here / "page.html").read_text(encoding="utf-8").split("@@")
    return "".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces))
