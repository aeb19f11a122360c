"""Penalties on weights by Keras' names; the sums are made in kernels/regularizers.py."""

from __future__ import annotations

from typing import Any

from .checks import one_of, real_number
from .program import Buffer, Program


class Regularizer:
    """A penalty of l1 * sum |w| + l2 * sum w^2 on a weight w."""

    l1 = l2 = 0.0

    def described(self) -> dict[str, Any]:
        """Return the class and the arguments, as JSON can hold them."""
        return {"class": type(self).__name__, "config": dict(vars(self))}

    def lower(self, p: Program, weight: Buffer, gradient: Buffer | None, count: int = -1) -> None:
        """Add the call that adds a shard's share of the penalty to its loss and, where there is one, its gradient.

        Of a loss that is a mean over the rows that a mask leaves, `count` is the place of their number.
        """
        own = {"w": weight.reshape(-1), "dw": None if gradient is None else gradient.reshape(-1)}
        own |= {"control": p["control"], "stats": p["stats"]}
        p.call("penalty", samples=p.samples, count=count, l1=self.l1, l2=self.l2, **own)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class L1(Regularizer):
    """A penalty of l1 * sum |w|: it makes weights exactly or nearly zero.

    Parameters
    ----------
    l1 : float, default 0.01
        At least 0.

    Raises
    ------
    ValueError
        If it is below 0 or no number.
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = real_number("l1", l1)


class L2(Regularizer):
    """A penalty of l2 * sum w^2: it keeps weights small.

    Parameters
    ----------
    l2 : float, default 0.01
        At least 0.

    Raises
    ------
    ValueError
        If it is below 0 or no number.
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = real_number("l2", l2)


class L1L2(Regularizer):
    """A penalty of l1 * sum |w| + l2 * sum w^2.

    Parameters
    ----------
    l1, l2 : float, default 0.0
        At least 0.

    Raises
    ------
    ValueError
        If one is below 0 or no number.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = real_number("l1", l1), real_number("l2", l2)


l1, l2, l1_l2 = L1, L2, L1L2  # Keras' names for the same
KINDS = {kind.__name__: kind for kind in (L1, L2, L1L2)}
NAMES = {"l1": L1(), "l2": L2(), "l1_l2": L1L2(0.01, 0.01)}


def get(name: str, value: Any) -> Regularizer | None:
    """Return a regularizer from its name, its description, or as it came; None for None.

    Raises
    ------
    ValueError
        If it is none; `name` is the argument that it was given as.
    """
    if value is None or isinstance(value, Regularizer):
        return value
    if not isinstance(value, dict):
        return NAMES[one_of(name, value, NAMES)]
    kind = KINDS[one_of(f"{name}'s class", value.get("class"), KINDS)]
    try:
        return kind(**value.get("config", {}))
    except TypeError as error:
        came = value.get("config")
        raise ValueError(f"{name}: {kind.__name__} cannot be made of {came!r} ({error}).") from None
