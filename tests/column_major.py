"""cuBLAS' products by NumPy, from the addresses, strides and types that C's function gets, with matrices by columns."""

import ctypes

import numpy as np

FLOAT32, FLOAT64, BFLOAT16 = 0, 1, 14
KINDS = {FLOAT32: ctypes.c_float, FLOAT64: ctypes.c_double, BFLOAT16: ctypes.c_uint16}
SUMS = {68: {FLOAT32, BFLOAT16}, 77: {FLOAT32}, 70: {FLOAT64}}  # 32F, 32F_FAST_TF32, 64F, and of what


def matrix(address, kind, stride, rows, columns):
    """Return the matrix of some rows and columns, which begin `stride` numbers apart, where it stands."""
    assert stride >= max(1, rows)
    numbers = np.ctypeslib.as_array((KINDS[kind] * (stride * (columns - 1) + rows)).from_address(address.value))
    return np.lib.stride_tricks.as_strided(numbers, (rows, columns), (numbers.itemsize, stride * numbers.itemsize))


def read(numbers):
    """Return a matrix in float64; 16 bits are a bfloat16's."""
    if numbers.dtype == np.uint16:
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.astype(np.float64)


def near_tf32(numbers):
    """Round to 10 bits of fraction, as the library may do of itself."""
    m, e = np.frexp(numbers)
    return np.ldexp(np.copysign(np.floor(np.ldexp(abs(m), 11) + 0.5), m), e - 11)


class ColumnMajor:
    """The library's functions; `asked` holds the arguments of every product."""

    def __init__(self):
        self.asked = []
        self.workspace = None

    def cublasCreate_v2(self, handle):
        handle._obj.value = 4711
        return 0

    def cublasGetVersion_v2(self, handle, version):
        version._obj.value = 120901
        return 0

    def cublasSetStream_v2(self, handle, stream):
        assert handle.value == 4711
        self.workspace, self.stream = None, stream.value
        return 0

    def cublasSetWorkspace_v2(self, handle, workspace, size):
        assert handle.value == 4711 and size.value > 0
        self.workspace = workspace.value
        return 0

    def cublasGemmEx(self, handle, turn_a, turn_b, m, n, k, alpha, A, kind_a, lda, B, kind_b, ldb, beta, C, kind_c, ldc,
                     sums, algorithm):  # fmt: skip
        assert handle.value == 4711 and self.workspace and algorithm == -1
        assert kind_a == kind_b and kind_a in SUMS[sums] and kind_c == (FLOAT64 if sums == 70 else FLOAT32)
        scalar = ctypes.c_double if sums == 70 else ctypes.c_float
        assert isinstance(alpha._obj, scalar) and isinstance(beta._obj, scalar) and alpha._obj.value == 1.0
        left = read(matrix(A, kind_a, lda, *((k, m) if turn_a else (m, k))))
        right = read(matrix(B, kind_b, ldb, *((n, k) if turn_b else (k, n))))
        if sums == 77:
            left, right = near_tf32(left), near_tf32(right)
        into = matrix(C, kind_c, ldc, m, n)
        product = (left.T if turn_a else left) @ (right.T if turn_b else right)
        into[...] = product + (beta._obj.value * into if beta._obj.value else 0.0)
        self.asked.append((turn_a, turn_b, m, n, k, sums))
        return 0
