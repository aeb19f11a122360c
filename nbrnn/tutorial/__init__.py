"""What lessons use: `check` compares an answer with the engine's, `show` hands over a picture.

`check` stops at the first wrong answer, with one sentence; the right one is told at the second wrong answer. `show`
displays the picture in a notebook; `nbrnn tutorial` writes it to a file.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..catalogue import WIDTH
from ..checks import real_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "Session", "WrongAnswer", "asked_quick", "check", "open_session", "show"]

ENOUGH = 6  # numbers of an array that a sentence shows
NEAR = 0.01  # of the right number


class WrongAnswer(Exception):
    """An answer that is not the engine's; the message says which quantity, how far off, and a hint."""

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows in place of a traceback."""
        return str(self).splitlines()


@dataclass
class Session:
    """A run of a lesson, or of a learner's answers, by the command line."""

    say: Callable[[str], Any]
    folder: Path | None = None  # where pictures go; None: nowhere
    pictures: list[str] = field(default_factory=list)
    told: bool = False  # whether the right answer is told at once
    wrong: set[str] = field(default_factory=set)  # quantities that were wrong before


_session: ContextVar[Session | None] = ContextVar("session", default=None)
_wrong: set[str] = set()  # of a notebook


@contextmanager
def open_session(session: Session) -> Iterator[Session]:
    """Let `check` and `show` report to a session."""
    token = _session.set(session)
    try:
        yield session
    finally:
        _session.reset(token)


@dataclass(frozen=True)
class Picture:
    """A figure that a notebook displays."""

    name: str
    figure: Figure

    def _repr_png_(self) -> bytes:
        from ..plots.style import DPI

        png = io.BytesIO()
        self.figure.savefig(png, format="png", dpi=DPI)
        return png.getvalue()


