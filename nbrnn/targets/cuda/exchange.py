"""Arrays of other libraries on the GPU, taken where they stand, and nbrnn's own as these libraries can take them.

An array comes by `__cuda_array_interface__` (CuPy, PyTorch, Numba) or by DLPack (JAX and others) and goes by
both. Nothing is copied, and work is in order: nbrnn works on the default stream and says so, an array that names
another stream is waited for, and all streams are where an interface cannot name one (PyTorch's, before version 3).
"""

import ctypes
import math
from typing import Any

import numpy as np
from numba import cuda

from ...arrays import Elsewhere, extent
from .device import first_line, simulating
from .residence import told, zeros

CUDA = 2, 13  # kinds of devices of DLPack: a GPU's memory, and memory that host and GPU share
ORDERED = None, 1  # streams of an interface that need no waiting: none, and the default stream


class DeviceArray(Elsewhere):
    """An array on the GPU, without a copy: `cupy.asarray(it)`, `torch.as_tensor(it, device="cuda")`, `it.numpy()`.

    Parameters
    ----------
    pointer : int
        The address of the first element.
    shape, strides : tuple of int
        Strides count bytes.
    dtype : dtype
    owner : object
        What keeps the memory.
    """

    def __init__(self, pointer: int, shape: Any, strides: Any, dtype: Any, owner: Any) -> None:
        self.pointer, self.dtype, self.owner = pointer, np.dtype(dtype), owner
        self._places = np.lib.stride_tricks.as_strided(np.empty(1, self.dtype), shape, strides)  # never looked into
        self.shape, self.strides = self._places.shape, self._places.strides
        self.ndim, self.size, self.itemsize = len(self.shape), self._places.size, self.dtype.itemsize

    @classmethod
    def new(cls, size: int, dtype: Any) -> "DeviceArray":
        """Return zeros on the GPU."""
        return cls.of(zeros(size, dtype))

    @classmethod
    def of(cls, array: Any) -> "DeviceArray":
        """Return one of Numba's device arrays."""
        return cls(pointer_of(array), tuple(array.shape), tuple(array.strides), array.dtype, array)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: Any) -> "DeviceArray":
        parts = part if isinstance(part, tuple) else (part,)
        if not all(isinstance(one, slice) or one is None or one is Ellipsis for one in parts):
            raise ValueError(f"an array on the GPU can be cut in slices only, not by {part!r}; take its numpy().")
        seen = self._places[parts]
        offset = _address(seen) - _address(self._places)
        return DeviceArray(self.pointer + offset, seen.shape, seen.strides, self.dtype, self.owner)

    def reshape(self, *shape: int) -> "DeviceArray":
        """Return the same C-contiguous numbers in another shape."""
        if not self._places.flags.c_contiguous:
            raise ValueError("an array on the GPU that has gaps cannot be reshaped; take its numpy().")
        return DeviceArray(self.pointer, shape, contiguous(shape, self.itemsize), self.dtype, self.owner)

    def block(self) -> Any:
        """Return the memory from the first element to the last as one of Numba's device arrays, gaps included."""
        return device_array(self.pointer, extent(self._places), self.dtype, self)

    def numpy(self) -> np.ndarray:
        """Return a copy in the host's memory."""
        if not self.size:
            return np.empty(self.shape, self.dtype)
        ends = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        before, after = -sum(e for e in ends if e < 0), sum(e for e in ends if e > 0)
        with told():
            every = device_array(self.pointer - before, before + after + self.itemsize, np.dtype(np.uint8), self)
            return np.ndarray(self.shape, self.dtype, every.copy_to_host(), before, self.strides).copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("an array on the GPU cannot be seen by NumPy without a copy.")
        return self.numpy().astype(self.dtype if dtype is None else dtype, copy=False)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        strides = None if self._places.flags.c_contiguous else self.strides
        where = {"shape": self.shape, "strides": strides, "typestr": self.dtype.str, "data": (self.pointer, False)}
        return where | {"version": 3, "stream": 1}

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA[0], 0 if simulating() else int(cuda.get_current_device().id)

    def __dlpack__(self, **options: Any) -> Any:
        """Return a DLPack capsule, which CuPy makes."""
        try:
            import cupy  # type: ignore[import-not-found]
        except ImportError as error:
            raise ValueError(
                "DLPack needs CuPy (pip install 'nbrnn[cuda12]' or 'nbrnn[cuda13]'); "
                "__cuda_array_interface__ does without it."
            ) from error
        return cupy.asarray(self).__dlpack__(**options)

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype.name})"


