"""Numba's simulator of CUDA, as unkind as a GPU may be. It is imported where simulated tests run.

- Threads run one at a time, from one barrier to the next, the last one first; blocks too. A GPU has any order.
- Memory that nobody has written holds no numbers, but NaN or -1: device, shared and local arrays.
- All threads of a block meet at the same line, and none has left before.
- Where two threads touch a number, and one writes it, there is a barrier of their block between, or a launch.
"""

import sys
import threading
from contextlib import suppress

import numpy as np
from numba import cuda, types
from numba.cuda.simulator import kernel, kernelapi
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray, FakeWithinKernelCUDAArray
from numba.np.numpy_support import as_dtype

from nbrnn.targets.cuda import barrier

AGREED = {"check"}  # kernels in which several threads write the same number over one that others look at


class Race(AssertionError):
    """Two threads touch a number, one of them writes it, and nothing says which comes first."""


class Launch:
    """What is known of the launch that runs: who has touched which number, by its address."""

    def __init__(self):
        self.numbers, self.shared, self.ranges = {}, {}, []
        self.block, self.phase = None, 0

    def touched(self, address, writes):
        """Note that the thread that runs reads or writes a number."""
        thread = threading.current_thread()
        if not isinstance(thread, Thread) or thread.kernel in AGREED:
            return
        mine = any(first <= address < stop for first, stop in self.ranges)
        who, when = (self.block, thread.thread_id), self.phase
        reads, written = (self.shared if mine else self.numbers).setdefault(address, [[], []])
        for (block, other), phase in [*written, *(reads if writes else [])]:
            if (block, other) != who and (block != self.block or phase == when):
                kind = "shared" if mine else "device"
                raise Race(f"{thread.kernel}: threads {(block, other)} and {who} touch a number of {kind} memory")
        mark = who, when
        notes = written if writes else reads
        if mark not in notes:
            others = [m for m in notes if m[0][0] != self.block][:1]  # of other blocks one says as much as all
            notes[:] = [*others, *(m for m in notes if m[0][0] == self.block and m[1] == when), mark]


now = Launch()


class Thread(kernel.BlockThread):
    """A thread that runs while its block lets it, up to a barrier."""

    def __init__(self, function, arguments, manager, block, place):
        super().__init__(lambda: function(*arguments), manager, block, place, False)
        self.kernel, self.line, self.over = function.__name__, None, False
        self.turn, self.rests = threading.Semaphore(0), threading.Semaphore(0)

    def run(self):
        self.turn.acquire()
        super().run()
        self.over = True
        self.rests.release()

    def syncthreads(self):
        """Let the others come here."""
        frame = sys._getframe(1)
        while "simulator" in frame.f_code.co_filename and "numba" in frame.f_code.co_filename:
            frame = frame.f_back
        self.line = frame.f_code.co_filename, frame.f_lineno
        self.rests.release()
        self.turn.acquire()
        if self.abort:
            raise RuntimeError("another thread of the block has failed")


class Block:
    """Runs the threads of a block, in the place of the simulator's manager."""

    def __init__(self, function, grid, shape, debug):
        self.function, self.shape, self.block_state = function, shape, np.zeros(shape, np.bool_)
        self._grid_dim, self._block_dim = grid, shape

    def run(self, place, *arguments):
        """Run all threads to their ends."""
        module = kernel._get_kernel_context()
        for array in [*module.shared._allocations.values(), module.shared._dynshared]:
            spoil(array)
        now.block, now.phase = place, now.phase + 1
        now.shared.clear()
        points = reversed(list(np.ndindex(*self.shape)))
        threads = [Thread(self.function, arguments, self, place, point) for point in points]
        for thread in threads:
            thread.start()
        while threads:
            for thread in threads:
                thread.turn.release()
                thread.rests.acquire()
                if thread.exception:
                    self._end(threads, thread)
            waiting = [thread for thread in threads if not thread.over]
            if waiting and (len(waiting) < len(threads) or len({thread.line for thread in waiting}) > 1):
                failed = waiting[0]
                failed.exception = AssertionError(f"{failed.kernel}: not all threads come to {failed.line}"), None
                self._end(threads, failed)
            now.phase, threads = now.phase + 1, waiting

    def _end(self, threads, failed):
        for thread in threads:
            thread.abort = True
            thread.turn.release()
        error, trace = failed.exception
        raise error.with_traceback(trace)


