"""A stack that can be run: its programs bound to memory, and `predict`, which costs little to call."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .arrays import Elsewhere, arrays_of, foreign_arrays
from .checks import count_or, flag, whole_number
from .graph import Graph, Value
from .initializers import draw_seed
from .kerasways import FILES, knows
from .kernels.optimizers import LANES
from .lowering import PREDICT, TRAIN, Feeds, add_optimizer, feeds_of, make_plan, parameter_layout
from .memory import NotEnoughMemoryError
from .plan import Plan
from .program import Options, Weights, aligned, numbered
from .states import Stateful
from .streaming import Stream
from .targets import cpu
from .training import SLICE, first_guess, run_once, set_hyper

if TYPE_CHECKING:
    from .model import Model

PREDICT_BATCH = 256
KEPT = 8  # executors, and forward passes that are ready
SMALL = 2**14  # numbers of an input up to which copying it costs less than pointing a program at it
DRAWS = 2**32  # of masks that a prediction may ask for
ALL = 2**62  # a batch size that every number of samples fits in


@dataclass(frozen=True)
class Ready:
    """A forward pass over small arrays of one shape, to be called with next to nothing left to do in Python."""

    executor: cpu.Executor
    x: np.ndarray  # where the inputs are copied to
    outputs: np.ndarray  # where the program writes
    run: Callable[[], int]

    def __call__(self, x: np.ndarray) -> np.ndarray | None:
        """Return the outputs; None if an input is not finite."""
        self.x[...] = x
        if self.executor.packed_at != Weights.changes:
            self.executor.renew()
        return self.outputs.copy() if self.run() != cpu.REFUSED else None


class Runnable(Stateful):
    """A stack whose programs are bound to memory when they are first run, and kept."""

    def __init__(self, *arguments: Any) -> None:
        self._executors: OrderedDict[Any, Any] = OrderedDict()
        self._ready: dict[Any, Ready | None] = {}
        self._optimizing: dict[str, np.ndarray] | None = None
        super().__init__(*arguments)

    @property
    def _slots(self) -> dict[str, np.ndarray] | None:
        """The optimizer's arrays in the host's memory; from the GPU they are brought back first."""
        self._come_back()
        return self._optimizing

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what holds addresses: a copy is on the CPU."""
        self._come_back()
        return self.__dict__ | {"_executors": OrderedDict(), "_ready": {}, "_residence": None}

    def _allocate(self, graph: Graph) -> None:
        """Make the parameters of a graph; an optimizer begins anew."""
        super()._allocate(graph)
        Weights.changes += 1
        self._forget()

    def _forget(self) -> None:
        """Drop what is bound to memory, and the optimizer's slots."""
        self._come_back()
        self._unbind()
        self._optimizing = None

    def _unbind(self) -> None:
        """Drop what is bound to memory."""
        self._executors.clear()
        self._ready.clear()

    def predict(
        self,
        x: Any,
        batch_size: int | None = PREDICT_BATCH,
        verbose: int | str = 0,
        *,
        training: bool = False,
        seed: int | None = None,
        initial_state: Any = None,
        mask: Any = None,
        lengths: Any = None,
    ) -> Any:
        """Return the model's outputs, (samples, outputs) or (samples, time steps, outputs).

        Of a model with several outputs it is a list of them, or a dict if the model was made with one. Where layers
        of a Sequential have return_state=True it is a list: the outputs, then each such layer's last state, (samples,
        units), of an LSTM h and c.

        Parameters
        ----------
        x : array (samples, time steps, features) or (samples, features)
            Of a model with several inputs a list of arrays, or a dict of them by the inputs' names.
        batch_size : int
            How many samples are worked on at a time; it changes the memory used, not the numbers.
        verbose : int or str
            Taken for Keras' sake; nothing is shown.
        training : bool, default False
            Whether dropout drops, as in a training: each sample has masks of its own, so that copies of one sample, or
            several calls, give a sample of the outputs (Monte Carlo dropout).
        seed : int, optional
            With training=True, the number of the draw: the masks depend on it, the layer, the sample's place in x and
            the model's seed. Drawn anew for each call where it is not given.
        initial_state : dict of name to array (samples, units), or a list, optional
            The first states of the recurrent layers: {"lstm/h": h, "lstm/c": c}, zeros where a name is missing, or
            all of them in the layers' order. A stateful layer goes on from its own instead, see `set_states`.
        mask : array (samples, time steps) of bool, optional
            Which time steps count, as for `fit`.
        lengths : array (samples,) of int, optional
            How many steps of each sample count, as for `fit`.

        Raises
        ------
        ValueError
            If an argument or an array does not fit.
        """
        draw = None if training is False and seed is None else checked_draw(training, seed)
        plain = draw is None and initial_state is None and mask is None and lengths is None
        if type(x) is np.ndarray and type(batch_size) is int and plain and x.dtype is self.dtype:
            ready = self._ready.get((x.shape, batch_size))
            if ready is not None:
                outputs = ready(x)
                if outputs is not None:
                    return outputs
        x = self._inputs(x, mask, lengths)
        batch = count_or("batch_size", batch_size, PREDICT_BATCH)
        options, given = self._begin_at(initial_state, len(x), Options(threads=cpu.get_num_threads()))
        returned = bool(self._units("return_state"))
        small = isinstance(x, np.ndarray) and x.size <= SMALL and len(self.graph.outputs) == 1
        small = small and self.device == "cpu" and not self._reads_tokens  # tokens are looked at every time
        if small and plain and not returned and not self.stateful:
            ready = self._get_ready(x, batch)
            if ready is not None and (outputs := ready(x)) is not None:
                return outputs
        options = replace(options, kept=returned, sampled=draw is not None)
        places = self._outputs(x)
        memory = {numbered("output", k): flat for k, (flat, _) in enumerate(places)}
        executor = self._executor(PREDICT, x, None, batch, options, given, memory)
        run_once(executor, self.seed, draw or 0)
        found = [array for _, array in places]
        if returned:
            found += self._last(executor.arrays["final"], len(x), "return_state").values()
        if self.named_outputs:
            return dict(zip([*self.graph.output_names, *self._units("return_state")], found, strict=True))
        return found if len(found) > 1 else found[0]

    def _outputs(self, x: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return memory for each output of inputs, and the same in its shape."""
        places = []
        for shape in self._ends(x):
            size = len(x) * math.prod(shape)
            count = -(-size // LANES) * LANES  # whole lines, as a program counts them
            flat = self._beside(x, count) or aligned(count, self.dtype, zero=False)
            places.append((flat, flat[:size].reshape(len(x), *shape)))
        return places

    def _beside(self, x: Any, count: int) -> Any:
        """Return memory on the GPU for outputs of inputs that are there; None where they are in the host's memory."""
        if not any(isinstance(array, Elsewhere) for array in arrays_of(x)):
            return None
        from .targets.cuda.exchange import DeviceArray

        return DeviceArray.new(count, self.dtype)

    def _get_ready(self, x: np.ndarray, batch: int) -> Ready | None:
        """Return a forward pass over arrays of this shape; None where it is long or may take several threads."""
        key = x.shape, batch
        if key not in self._ready:
            place, ((flat, outputs),) = aligned(x.shape, self.dtype), self._outputs(x)
            options = Options(threads=cpu.get_num_threads())
            executor = self._executor(PREDICT, place, None, batch, options, outputs={"output": flat})
            batches = -(-executor.plan.samples // executor.plan.batch)
            long = executor.worth_threads or first_guess(executor) * batches > SLICE
            self._ready[key] = None if long else Ready(executor, place, outputs, executor.entry(place, batches))
            while len(self._ready) > KEPT:
                del self._ready[next(iter(self._ready))]
        return self._ready[key]

    def predict_on_batch(self, x: Any, *, mask: Any = None, lengths: Any = None) -> Any:
        """Return what `predict` returns, for these samples as one batch."""
        return self.predict(x, batch_size=ALL, mask=mask, lengths=lengths)

    @knows(FILES)
    def save_weights(self, filepath: str | Path) -> None:
        """Write the model without the optimizer's arrays, for `load_weights`.

        Parameters
        ----------
        filepath : str or Path

        Raises
        ------
        ValueError
            If the model is not built, or complex.
        OSError
            If the file cannot be written.
        """
        from .saving import save_model

        save_model(cast("Model", self), filepath, include_optimizer=False)

    @knows(FILES)
    def load_weights(self, filepath: str | Path) -> None:
        """Take over the weights of a model file, of `save`, `save_weights` or the callback `ModelCheckpoint`.

        Parameters
        ----------
        filepath : str or Path

        Raises
        ------
        ValueError
            If there is no such file, it is none of these, or its weights have other shapes; nothing is changed then.
        """
        from .saving import load_model

        self.set_weights(load_model(filepath).get_weights())

    def get_config(self) -> dict[str, Any]:
        """Return what makes the model again, without its weights, for `from_config`: what JSON can hold."""
        from .blueprint import model_config

        self._built()
        return model_config(cast("Model", self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Model:
        """Return the model of `get_config`, with first weights of its seed.

        Parameters
        ----------
        config : dict

        Raises
        ------
        ValueError
            If it describes no model.
        """
        from .saving import model_from_config

        try:
            return model_from_config(config)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"config must be what get_config returned; this one cannot be read: {error!r}.") from error

    def stream(self, batch_size: int = 1) -> Stream:
        """Return the model as a stream: it takes a row at a time and keeps the recurrent layers' states.

        Parameters
        ----------
        batch_size : int, default 1
            How many sequences go side by side.

        Raises
        ------
        ValueError
            If a layer needs the whole sequence, or the model has no layers or no input shape yet.
        """
        self._built()
        return Stream(cast("Model", self), whole_number("batch_size", batch_size))

    def __call__(
        self,
        x: Any,
        *,
        training: bool = False,
        seed: int | None = None,
        initial_state: Any = None,
        mask: Any = None,
        lengths: Any = None,
    ) -> Any:
        """Return what `predict` returns."""
        if isinstance(x, Value):
            raise ValueError(f"model {self.name} is called on arrays, not on symbolic values; call its layers on them.")
        return self.predict(x, training=training, seed=seed, initial_state=initial_state, mask=mask, lengths=lengths)

    def _executor(
        self,
        mode: str,
        x: Any,
        y: Any,
        batch: int,
        options: Options = Options(),  # noqa: B008
        given: np.ndarray | None = None,
        outputs: dict[str, np.ndarray] | None = None,
        weights: Any = None,
        fixed: bool = False,
    ) -> Any:
        """Return the plan for arrays of this kind, bound to memory; made once and pointed at the arrays after that.

        Arrays that are `fixed` hold what they held when they were last given, so that they need not go to a GPU again.
        """
        if mode == TRAIN and self._optimizing is None:
            self._start_optimizer()
        if self.device == "cuda":
            options = replace(options, device="cuda", threads=0)
        sides = {"x": x, "y": y, "sample_weights": weights}
        x_feed, y_feed, w_feed = (None if side is None else feeds_of(side) for side in sides.values())
        key = (mode, x_feed, y_feed, min(batch, len(x)), options, w_feed)
        foreign = dict(outputs or {})
        for block, side in sides.items():
            foreign |= {} if side is None else foreign_arrays(block, side)
        if given is not None:
            foreign["initial"] = given
        if self.stateful:
            foreign["carried"] = self._carry(len(x), batch)
        executor = self._executors.get(key)
        if executor is None:
            plan = make_plan(cast("Model", self), mode, cast("Feeds", x_feed), y_feed, batch, options, w_feed)
            arrays = {"params": self._params, "order": np.arange(len(x)), **(self._optimizing or {}), **foreign}
            if "final" in plan.sizes:
                arrays["final"] = aligned(plan.sizes["final"], self.dtype)
            executor = self._executors[key] = self._bound(plan, arrays)
            while len(self._executors) > KEPT:
                self._executors.popitem(last=False)
        else:
            self._executors.move_to_end(key)
            executor.fixed = fixed
            executor.feed(**foreign)
        if mode == TRAIN:
            assert self.optimizer is not None
            set_hyper(executor, self.optimizer)
        return executor

    def _bound(self, plan: Plan, arrays: dict[str, np.ndarray]) -> Any:
        """Return a plan bound to memory, the host's or the GPU's; there, older ones make room for it if they must."""
        if self._residence is None:
            return cpu.Executor(plan, arrays)
        from .targets.cuda import Executor

        with suppress(NotEnoughMemoryError):
            return Executor(plan, arrays, self._residence)
        self._unbind()
        return Executor(plan, arrays, self._residence)

    def _start_optimizer(self) -> None:
        """Make the optimizer's slots."""
        if self.optimizer is None:
            raise ValueError("the model has no optimizer yet: call compile() before fit().")
        if self.dtype.kind == "c":
            raise ValueError("a complex128 model is for gradient checks; train in float32 or float64.")
        self.layout = add_optimizer(parameter_layout(self), self.optimizer)
        hyper = aligned(self.layout.sizes["hyper"], np.float64)
        start = len(self.optimizer.hyper())
        hyper[start : start + self.optimizer.powers] = 1.0
        if self.optimizer.schedule is not None:
            numbers = self.optimizer.schedule.numbers()
            at = self.layout.buffers["schedule"].offset
            hyper[at : at + len(numbers)] = numbers
        self._optimizing = {"slots": aligned(self.layout.sizes.get("slots", 1), self.dtype), "hyper": hyper}


def checked_draw(training: bool, seed: int | None) -> int | None:
    """Return the number of a prediction's draw of masks; None where nothing is dropped."""
    if not flag("training", training):
        if seed is not None:
            raise ValueError(f"seed={seed!r} numbers a draw of dropout's masks: give training=True with it.")
        return None
    if seed is None:
        return draw_seed() % DRAWS
    if whole_number("seed", seed, 0) >= DRAWS:
        raise ValueError(f"seed of a prediction must be below 2**32, not {seed}.")
    return int(seed)
