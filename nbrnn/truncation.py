"""Truncated backpropagation through time: over which steps the gradient of a state goes back.

The sequence is cut into segments of k steps, counted from its end; states go on from one to the next, their gradient
does not. Counted from the end, the last step, often the only one with a loss, has k steps behind it whatever T is; the
first segment is what is left. It is BPTT(k; k) of Williams & Peng, An Efficient Gradient-Based Algorithm for On-Line
Training of Recurrent Network Trajectories, Neural Computation 2 (1990).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .checks import whole_number
from .program import Buffer, Program


@dataclass(frozen=True)
class Part:
    """Some steps of a sequence that go back together."""

    start: int
    stop: int
    dh: Buffer  # of these steps, or of the last one of all
    below: Buffer | None  # where the gradient of the state before them goes
    add: bool  # whether it is added to what stands there
    later: bool  # whether steps after them have gone before
    reached: bool  # and whether these hand down the gradient of the state: not where it is truncated

    @property
    def count(self) -> int:
        """Number of steps."""
        return self.stop - self.start

    @property
    def steps(self) -> slice:
        """Which steps."""
        return slice(self.start, self.stop)

    @property
    def states(self) -> slice:
        """Which states: those before and after the steps."""
        return slice(self.start, self.stop + 1)


def steps_back(truncate: Any, recurs: bool) -> int:
    """Return `truncate` as programs know it: 0 where nothing is truncated.

    Raises
    ------
    ValueError
        If it is neither None nor a whole number above 0, or the model has no layer that recurs.
    """
    if truncate is None:
        return 0
    if not recurs:
        raise ValueError(f"truncate={truncate!r} was given, but no layer of the model is recurrent.")
    return whole_number("truncate", truncate)


def segment(p: Program, steps: int) -> int:
    """Return how many steps the gradient of a state goes back at most."""
    return min(p.options.truncate or steps, steps)


def segments(p: Program, steps: int, every: bool) -> list[tuple[int, int]]:
    """Return the steps, from and to, over which the gradient of the states goes, the last ones first.

    They are counted from the end, so that the last step, often the only one with a loss, has all of them behind it.
    Where not `every` step has a loss, no gradient reaches those before the last ones.
    """
    most = segment(p, steps)
    found = [(max(0, end - most), end) for end in range(steps, 0, -most)]
    return found if every else found[:1]
