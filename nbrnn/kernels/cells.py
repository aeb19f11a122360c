"""What a cell from outside the package is made of: products for its step functions, and the loop over the steps.

    affine(Y, X, W, b)       Y = X W + b                  product(Y, X, W)      Y = X W
    add_product(Y, X, W)     Y = Y + X W                  add_outer(dW, X, dY)  dW = dW + X^T dY
    add_sum(db, dY)          db = db + the sum of dY's rows

A row is a sample. Each has its form in plain Python, which sees that the shapes fit, and its native twin: register
tiles for whole arrays in float32 and float64, plain loops for complex numbers and for slices of columns.

`Steps.register` makes kernels of step functions: text of Python, with the loop over the time steps and a call of the
step. Letters: T steps, B samples, D features, H units; K is T where all steps are kept, else 1. Of the samples the
first alive_[t] have a step t, all of them where `alive_` is not there.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numba import njit, types
from numba.core.errors import NumbaTypeError

from .abi import OPTIONS, dimension, inlined, jit, kernel, overloaded
from .gemm import clear, copy, following, panel_width, strip
from .gru import plus

STATE_LETTERS = "UVWXYZ"  # of the states' numbers of steps


def affine(Y: Any, X: Any, W: Any, b: Any) -> None:
    """Y = X W + b."""
    _check("affine", Y=Y, X=X, W=W, b=b)
    Y[...] = X @ W + b


def product(Y: Any, X: Any, W: Any) -> None:
    """Y = X W."""
    _check("product", Y=Y, X=X, W=W)
    Y[...] = X @ W


def add_product(Y: Any, X: Any, W: Any) -> None:
    """Y = Y + X W."""
    _check("add_product", Y=Y, X=X, W=W)
    Y += X @ W


def add_outer(dW: Any, X: Any, dY: Any) -> None:
    """dW = dW + X^T dY, the sum of the samples' outer products."""
    _check("add_outer", Y=dY, X=X, W=dW)
    dW += X.T @ dY


def add_sum(db: Any, dY: Any) -> None:
    """db = db + the sum of dY's rows."""
    if dY.ndim != 2 or db.shape != dY.shape[1:]:
        raise ValueError(f"add_sum cannot add the rows of {dY.shape} to {db.shape}.")
    db += dY.sum(axis=0)


def _check(name: str, **arrays: Any) -> None:
    """Raise ValueError unless Y = X W + b can be."""
    Y, X, W, b = arrays["Y"].shape, arrays["X"].shape, arrays["W"].shape, arrays.get("b")
    fits = len(Y) == len(X) == len(W) == 2 and (Y[0], X[1], Y[1]) == (X[0], W[0], W[1])
    if not fits or (b is not None and b.shape != Y[1:]):
        shapes = f"{Y} = {X} {W}" + ("" if b is None else f" + {b.shape}")
        raise ValueError(f"the shapes of {name} do not fit: {shapes}.")


@inlined
def tiled(Y, X, turned, W, I):
    """Y = I + X W by register tiles, strip by strip; of X the transpose, where it is `turned`."""
    L, N = panel_width(Y), Y.shape[1]
    for first in range(0, N, L):
        strip(Y, first, min(L, N - first), X, turned, 0, W, first, X, 0, W, first, I)


@jit
def looped(Y, X, turned, W, I):
    """Y = I + X W by plain loops, for any strides."""
    zero = Y.dtype.type(0)
    for m in range(Y.shape[0]):
        for n in range(Y.shape[1]):
            Y[m, n] = I[m if I.shape[0] > 1 else 0, n] if I.size else zero
        for k in range(W.shape[0]):
            a = X[k, m] if turned else X[m, k]
            for n in range(Y.shape[1]):
                Y[m, n] += a * W[k, n]


def multiply(Y: Any, X: Any, turned: bool, W: Any, I: Any) -> None:
    """Y = I + X W, natively; in plain Python nobody calls it."""


@overloaded(multiply)
def _multiply(Y, X, turned, W, I):  # type: ignore[no-untyped-def]
    dtypes = {a.dtype for a in (Y, X, W, I)}
    if len(dtypes) > 1:
        raise NumbaTypeError(f"a product needs arrays of one dtype, not {' and '.join(sorted(map(str, dtypes)))}")
    whole = all(a.layout == "C" for a in (Y, X, W, I)) and Y.dtype != types.complex128
    if whole:
        return lambda Y, X, turned, W, I: tiled(Y, X, turned, W, I)
    return lambda Y, X, turned, W, I: looped(Y, X, turned, W, I)


