"""The designs of a recurrent kernel, and which one runs it where.

    steps        one product and one pointwise launch a time step (forms.py): any size, any option
    persistent   a block keeps its sequences and all of Wh on chip over all steps; one launch a pass
    groups       Wh is split over a group of blocks that meet once a step

A design says itself where it fits. The first that does is taken, or, where designs were measured on the GPU
(measured.py), the fastest; the printed program names it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import measured
from .device import Chip
from .launching import FORMS

PRECISIONS = ("float64", "float32", "tf32", "bfloat16")  # of products; sums, and all else, are float32 or float64


@dataclass(frozen=True)
class Site:
    """A call of a recurrent kernel, as far as the choice of its design goes."""

    kernel: str
    sizes: Mapping[str, int]  # of the letters of its specification
    given: frozenset[str]  # the optional arrays that are there
    precision: str
    chip: Chip


@dataclass(frozen=True)
class Design:
    """One way to run a kernel; `refuses` says why it cannot run a site, and nothing where it can."""

    name: str
    refuses: Callable[[Site], str]
    form: Callable[[Site], Callable[..., None]]  # what launches it, given the kernel's arguments
    describe: Callable[[Site], str] = lambda site: ""  # where its weights lie, for the printed program


DESIGNS: dict[str, list[Design]] = {}  # by kernel, the best first; design (c), "steps", fits everywhere and comes last


def designs_of(kernel: str) -> list[Design]:
    """Return the designs of a kernel, "steps" last."""
    return [*DESIGNS.get(kernel, []), Design("steps", lambda site: "", lambda site: FORMS[kernel])]


def choose(site: Site, wanted: str = "") -> Design:
    """Return the design that is wanted, or else the first that fits a site: the fastest one if that was measured.

    Raises
    ------
    ValueError
        If the design that is wanted does not fit the site, or there is none of its name.
    """
    known = designs_of(site.kernel)
    fastest = measured.fastest(site.chip.name, site.kernel, site.precision, site.sizes["H"], site.sizes["B"])
    for design in sorted(known, key=lambda design: design.name != fastest):
        if wanted in ("", design.name):
            reason = design.refuses(site)
            if not reason:
                return design
            if wanted:
                raise ValueError(f"design {wanted!r} cannot run {site.kernel}: {reason}.")
    raise ValueError(f"{site.kernel} has no design {wanted!r}; there are {', '.join(d.name for d in known)}.")


def told(site: Site, wanted: str = "") -> str:
    """Return a site's design for the printed program: where its weights lie, and why no better one was taken.

    Raises
    ------
    ValueError
        As `choose` does.
    """
    taken = choose(site, wanted)
    before = designs_of(site.kernel)
    refused = [] if wanted else before[: [design.name for design in before].index(taken.name)]
    reasons = [f"not {each.name}, since {each.refuses(site) or 'it was measured to be slower'}" for each in refused]
    parts = "; ".join(text for text in (taken.describe(site), *reasons) if text)
    return ": ".join(text for text in (taken.name, parts) if text)
