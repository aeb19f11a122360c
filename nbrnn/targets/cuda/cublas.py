"""Large products by cuBLAS, NVIDIA's library, where it is installed.

It is called directly, not by way of CuPy: CuPy refuses cuBLAS while a graph is captured, and exchanges the workspace at
every call. Here a handle has one workspace, given once a stream, so that a captured product allocates nothing, and its
bits are the same twice.

cuBLAS reads matrices by columns: a matrix of this package, by rows, is to it the transpose. So Y = X W is asked for as
Y^T = W^T X^T, with W first, and nothing is copied.
"""

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import config, cuda

from .launching import Queue
from .tiles import COLUMNS, TURNED

OFF = "NBRNN_CUBLAS"  # 0: it is not used
WORKSPACE = 32 * 2**20  # bytes; what NVIDIA recommends for Hopper and Blackwell, more than for the GPUs before
AS_IT_IS, TRANSPOSED = 0, 1  # cublasOperation_t
NO_MEMORY = 3  # cublasStatus_t: its own allocation has failed
HEURISTIC = -1  # cublasGemmAlgo_t: it chooses itself
FLOAT32, FLOAT64, BFLOAT16 = 0, 1, 14  # cudaDataType_t
SUMS = {"float64": 70, "float32": 68, "tf32": 77, "bfloat16": 68}  # cublasComputeType_t: 64F, 32F, 32F_FAST_TF32, 32F
NUMBERS = {"float64": FLOAT64, "float32": FLOAT32, "tf32": FLOAT32, "bfloat16": BFLOAT16}  # what the factors are


@dataclass(frozen=True)
class Gemm:
    """A product as cuBLAS is asked for it: C = first second (+ C), by columns; C is m x n, the sums are k long."""

    first: Any
    first_turned: int
    first_stride: int
    second: Any
    second_turned: int
    second_stride: int
    C: Any
    C_stride: int
    m: int
    n: int
    k: int
    add: bool


def gemm_of(form: str, C: Any, A: Any, B: Any, add: bool) -> Gemm:
    """Return how cuBLAS is asked for C (+)= A B, A B^T or A^T B of matrices by rows.

    Parameters
    ----------
    form : str
        PLAIN, TURNED or COLUMNS (tiles.py).
    C, A, B : arrays, two-dimensional
        Rows may be apart; A may have more columns than are summed over, of COLUMNS B more than C.
    add : bool
    """
    rows, columns = C.shape
    depth = {COLUMNS: A.shape[0], TURNED: B.shape[1]}.get(form, B.shape[0])
    turned, of_columns = int(form == TURNED), int(form == COLUMNS)
    return Gemm(B, turned, _stride(B), A, of_columns, _stride(A), C, _stride(C), columns, rows, depth, bool(add))


def _stride(matrix: Any) -> int:
    """Return how many numbers a row is after the one before."""
    return max(1, matrix.shape[1], matrix.strides[0] // matrix.dtype.itemsize)


def fits(*matrices: Any) -> bool:
    """Return whether the numbers of each row stand beside one another, and rows in order."""
    return all(
        m.strides[1] == m.dtype.itemsize and m.strides[0] >= m.shape[1] * m.dtype.itemsize
        for m in matrices
        if m.shape[0] > 1 and m.shape[1] > 1
    )


def address_of(array: Any) -> int:
    """Return where an array begins."""
    return int(array.__cuda_array_interface__["data"][0])


def stream_of(queue: Any) -> int:
    """Return the address of a stream, or of the one that a graph is captured on; 0 is the default stream."""
    return int(queue.__cuda_stream__()[1]) if hasattr(queue, "__cuda_stream__") else int(queue)


class Library:
    """cuBLAS, with a handle and its workspace.

    Parameters
    ----------
    functions : object
        Has the library's functions, with C's arguments.
    workspace : device array, optional
        Its bytes are the library's from now on; if it is not given it is made with the handle, when it is first needed.
    address : callable
        Returns where an array begins.

    Raises
    ------
    ValueError
        If a function says that it has failed.
    """

    def __init__(self, functions: Any, workspace: Any = None, address: Any = address_of) -> None:
        self.functions, self.workspace, self.address = functions, workspace, address
        self.handle: Any = None

    def open(self) -> None:
        """Make the handle and its workspace, once."""
        if self.handle is not None:
            return
        if self.workspace is None:
            cuda.current_context()  # a handle belongs to the context that is current
            self.workspace = cuda.device_array(WORKSPACE, np.uint8)
        handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(handle))
        self.handle = handle

    def _call(self, name: str, *arguments: Any) -> None:
        """Call a function, and look at what it returns."""
        status = getattr(self.functions, name)(*arguments)
        if status == NO_MEMORY:
            raise ValueError(f"CUDA_ERROR_OUT_OF_MEMORY, as {name} of cuBLAS says")
        if status:
            raise ValueError(f"cuBLAS failed: {name} returned {status}; set {OFF}=0 to do without it.")

    @property
    def version(self) -> str:
        """The library's version, such as 12.9.1."""
        self.open()
        number = ctypes.c_int()
        self._call("cublasGetVersion_v2", self.handle, ctypes.byref(number))
        return f"{number.value // 10000}.{number.value // 100 % 100}.{number.value % 100}"

    def use(self, stream: int) -> None:
        """Let what follows go to a stream; that takes the workspace away, so it is given again."""
        self._call("cublasSetStream_v2", self.handle, ctypes.c_void_p(stream))
        size = ctypes.c_size_t(self.workspace.nbytes)
        self._call("cublasSetWorkspace_v2", self.handle, ctypes.c_void_p(self.address(self.workspace)), size)

    def gemm(self, g: Gemm, precision: str) -> None:
        """Launch a product, with factors of a precision; bfloat16 ones stand as such in their arrays.

        Parameters
        ----------
        g : Gemm
        precision : str
            One of PRECISIONS (designs.py).
        """
        if Queue.counted is not None:
            Queue.counted.add("cuBLAS")
            return
        self.open()
        if Queue.trying:
            return
        self.use(stream_of(Queue.now))
        factor, result = NUMBERS[precision], FLOAT64 if precision == "float64" else FLOAT32
        real = ctypes.c_double if precision == "float64" else ctypes.c_float
        at = [ctypes.c_void_p(self.address(a)) for a in (g.first, g.second, g.C)]
        one, before = real(1.0), real(1.0 if g.add else 0.0)
        self._call(
            "cublasGemmEx", self.handle, g.first_turned, g.second_turned, g.m, g.n, g.k, ctypes.byref(one),
            at[0], factor, g.first_stride, at[1], factor, g.second_stride, ctypes.byref(before),
            at[2], result, g.C_stride, SUMS[precision], HEURISTIC,
        )  # fmt: skip


@cache
def _loaded() -> tuple[Any, str]:
    """Return the library, or nothing and why it is not there."""
    try:
        from cuda import pathfinder
    except ImportError:
        return None, "cuda-pathfinder is not installed"
    try:
        path = pathfinder.load_nvidia_dynamic_lib("cublas").abs_path
    except RuntimeError:  # DynamicLibNotFoundError
        return None, "cuBLAS is not installed (pip install 'nbrnn[cuda12]' or 'nbrnn[cuda13]')"
    return Library(ctypes.CDLL(path)), ""


def library() -> tuple[Any, str]:
    """Return cuBLAS, or None, and then why it is not used."""
    if config.ENABLE_CUDASIM:
        return None, "the simulator has no cuBLAS"
    if os.environ.get(OFF, "").strip() == "0":
        return None, f"{OFF}=0 is set"
    return _loaded()
