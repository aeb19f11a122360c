"""Numba's simulator of CUDA, as unkind as a GPU may be. It is imported where simulated tests run.

- Threads run one at a time, from one barrier to the next, the last one first; blocks too. A GPU has any order.
- A block that looks at a counter lets the others run: so blocks can meet, in one launch of many steps.
- Memory that nobody has written holds no numbers, but NaN or -1: device, shared and local arrays.
- All threads of a block meet at the same line, and none has left before.
- Where two threads touch a number, and one writes it, there is a barrier of their block between, a meeting of their
  group of blocks, or a launch.
"""

import sys
import threading
from contextlib import suppress

import numpy as np
from numba import cuda, types
from numba.cuda.simulator import kernel, kernelapi
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray, FakeWithinKernelCUDAArray
from numba.np.numpy_support import as_dtype

from nbrnn.targets.cuda import barrier, grouppasses

AGREED = {"check"}  # kernels in which several threads write the same number over one that others look at


class Race(AssertionError):
    """Two threads touch a number, one of them writes it, and nothing says which comes first."""


class Launch:
    """What is known of the launch that runs: who has touched which number, by its address."""

    def __init__(self):
        self.device, self.begun, self.waiting = {}, 0, []

    def touched(self, address, writes):
        """Note that the thread that runs reads or writes a number."""
        thread = threading.current_thread()
        if not isinstance(thread, Thread) or thread.kernel in AGREED:
            return
        mine, block = thread.thread_id, thread.block
        shared = any(first <= address < stop for first, stop in block.ranges)
        reads, written = (block.shared if shared else self.device).setdefault(address, ({}, {}))
        for notes in (written, reads) if writes else (written,):
            for (other, its), (phase, met) in notes.items():
                alone = phase == block.phase and its != mine if other is block else not block.follows(other, met)
                if alone:
                    kind, who = "shared" if shared else "device", ((other.place, its), (block.place, mine))
                    raise Race(f"{thread.kernel}: threads {who[0]} and {who[1]} touch a number of {kind} memory")
        (written if writes else reads)[block, mine] = block.phase, block.met


now = Launch()


class Thread(kernel.BlockThread):
    """A thread that runs while its block lets it, up to a barrier."""

    def __init__(self, function, arguments, block, point):
        super().__init__(lambda: function(*arguments), block, block.place, point, False)
        self.kernel, self.block, self.line, self.over, self.looks = function.__name__, block, None, False, False
        self.turn, self.rests = threading.Lock(), threading.Lock()
        self.turn.acquire()
        self.rests.acquire()

    def run(self):
        self.turn.acquire()
        super().run()
        self.over = True
        self.rests.release()

    def goes(self):
        """Let the thread run, up to its next rest."""
        self.turn.release()
        self.rests.acquire()

    def rest(self):
        """Let the others run."""
        self.rests.release()
        self.turn.acquire()
        if self.abort:
            raise RuntimeError("another thread of the block has failed")

    def syncthreads(self):
        """Let the others come here."""
        frame = sys._getframe(1)
        while "simulator" in frame.f_code.co_filename and "numba" in frame.f_code.co_filename:
            frame = frame.f_back
        self.line = frame.f_code.co_filename, frame.f_lineno
        self.rest()


