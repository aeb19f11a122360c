"""What launches a program's calls, and what a run of them takes of the GPU's memory."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...kernels import KERNELS
from ...plan import Plan
from ...program import Buffer, Call, Program
from . import groups as _groups  # noqa: F401  (it registers its design)
from . import persistent as _persistent  # noqa: F401  (it registers its design)
from .counting import beside
from .designs import DESIGNS, Site, choose, told
from .device import chip
from .forms import FORMS
from .launching import TURN
from .precision import using

WAYS = ("forward", "backward")
DESIGN = "NBRNN_CUDA_DESIGN"  # steps, persistent or groups: the one to take wherever it fits
RECURRENT = [f"{cell}_{way}" for cell in ("simple_rnn", "lstm", "gru_after", "gru_before") for way in WAYS]


def part_of(buffer: Buffer, blocks: Mapping[str, Any]) -> Any:
    """Return a buffer as an array of the device."""
    return blocks[buffer.block][buffer.offset : buffer.offset + buffer.size].reshape(buffer.shape)


def launch_of(
    program: Program, call: Call, blocks: Mapping[str, Any], absent: Mapping[str, Any], precision: str, design: str
) -> Callable[[], None]:
    """Return what launches a call; an array that is absent has no elements, but its own dtype.

    Parameters
    ----------
    program : Program
    call : Call
    blocks : dict of str to device array
    absent : dict of str to device array
        Arrays of each kind ("model", "f8", "i8") of which parts without elements are taken.
    precision, design : str
    """
    real, arguments = program.dtype.type, []
    for argument in KERNELS[call.kernel].arguments:
        value = call.arguments.get(argument.name)
        if isinstance(value, Buffer):
            arguments.append(part_of(value, blocks))
        elif argument.dims is not None:
            arguments.append(absent[argument.kind][:0].reshape((0,) * len(argument.dims)))
        else:
            arguments.append(real(value) if argument.kind == "float" else int(value))  # type: ignore[arg-type]
    return partial(form_of(program, call, precision, design), *arguments)


def memory_beside(plan: Plan, precision: str, design: str = "") -> dict[str, int]:
    """Return the bytes that a plan's run takes beside its blocks, by what they are for.

    Parameters
    ----------
    plan : Plan
    precision : str
        Of the products of matrices.
    design : str, optional
        As for Executor.
    """
    with TURN, using(precision):
        return beside(plan, partial(launch_of, precision=precision, design=design or wanted_design()))


def wanted_design() -> str:
    """Return the design that NBRNN_CUDA_DESIGN names, or nothing."""
    return os.environ.get(DESIGN, "").strip()


def site_of(program: Program, call: Call, precision: str) -> Site:
    """Return a call of a recurrent kernel as the choice of its design sees it."""
    kernel = KERNELS[call.kernel]
    there = frozenset(a.name for a in kernel.arguments if a.optional and call.arguments.get(a.name) is not None)
    return Site(call.kernel, call.dims, there, precision if program.dtype == np.float32 else "float64", chip())


def form_of(program: Program, call: Call, precision: str, design: str = "") -> Callable[..., None]:
    """Return what launches a call, by its design where its kernel has several."""
    if call.kernel not in DESIGNS:
        return FORMS[call.kernel]
    site = site_of(program, call, precision)
    return choose(site, design).form(site)


def design_of(program: Program, precision: str, call: Call) -> str:
    """Return a recurrent kernel's design, and where its weights lie if that says so; nothing for other kernels."""
    if call.kernel not in RECURRENT:
        return ""
    site = site_of(program, call, precision)
    return told(site, wanted_design())
