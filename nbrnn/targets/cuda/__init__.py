"""The CUDA target. numba.cuda is imported in this folder and nowhere else, and not before a GPU is asked for.

launching.py starts kernels, products.py holds the products of matrices, forms.py gives every kernel of a program its
form on the device, designs.py chooses among several, executor.py runs a program, graphs.py captures a batch's launches,
residence.py keeps a model's weights on the device, exchange.py takes other libraries' arrays, device.py knows the GPU.
"""

from typing import TYPE_CHECKING, Any

from .device import require_device

if TYPE_CHECKING:
    from .executor import Executor

__all__ = ["Executor", "require_device"]


def __getattr__(name: str) -> Any:
    """Import the executor, and numba.cuda with it, when it is asked for."""
    if name == "Executor":
        from .executor import Executor

        return Executor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
