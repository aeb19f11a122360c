"""The CUDA target. numba.cuda is imported in this folder and nowhere else.

launching.py starts kernels, products.py holds the products of matrices, forms.py gives every kernel of a program its
form on the device, designs.py chooses among several, executor.py runs a program, device.py knows the GPU.
"""

from .device import require_device
from .executor import Executor

__all__ = ["Executor", "require_device"]
