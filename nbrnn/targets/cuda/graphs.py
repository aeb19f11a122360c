"""A batch's launches as one CUDA graph, and the kernels that move a run from batch to batch on the device.

What differs between batches stands in device memory, in the job's words: `begin_batch` makes the control words of them,
`log_batch` appends the statistics to the log, `end_batch` counts. So every batch of a size is the same graph, and the
host has nothing to do between two of them but to launch it.

A failure is kept, too: from the batch on whose loss, gradient or step is not finite, every batch begins with the status
of a failed gradient, with which an optimizer changes nothing; the numbers of the optimizer and carried states stay, or
come back, as they were before that batch. The host finds it in the log at the end of the run.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from ...kernels.abi import BATCH, EPOCH, POSITION, SEED, SHARDS, STATUS, STEP
from ...kernels.optimizers import GRADIENT_NOT_FINITE
from .device import first_line, simulating
from .launching import Queue

# Words of a job: where a run stands. The host writes them before a run, `log_batch` and `end_batch` move them on.
AT, SAMPLES, BATCH_SIZE, EPOCH_0, STEP_0, JOB_SEED, ROW, TRAINS, FAILED, FAILED_AT = range(10)
WORDS = 10
LOSS_NOT_FINITE = 3  # of FAILED, beside an optimizer's GRADIENT_NOT_FINITE and UPDATE_NOT_FINITE
HEAD = 2  # numbers before the log's rows: FAILED and FAILED_AT
ROWS = 4096  # batches of a log
OFF = "NBRNN_CUDA_GRAPHS"  # 0: every kernel is launched by itself


@cuda.jit
def begin_batch(job, hyper, kept, control):  # type: ignore[no-untyped-def]
    """Set the control words for the next batch; the optimizer's numbers are kept, or after a failure put back."""
    if cuda.grid(1) == 0:
        at, batch = job[AT], job[BATCH_SIZE]
        batches = (job[SAMPLES] + batch - 1) // batch
        start = at % batches * batch
        control[POSITION], control[BATCH], control[SHARDS] = start, min(batch, job[SAMPLES] - start), 1
        control[STEP], control[EPOCH], control[SEED] = job[STEP_0] + at, job[EPOCH_0] + at // batches, job[JOB_SEED]
        failed = job[FAILED] != 0
        control[STATUS] = GRADIENT_NOT_FINITE if failed else 0
        for i in range(kept.size):
            if failed:
                hyper[i] = kept[i]
            else:
                kept[i] = hyper[i]


@cuda.jit
def keep_states(job, carried, kept):  # type: ignore[no-untyped-def]
    """Keep carried states as they are before a batch; after a failure put back those before the batch that failed."""
    failed = job[FAILED] != 0
    for i in range(cuda.grid(1), kept.size, cuda.gridsize(1)):
        if failed:
            carried[i] = kept[i]
        else:
            kept[i] = carried[i]


@cuda.jit
def log_batch(job, stats, figures, control, log):  # type: ignore[no-untyped-def]
    """Append a batch's statistics to the log, unless a batch before it has failed, and look at its loss."""
    if cuda.grid(1) == 0 and job[FAILED] == 0:
        row = HEAD + job[ROW] * figures
        for q in range(figures):
            log[row + q] = stats[q]
        job[ROW] += 1
        if job[TRAINS] != 0 and not math.isfinite(stats[0]):
            job[FAILED], job[FAILED_AT], control[STATUS] = LOSS_NOT_FINITE, job[AT], GRADIENT_NOT_FINITE


@cuda.jit
def end_batch(job, control, log):  # type: ignore[no-untyped-def]
    """See whether the optimizer's step has failed, and go on to the next batch."""
    if cuda.grid(1) == 0:
        if job[TRAINS] != 0 and job[FAILED] == 0 and control[STATUS] != 0:
            job[FAILED], job[FAILED_AT] = control[STATUS], job[AT]
        log[0], log[1] = job[FAILED], job[FAILED_AT]
        job[AT] += 1


class Replayed:
    """The launches of a batch: they run one by one at first, which compiles kernels, and then as one captured graph.

    Parameters
    ----------
    launches : sequence of callable
        Each launches some kernels on `Queue.now`, always the same ones.
    ready : bool, default False
        Whether their kernels, and the rooms for results in between, are there already.
    """

    def __init__(self, launches: Sequence[Callable[[], None]], ready: bool = False) -> None:
        self.launches, self.ready = launches, ready
        self.graph: Any = None
        self.ran = False

    def __call__(self) -> None:
        """Run the batch's launches."""
        if not self.ready:
            try_out(self.launches)
            self.ready = True
        if self.ran and self.graph is None and capturing():
            self.graph = capture(self.launches)
        if self.graph is None:
            for launches in self.launches:
                launches()
            self.ran = True
        else:
            self.graph.launch(default_stream())

    def drop(self) -> None:
        """Forget the graph: what it was captured for stands elsewhere now."""
        if self.graph is not None:
            self.graph.close()
        self.graph, self.ran = None, False


def try_out(launches: Sequence[Callable[[], None]]) -> None:
    """Make all ready that some launches need, kernels and memory in between: an error leaves everything as it was."""
    if simulating():
        return
    Queue.trying = True
    try:
        for launches_ in launches:
            launches_()
    finally:
        Queue.trying = False


def capturing() -> bool:
    """Return whether batches become graphs: not in the simulator, nor where NBRNN_CUDA_GRAPHS=0 is set."""
    return not simulating() and os.environ.get(OFF, "").strip() != "0"


def capture(launches: Sequence[Callable[[], None]]) -> Any:
    """Return the graph of some launches, which do not run now; their kernels must have been compiled.

    Raises
    ------
    ValueError
        If they cannot be captured.
    """
    builder, before = new_builder(), Queue.now
    try:
        with undisturbed():
            builder.begin_building()
            Queue.now = builder
            for launches_ in launches:
                launches_()
            builder.end_building()
            return builder.complete()
    except Exception as error:
        raise ValueError(
            f"the kernels of a batch could not be captured as a CUDA graph ({first_line(error)}): set {OFF}=0 to "
            "launch them one by one."
        ) from error
    finally:
        Queue.now = before
        with suppress(Exception):  # a capture that has failed cannot be ended without an error
            builder.close()


def undisturbed() -> Any:
    """Return a context in which no memory is given back to the device, whatever Python's garbage collector finds."""
    return cuda.defer_cleanup()


def new_builder() -> Any:
    """Return what captures launches on the GPU that numba.cuda uses."""
    from cuda.core import Device

    device = Device(cuda.get_current_device().id)
    device.set_current()
    return device.create_graph_builder()


@cache
def default_stream() -> Any:
    """Return the stream that numba.cuda, CuPy and PyTorch use unless told otherwise: what they do is in order."""
    from cuda.core import Stream

    return Stream.from_handle(0)


def seconds_of(work: Callable[[], None]) -> float:
    """Return the seconds that a device works on what is launched, by its events; in the simulator by the clock."""
    if simulating():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    begun, ended = cuda.event(timing=True), cuda.event(timing=True)
    begun.record()
    work()
    ended.record()
    ended.synchronize()
    return float(cuda.event_elapsed_time(begun, ended)) / 1e3


def make_job(**words: int) -> np.ndarray:
    """Return a job; the words are given by their names in lower case."""
    job = np.zeros(WORDS, np.int64)
    for name, value in words.items():
        job[globals()[name.upper()]] = value
    return job