def show(figure: Figure, name: str) -> Picture:
    """Show a picture: in a notebook as the value of a cell, under `nbrnn tutorial run` as a file with its path printed.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    name : str
        Of the file, without its ending; letters, digits, - and _.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If the name holds other characters, or was used in this run already.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"a picture's name must hold letters, digits, - and _ only, not {name!r}.")
    picture, session = Picture(name, figure), _session.get()
    if session is None or session.folder is None:
        return picture
    if name in session.pictures:
        raise ValueError(f"two pictures of this run have the name {name!r}; names must differ.")
    from ..files import write_whole

    session.pictures.append(name)
    path = session.folder / f"{name}.png"
    write_whole(path, picture._repr_png_())
    session.say(f"picture: {path}")
    return picture


def asked_quick() -> bool:
    """Return whether a lesson that was started as a script, `python tutorials/10_gates.py --quick`, shall be quick.

    A notebook has no such options, and `nbrnn tutorial run` has its own.

    Raises
    ------
    SystemExit
        With exit code 2 after one sentence, if the script was started with anything else.
    """
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None or Path(file).resolve() != Path(sys.argv[0]).resolve():
        return False
    unknown = [argument for argument in sys.argv[1:] if argument != "--quick"]
    if unknown:
        sys.stderr.write(f"Error: {Path(file).name} takes --quick and nothing else, not {' '.join(unknown)}.\n")
        raise SystemExit(2)
    return len(sys.argv) > 1


def check(name: str, yours: Any, ours: Any, hint: str = "", tolerance: float = 1e-9) -> None:
    """Compare a learner's answer with the right one; say that it is right, or raise what is wrong with it.

    An answer is right if no number is farther off than `tolerance` times the largest of the right numbers, or times 1
    if they are smaller. The first time that a quantity is wrong, the sentence says in which direction; the second
    time, in a run of `nbrnn tutorial check` or of a notebook's cell, it tells the right answer too.

    Parameters
    ----------
    name : str
        Of the quantity, as the learner knows it: "count_windows(10, 3)".
    yours : number, array or str
        The answer; `...` or None means that there is none yet.
    ours : number, array or str
        What is right. Words are compared without regard to capitals.
    hint : str
        What to think of when the answer is wrong.
    tolerance : float, default 1e-9

    Raises
    ------
    WrongAnswer
        If the answer is wrong.
    ValueError
        If `tolerance` is not a number of at least 0.
    """
    wrong, right = _problem(name, yours, ours, real_number("tolerance", tolerance))
    session = _session.get()
    if wrong:
        told = session is not None and session.told
        before = session.wrong if session else _wrong
        lines = [f"WRONG  {wrong}"] + ([f"Hint: {hint}"] if hint else [])
        if right and (told or name in before):
            lines.insert(1, right)
        elif right:
            before.add(name)
            lines.append(f"Ours is told {'with --show, or ' if session else ''}if this is wrong again.")
        raise WrongAnswer(f"\n{' ' * 7}".join(lines))
    (session.say if session else print)(f"ok     {name} = {_shown(ours)}")


def _problem(name: str, yours: Any, ours: Any, tolerance: float) -> tuple[str, str]:
    """Return what is wrong with an answer, and what would be right; empty where there is nothing to say."""
    if yours is ... or yours is None:
        open_one = f"{name} is not answered yet: replace the three dots by your answer."
        return (open_one if yours is ... else f"{name} is None: does your function return what it computed?"), ""
    if isinstance(ours, str):
        if isinstance(yours, str) and yours.strip().casefold() == ours.strip().casefold():
            return "", ""
        if ours in ("yes", "no"):  # there is nothing to keep back
            return f"{name}: yours is {yours!r}, ours is {ours!r}.", ""
        return f"{name}: yours is {yours!r}, which is wrong.", f"Ours is {ours!r}."
    wanted = np.asarray(ours)
    try:
        given = np.asarray(yours)
    except ValueError:
        return f"{name}: yours has rows of different lengths; it must have the shape {wanted.shape}.", ""
    if given.dtype.kind not in "biufc":
        kind = "a number" if wanted.ndim == 0 else f"an array of numbers of the shape {wanted.shape}"
        return f"{name}: yours is {_short(yours)}, but it must be {kind}.", ""
    if given.shape != wanted.shape and not given.size == wanted.size == 1:
        if max(given.ndim, wanted.ndim) == 1 and max(given.size, wanted.size) <= ENOUGH:
            many = "a single number" if wanted.size == 1 else f"{wanted.size} numbers"
            return f"{name}: yours is {_listed(given)}, but it must be {many}.", f"Ours is {_listed(wanted)}."
        return f"{name}: yours has the shape {given.shape}, ours has {wanted.shape}.", ""
    given = given.reshape(wanted.shape)
    if not wanted.size:
        return "", ""
    limit = tolerance * max(1.0, float(np.abs(wanted).max()))
    # Python's subtraction would wrap around in small and unsigned integers.
    difference = given.astype(np.result_type(given, np.float64)) - wanted
    wrong = np.argwhere(~(np.abs(difference) <= limit))
    if not len(wrong):
        return "", ""
    place = tuple(int(k) for k in wrong[0])
    where = name + (f" at [{', '.join(map(str, place))}]" if place else "")
    mine, right, off = given[place], wanted[place], difference[place]
    if wanted.dtype.kind == "b":
        return f"{where}: yours is {_number(mine)}, ours is {_number(right)}.", ""
    text = f"{where}: yours is {_number(mine)}, {_compared(mine, right, off, limit)}."
    return text, f"Ours is {_number(right)}, the difference is {off:.6g}."


def _compared(mine: Any, right: Any, off: Any, limit: float) -> str:
    """Return in which direction a number is off, but not what would be right."""
    if np.iscomplexobj(off) or np.isnan(off):
        return "which is wrong"
    if np.sign(mine) * np.sign(right) < 0:
        return "which has the wrong sign" + ("" if abs(off + 2 * right) <= limit else " and the wrong size")
    negative = mine < 0 and right < 0  # people speak of how far it is from 0
    how = ("too large" if (off > 0) != negative else "too small") + (" in size" if negative else "")
    return f"which is {how}" + (", by less than 1 %" if abs(off) < NEAR * abs(right) else "")


def _number(value: Any) -> str:
    return f"{value:.10g}" if np.asarray(value).dtype.kind != "b" else str(value)


def _shown(value: Any) -> str:
    """Return a right answer as text, or its shape where it is long."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.ndim == 0:
        return _number(array[()])
    if array.size > ENOUGH:
        return f"an array of the shape {array.shape}"
    return np.array2string(array, separator=", ").replace("\n", "")


def _listed(array: Any) -> str:
    """Return a number, or a short row of numbers as a tuple."""
    return f"({', '.join(map(_number, array))})" if array.ndim else _number(array[()])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= WIDTH // 2 else f"a {type(value).__name__}"
