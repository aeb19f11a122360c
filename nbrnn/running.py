"""A stack that can be run: its programs bound to memory, and `predict`, which costs little to call."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .arrays import flat_view
from .checks import whole_number
from .kernels.optimizers import LANES
from .layers import Shape, known
from .losses import Figure
from .lowering import PREDICT, TRAIN, Feed, add_optimizer, make_plan, parameter_layout
from .optimizers import Optimizer
from .program import Options, Weights, aligned
from .states import Stateful
from .streaming import Stream
from .targets import cpu
from .training import SLICE, first_guess, run_once, set_hyper

if TYPE_CHECKING:
    from .model import Sequential

PREDICT_BATCH = 256
KEPT = 8  # executors, and forward passes that are ready
SMALL = 2**14  # numbers of an input up to which copying it costs less than pointing a program at it
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
        self._executors: OrderedDict[Any, cpu.Executor] = OrderedDict()
        self._ready: dict[Any, Ready | None] = {}
        self._slots: dict[str, np.ndarray] | None = None
        super().__init__(*arguments)
        self.optimizer: Optimizer | None = None
        self.metrics: list[Figure] = []

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what holds addresses."""
        return self.__dict__ | {"_executors": OrderedDict(), "_ready": {}}

    def build(self, input_shape: Shape) -> None:
        """Make the parameters for an input shape; an optimizer begins anew.

        Raises
        ------
        ValueError
            If a layer cannot take what the one below it gives.
        """
        super().build(input_shape)
        Weights.changes += 1
        self._forget()

    def _forget(self) -> None:
        """Drop what is bound to memory, and the optimizer's slots."""
        self._executors.clear()
        self._ready.clear()
        self._slots = None

    @property
    def figures(self) -> list[Figure]:
        """The loss and the metrics, in the order of the statistics."""
        return [self.loss, *self.metrics] if self.loss is not None else []

    def predict(self, x: Any, batch_size: int = PREDICT_BATCH, verbose: int = 0, *, initial_state: Any = None) -> Any:
        """Return the model's outputs, (samples, outputs) or (samples, time steps, outputs).

        Where layers have return_state=True it is a list: the outputs, then each such layer's last state, (samples,
        units), of an LSTM h and c.

        Parameters
        ----------
        x : array (samples, time steps, features) or (samples, features)
        batch_size : int
            How many samples are worked on at a time; it changes the memory used, not the numbers.
        verbose : int
            Taken for Keras' sake; nothing is shown.
        initial_state : dict of name to array (samples, units), or a list, optional
            The first states of the recurrent layers: {"lstm/h": h, "lstm/c": c}, zeros where a name is missing, or
            all of them in the layers' order. A stateful layer goes on from its own instead, see `set_states`.
        """
        if type(x) is np.ndarray and type(batch_size) is int and initial_state is None and x.dtype is self.dtype:
            ready = self._ready.get((x.shape, batch_size))
            if ready is not None:
                outputs = ready(x)
                if outputs is not None:
                    return outputs
        x = self._samples(x)
        batch = whole_number("batch_size", batch_size)
        given = None
        if initial_state is not None:
            if self.stateful:
                raise ValueError("initial_state is for layers that are not stateful; here call set_states first.")
            given = self._given(initial_state, len(x))
        returned = bool(self._units("return_state"))
        if given is None and not returned and not self.stateful and x.size <= SMALL:
            ready = self._get_ready(x, batch)
            if ready is not None and (outputs := ready(x)) is not None:
                return outputs
        options = Options(given=given is not None, kept=returned, threads=cpu.get_num_threads())
        flat, outputs = self._outputs(x)
        executor = self._executor(PREDICT, x, None, batch, options, given, flat)
        run_once(executor)
        if returned:
            return [outputs, *self._last(executor.arrays["final"], len(x), "return_state").values()]
        return outputs

    def _outputs(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return memory for the outputs of inputs, and the same in their shape."""
        steps = (x.shape[1],) if len(self.output_shape) == 2 else ()
        shape = (len(x), *steps, known(self.output_shape[-1]))
        size = math.prod(shape)
        flat = aligned(-(-size // LANES) * LANES, self.dtype, zero=False)  # whole lines, as a program counts them
        return flat, flat[:size].reshape(shape)

    def _get_ready(self, x: np.ndarray, batch: int) -> Ready | None:
        """Return a forward pass over arrays of this shape; None where it is long or may take several threads."""
        key = x.shape, batch
        if key not in self._ready:
            place, (flat, outputs) = aligned(x.shape, self.dtype), self._outputs(x)
            options = Options(threads=cpu.get_num_threads())
            executor = self._executor(PREDICT, place, None, batch, options, output=flat)
            batches = -(-executor.plan.samples // executor.plan.batch)
            long = executor.worth_threads or first_guess(executor) * batches > SLICE
            self._ready[key] = None if long else Ready(executor, place, outputs, executor.entry(place, batches))
            while len(self._ready) > KEPT:
                del self._ready[next(iter(self._ready))]
        return self._ready[key]

    def predict_on_batch(self, x: Any) -> Any:
        """Return what `predict` returns, for these samples as one batch."""
        return self.predict(x, batch_size=ALL)

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
        return Stream(cast("Sequential", self), whole_number("batch_size", batch_size))

    def __call__(self, x: Any, *, initial_state: Any = None) -> Any:
        """Return what `predict` returns."""
        return self.predict(x, initial_state=initial_state)

    def _executor(
        self,
        mode: str,
        x: np.ndarray,
        y: np.ndarray | None,
        batch: int,
        options: Options = Options(),  # noqa: B008
        given: np.ndarray | None = None,
        output: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> cpu.Executor:
        """Return the plan for arrays of this kind, bound to memory; made once and pointed at the arrays after that."""
        if mode == TRAIN and self._slots is None:
            self._start_optimizer()
        x_feed, y_feed = Feed.of(x), None if y is None else Feed.of(y)
        w_feed = None if weights is None else Feed.of(weights)
        key = (mode, x_feed, y_feed, min(batch, len(x)), options, w_feed)
        foreign = {"x": flat_view(x)} | ({} if y is None else {"y": flat_view(y)})
        foreign |= {} if weights is None else {"sample_weights": flat_view(weights)}
        foreign |= {name: array for name, array in (("initial", given), ("output", output)) if array is not None}
        if self.stateful:
            foreign["carried"] = self._carry(len(x), batch)
        executor = self._executors.get(key)
        if executor is None:
            plan = make_plan(cast("Sequential", self), mode, x_feed, y_feed, batch, options, w_feed)
            arrays = {"params": self.params, "order": np.arange(len(x)), **(self._slots or {}), **foreign}
            if "final" in plan.sizes:
                arrays["final"] = aligned(plan.sizes["final"], self.dtype)
            executor = self._executors[key] = cpu.Executor(plan, arrays)
            while len(self._executors) > KEPT:
                self._executors.popitem(last=False)
        else:
            self._executors.move_to_end(key)
            executor.feed(**foreign)
        if mode == TRAIN:
            assert self.optimizer is not None
            set_hyper(executor, self.optimizer)
        return executor

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
        self._slots = {"slots": aligned(self.layout.sizes.get("slots", 1), self.dtype), "hyper": hyper}
