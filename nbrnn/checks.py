"""Checks at the door: one clear sentence that names the argument, what came and what is wanted."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number of at least `least` that 64 bits hold.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value < 2**63:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def count_or(name: str, value: Any, default: int) -> int:
    """Return a whole number of at least 1, or the default for None.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    return default if value is None else whole_number(name, value)


def real_number(name: str, value: Any, low: float = 0.0, high: float = np.inf, *, open_low: bool = False) -> float:
    """Return a finite number from `low` (above it, if `open_low`) to `high`.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    usable = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not usable or not np.isfinite(value) or not (low < value if open_low else low <= value) or value > high:
        wanted = f"above {low:g}" if open_low else f"of at least {low:g}"
        wanted += f" and at most {high:g}" if np.isfinite(high) else ""
        raise ValueError(f"{name} must be a number {wanted}, not {value!r}.")
    return float(value)


def share(name: str, value: Any) -> float:
    """Return a number of at least 0 and below 1.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    usable = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not usable or not 0 <= value < 1:
        raise ValueError(f"{name} must be a number of at least 0 and below 1, not {value!r}.")
    return float(value)


def verbosity(value: Any) -> int:
    """Return what `verbose` says: 0, 1 or 2; "auto" is 1.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if value == "auto":
        return 1
    if value not in (0, 1, 2):
        raise ValueError(f'verbose must be 0, 1, 2 or "auto", not {value!r}.')
    return int(value)


def flag(name: str, value: Any) -> bool:
    """Return True or False.

    Raises
    ------
    ValueError
        If it is anything else: a text such as "no" would count as true.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, not {value!r}.")
    return bool(value)


def takes(function: Callable[..., Any], count: int) -> bool:
    """Return whether a function can be called with so many arguments; True where that cannot be seen."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def one_of(name: str, value: Any, options: Iterable[str]) -> str:
    """Return a name from a list of options; a wrong one is refused with the nearest suggested.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    known = list(options)
    if value in known:
        return str(value)
    called = getattr(value, "__name__", None)  # of a function or class, whose repr would hold its address
    raise ValueError(
        f"{name} {called or repr(value)} is unknown{nearest(called or value, known)}; known are {', '.join(known)}."
    )


def nearest(value: Any, options: Iterable[str]) -> str:
    """Return ': did you mean ...?' words for a misspelt name, or nothing."""
    lowered = {option.lower(): option for option in options}
    close = difflib.get_close_matches(str(value).lower(), lowered, n=1, cutoff=0.5)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""


def by_name(argument: str, value: Any, names: Sequence[str], what: str) -> dict[str, Any]:
    """Return what a dict or a list holds for names; of one name, the value may stand alone.

    Raises
    ------
    ValueError
        If a name is unknown, or there are too many or too few.
    """
    listed = ", ".join(names)
    if isinstance(value, Mapping):
        for name in value:
            if name not in names:
                close = nearest(name, names)
                raise ValueError(f"{argument} names the {what} {name!r}{close}, but the model has {listed}.")
        return dict(value)
    if isinstance(value, (list, tuple)) and len(value) == len(names):
        return dict(zip(names, value, strict=True))
    came = f"{len(value)} of them" if isinstance(value, (list, tuple)) else f"one {type(value).__name__}"
    raise ValueError(f"{argument} must be a dict or a list, one for each {what} ({listed}), not {came}.")
