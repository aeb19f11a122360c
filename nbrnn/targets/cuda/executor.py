"""Runs a program on a CUDA GPU, or in Numba's simulator of one: the same table, where a call is a launch or more.

Everything stays on the device: data, order, work and a model's weights. A run is a launch of the batch's graph for each
batch (graphs.py), and at its end one copy of the log, for which the host waits.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numba import cuda, njit

from ...kernels import abi, random
from ...kernels.abi import STATUS
from ...memory import require_card
from ...plan import Plan
from ...program import BLOCKS, FOREIGN, Buffer, Program, dtype_of
from ..runner import AGAIN
from . import graphs
from . import groups as _groups  # noqa: F401  (it registers its design)
from . import persistent as _persistent  # noqa: F401  (it registers its design)
from .barrier import require_met
from .calls import launch_of, memory_beside, part_of, wanted_design
from .device import memory_left, require_device
from .exchange import DeviceArray, pointer_of
from .forms import FORMS
from .launching import TURN, Queue, launch
from .precision import using
from .residence import OWN, Residence, told, zeros

ENDS = ("output", "final")  # what a whole pass leaves for the caller
STEP, PREPARE = 0, -1  # programs of a plan beside those of so many samples


@cache
def _permute() -> Callable[..., None]:
    """Return the shuffle as Python can call it: kernels' helpers have no wrapper for that."""
    return njit(**abi.OPTIONS)(getattr(random.permute, "py_func", random.permute))


