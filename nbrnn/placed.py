"""Where a model's arrays live: in the host's memory, or on a GPU after `model.to("cuda")`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .arrays import Elsewhere
from .checks import one_of
from .layers import Layer

if TYPE_CHECKING:
    from .plan import Plan
    from .program import Layout
    from .targets.cuda.residence import Residence

DEVICES = ("cpu", "cuda")
PRECISIONS = ("float32", "tf32", "bfloat16")


class Placed:
    """What has parameters that may live on a GPU."""

    dtype: np.dtype
    layers: list[Layer]
    layout: Layout
    built: bool
    _params: np.ndarray
    _residence: Residence | None = None  # on the GPU, where the model runs there

    @property
    def params(self) -> np.ndarray:
        """The block of all parameters in the host's memory; from the GPU they are brought back first."""
        self._come_back()
        return self._params

    @params.setter
    def params(self, block: np.ndarray) -> None:
        self._params = block

    @property
    def device(self) -> str:
        """Where the model runs: "cpu" or "cuda"."""
        return DEVICES[self._residence is not None]

    @property
    def precision(self) -> str:
        """What the factors of products are rounded to on the GPU; the dtype's name where they are not."""
        rounds = self._residence is not None and self.dtype == np.float32
        return self._residence.precision if self._residence is not None and rounds else self.dtype.name

    @property
    def _reads_tokens(self) -> bool:
        """Whether an input's numbers name rows, which are looked at."""
        return any(layer.tokens for layer in self.layers)

    def to(self, device: str, precision: str | None = None) -> Self:
        """Choose what the model runs on from now on; weights and the optimizer's arrays go there when it next runs.

        Parameters
        ----------
        device : {"cpu", "cuda"}
            "cuda" is the first GPU that this process sees; CUDA_VISIBLE_DEVICES=1 before the command chooses another.
        precision : {"float32", "tf32", "bfloat16"}, optional
            Of the products of matrices of a float32 model on the GPU: what their factors are rounded to. Sums, weights
            and states are float32 always, and nothing is rounded if it is not given.

        Returns
        -------
        Model
            The model itself.

        Raises
        ------
        ValueError
            If there is no such device, or no GPU (the sentence says what is missing and what to type), or the
            precision is not one for the model and the device.
        """
        place = device_named(device)
        if precision is not None:
            one_of("precision", precision, PRECISIONS)
            if place == "cpu" or self.dtype != np.float32:
                where = "the CPU" if place == "cpu" else f"a {self.dtype.name} model"
                raise ValueError(f"precision={precision!r} is for float32 models on a GPU; {where} rounds nothing.")
        residence = None
        if place == "cuda":
            if self.dtype.kind == "c":
                raise ValueError(f"a {self.dtype.name} model is for gradient checks, which run on the CPU.")
            from .targets.cuda import require_device

            require_device()
            from .targets.cuda.residence import Residence

            residence = Residence(precision or "float32")
        if self._residence is None or not self._residence.lost:
            self._come_back()
        self._residence = residence
        self._unbind()
        self._watch()
        return self

    def device_weights(self) -> dict[str, Any]:
        """Return all weights by name, as views of the GPU's memory that other libraries read and write without a copy.

        `cupy.asarray(view)` and `torch.as_tensor(view, device="cuda")` are such arrays. What is written there counts
        from the next run on. The views are the model's until it is built anew or moved.

        Raises
        ------
        ValueError
            If the model is not on a GPU, or not built yet.
        """
        if self._residence is None:
            raise ValueError('the model is on the CPU: type model.to("cuda") first, or take model.get_weights().')
        if not self.built:
            raise ValueError("the model does not know its input_shape yet: give it, or call fit or predict first.")
        from .targets.cuda.exchange import DeviceArray

        block = DeviceArray.of(self._residence.lend({"params": self._params})["params"])
        places = self.layout.buffers.values()
        return {
            b.name: block[b.offset : b.offset + b.size].reshape(*b.shape)
            for b in places
            if b.block == "params" and "/" in b.name
        }

    def _on_the_card(self, plan: Plan) -> dict[str, int]:
        """Return the bytes that a run of a plan takes on the GPU beside the plan's blocks, by what they are for."""
        if self._residence is None:
            return {}
        from .targets.cuda.calls import memory_beside

        return memory_beside(plan, self._residence.precision)

    def _come_back(self) -> None:
        """Bring what runs on the GPU have changed back to the host."""
        if self._residence is not None:
            self._residence.fetch()

    def _unbind(self) -> None:
        """Drop what is bound to memory."""

    def _watch(self) -> None:
        """Let the layers ask for weights that are newer on the GPU."""
        back: Callable[[], None] | None = None if self._residence is None else self._come_back
        for layer in self.layers:
            for each in _all_within(layer):
                each.come_back = back

    def _taken(self, name: str, value: Any, looked_at: bool = False) -> Any:
        """Return what a user gives with arrays that stand on a GPU made ready: as they are, or as copies on the host.

        They are copied where their numbers are looked at, or have another dtype or strides than a program reads.
        """
        if isinstance(value, Mapping):
            return {key: self._taken(f"{name} of {key!r}", one, looked_at) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return value if not any(map(_beyond, value)) else [self._taken(name, one, looked_at) for one in value]
        if not _beyond(value):
            return value
        if self._residence is None:
            raise ValueError(
                f'{name} stands on a GPU, but the model is on the CPU: type model.to("cuda") first, or give a NumPy '
                "array."
            )
        from .targets.cuda.exchange import given

        array = given(name, value)
        if array is None:
            return value
        readable = all(s >= 0 and s % array.itemsize == 0 for s in array.strides)
        if looked_at or array.dtype != self.dtype or not readable or not array.size:
            return array.numpy()
        return array


def device_named(device: object) -> str:
    """Return "cpu" or "cuda"; other libraries' words for them are refused in a sentence that knows them."""
    text = str(device).strip().lower()
    if text in DEVICES:
        return text
    if text.startswith(("cuda:", "gpu:")):
        raise ValueError(
            f'device must be "cpu" or "cuda", not {device!r}: "cuda" is the first GPU that the process sees; to choose '
            f"another, set CUDA_VISIBLE_DEVICES={text.partition(':')[2] or 0} before the command."
        )
    hint = ': type model.to("cuda")' if text in ("gpu", "nvidia") else ""
    raise ValueError(f'device must be "cpu" or "cuda", not {device!r}{hint}.')


def _beyond(value: Any) -> bool:
    """Return whether a value stands on a GPU."""
    if value is None or isinstance(value, (np.ndarray, list, tuple, dict, int, float)):
        return False
    if isinstance(value, Elsewhere):
        return True
    try:
        if getattr(value, "__cuda_array_interface__", None) is not None:
            return True
    except RuntimeError:  # PyTorch's, of a tensor on the GPU that requires gradients
        return True
    kind = getattr(value, "__dlpack_device__", None)
    return kind is not None and kind()[0] in (2, 13)  # DLPack's numbers for a GPU's memory


def _all_within(layer: Layer) -> Iterator[Layer]:
    """Yield a layer and those that it wraps."""
    yield layer
    for inner in getattr(layer, "inner", {}).values():
        yield from _all_within(inner)
