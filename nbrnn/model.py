"""Models, graphs of layers with Keras' verbs: compile, fit, evaluate and predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import optimizers
from .chain import Chain
from .checks import real_number, whole_number
from .graph import Shape, checked_shape, name_graph, read_graph
from .heads import losses_by_output, metrics_by_output, weights_by_output
from .layers import Layer
from .lowering import EVALUATE, TRAIN
from .memory import require
from .optimizers import Optimizer
from .program import Program
from .running import PREDICT_BATCH, Runnable
from .summary import plan_of
from .targets import cpu
from .training import History, run_once, train


class Model(Runnable):
    """A graph of layers, from one or several inputs to one or several outputs.

    Parameters
    ----------
    inputs : Value, sequence or dict of Value
        What `nbrnn.Input` made; in a dict by the names that `fit` and `predict` know them by.
    outputs : Value, sequence or dict of Value
        What layers gave for them. `predict` returns an array, a list or a dict accordingly.
    seed : int, optional
        Decides the first weights and the order of the samples; drawn if it is not given (then see `model.seed`).
    dtype : str, default "float32"
        float32 or float64; complex128 for complex-step gradient checks.
    name : str, default "model"

    Raises
    ------
    ValueError
        If an output needs an input that is not given, an input is not used, two layers have one name, or an argument
        is out of range.

    Examples
    --------
    >>> import nbrnn
    >>> a, b = nbrnn.Input((12, 1), name="a"), nbrnn.Input((12, 2), name="b")
    >>> both = nbrnn.Concatenate()([a, b])
    >>> model = nbrnn.Model([a, b], nbrnn.Dense(1)(nbrnn.LSTM(4)(both)), seed=0)
    >>> model.count_params()
    133
    """

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        seed: int | None = None,
        dtype: str = "float32",
        name: str = "model",
    ) -> None:
        super().__init__(seed, dtype, name)
        self.history = History()
        self.epochs = self.steps = 0  # finished so far, over all fits
        graph, named = read_graph(inputs, outputs)
        before = [(layer, layer.name) for layer, _ in graph.owners]
        try:
            self._allocate(name_graph(graph, named))
        except ValueError:  # the layers stay as they were
            for layer, own in before:
                layer.name = own
            raise
        self.named_outputs = isinstance(outputs, dict)
        for layer in self.layers:
            layer.owned = True

    # ------------------------------------------------------------------ training

    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: Any = "mse",
        metrics: Any = (),
        loss_weights: Any = None,
    ) -> None:
        """Choose the optimizer, the loss and the metrics; the optimizer begins anew.

        Parameters
        ----------
        optimizer : str or Optimizer
            "sgd", "rmsprop", "adam", or one with other settings: nbrnn.Adam(learning_rate=0.01).
        loss : str, Loss, or a list or dict of them by output
            "mse", "mae", "huber" (or their long names), or nbrnn.Huber(delta=...); one for every output, or None for
            an output that is not trained on.
        metrics : sequence of str; of several outputs a list or a dict of such sequences
            "mse", "mae", "rmse", "huber": reported beside the loss.
        loss_weights : list or dict of float, optional
            By output: the loss that is trained on is the sum of the outputs' losses, each times its weight (1).

        Raises
        ------
        ValueError
            If a name is unknown; the nearest one is suggested.
        """
        names = self.graph.output_names if self.built else ("",)
        chosen = optimizers.get(optimizer)
        asked = (
            losses_by_output(loss, names),
            weights_by_output(loss_weights, names),
            metrics_by_output(metrics, names),
        )
        self.optimizer, (self.loss, self.loss_weights, self.metrics) = chosen, asked
        self.compiled = True
        self._forget()

    @property
    def metrics_names(self) -> list[str]:
        """Names of what evaluate() returns: the loss, then the metrics; one that comes again has a number."""
        return [name for name, _ in self._asked()[1]] or ["loss"]

    def figures_of(self, sums: np.ndarray, samples: int) -> dict[str, float]:
        """Return the means over samples from the sums of a log."""
        means = (sums / samples).tolist()
        return {name: figure.finish(mean) for (name, figure), mean in zip(self._asked()[1], means, strict=True)}

    def fit(
        self,
        x: Any,
        y: Any,
        batch_size: int = 32,
        epochs: int = 1,
        verbose: int = 1,
        validation_split: float = 0.0,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
    ) -> History:
        """Train the model.

        Parameters
        ----------
        x : array (samples, time steps, features) or (samples, features)
            Of a model with several inputs a list of arrays, or a dict of them by the inputs' names; so for outputs y.
            Overlapping windows are read where they lie, without a copy, if they have the model's dtype.
        y : array (samples, outputs), (samples,) for one output, or (samples, time steps, outputs)
        batch_size : int, default 32
        epochs : int, default 1
        verbose : {1, 0, 2}
            1 a live line, 0 nothing, 2 a line an epoch.
        validation_split : float, default 0
            Share of the samples, taken from the end before shuffling, that is only evaluated.
        validation_data : (x, y), optional
            Evaluated after each epoch; wins over `validation_split`.
        shuffle : bool, default True
            Whether each epoch takes the samples in another order, which depends on the seed and the epoch alone.

        Returns
        -------
        History
            `history.history["loss"]` and so on: a number an epoch, the mean over its batches as they were trained.

        Raises
        ------
        ValueError
            If an argument or an array does not fit, or the memory that is left (`memory` tells what a fit needs); the
            sentence says which and how.
        DivergedError
            If the loss, a gradient or a step is not finite; the last finite weights are kept.
        KeyboardInterrupt
            On Ctrl-C, between two batches; the weights are kept and `model.history` holds the finished epochs.
        """
        batch_size, epochs = whole_number("batch_size", batch_size), whole_number("epochs", epochs)
        if verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0, 1 or 2, not {verbose!r}.")
        x, y = self._pair(x, y)
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError("validation_data must be a pair (x, y).")
            held = self._pair(*validation_data)
        elif validation_split:
            at = int(len(x) * (1.0 - real_number("validation_split", validation_split, 0.0, 1.0)))
            if not 0 < at < len(x):
                raise ValueError(
                    f"validation_split={validation_split:g} of {len(x)} samples leaves a part empty; change it."
                )
            x, y, held = x[:at], y[:at], (x[at:], y[at:])
        else:
            held = None
        validate = None
        if self.stateful and shuffle:
            raise ValueError("a stateful layer goes on from batch to batch, so fit needs shuffle=False.")
        if held is not None:
            held_x, held_y = held
            if self.stateful:
                rows = self._one_size(" to train on", len(x), batch_size, self._rows)
                self._one_size(" of the validation data", len(held_x), batch_size, rows)
            validate = lambda: self._validate(held_x, held_y, batch_size)  # noqa: E731
        before = cpu.announce
        cpu.announce = before or (print if verbose else None)
        try:
            executor = self._executor(TRAIN, x, y, batch_size)
            if held is not None:  # what the validation needs is refused now, not after an epoch
                other = self._executor(EVALUATE, *held, batch_size if self.stateful else PREDICT_BATCH)
                require(*(each.plan for each in (executor, other) if each.fresh))
            executor.order[:] = np.arange(len(x))
            return train(self, executor, epochs, shuffle=bool(shuffle), verbose=verbose, validate=validate)
        finally:
            cpu.announce = before

    def train_on_batch(self, x: Any, y: Any) -> float | list[float]:
        """Take one optimizer step on these samples as one batch; return the loss, or [loss, metrics...]."""
        x, y = self._pair(x, y)
        executor = self._executor(TRAIN, x, y, len(x))
        executor.order[:] = np.arange(len(x))
        history, epochs = self.history, self.epochs
        try:
            figures = train(self, executor, 1, shuffle=False, verbose=0, validate=None).history
        finally:
            self.history, self.epochs = history, epochs
        values = [figures[name][0] for name in self.metrics_names]
        return values if len(values) > 1 else values[0]

    def evaluate(
        self, x: Any, y: Any, batch_size: int = PREDICT_BATCH, verbose: int = 0, return_dict: bool = False
    ) -> float | list[float] | dict[str, float]:
        """Return the loss, or [loss, metrics...], or, with return_dict, them by name, as means over all samples.

        Parameters
        ----------
        x, y : arrays
            As for `fit`.
        batch_size : int
            How many samples are worked on at a time; it changes the memory used, not the figures.
        verbose : {0, 1, 2}
            Whether the figures are printed too.
        return_dict : bool
        """
        figures = self._evaluate(*self._pair(x, y), whole_number("batch_size", batch_size))
        if verbose:
            print("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
        if return_dict:
            return figures
        return list(figures.values()) if len(figures) > 1 else figures["loss"]

    def _validate(self, x: Any, y: Any, batch: int) -> dict[str, float]:
        """Evaluate within a fit; a stateful layer goes on from the training's last states, which are kept."""
        if not self.stateful:
            return self._evaluate(x, y, PREDICT_BATCH)
        kept = self.states
        try:
            return self._evaluate(x, y, batch)
        finally:
            self.set_states(kept)

    def _evaluate(self, x: Any, y: Any, batch: int) -> dict[str, float]:
        return self.figures_of(run_once(self._executor(EVALUATE, x, y, batch)).sum(axis=0), len(x))

    # ------------------------------------------------------------------ programs

    def program(self, batch_size: int = 1, mode: str = TRAIN, steps: int | None = None) -> Program:
        """Return the program of a batch's first shard; print it to read it.

        Parameters
        ----------
        batch_size : int
            Samples of the batch.
        mode : {"train", "evaluate", "predict"}
        steps : int, optional
            Time steps, where the model's input shape leaves them open.
        """
        batch = whole_number("batch_size", batch_size)
        plan = plan_of(self, mode, batch, batch, steps)
        return plan.programs[plan.shard]

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path) -> None:
        """Write the model to one safetensors file, whole or not at all; see `nbrnn.load_model`."""
        from .saving import save_model

        save_model(self, path)


