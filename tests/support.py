"""What several test files share: Hypothesis strategies, random models, and a way to call one kernel."""

import ctypes
import os
import sys
import time
from pathlib import Path

import numba
import numpy as np
from hypothesis import strategies as st

import nbrnn
from nbrnn.kernels import KERNELS
from nbrnn.kernels.abi import OPTIONS
from nbrnn.kernels.activations import ACTIVATIONS
from nbrnn.kernels.tile import VECTOR_BYTES
from nbrnn.program import aligned
from nbrnn.targets import cpu

if numba.config.ENABLE_CUDASIM:  # the simulator's barriers are polled for: a thread that polls must let others on
    sys.setswitchinterval(5e-4)

PARTLY = {"scatter", "store_state"}  # kernels that write some of an array
GUARD = 32  # elements before and after an array that no kernel may touch
seeds = st.integers(0, 2**32 - 1)
sizes = st.sampled_from((1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 33))
few = st.sampled_from((1, 2, 3, 5))
activations = st.sampled_from(ACTIVATIONS)


def from_python(function):
    """Return a kernel's helper as Python can call it: compiled again, with the wrapper that kernels go without."""
    return numba.njit(**OPTIONS)(function.py_func) if cpu.JIT else function


def native_call(name, dtype, blocks, row):
    """Call a compiled kernel by its address, as the runner does; without the JIT, the plain function."""
    function = cpu.compile_kernel(name, dtype)
    if not cpu.JIT:
        return function(blocks, row)
    addresses = np.array([block.ctypes.data for block in blocks], np.int64)
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    return prototype(function.address)(addresses.ctypes.data, row.ctypes.data)


def panels(W, gates=1):
    """Return a matrix packed into panels of columns, gate by gate, as tiles read it."""
    lanes, each = 2 * VECTOR_BYTES // W.itemsize, W.shape[1] // gates
    count = -(-each // lanes)
    full = np.zeros((W.shape[0], gates, count * lanes), W.dtype)
    full[:, :, :each] = W.reshape(W.shape[0], gates, each)
    return np.ascontiguousarray(full.reshape(W.shape[0], gates * count, lanes).swapaxes(0, 1))


def call_kernel(name, dtype, arguments, allot=None):
    """Run one kernel and return all of its arrays as they are afterwards.

    Every array stands in a block of its own between guards, where a layout may put it: at a cache line, or anywhere if
    it is small or the user's. Guards, and arrays that are only read, must come back unchanged. What a kernel only
    writes holds no numbers before. Blocks made by `allot` (of a size and a dtype) hold an array and nothing else.
    """
    kinds = {"model": dtype, "f8": "complex128" if dtype == "complex128" else "float64", "i8": "int64"}
    blocks, row, places = [aligned(1, dtype)], [], {}  # the first block tells the model's dtype
    for argument in KERNELS[name].arguments:
        value = arguments.get(argument.name) if argument.optional else arguments[argument.name]
        if argument.dims is None:
            row.append(int(value) if argument.kind == "int" else int(np.float64(value).view(np.int64)))
        elif value is None:
            row += [0] * argument.words
        else:
            value = np.asarray(value)
            if argument.written and not argument.read and argument.kind == "model" and name not in PARTLY:
                value = np.full_like(value, np.nan)
            assert value.ndim == len(argument.dims), f"{argument.name} of {name} has {len(argument.dims)} axes"
            kind, start = kinds[argument.kind], GUARD + (5 if value.size < 16 or argument.name == "source" else 0)
            start = 0 if allot else start
            block = allot(value.size, kind) if allot else aligned(start + value.size + GUARD, kind)
            block[:] = 77
            block[start : start + value.size] = value.reshape(-1)
            row += [len(blocks), start, *value.shape]
            places[argument.name] = len(blocks), start, value.shape, argument.written
            blocks.append(block)
    before = [block.copy() for block in blocks]
    native_call(name, dtype, blocks, np.array(row, np.int64))
    results = {}
    for key, (k, start, shape, written) in places.items():
        inside = slice(start, start + int(np.prod(shape)))
        results[key] = blocks[k][inside].reshape(shape).copy()
        if written:
            blocks[k][inside] = before[k][inside]
        assert blocks[k].tobytes() == before[k].tobytes(), f"{name} wrote outside {key}, or into an input"
    return results


def seconds_of(pid):
    """Return the processor time that a process has had; elsewhere than on Linux the clock."""
    if sys.platform != "linux":
        return time.perf_counter()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_while_it_works(process, seconds):
    """Wait until a process has had so much more of the processor, however many others want it."""
    until = seconds_of(process.pid) + seconds
    while process.poll() is None and seconds_of(process.pid) < until:
        time.sleep(0.02)


def random_weights(model, seed, scale=0.5):
    """Give a model random weights, biases too: constant ones hide permutations."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0.0, scale, w.shape) for w in model.get_weights()])
    return model


def random_model(layers, input_shape, seed=0, dtype="float64", scale=0.5):
    """Make a model with random weights."""
    return random_weights(nbrnn.Sequential(layers, input_shape=input_shape, seed=seed, dtype=dtype), seed, scale)


def random_data(model, samples, seed, steps=4):
    """Return inputs and targets that fit a model."""
    rng = np.random.default_rng(seed)
    shapes = [tuple(steps if n is None else n for n in s) for s in (model.input_shape, model.output_shape)]
    x, y = (rng.normal(size=(samples, *shape)).astype(model.dtype) for shape in shapes)
    return x, y


def assert_close(actual, expected, tolerance, what="", least=(0.0, 0.0)):
    """Compare with a tolerance relative to the largest number, or to `least` where that is more.

    Real and imaginary parts are compared each for themselves; `least` is for the two of them.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, what
    for part, floor in zip((np.real, np.imag) if np.iscomplexobj(expected) else (np.real,), least, strict=False):
        largest = float(np.abs(part(expected)).max(initial=floor))
        np.testing.assert_allclose(part(actual), part(expected), rtol=0, atol=tolerance * largest, err_msg=what)