class Executor:
    """A plan bound to a device's memory; it is used as targets/cpu.py's is.

    Parameters
    ----------
    plan : Plan
        What to run: made with Options(device="cuda"), so that a batch is one shard.
    arrays : dict of str to numpy.ndarray
        The shared and foreign blocks by name, each as the flat array that holds all of its elements. Foreign ones may
        stand on the device already.
    residence : Residence, optional
        Where the model's own arrays live; where it is not given, a run reads them anew, and what it writes stands in
        them when it returns.
    design : str, optional
        The design of recurrent kernels to take wherever it fits; NBRNN_CUDA_DESIGN, or the best, if it is not given.

    Raises
    ------
    ValueError
        If there is no device, a kernel has no CUDA form, the dtype is neither float32 nor float64, or a batch has
        several shards.
    NotEnoughMemoryError
        If the device's memory is too small for it.
    """

    worth_threads = False
    fresh = False  # its memory is taken already

    def __init__(
        self,
        plan: Plan,
        arrays: dict[str, Any],
        residence: Residence | None = None,
        design: str = "",
    ) -> None:
        require_device()
        others = {STEP: plan.update, PREPARE: plan.prepare}
        programs = plan.programs | {key: p for key, p in others.items() if p is not None}
        first = next(iter(programs.values()))
        if first.dtype.kind != "f":
            raise ValueError(f"the CUDA target runs models in float32 and float64, not {first.dtype}.")
        if plan.shards != 1:
            raise ValueError(
                f"on the GPU a batch is one shard, but this plan has {plan.shards}: make it with "
                'Options(device="cuda").'
            )
        for program in programs.values():
            _require_forms(program)
        self.plan, self.arrays = plan, dict(arrays)
        self.residence = Residence(lasting=False) if residence is None else residence
        self.design = design or wanted_design()
        self.figures = first["stats"].size
        resident = [name for name in OWN if self.residence.host.get(name) is arrays.get(name, self)]
        self.rooms: dict[Any, Any] = {}  # for results in between
        with told():
            require_card(plan, memory_left(), resident, memory_beside(plan, self.residence.precision, self.design))
            self._allocate(first.dtype)
        self.status = 0
        self.calls: dict[int, list[Callable[[], None]]] = {}
        self.batches: dict[int, graphs.Replayed] = {}
        self.tried: set[int] = set()  # the sizes of batches whose kernels are ready

    # ------------------------------------------------------------------ memory

    def _allocate(self, dtype: np.dtype) -> None:
        """Take the device's memory, and bring the caller's arrays there."""
        plan, arrays = self.plan, self.arrays
        self.blocks: dict[str, Any] = self.residence.bind(arrays)
        for name, size in plan.sizes.items():
            if name not in arrays:
                self.blocks[name] = zeros(size, dtype_of(name, dtype))
        self.own: dict[str, Any] = {}  # the device's memory for what the caller gives
        self.fixed = False  # whether arrays that are fed again hold what they held
        self.stale_order = True
        for name in arrays:
            if name not in OWN:
                self._feed(name, arrays[name])
        self.job = cuda.to_device(graphs.make_job(batch_size=1))
        self.log = zeros(graphs.HEAD + graphs.ROWS * self.figures, np.float64)
        self.kept_hyper = zeros(self.blocks["hyper"].size if plan.update else 1, np.float64)
        self.kept_states = zeros(self.blocks["carried"].size, dtype) if "carried" in self.blocks else None

    @property
    def order(self) -> np.ndarray:
        """The order of the samples, which may be changed between two runs."""
        self.stale_order = True
        return np.asarray(self.arrays["order"])

    @property
    def control(self) -> np.ndarray:
        """The control words, as the last run has left them."""
        words = self.blocks["control"].copy_to_host().reshape(1, -1)
        words[0, STATUS] = self.status
        return words

    def set_numbers(self, numbers: list[float]) -> None:
        """Set the first of the optimizer's numbers."""
        self.residence.set_numbers(numbers)

    def view(self, buffer: Buffer, shard: int = 0) -> np.ndarray:
        """Return a buffer as an array of the host: what the last run left there."""
        return np.asarray(part_of(buffer, self.blocks).copy_to_host())

    def feed(self, **arrays: Any) -> None:
        """Hand over other arrays for foreign blocks, of the same shapes and strides, or the same with other numbers."""
        for name, array in arrays.items():
            assert BLOCKS[name][1] == FOREIGN
            same = self.fixed and not isinstance(array, DeviceArray) and _address(array) == _address(self.arrays[name])
            self.arrays[name] = array
            if not same:
                with told():
                    self._feed(name, array)

    def _feed(self, name: str, array: Any) -> None:
        """Bring an array to the device, or take it where it stands; results go from a place that stays to the caller's.

        So a graph that was captured for one result serves for all.
        """
        before, ends = self.blocks.get(name), name.partition(":")[0] in ENDS
        if isinstance(array, DeviceArray) and not ends:
            self.blocks[name] = array.block()
        else:
            if name not in self.own:
                self.own[name] = zeros(array.size, array.dtype)
            self.blocks[name] = self.own[name]
            if not ends:
                self.own[name].copy_to_device(array)
        if before is not None and pointer_of(before) != pointer_of(self.blocks[name]):
            self.tried |= {size for size, batch in self.batches.items() if batch.ran}
            for batch in self.batches.values():
                batch.drop()
            self.calls, self.batches = {}, {}

    # ------------------------------------------------------------------ running

    def run(self, first: int, stop: int, *, shuffle: int, seed: int, epoch: int, step: int) -> tuple[int, np.ndarray]:
        """Run batches first to stop, and return where it stopped and the log: a row of statistics a batch.

        Where an epoch has begun and `order` is not its own, `shuffle` is AGAIN.
        """
        with TURN:
            before, Queue.rooms = Queue.rooms, self.rooms
            try:
                with told(), using(self.residence.precision):
                    return self._run(first, stop, shuffle, seed, epoch, step)
            finally:
                Queue.rooms = before

    def _run(self, first: int, stop: int, shuffle: int, seed: int, epoch: int, step: int) -> tuple[int, np.ndarray]:
        trains = self.plan.update is not None
        self.residence.send()
        if "carried" in self.blocks:
            self.blocks["carried"].copy_to_device(self.arrays["carried"])
        if not trains and self.plan.prepare is not None:
            for launches in self._launches(PREPARE):
                launches()
        logs, done, part, self.status = [], first, first, 0
        try:
            while done == part < stop:  # else a batch has failed
                part = min(stop, done + graphs.ROWS)
                words = {"at": done, "samples": self.plan.samples, "batch_size": self.plan.batch, "trains": int(trains)}
                job = graphs.make_job(**words, epoch_0=epoch, step_0=step, job_seed=seed)
                done, log = self._slice(job, done, part, shuffle)
                logs.append(log)
                shuffle = min(shuffle, 1)
        finally:
            self.residence.ran(trains)
        if "carried" in self.blocks:
            self.blocks["carried"].copy_to_host(self.arrays["carried"])
        if not trains and done % -(-self.plan.samples // self.plan.batch) == 0:
            for name, array in self.arrays.items():
                if name.partition(":")[0] in ENDS and isinstance(array, DeviceArray):
                    array.block().copy_to_device(self.blocks[name])
                elif name.partition(":")[0] in ENDS:
                    self.blocks[name].copy_to_host(array)
        return done, np.concatenate(logs)

    def _slice(self, job: np.ndarray, first: int, stop: int, shuffle: int) -> tuple[int, np.ndarray]:
        """Run as many batches as a log has room for, wait for them, and look whether one has failed."""
        samples, batch = self.plan.samples, self.plan.batch
        batches = -(-samples // batch)
        self.job.copy_to_device(job)
        for n in range(first, stop):
            place = n % batches
            if shuffle and (place == 0 or (n == first and shuffle == AGAIN)):
                self._shuffle(job, n)
            self._send_order()
            self.replay(min(batch, samples - place * batch))()
        log = self.log[: graphs.HEAD + (stop - first) * self.figures].copy_to_host()
        failed, at = int(log[0]), int(log[1])
        try:
            require_met()
        except ValueError:
            if failed:
                self._put_back(job, failed, at)
            raise
        rows = log[graphs.HEAD :].reshape(stop - first, self.figures)
        if not failed:
            return stop, rows
        if shuffle:
            self._shuffle(job, at)
        self._fail(job, failed, at)
        return at, rows[: at - first + 1]

    def _shuffle(self, job: np.ndarray, n: int) -> None:
        """Make the order of the epoch of batch n, on the host, where the CPU target makes it."""
        epoch = int(job[graphs.EPOCH_0]) + n // -(-self.plan.samples // self.plan.batch)
        _permute()(self.arrays["order"], int(job[graphs.JOB_SEED]), epoch)
        self.stale_order = True

    def _send_order(self) -> None:
        if self.stale_order:
            self.blocks["order"].copy_to_device(self.arrays["order"])
            self.stale_order = False

    def _fail(self, job: np.ndarray, failed: int, at: int) -> None:
        """Leave the buffers as the batch that failed has left them: it is run again, without the optimizer's step."""
        self._send_order()
        self._put_back(job, failed, at)
        batches = -(-self.plan.samples // self.plan.batch)
        size = min(self.plan.batch, self.plan.samples - at % batches * self.plan.batch)
        for launches in [*self._launches(PREPARE), *self._launches(size)]:
            launches()
        self.status = 0 if failed == graphs.LOSS_NOT_FINITE else failed

    def _put_back(self, job: np.ndarray, failed: int, at: int) -> None:
        """Put the optimizer's numbers and carried states back to those before a batch that has failed."""
        job[graphs.AT], job[graphs.FAILED] = at, failed
        self.job.copy_to_device(job)
        for launches in self._begin():
            launches()

    def replay(self, size: int) -> graphs.Replayed:
        """Return what runs a batch of so many samples."""
        if size not in self.batches:
            blocks, trains = self.blocks, self.plan.update is not None
            control, logged = blocks["control"], (blocks["stats"], self.figures, blocks["control"], self.log)
            launches = self._begin()
            launches += self._launches(PREPARE) if trains else []
            launches += [*self._launches(size), partial(launch, graphs.log_batch, self.job, *logged, grid=(1, 1))]
            launches += self._launches(STEP)
            launches.append(partial(launch, graphs.end_batch, self.job, control, self.log, grid=(1, 1)))
            self.batches[size] = graphs.Replayed(launches, size in self.tried)
        return self.batches[size]

    def _begin(self) -> list[Callable[[], None]]:
        """Return the launches before a batch."""
        hyper = self.blocks["hyper"] if self.plan.update is not None else self.kept_hyper
        kept = self.kept_hyper if self.plan.update is not None else self.kept_hyper[:0]
        words = (self.job, hyper, kept, self.blocks["control"])
        begin: list[Callable[[], None]] = [partial(launch, graphs.begin_batch, *words, grid=(1, 1))]
        if self.kept_states is not None and self.plan.update is not None:
            states = self.blocks["carried"], self.kept_states
            begin.append(partial(launch, graphs.keep_states, self.job, *states, count=self.kept_states.size))
        return begin

    def _launches(self, key: int) -> list[Callable[[], None]]:
        """Return the launches of a program: of so many samples, of the optimizer's step, or of what is prepared."""
        others = {STEP: self.plan.update, PREPARE: self.plan.prepare}
        program = others[key] if key in others else self.plan.programs[key]
        if program is None:
            return []
        if key not in self.calls:
            absent = {"model": self.blocks["params"], "f8": self.log, "i8": self.job}
            how = self.residence.precision, self.design
            self.calls[key] = [launch_of(program, call, self.blocks, absent, *how) for call in program.calls]
        return self.calls[key]


def _address(array: Any) -> tuple[int, int]:
    """Return where a foreign array stands, on whichever side, and its size."""
    return (array.pointer if isinstance(array, DeviceArray) else array.ctypes.data), array.size


def _require_forms(program: Program) -> None:
    """Raise ValueError if a kernel of the program has no CUDA form, as those of custom cells have none."""
    for call in program.calls:
        if call.kernel not in FORMS:
            raise ValueError(
                f"layer {call.layer} has a cell of your own, whose kernel {call.kernel} runs on the CPU only: leave "
                'the model there, model.to("cpu").'
            )