def spoil(array):
    """Fill an array with what is no number."""
    with suppress(ValueError):  # one that is only read
        array.view(np.uint8).reshape(-1)[...] = 0xFF


def shared_array(self, shape, dtype, alignment=None):
    """Return the block's array of the caller's line, as arrays of the device are seen, and watched."""
    kind = as_dtype(dtype) if isinstance(dtype, types.Type) else np.dtype(dtype)
    if shape == 0:
        found = np.frombuffer(self._dynshared.data, kind, self._dynshared_size // kind.itemsize)
    else:
        frame = sys._getframe(1)
        key = frame.f_code.co_filename, frame.f_lineno
        if key not in self._allocations:
            self._allocations[key] = np.empty(shape, kind)
            spoil(self._allocations[key])
        found = self._allocations[key]
    first = address_of(found)
    if found.size and (first, first + found.nbytes) not in now.ranges:
        now.ranges.append((first, first + found.nbytes))
    return FakeWithinKernelCUDAArray(FakeCUDAArray(found))


def local_array(self, shape, dtype, alignment=None):
    """Return an array of the thread's own."""
    made = np.empty(shape, as_dtype(dtype) if isinstance(dtype, types.Type) else dtype)
    spoil(made)
    return made


def device_array(*arguments, _made=cuda.device_array, **options):
    """Return an array of the device that nobody has written."""
    made = _made(*arguments, **options)
    spoil(made._ary)
    return made


def address_of(array):
    return array.__array_interface__["data"][0]


def note(array, index, writes):
    """Note the numbers that an index of an array stands for."""
    places = index if isinstance(index, tuple) else (index,)
    if len(places) == array.ndim and all(isinstance(i, (int, np.integer)) for i in places):
        steps = zip(places, array.shape, array.strides, strict=True)
        now.touched(address_of(array) + sum(int(i) % n * step for i, n, step in steps), writes)
    elif writes:
        part = array[index]
        for place in np.ndindex(part.shape):
            note(part, place, True)


def get(self, index, _plain=FakeWithinKernelCUDAArray.__getitem__):
    note(self._item._ary, index, False)
    return _plain(self, index)


def put(self, index, value, _plain=FakeWithinKernelCUDAArray.__setitem__):
    note(self._item._ary, index, True)
    _plain(self, index, value)


def launched(self, *arguments, _plain=kernel.FakeCUDAKernel.__call__):
    if not self._device:
        now.__init__()
    return _plain(self, *arguments)


def unwatched(function):
    """Return a function on arrays whose accesses are atomic on the device."""
    return lambda array, place: function(getattr(array, "_item", array), place)


class LastFirst:
    """NumPy, as the simulator's kernel sees it: its blocks run the last one first."""

    def __getattr__(self, name):
        return getattr(np, name)

    def ndindex(self, *shape):
        return reversed(list(np.ndindex(*shape)))


kernel.BlockManager, kernel.np = Block, LastFirst()
kernel.FakeCUDAKernel.__call__ = launched
FakeWithinKernelCUDAArray.__getitem__, FakeWithinKernelCUDAArray.__setitem__ = get, put
kernelapi.FakeCUDAShared.array, kernelapi.FakeCUDALocal.array = shared_array, local_array
cuda.device_array = device_array
barrier.arrive, barrier.arrived = unwatched(barrier.arrive), unwatched(barrier.arrived)