@overloaded(affine)
def _affine(Y, X, W, b):  # type: ignore[no-untyped-def]
    return lambda Y, X, W, b: multiply(Y, X, False, W, b.reshape((1, b.size)))


@overloaded(product)
def _product(Y, X, W):  # type: ignore[no-untyped-def]
    return lambda Y, X, W: multiply(Y, X, False, W, Y[:0])


@overloaded(add_product)
def _add_product(Y, X, W):  # type: ignore[no-untyped-def]
    return lambda Y, X, W: multiply(Y, X, False, W, Y)


@overloaded(add_outer)
def _add_outer(dW, X, dY):  # type: ignore[no-untyped-def]
    return lambda dW, X, dY: multiply(dW, X, True, dY, dW)


@overloaded(add_sum)
def _add_sum(db, dY):  # type: ignore[no-untyped-def]
    def added(db, dY):  # type: ignore[no-untyped-def]
        for k in range(dY.shape[0]):
            for j in range(db.size):
                db[j] += dY[k, j]

    return added


@kernel("W[F,O] -> turned[O,F]")
def turn_matrix(W, turned):
    """Transpose a matrix."""
    for k in range(W.shape[0]):
        for j in range(W.shape[1]):
            turned[j, k] = W[k, j]


@inlined
def zero(V):
    """Set an array to zero."""
    flat = V.reshape((1, V.size))
    clear(flat)


def _rows(dims: str) -> str:
    """Return what takes the rows at work of an array with a row a sample."""
    return "[:n_]" if dims.startswith("B") else ""