class Sequential(Chain, Model):
    """A chain of layers.

    Parameters
    ----------
    layers : sequence of Layer, optional
        The layers from the input to the output; more can be added.
    input_shape : tuple, optional
        The shape of one sample: (time steps, features), where the time steps may be None, or (features,). Where it is
        given neither here nor on the first layer, the first array that the model sees decides.
    seed : int, optional
        Decides the first weights and the order of the samples; drawn if it is not given (then see `model.seed`).
    dtype : str, default "float32"
        float32 or float64; complex128 for complex-step gradient checks.
    name : str, default "sequential"

    Raises
    ------
    ValueError
        If a layer cannot follow the one below it, or an argument is out of range.

    Examples
    --------
    >>> import nbrnn
    >>> model = nbrnn.Sequential([nbrnn.SimpleRNN(3), nbrnn.Dense(1)], input_shape=(12, 1), seed=0)
    >>> model.count_params()
    19
    """

    def __init__(
        self,
        layers: Sequence[Layer] | None = None,
        input_shape: Shape | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str = "sequential",
    ) -> None:
        Runnable.__init__(self, seed, dtype, name)
        self.history = History()
        self.epochs = self.steps = 0  # finished so far, over all fits
        self.input_shape = None if input_shape is None else checked_shape(input_shape)
        self._add(list(layers or []))
