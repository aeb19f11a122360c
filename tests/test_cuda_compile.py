"""Every CUDA kernel that small models of all kinds launch, compiled for GPUs that are not there.

A model runs with arrays of the host in the place of the device's, and a launch notes the kernel and the types of its
arguments instead of running it: so what is compiled is what a run launches.
"""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_compiling import ARCHITECTURES, compiled, needs_compiler
from cuda_models import CASES
from numba import cuda, typeof, types

import nbrnn.targets.cuda as target
from nbrnn.kernels import KERNELS
from nbrnn.kernels.abi import dimension
from nbrnn.targets.cuda import (
    barrier,
    calls,
    exchange,
    executor,
    forms_masks,
    forms_sums,
    launching,
    products,
    residence,
)
from nbrnn.targets.cuda.device import CHIPS

pytestmark = needs_compiler

# Kernels that calculate in float64 in a float32 model: sums, and what is made of numbers that are float64 for all.
SUMS = {
    "mse", "mae", "mape", "huber", "quantile", "binary_crossentropy", "categorical_crossentropy", "binary_accuracy",
    "categorical_accuracy", "positives", "determination", "count_valid", "count_rows", "weigh", "add_penalty",
    "pull_weights", "add_squares", "shrink", "log_batch",
}  # fmt: skip
SCALARS = {  # the optimizer's numbers, which a thread reads once, shares of a coin, and rows of a table by number
    "exponential_decay", "cosine_decay", "advance_powers", "move_adam", "move_rmsprop", "begin_batch", "draw_coins",
    "look_up", "look_up_backward",
}  # fmt: skip
ARITHMETIC = re.compile(r"\b(add|sub|mul|fma|div|sqrt|rcp|neg|abs|max|min|setp)[.\w]*\.f64\b")
NAMED = ("truncated",)  # whose kernels are compiled for all architectures


class There(np.ndarray):
    """An array of the host that stands for one of the device."""

    def copy_to_host(self, ary=None):
        if ary is None:
            return np.array(self)
        ary[...] = self.reshape(ary.shape)
        return ary

    def copy_to_device(self, ary):
        self[...] = np.asarray(ary).reshape(self.shape)

    @property
    def __cuda_array_interface__(self):
        return self.__array_interface__


@pytest.fixture
def recorded(monkeypatch):
    """Return where launches are noted: what they would run, by kernel and types."""
    from numba.cuda.dispatcher import CUDADispatcher

    found = {}

    def record(kernel, configuration):
        def launched(*arguments):
            kinds = tuple(typeof(a) if not isinstance(a, np.ndarray) else array_type(a) for a in arguments)
            found[kernel.py_func, kinds] = kernel, configuration[1]

        return launched

    monkeypatch.setattr(CUDADispatcher, "__getitem__", record)
    monkeypatch.setattr(cuda, "device_array", lambda shape, dtype=float, **_: np.zeros(shape, dtype).view(There))
    monkeypatch.setattr(cuda, "to_device", lambda array, **_: np.array(array).view(There))
    monkeypatch.setattr(cuda, "synchronize", lambda: None, raising=False)
    monkeypatch.setattr(cuda, "get_current_device", lambda: SimpleNamespace(id=0, compute_capability=(9, 0)))
    for module in (target, executor):
        monkeypatch.setattr(module, "require_device", lambda: None)
    for module in (executor, residence):
        monkeypatch.setattr(module, "zeros", lambda size, dtype: np.zeros(size, dtype).view(There))
        monkeypatch.setattr(module, "memory_left", lambda: CHIPS["H200"].memory)
    for module in (calls, products):
        monkeypatch.setattr(module, "chip", lambda: CHIPS["H200"])
    monkeypatch.setattr(launching, "make_ready", lambda *arguments: None)
    monkeypatch.setattr(exchange, "pointer_of", lambda array: array.__array_interface__["data"][0])
    monkeypatch.setenv("NBRNN_CUDA_GRAPHS", "0")
    monkeypatch.setenv("NBRNN_CUDA_DESIGN", "steps")
    monkeypatch.setattr(launching.Queue, "rooms", {})
    kept = products._nothing, barrier._meeting
    for arrays in kept:
        arrays.cache_clear()
    yield found
    for arrays in kept:  # which are none of a device's
        arrays.cache_clear()


def array_type(array):
    """Return the type that a device's array of this kind has."""
    layout = "C" if array.flags.c_contiguous else "A"
    return types.Array(typeof(array).dtype, array.ndim, layout)


DONE: set = set()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", CASES)
def test_what_a_model_launches_compiles_without_spills_and_in_float32(case, recorded, tmp_path):
    CASES[case].numbers("cuda", "float32")
    assert len(recorded) > 10
    for (function, kinds), (kernel, threads) in recorded.items():
        architectures = ARCHITECTURES if case in NAMED else [(9, 0)]
        for architecture in architectures:
            if (function, kinds, architecture) in DONE:
                continue
            DONE.add((function, kinds, architecture))
            made, name = compiled(kernel, kinds, architecture, tmp_path), function.__name__
            assert made.spills == 0, (name, architecture, made.spills)
            assert made.registers * threads <= 65536, (name, made.registers)
            if name not in SUMS | SCALARS:
                assert not ARITHMETIC.search(made.ptx), f"{name} calculates in float64"
                assert made.stack == 0, (name, made.stack)


def given(kernel, dtype, length):
    """Return arguments of a kernel, all optional ones among them."""
    kinds = {"model": dtype, "f8": "float64", "i8": "int64"}
    for a in kernel.arguments:
        if a.dims is None:
            yield 1 if a.kind == "int" else np.dtype(dtype).type(0.5)
        else:
            parts = [dimension(text) for text in a.dims]
            shape = [factor * (length if letter in "NR" else 3) + more for factor, letter, more in parts]
            yield np.ones(shape, kinds[a.kind]).view(There)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_small_models_do_not_launch_compiles_too(dtype, recorded, tmp_path):
    for name, form in launching.FORMS.items():
        form(*given(KERNELS[name], dtype, 3))
    for name in ("mse", "determination", "quantile"):  # in slices
        launching.FORMS[name](*given(KERNELS[name], dtype, 2 * launching.LANES + 1))
    barrier.reopen()
    done = {function for function, _, _ in DONE} if dtype == "float32" else set()
    for (function, kinds), (kernel, threads) in recorded.items():
        if function not in done and function.__name__ != "product":  # which test_cuda_products.py compiles
            made = compiled(kernel, kinds, (9, 0), tmp_path)
            assert made.spills == 0 and made.registers * threads <= 65536, function.__name__
    assert {"add_slices", "open_meeting"} <= {function.__name__ for function, _ in recorded}


def test_a_gpus_grid_follows_from_the_elements_alone():
    assert launching.grid_for(0) == launching.grid_for(1) == (1, launching.THREADS)
    assert launching.grid_for(1000) == (8, 128)
    assert launching.grid_for(10**9) == (launching.MOST_BLOCKS, launching.THREADS)
    assert launching.LANES == launching.TEAM == 256 and forms_sums.TEAM == 256
    assert forms_masks.TILE % forms_masks.WIDE == 0


def test_every_kernel_of_the_package_has_a_form():
    assert set(launching.FORMS) >= {name for name, kernel in KERNELS.items() if kernel.packaged}
