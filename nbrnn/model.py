"""Models, graphs of layers with Keras' verbs: compile, fit, evaluate and predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import optimizers
from .arrays import named_arrays
from .callbacks import Callback, Callbacks
from .checkpoint import Keeper
from .checks import count_or, flag, verbosity, whole_number
from .evaluating import Evaluable
from .graph import name_graph, read_graph
from .heads import losses_by_output, metrics_by_output, shown, weights_by_output
from .kerasways import COMPILE, FILES, FIT, OF_MODELS, Trained, knows, no_call, point
from .lowering import EVALUATE, TRAIN
from .memory import require
from .optimizers import Optimizer
from .program import Options, Program
from .running import PREDICT_BATCH
from .summary import plan_of
from .supervision import held_out, validated_after
from .targets import compiling
from .training import Fit, History
from .truncation import steps_back

BATCH = 32  # samples of a batch of a fit


class Model(Evaluable):
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

    sort = "model"
    trainable = Trained()

    def __init_subclass__(cls) -> None:
        no_call(cls)

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        seed: int | None = None,
        dtype: str = "float32",
        name: str = "model",
    ) -> None:
        super().__init__(seed, dtype, name)
        self._begin()
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

    def _begin(self) -> None:
        """Begin the count of what was trained."""
        self.history = History()
        self.epochs = self.steps = 0  # finished so far, over all fits
        self.began = 0  # the step at which the optimizer began
        self.stop_training = False  # a callback sets it to end a fit

    # ------------------------------------------------------------------ training

    @knows(COMPILE)
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
            "sgd", "rmsprop", "adam", "adamw", or one with other settings: nbrnn.Adam(learning_rate=0.01).
        loss : str, Loss, or a list or dict of them by output
            "mse", "mae", "mape", "huber" (or their long names), "binary_crossentropy", "categorical_crossentropy",
            "sparse_categorical_crossentropy", or one with other settings: nbrnn.Huber(delta=...), nbrnn.Quantile(q),
            nbrnn.BinaryCrossentropy(from_logits=True) and so on; one for every output, or None for an output that is
            not trained on.
        metrics : sequence of str or Figure; of several outputs a list or a dict of such sequences
            Reported beside the loss: any loss, "rmse", "r2", "accuracy" (which kind is seen from the shapes),
            "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy", "precision", "recall", or
            nbrnn.BinaryAccuracy(threshold), nbrnn.Precision(...), nbrnn.Recall(...). They know no sample weights.
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
        self.compiled, self.began = True, self.steps
        self._forget()

    @property
    def metrics_names(self) -> list[str]:
        """Names of what evaluate() returns: the loss, then the metrics; one that comes again has a number."""
        return [one.name for one in self.asked] or ["loss"]

    @knows(FIT)
    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = 32,
        epochs: int = 1,
        verbose: int | str = 1,
        callbacks: Sequence[Callback] | Callback | None = None,
        validation_split: float = 0.0,
        validation_data: tuple[Any, ...] | None = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        validation_freq: int | Sequence[int] = 1,
        resume: bool | str | Path = False,
        truncate: int | None = None,
        initial_state: Any = None,
        *,
        mask: Any = None,
        lengths: Any = None,
    ) -> History:
        """Train the model.

        Parameters
        ----------
        x : array (samples, time steps, features) or (samples, features)
            Of a model with several inputs a list of arrays, or a dict of them by the inputs' names; so for outputs y.
            Overlapping windows are read where they lie, without a copy, if they have the model's dtype.
        y : array (samples, outputs), (samples,) for one output, or (samples, time steps, outputs)
            Of sparse_categorical_crossentropy the classes' numbers, (samples,) or (samples, time steps).
        batch_size : int, default 32
            None means the default, here and elsewhere.
        epochs : int, default 1
        verbose : {1, 0, 2, "auto"}
            1 or "auto" a live line, 0 nothing, 2 a line an epoch.
        callbacks : sequence of Callback, optional
            What is called before and after epochs and batches, in this order.
        validation_split : float, default 0
            Share of the samples, taken from the end before shuffling, that is only evaluated.
        validation_data : (x, y), (x, y, sample_weight) or (x, y, sample_weight, mask), optional
            Evaluated after epochs; wins over `validation_split`.
        shuffle : bool, default True
            Whether each epoch takes the samples in another order, which depends on the seed and the epoch alone.
        class_weight : dict of class to number, optional
            What a sample, or a time step, of a class weighs in the loss; 1 for a class that it leaves out. It needs
            targets that name a class, and is not used in the validation.
        sample_weight : array (samples,) or (samples, time steps), optional
            What each weighs in the loss, whose denominator stays the number of samples; multiplied with class_weight.
        initial_epoch : int, default 0
            What the first epoch is called; `epochs` is the number of the last, counted from 1.
        validation_freq : int or sequence of int, default 1
            Every how many epochs the validation is evaluated, or after which ones, counted from 1.
        resume : bool, str or Path, default False
            The checkpoint of a fit that was stopped, to go on from: then give the same model, data and arguments as
            before. True means the file of the callback `Checkpoint`, if it is there yet, so that a script can be
            started again as it is.
        truncate : int, optional
            Truncated BPTT: how many steps the gradients of states go back at most, see nbrnn/truncation.py.
        initial_state : dict or list of arrays (samples, units), optional
            The samples' first states, as for `predict`; the validation begins at zeros.
        mask, lengths : array (samples, time steps) of bool, or array (samples,) of int, optional
            Which steps count, or how many: see docs/masking.md. Of several inputs a dict or a list.

        Returns
        -------
        History
            `history.history["loss"]` and so on: a number an epoch, the mean over its batches as they were trained.

        Raises
        ------
        ValueError
            If an argument or an array does not fit, or the memory that is left (`memory` tells what a fit needs); the
            sentence says which and how; or if the checkpoint is one of another model, other data or other arguments.
        DivergedError
            If the loss, a gradient or a step is not finite; the last finite weights are kept. With the callback
            `TerminateOnNaN` the fit ends without it.
        KeyboardInterrupt
            On Ctrl-C, between two batches; the weights are kept and `model.history` holds the finished epochs.
        """
        batch_size, epochs = count_or("batch_size", batch_size, BATCH), whole_number("epochs", epochs)
        if whole_number("initial_epoch", initial_epoch, 0) >= epochs:
            raise ValueError(f"initial_epoch={initial_epoch} leaves nothing to do of epochs={epochs}.")
        verbose, shuffle = verbosity(verbose), flag("shuffle", shuffle)
        x, y = self._pair(x, y, mask, lengths)
        weights, held_weights = self._weighted(y, sample_weight), None
        if validation_data is not None:
            held, held_weights = self._held(validation_data)
        elif validation_split:
            if initial_state is not None:
                raise ValueError("initial_state cannot be split: give validation_data in place of validation_split.")
            (x, y, weights), (*rest, held_weights) = held_out(validation_split, x, y, weights)
            held = rest[0], rest[1]
        else:
            held = None
        if class_weight is not None:
            classes = self._weighted(y, None, class_weight)
            weights = classes if weights is None else weights * classes
        validate = None
        options, given = self._begin_at(initial_state, len(x), Options(truncate=steps_back(truncate, self._recurs)))
        if self.stateful and shuffle:
            raise ValueError("a stateful layer goes on from batch to batch, so fit needs shuffle=False.")
        if held is not None:
            held_x, held_y = held
            if self.stateful:
                rows = self._one_size(" to train on", len(x), batch_size, self._rows)
                self._one_size(" of the validation data", len(held_x), batch_size, rows)
            validate = lambda: self._validate(held_x, held_y, batch_size, held_weights)  # noqa: E731
        when = validated_after(validation_freq)
        hooks = Callbacks(callbacks, self)
        sides = {"x": x, "y": y, "the weights": weights, "the validation's weights": held_weights}
        sides |= {"initial_state": given}
        data = named_arrays(sides | ({} if held is None else {"validation x": held[0], "validation y": held[1]}))
        settings: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "initial_epoch": initial_epoch}
        settings |= {"truncate": options.truncate} | ({} if when == 1 else {"validation_freq": when})
        keeper = Keeper(self, hooks, resume, data, **settings) if hooks or resume is not False else None
        before, self.stop_training = compiling.announce, False
        compiling.announce = before or (print if verbose else None)
        try:
            executor = self._executor(TRAIN, x, y, batch_size, options, given, weights=weights)
            if held is not None:  # what the validation needs is refused now, not after an epoch
                size = batch_size if self.stateful else PREDICT_BATCH
                other = self._executor(EVALUATE, held[0], held[1], size, weights=held_weights)
                require(*(each.plan for each in (executor, other) if each.fresh))
            executor.order[:] = np.arange(len(x))
            fit = Fit(self, executor, epochs, shuffle, verbose, validate, hooks, initial_epoch, keeper, when)
            return fit.run()
        finally:
            compiling.announce = before

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
        *,
        mask: Any = None,
        lengths: Any = None,
    ) -> float | list[float] | dict[str, float]:
        """Take one optimizer step on these samples as one batch; return what `evaluate` returns, from before it.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As for `fit`.
        return_dict : bool
            As for `evaluate`.
        mask, lengths
            As for `fit`.

        Raises
        ------
        ValueError
            If an array does not fit.
        DivergedError
            If the loss, a gradient or the step is not finite; the weights stay as they were.
        """
        x, y = self._pair(x, y, mask, lengths)
        executor = self._executor(TRAIN, x, y, len(x), weights=self._weighted(y, sample_weight, class_weight))
        executor.order[:] = np.arange(len(x))
        history, epochs = self.history, self.epochs
        try:
            figures = Fit(self, executor, 1, shuffle=False).run().history
        finally:
            self.history, self.epochs = history, epochs
        return shown({name: figures[name][0] for name in self.metrics_names}, return_dict)

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

    @knows(FILES)
    def save(self, path: str | Path, include_optimizer: bool = True) -> None:
        """Write the model to one safetensors file, whole or not at all; see `nbrnn.load_model`.

        Parameters
        ----------
        path : str or Path
        include_optimizer : bool, default True
            Whether the optimizer's arrays go into the file, so that a fit of the loaded model goes on from them.

        Raises
        ------
        ValueError
            If the model is not built, or complex.
        OSError
            If the file cannot be written; an older file of that name stays as it was.
        """
        from .saving import save_model

        save_model(self, path, include_optimizer=include_optimizer)


point(Model, OF_MODELS)
