"""Kernels beside memory that nobody may touch: lanes beyond a row's end are not even read."""

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path

import cases_gated
import numpy as np
import pytest
import test_kernels
from drawing import CODES, Chosen
from support import call_kernel

from nbrnn.kernels.activations import ACTIVATIONS
from nbrnn.kernels.tile import VECTOR_BYTES as WIDTH
from nbrnn.targets import cpu

pytestmark = pytest.mark.skipif(
    not cpu.JIT or sys.platform != "linux", reason="needs compiled kernels, and mprotect of Linux"
)
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33)
NAMES = (
    "simple_rnn_forward", "lstm_forward", "gru_after_forward", "gru_before_forward", "dense_forward",
    "simple_rnn_backward", "lstm_backward", "gru_after_backward", "gru_before_backward", "activation_backward",
    "input_gradient", "weight_gradient", "pack", "pack_transposed",
)  # fmt: skip
TILES = tuple(name for name in NAMES if not name.startswith(("gru", "lstm_backward")))  # they call all of gemm and tile
NO_ACCESS = 0


def fenced(size, dtype):
    """Return an array that ends where its memory ends: reading or writing the next byte kills the process."""
    nbytes = size * np.dtype(dtype).itemsize
    end = -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, end + mmap.PAGESIZE)
    fence = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + end
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(mmap.PAGESIZE), NO_ACCESS) != 0:
        raise OSError(ctypes.get_errno(), "mprotect failed")
    return np.frombuffer(memory, np.uint8, nbytes, end - nbytes).view(dtype)


def run_all(dtype, names=NAMES):
    """Run every kernel that works on lanes or tiles at every size, with every activation; return how many ran."""
    count = 0
    for name in names:
        for k, (code, H) in enumerate((code, H) for code in CODES for H in SIZES):
            D, B, gates = SIZES[(5 * k + 1) % len(SIZES)], SIZES[(3 * k + 2) % 6], cases_gated.BOUNDED
            own = dict(
                T=2, B=B, D=D, H=H, N=B, F=D, O=H, K=1 + k % 2, activation=code, gate=gates[k % len(gates)], more=0,
                initial=1, final=1, taped=k % 3 == 0, states_kept=3, gates=1 + k % 4, each=H, first=k % 3, start=0,
                panels=1 + k % 2, packed=k % 4 > 1, transposed_copy=k % 4 > 1, blocks=(9 + H, 2 * D, H),
            )  # fmt: skip
            arguments = test_kernels.CASES[name](Chosen(dtype, k, **own))
            call_kernel(name, dtype, arguments, fenced)
            count += 1
    return count


CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import test_fences
print(test_fences.run_all(sys.argv[2], sys.argv[3:]))
"""


@pytest.mark.parametrize(
    ("dtype", "width", "names"),
    [
        ("float32", 16, NAMES if WIDTH == 16 else TILES),
        ("float32", 32, NAMES),
        ("float32", 64, NAMES),
        ("float64", WIDTH, NAMES),
    ],
    ids=["float32-16", "float32-32", "float32-64", "float64"],
)
def test_no_kernel_touches_what_stands_behind_an_array(dtype, width, names, run_python):
    """A cell's row that ends within 4 lanes ends within 8, too, so that 16 bytes say nothing new about cells."""
    ran = run_python(CODE, Path(__file__).parent, dtype, *names, NBRNN_VECTOR_BYTES=width)
    assert int(ran) == len(names) * len(SIZES) * len(ACTIVATIONS)


def test_the_fence_kills_who_touches_it(environment):
    code = "import sys, ctypes; sys.path.insert(0, sys.argv[1]); import test_fences as t; a = t.fenced(3, 'f4');"
    code += "a[2] = 1; print(a[2], flush=True); ctypes.c_char.from_address(a.ctypes.data + int(sys.argv[2])).value"
    for offset, outcome in ((11, 0), (12, -11)):
        command = [sys.executable, "-c", code, str(Path(__file__).parent), str(offset)]
        done = subprocess.run(command, env=environment(), check=False, capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stdout) == (outcome, "1.0\n"), done.stderr