class Block:
    """Runs the threads of a block, in the place of the simulator's manager."""

    def __init__(self, function, grid, shape, debug):
        self.function, self.grid, self.shape, self.block_state = function, grid, shape, np.zeros(shape, np.bool_)
        self._grid_dim, self._block_dim = grid, shape
        self.place, self.phase, self.met, self.group = None, 0, 0, None
        self.shared, self.ranges, self.arrays = {}, [], {}

    def follows(self, other, met):
        """Return whether a meeting of both lies between now and when another block had met others so often."""
        return self.group is not None and self.group == other.group and met < self.met

    def run(self, place, *arguments):
        """Run all threads until they end or look at a counter; after the last block of a grid, all others, too."""
        self.place, now.begun = place, now.begun + 1
        now.waiting.append(self._goes(arguments))
        whole = now.begun == np.prod(self.grid)
        while now.waiting:
            last = now.waiting[-1:] if not whole else list(now.waiting)
            for block in last:
                if next(block, "over") == "over":
                    now.waiting.remove(block)
            if not whole:
                break

    def _goes(self, arguments):
        threads = [Thread(self.function, arguments, self, point) for point in reversed(list(np.ndindex(*self.shape)))]
        for thread in threads:
            thread.start()
        while threads:
            for thread in threads:
                thread.goes()
                while thread.looks and not thread.over:
                    yield
                    thread.goes()
                if thread.exception:
                    self._end(threads, thread)
            waiting = [thread for thread in threads if not thread.over]
            if waiting and (len(waiting) < len(threads) or len({thread.line for thread in waiting}) > 1):
                failed = waiting[0]
                failed.exception = AssertionError(f"{failed.kernel}: not all threads come to {failed.line}"), None
                self._end(threads, failed)
            self.phase, threads = self.phase + 1, waiting

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
    frame, block = sys._getframe(1), threading.current_thread().block
    key = "dynamic" if shape == 0 else (frame.f_code.co_filename, frame.f_lineno)
    if key not in block.arrays:
        made = np.empty(self._dynshared_size, np.byte) if shape == 0 else np.empty(shape, kind)
        block.arrays[key] = made
        spoil(made)
        block.ranges.append((address_of(made), address_of(made) + made.nbytes))
    found = block.arrays[key]
    if shape == 0:
        found = found[: found.size // kind.itemsize * kind.itemsize].view(kind)
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
    if len(places) == array.ndim and not any(isinstance(i, slice) for i in places):
        at = address_of(array)
        for i, n, step in zip(places, array.shape, array.strides, strict=True):
            at += (int(i) if i >= 0 else int(i) + n) * step
        now.touched(at, writes)
    elif writes:
        part = array[index]
        for place in np.ndindex(part.shape):
            note(part, place, True)


def get(self, index):
    array = self.__dict__["_item"]._ary
    found = array[index]
    if isinstance(found, np.ndarray):
        return FakeWithinKernelCUDAArray(FakeCUDAArray(found))
    note(array, index, False)
    return found


def put(self, index, value):
    array = self.__dict__["_item"]._ary
    note(array, index, True)
    array[index] = value


def attribute(self, name):
    """Return an attribute of the array; the simulator lists all that there are first."""
    return getattr(self.__dict__["_item"]._ary, name)


def launched(self, *arguments, _plain=kernel.FakeCUDAKernel.__call__):
    if not self._device:
        now.__init__()
    return _plain(self, *arguments)


def atomic(function, looks):
    """Return a function on arrays whose accesses are atomic on the device; after a look other blocks may run."""

    def accesses(array, place):
        found, thread = function(getattr(array, "_item", array), place), threading.current_thread()
        if looks and isinstance(thread, Thread):
            thread.looks = True
            thread.rest()
            thread.looks = False
        return found

    return accesses


def meets(counters, status, group, target, spins, _plain=barrier.arrive_and_wait):
    """Note that a block has met the others of its group."""
    thread = threading.current_thread()
    thread.block.group = group
    if not _plain(counters, status, group, target, spins):
        return False
    thread.block.met += 1
    return True


class LastFirst:
    """NumPy, as the simulator's kernel sees it: its blocks run the last one first."""

    def __getattr__(self, name):
        return getattr(np, name)

    def ndindex(self, *shape):
        return reversed(list(np.ndindex(*shape)))


kernel.BlockManager, kernel.np = Block, LastFirst()
kernel.FakeCUDAKernel.__call__ = launched
FakeWithinKernelCUDAArray.__getitem__, FakeWithinKernelCUDAArray.__setitem__ = get, put
FakeWithinKernelCUDAArray.__getattr__ = attribute
kernelapi.FakeCUDAShared.array, kernelapi.FakeCUDALocal.array = shared_array, local_array
cuda.device_array = device_array
barrier.arrive, barrier.arrived = atomic(barrier.arrive, False), atomic(barrier.arrived, True)
grouppasses.arrives_and_waits = meets