def given(name: str, value: Any) -> DeviceArray | None:
    """Return an array that stands on the GPU, or None for a value that does not.

    Parameters
    ----------
    name : str
        What sentences call it.
    value : object

    Raises
    ------
    ValueError
        If it says of itself what cannot be read.
    """
    if value is None or isinstance(value, (DeviceArray, np.ndarray, list, tuple, dict, int, float)):
        return value if isinstance(value, DeviceArray) else None
    try:
        interface = getattr(value, "__cuda_array_interface__", None)
    except RuntimeError as error:  # PyTorch's, of a tensor that requires gradients
        raise ValueError(f"{name} cannot be taken as it is: {error}") from error
    if interface is not None:
        array = of_interface(name, interface, value)
        if array.size and not simulating():
            _wait_for(interface)
            _require_here(name, array.pointer)
        return array
    kind = getattr(value, "__dlpack_device__", None)
    return _of_dlpack(name, value) if kind is not None and kind()[0] in CUDA else None


def _wait_for(interface: dict[str, Any]) -> None:
    """Wait until the array of an interface is made, where it says who makes it, or cannot say so."""
    stream = interface.get("stream")
    if interface.get("version", 0) < 3 or stream == 0:
        cuda.synchronize()
    elif stream not in ORDERED:
        cuda.external_stream(int(stream)).synchronize()


def _require_here(name: str, pointer: int) -> None:
    """Raise ValueError if an address is another GPU's, or none's."""
    from numba.cuda.cudadrv import driver

    attribute = driver.binding.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    here = cuda.get_current_device().id
    try:
        there = int(driver.driver.cuPointerGetAttribute(attribute, driver.binding.CUdeviceptr(pointer)))
    except driver.CudaAPIError as error:
        raise ValueError(f"{name} says that it stands on a GPU, but the driver knows no such memory.") from error
    if there != here:
        raise ValueError(f"{name} stands on GPU {there}, but the model is on GPU {here}: copy it there first.")


def of_interface(name: str, interface: dict[str, Any], owner: Any) -> DeviceArray:
    """Return the array that a `__cuda_array_interface__` describes.

    Parameters
    ----------
    name : str
        What sentences call it.
    interface : dict
    owner : object
        What keeps the memory.

    Raises
    ------
    ValueError
        If it has a mask, no numbers, or an entry is missing.
    """
    try:
        shape, (pointer, _) = tuple(int(n) for n in interface["shape"]), interface["data"]
        dtype, strides = np.dtype(interface["typestr"]), interface.get("strides")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} has a __cuda_array_interface__ that cannot be read ({error!r}).") from error
    if interface.get("mask") is not None:
        raise ValueError(f"{name} has a mask in its __cuda_array_interface__, which is not read; give mask=.")
    if dtype.kind not in "biufc":
        raise ValueError(f"{name} must hold real numbers only, but its elements are of type {dtype}.")
    if strides is None:
        strides = contiguous(shape, dtype.itemsize)
    return DeviceArray(int(pointer or 0), shape, tuple(strides), dtype, owner)


def _of_dlpack(name: str, value: Any) -> DeviceArray:
    """Return an array that comes by DLPack alone."""
    from cuda.core.utils import StridedMemoryView

    try:
        seen = StridedMemoryView.from_dlpack(value, stream_ptr=1)  # the default stream, which waits for its maker's
        dtype = np.dtype(seen.dtype)
    except (BufferError, RuntimeError, TypeError, NotImplementedError) as error:
        raise ValueError(f"{name} cannot be taken by DLPack: {first_line(error)}.") from error
    if dtype.kind not in "biufc":
        raise ValueError(f"{name} must hold real numbers only, but its elements are of type {dtype}.")
    if seen.ptr:
        _require_here(name, int(seen.ptr))
    strides = seen.strides or contiguous(seen.shape, 1)
    return DeviceArray(int(seen.ptr), tuple(seen.shape), [s * dtype.itemsize for s in strides], dtype, seen)


def contiguous(shape: Any, itemsize: int) -> tuple[int, ...]:
    """Return the strides of C-contiguous numbers."""
    return tuple(itemsize * math.prod(shape[k + 1 :]) for k in range(len(shape)))


def pointer_of(array: Any) -> int:
    """Return the address of one of Numba's device arrays; in the simulator that of its NumPy array."""
    return _address(array._ary) if simulating() else int(array.__cuda_array_interface__["data"][0])


def device_array(pointer: int, size: int, dtype: np.dtype, owner: Any) -> Any:
    """Return memory at an address as a one-dimensional device array of Numba's."""
    if simulating():
        from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

        held: Any = (ctypes.c_byte * (size * dtype.itemsize)).from_address(pointer)
        held._owner = owner  # keeps the memory as long as the view lives
        return FakeCUDAArray(np.frombuffer(held, dtype))
    data = {"shape": (size,), "strides": None, "typestr": dtype.str, "data": (pointer, False), "version": 3}
    return cuda.from_cuda_array_interface(data, owner=owner)


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