@dataclass(frozen=True)
class Steps:
    """A cell's step functions and its arrays: text as in a specification, by name.

    `params` are weights, `numbers` scalars with their kinds, `carry` the states, the first of which is the output,
    `tape` what a step keeps for the way back, `scratch` what a step back works out. The functions take what they name,
    in an order of their own.
    """

    name: str
    module: str
    forward: Callable[..., None]
    backward: Callable[..., None]
    params: dict[str, str]
    numbers: dict[str, str]
    carry: tuple[str, ...]
    tape: dict[str, str]
    scratch: dict[str, str]

    @property
    def turned(self) -> list[str]:
        """The weights whose transposes the way back takes."""
        taken = inspect.signature(self.backward).parameters
        return [name for name, dims in self.params.items() if "," in dims and f"{name}_T" in taken]

    def register(self) -> tuple[str, str]:
        """Make kernels of the step functions; return their names."""
        arrays = {name: f"[{dims}]" for name, dims in self.params.items()}
        arrays |= {name: f":{kind}" for name, kind in self.numbers.items()}
        letters = dict(zip(self.carry, STATE_LETTERS, strict=False))
        tape = {name: f"[K,{dims}]" for name, dims in self.tape.items()}
        every = {"x": "[T,B,D]"} | arrays | {"alive_": "[T]?:i8"}
        after = {f"!{name}": f"[{letter},B,H]" for name, letter in letters.items()}
        self._make("forward", self.forward, every, after | tape, self._forward_lines())
        seen = every | {f"{name}_T": "[{1},{0}]".format(*self.params[name].split(",")) for name in self.turned}
        seen |= dict.fromkeys(self.carry, "[T+1,B,H]")
        seen |= {name: f"[T,{dims}]" for name, dims in self.tape.items()} | {"add_": ":int"}
        first, *others = self.carry
        written = {f"!d{first}": "[K,B,H]"} | {f"!d{name}": "[B,H]" for name in others}
        written |= {"dx": "[J,B,D]", f"!d{first}0": "[B,H]?"} | {f"!d{n}": f"[{d}]" for n, d in self.params.items()}
        written |= {f"d{name}_prev": "[B,H]" for name in self.carry} | {n: f"[{d}]" for n, d in self.scratch.items()}
        self._make("backward", self.backward, seen, written, self._backward_lines())
        return self._kernel("forward"), self._kernel("backward")

    def _kernel(self, way: str) -> str:
        return f"{self.name}_{way}"

    def _make(
        self, way: str, step: Callable[..., None], reads: dict[str, str], writes: dict[str, str], lines: list[str]
    ) -> None:
        """Register the kernel whose body is these lines."""
        spec = " -> ".join(" ".join(f"{name}{dims}" for name, dims in side.items()) for side in (reads, writes))
        names = ", ".join([*reads, *(name.lstrip("!") for name in writes)])
        scope: dict[str, Any] = {
            "__name__": self.module,
            "step_": njit(**OPTIONS, _nrt=True)(step),
        }  # it may make arrays
        scope |= {"clear_": zero, "copy_": copy, "plus_": plus, "following_": following}
        exec("\n    ".join([f"def {self._kernel(way)}({names}):", *lines]) + "\n", scope)
        kernel(spec, flops=self._flops(2 if way == "backward" else 1))(scope[self._kernel(way)])

    def _flops(self, factor: int) -> Callable[[dict[str, int]], int]:
        """Return the count of a product with every matrix once a step, twice on the way back."""
        matrices = [[dimension(d) for d in dims.split(",")] for dims in self.params.values() if "," in dims]

        def flops(sizes: dict[str, int]) -> int:
            each = sum(math.prod(f * sizes.get(letter, 0) + more for f, letter, more in one) for one in matrices)
            return 2 * factor * sizes["T"] * sizes["B"] * each

        return flops

    def _called(self, step: Callable[..., None], places: dict[str, str]) -> str:
        """Return the call of a step function, with the arrays of a time step."""
        return f"step_({', '.join(places.get(name, name) for name in inspect.signature(step).parameters)})"

    def _forward_lines(self) -> list[str]:
        """Return the loop over the time steps."""
        places = {"x": "x[t_][:n_]"} | {f"{name}_prev": f"{name}[old_{name}][:n_]" for name in self.carry}
        places |= {name: f"{name}[new_{name}][:n_]" for name in self.carry}
        places |= {n: f"{n}[t_ if {n}.shape[0] > 1 else 0]{_rows(dims)}" for n, dims in self.tape.items()}
        return [
            *(f"old_{name} = 0" for name in self.carry),
            "for t_ in range(x.shape[0]):",
            "    n_ = alive_[t_] if alive_.size else x.shape[1]",
            *(f"    new_{name} = following_(old_{name}, {name})" for name in self.carry),
            f"    {self._called(self.forward, places)}",
            *(f"    old_{name} = new_{name}" for name in self.carry),
        ]

    def _backward_lines(self) -> list[str]:
        """Return the loop back; what a step hands to the one before is added to what that one has from the loss."""
        first, *others = self.carry
        places = {f"d{name}": f"d{name}[:n_]" for name in others}
        places |= {"x": "x[t_][:n_]", f"d{first}": "now_", "dx": "dx[t_ if every_dx_ else 0][:n_]"}
        places |= {f"{name}_prev": f"{name}[t_][:n_]" for name in self.carry}
        places |= {f"d{name}_prev": f"d{name}_prev[:n_]" for name in self.carry}
        places |= {name: f"{name}[t_ + 1][:n_]" for name in self.carry}
        places |= {name: f"{name}[t_]{_rows(dims)}" for name, dims in self.tape.items()}
        places |= {name: f"{name}{_rows(dims)}" for name, dims in self.scratch.items()}
        return [
            "T_ = x.shape[0]",
            f"every_, every_dx_ = d{first}.shape[0] == T_, dx.shape[0] == T_",
            "if not add_:",
            *([f"    clear_(d{name})" for name in self.params] or ["    pass"]),
            "for t_ in range(T_ - 1, -1, -1):",
            "    n_ = alive_[t_] if alive_.size else x.shape[1]",
            f"    now_ = d{first}[t_ if every_ else 0][:n_]",
            f"    {self._called(self.backward, places)}",
            *(f"    copy_(d{name}, d{name}_prev[:n_])" for name in others),
            "    if t_ > 0 and every_:",
            f"        plus_(d{first}[t_ - 1][:n_], d{first}_prev[:n_])",
            "    elif t_ > 0:",
            f"        copy_(now_, d{first}_prev[:n_])",
            f"    elif d{first}0.size:",
            f"        copy_(d{first}0, d{first}_prev[:n_])",
        ]
