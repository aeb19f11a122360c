"""Runs a program on a CUDA GPU, or in Numba's simulator of one: the same table, where a call is a launch or more.

The runner is the CPU target's, as plain Python. Blocks stand on the device; what is the caller's goes there before a
run and comes back after it.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, njit

from ...kernels import KERNELS, abi, random
from ...kernels.abi import carve
from ...plan import Plan
from ...program import BLOCKS, FOREIGN, PRIVATE, SHARED, Buffer, Program
from .. import cpu
from .device import require_device
from .forms import FORMS
from .launching import rebound


class Mirror:
    """A host's array and its copy on the device, as of the last transfer."""

    def __init__(self, host: np.ndarray) -> None:
        self.host, self.device = host, cuda.to_device(host)

    def send(self) -> None:
        """Copy the host's numbers to the device."""
        self.device.copy_to_device(self.host)

    def fetch(self) -> None:
        """Copy the device's numbers to the host."""
        self.device.copy_to_host(self.host)


def _permute(order: Mirror, seed: int, epoch: int) -> None:
    """Shuffle the samples on the host, where the CPU target does it."""
    _compiled_permute()(order.host, seed, epoch)
    order.send()


@cache
def _compiled_permute() -> Callable[..., None]:
    """Return the shuffle as Python can call it: kernels' helpers have no wrapper for that."""
    return njit(**abi.OPTIONS)(getattr(random.permute, "py_func", random.permute))


def _call(forms: list[Callable[..., None]], k: int, blocks: None, s: int, arguments: list[list[Any]]) -> None:
    """Run call k for shard s; the arguments hold their blocks already."""
    forms[k](*arguments[k][s])


_run = rebound(cpu.run, call=_call, permute=_permute)


class Executor:
    """A plan bound to a device's memory; it is used as targets/cpu.py's is.

    Parameters
    ----------
    plan : Plan
        What to run.
    arrays : dict of str to numpy.ndarray
        The shared and foreign blocks by name, each as the flat array that holds all of its elements. A run reads the
        shared ones and the order anew, and what the program writes stands in them when it returns.

    Raises
    ------
    ValueError
        If there is no device, a kernel has no CUDA form, or the dtype is neither float32 nor float64.
    """

    def __init__(self, plan: Plan, arrays: dict[str, np.ndarray]) -> None:
        require_device()
        self.plan, self.arrays = plan, arrays
        others = {0: plan.update, plan.shard + 1: plan.prepare}
        programs = plan.programs | {key: p for key, p in others.items() if p is not None}
        first = next(iter(programs.values()))
        if first.dtype.kind != "f":
            raise ValueError(f"the CUDA target runs models in float32 and float64, not {first.dtype}.")
        for program in programs.values():
            _require_forms(program)
        self.private = {name: size for name, size in plan.sizes.items() if BLOCKS[name][1] == PRIVATE}
        kinds = {name: cpu.dtype_of(name, first.dtype) for name in self.private}
        self.control, self.stats = (np.zeros((plan.shards, self.private[b]), kinds[b]) for b in ("control", "stats"))
        self.mirrors = {name: Mirror(array) for name, array in arrays.items()}
        control, stats = Mirror(self.control.reshape(-1)), Mirror(self.stats.reshape(-1))
        self.blocks = {name: mirror.device for name, mirror in self.mirrors.items()}
        self.blocks |= {"control": control.device, "stats": stats.device}
        if plan.prepare is not None:
            self.blocks["packed"] = cuda.to_device(np.zeros(plan.sizes["packed"], first.dtype))
        for name in self.private.keys() - self.blocks.keys():
            self.blocks[name] = cuda.to_device(np.zeros(plan.shards * self.private[name], kinds[name]))
        self.figures = first["stats"].size
        self.written = {b.block for p in programs.values() for c in p.calls for b in c.buffers(True)}
        self.forms: list[Callable[..., None]] = []
        self.arguments: list[list[Any]] = []
        self.spans = np.zeros((plan.shard + 2, 2), np.int64)
        for samples, program in programs.items():
            tables = [[self._flat(b, s) for b in BLOCKS] for s in range(plan.shards if samples else 1)]
            rows = [
                (FORMS[c.kernel], [carve(t, c.row(), KERNELS[c.kernel].spec) for t in tables]) for c in program.calls
            ]
            nothing: list[Any] = [()] * len(tables)
            rows = [(control.send, nothing), *rows, (control.fetch, nothing), (stats.fetch, nothing)]
            self.spans[samples] = len(self.forms), len(self.forms) + len(rows)
            self.forms += [launches for launches, _ in rows]
            self.arguments += [arguments for _, arguments in rows]

    @property
    def order(self) -> np.ndarray:
        """The order of the samples, which a run reads anew."""
        return self.arrays["order"]

    def _flat(self, block: str, shard: int) -> Any:
        """Return a shard's block on the device, from its first element to the end of the block's memory."""
        device: Any = self.blocks.get(block)
        return device[shard * self.private[block] :] if block in self.private else device

    def view(self, buffer: Buffer, shard: int = 0) -> np.ndarray:
        """Return a buffer of a shard as an array of the host: what the last run left there."""
        part = self._flat(buffer.block, shard)[buffer.offset : buffer.offset + buffer.size]
        return part.copy_to_host().reshape(buffer.shape)

    def feed(self, **arrays: np.ndarray) -> None:
        """Copy other arrays of the same shapes and strides into foreign blocks."""
        for name, array in arrays.items():
            assert BLOCKS[name][1] == FOREIGN
            self.arrays[name] = self.mirrors[name].host = array
            self.mirrors[name].send()

    def run(self, first: int, stop: int, *, shuffle: int, seed: int, epoch: int, step: int) -> tuple[int, np.ndarray]:
        """Run batches first to stop, and return where it stopped and the log: a row of statistics a batch."""
        for name, mirror in self.mirrors.items():
            if BLOCKS[name][1] == SHARED or name == "order":
                mirror.send()
        log, job = (
            np.zeros((stop - first, self.figures)),
            cpu.make_job(self.plan, first, stop, shuffle, seed, epoch, step),
        )
        order = self.mirrors["order"]
        done = int(_run(self.forms, self.arguments, self.spans, None, self.control, order, self.stats, log, job))
        for name in self.written & self.mirrors.keys():
            self.mirrors[name].fetch()
        return done, log[: done - first + (done < stop)]


def _require_forms(program: Program) -> None:
    """Raise ValueError if a kernel of the program has no CUDA form."""
    for call in program.calls:
        if call.kernel not in FORMS:
            names = [b.name for written in (True, False) for b in call.buffers(written) if b.block != "slots"]
            layers = [name.partition("/")[0] for name in names if "/" in name]
            owner = f"layer {layers[0]}" if layers else program.title
            raise ValueError(
                f"kernel {call.kernel} of {owner} has no CUDA form; those that have one are {', '.join(sorted(FORMS))}."
            )
