"""What Keras has and nbrnn has not: names and arguments, each with the way to do it here. docs/keras.md tells the same.

An argument whose value changes nothing is taken, so that defaults may be written out.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

Called = TypeVar("Called", bound=Callable[..., Any])

IN_BATCHES = "fit, evaluate and predict take whole arrays"
WINDOWS = "nbrnn.sliding_windows(series, length) makes windows that take no memory of their own"
OTHERS = "sgd, rmsprop, adam and adamw are there"
BY_NAME = 'are given by name: activation="relu"'
JOINED = "nbrnn.Add() and nbrnn.Concatenate() join values"
SCALED = "nbrnn.StandardScaler() scales the data before they enter"
RECURS = "the layers are recurrent ones, Dense, and what stands between them"
CONFIG = "write type(model).from_config(model.get_config()), and set_weights"
OWN_CELL = "a cell or a layer of your own is described in docs/custom-cells.md"
DECAY = "nbrnn.InverseTimeDecay(rate, 1, decay) as learning_rate does what decay did"

ANY = object()  # whatever the value is, nothing changes

# Place of a name ("" for nbrnn itself) -> name -> the way to do it here.
NAMES: dict[str, dict[str, str]] = {
    "": {
        **dict.fromkeys(("set_device", "device", "cuda"), 'a model is moved to a GPU by model.to("cuda")'),
        "activations": f"activations {BY_NAME}",
        "constraints": "weights have no constraints; a penalty, kernel_regularizer, keeps them small",
        "backend": "nothing has to be cleared or configured, so leave clear_session() out",
        "random": "write nbrnn.utils.set_random_seed(seed), or give the model a seed",
        "ops": "models are tables of compiled kernels, not of operations on tensors; " + OWN_CELL,
        "preprocessing": f"{WINDOWS}; pad_sequences is in nbrnn.utils",
        "applications": RECURS,
    },
    "layers": {
        **dict.fromkeys(("BatchNormalization", "LayerNormalization", "Normalization"), SCALED),
        **dict.fromkeys(("Multiply", "Subtract", "Average", "Dot", "Maximum", "Minimum"), JOINED),
        **dict.fromkeys(("ReLU", "ELU"), "write nbrnn.Activation with the name, such as 'relu'"),
        **dict.fromkeys(("LeakyReLU", "PReLU"), "nbrnn.Activation('elu') is the nearest"),
        **dict.fromkeys(("Conv1D", "Conv2D", "ConvLSTM1D", "ConvLSTM2D", "MaxPooling1D", "UpSampling1D"), RECURS),
        **dict.fromkeys(("Attention", "AdditiveAttention", "MultiHeadAttention"), RECURS),
        **dict.fromkeys(("Lambda", "StringLookup", "TextVectorization"), f"layers are compiled; {OWN_CELL}"),
        "GlobalAveragePooling1D": "nbrnn.Flatten() keeps all steps, and a recurrent layer gives its last one",
        "GlobalMaxPooling1D": "nbrnn.Flatten() keeps all steps, and a recurrent layer gives its last one",
        "StackedRNNCells": "put a layer for each cell on top of the one before, with return_sequences=True",
        "SpatialDropout1D": "the argument dropout of a recurrent layer keeps one mask for all steps",
        "GaussianNoise": "add the noise to the arrays, or take nbrnn.Dropout(rate)",
        "CuDNNLSTM": 'write LSTM, and model.to("cuda") for a GPU',
        "CuDNNGRU": 'write GRU, and model.to("cuda") for a GPU',
    },
    "models": {
        **dict.fromkeys(("clone_model", "model_from_json"), CONFIG),
        "save_model": "write model.save(path)",
    },
    "callbacks": {
        "History": "fit returns it, and model.history keeps it",
        "TensorBoard": "nbrnn.CSVLogger writes the figures, nbrnn.plot_history draws them",
        "BackupAndRestore": "nbrnn.Checkpoint(path) with fit(resume=True) goes on to the same bits",
        "ProgbarLogger": "fit shows its progress with verbose=1",
        "RemoteMonitor": "a callback of your own may send its logs in on_epoch_end",
    },
    "optimizers": dict.fromkeys(("Nadam", "Adagrad", "Adadelta", "Adamax", "Ftrl", "Lion", "Lamb", "Muon"), OTHERS),
    "losses": dict.fromkeys(
        ("mse", "mae", "mape", "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "huber"),
        'a loss is given by its name, loss="mse"; of arrays NumPy computes it: np.mean((y - y_true) ** 2, axis=-1)',
    ),
    "metrics": {
        **dict.fromkeys(
            ("mse", "mae", "mean_squared_error", "mean_absolute_error"),
            'a metric is given by its name, metrics=["mae"]; of arrays NumPy computes it: np.abs(y - y_true).mean()',
        ),
        "Accuracy": 'write metrics=["accuracy"]',
        "AUC": "compute it from model.predict(x)",
        "F1Score": "nbrnn.confusion_matrix and nbrnn.Precision, nbrnn.Recall tell what it is made of",
        "Mean": "metrics are compiled; a number that a callback adds to its logs gets into the history",
        "Metric": "metrics are compiled; a number that a callback adds to its logs gets into the history",
    },
    "initializers": {
        "VarianceScaling": "glorot, he and lecun initializers are there, uniform and normal",
    },
    "utils": {
        **dict.fromkeys(("timeseries_dataset_from_array", "Sequence", "PyDataset"), f"{IN_BATCHES}; {WINDOWS}"),
        "normalize": "nbrnn.StandardScaler() and nbrnn.MinMaxScaler() scale data and scale them back",
    },
}


@dataclass(frozen=True)
class Other:
    """An argument that stands for another one here."""

    name: str
    change: Callable[[Any], Any]


def _sample(shape: Any) -> Any:
    """Return the shape of one sample of a shape that has the samples before it."""
    return tuple(shape[1:]) if isinstance(shape, (list, tuple)) else shape


# Where an argument is given -> its name -> the values that change nothing, and the way to do anything else.
Ways = dict[str, tuple[tuple[Any, ...], str] | Other]
ALWAYS = "epochs are native calls already, so leave it out"
WHOLE = f"{IN_BATCHES}, and an epoch goes over all samples; give fewer samples where that is too long"
LAYER: Ways = {
    "implementation": ((0, 1, 2), "there is one implementation; leave it out"),
    "unroll": ((False,), "kernels loop over the steps; leave it out"),
    "use_cudnn": (("auto", False), 'model.to("cuda") moves the whole model to a GPU'),
    "time_major": ((False,), "arrays are (samples, time steps, features)"),
    "trainable": ((True,), "every layer is trained"),
    "dtype": ((None,), "the model's dtype is that of all its layers: Sequential(layers, dtype='float64')"),
    "batch_size": ((None,), "batch_size belongs to fit; a stateful layer takes its batches' size from there"),
    "batch_input_shape": Other("input_shape", _sample),  # the batch is what fit's batch_size says
    "input_dim": Other("input_shape", lambda size: (size,)),
    "input_length": ((ANY,), "the first array decides, or input_shape"),
    "activity_regularizer": ((None,), "penalties are on weights: kernel_regularizer and bias_regularizer"),
    "weights": ((None,), "set_weights of the model, or of model.layers[0], sets them once the model is built"),
    "noise_shape": ((None,), "the argument dropout of a recurrent layer keeps one mask for all steps"),
    **dict.fromkeys(
        ("kernel_constraint", "recurrent_constraint", "bias_constraint", "embeddings_constraint"),
        ((None,), "weights have no constraints; a penalty, kernel_regularizer, keeps them small"),
    ),
}
INPUT: Ways = {
    "batch_size": ((ANY,), "any number of samples fits"),
    "dtype": ((None, "float32", "int32", "int64"), "the model has a dtype: nbrnn.Model(..., dtype='float64')"),
    "sparse": ((None, False), "arrays are dense"),
    "input_shape": Other("shape", lambda shape: shape),
    "ragged": ((None, False), "lists of sequences of different lengths go to fit and predict as they are"),
}
COMPILE: Ways = {
    "weighted_metrics": ((None, []), "metrics know no weights; the loss, which does, is reported beside them"),
    "run_eagerly": ((None, False), "with NUMBA_DISABLE_JIT=1 the kernels run as plain Python, for a debugger"),
    "jit_compile": ((None, "auto", True), "with NUMBA_DISABLE_JIT=1 the kernels run as plain Python"),
    "steps_per_execution": ((ANY,), ALWAYS),
    "auto_scale_loss": ((True, False), "nothing is scaled"),
}
FIT: Ways = {
    "steps_per_epoch": ((None,), WHOLE),
    "validation_steps": ((None,), "the validation goes over all its samples"),
    "validation_batch_size": ((None,), "the validation's figures do not depend on its batches; leave it out"),
    "workers": ((0, 1), ALWAYS),
    "use_multiprocessing": ((False,), ALWAYS),
    "max_queue_size": ((10,), ALWAYS),
}
TEST: Ways = {
    "steps": ((None,), f"{IN_BATCHES}; give those samples, such as x[:64]"),
    "callbacks": ((None, [], ()), "callbacks belong to fit; what is evaluated is returned"),
}
SUMMARY: Ways = {
    "line_length": ((None,), "the table has a width of its own; leave it out"),
    "positions": ((None,), "the columns have places of their own; leave it out"),
    "expand_nested": ((False, True), "no model stands within another"),
    "show_trainable": ((False,), "every layer is trained"),
    "layer_range": ((None,), "all layers are shown; print_fn gets them line by line"),
}
OPTIMIZER: Ways = {
    "name": ((ANY,), "it is not shown"),
    "lr": ((), "write learning_rate"),
    "decay": ((None, 0), DECAY),
    "use_ema": ((False,), "no running mean of the weights is kept"),
    "ema_momentum": ((0.99,), "no running mean of the weights is kept"),
    "loss_scale_factor": ((None,), "nothing is scaled"),
    "gradient_accumulation_steps": ((None, 1), "take larger batches, whose gradients are added in one step"),
}
FIGURE: Ways = {
    "name": ((ANY,), "it is not shown"),
    "reduction": ((None, "auto", "sum_over_batch_size"), "a loss is a mean over the batch; a learning rate scales it"),
    "dtype": ((None, "float32"), "sums run in float64"),
}
INITIALIZER: Ways = {
    "seed": ((None,), "the model's seed decides: Sequential(layers, seed=0)"),
    "dtype": ((None,), "weights have the model's dtype"),
}
FILES: Ways = {
    "overwrite": ((True,), "a file of that name is written anew, whole or not at all"),
    "save_format": ((None,), "a file is safetensors, whatever its name"),
    "custom_objects": ((None, {}), "import the module that defines the cells or layers before"),
    "safe_mode": ((True, False), "nothing in a file is ever executed"),
    "skip_mismatch": ((False,), "all weights must fit; set those of single layers with set_weights"),
    "by_name": ((False,), "weights go by their place; set those of single layers with set_weights"),
}
CHECKPOINT: Ways = {
    "save_freq": (("epoch",), "nbrnn.Checkpoint(path, every=500) writes after so many batches"),
    "period": ((1,), "a callback of your own may save in on_epoch_end"),
}
PLATEAU: Ways = {"epsilon": ((), "write min_delta")}

# What objects of Keras have -> the way to do it here.
NUMBERS_SEEN = "nbrnn.trace(model, x) shows what every layer gives, return_sequences=True gives all steps"
WEIGHTS = "layer.weights lists the weights, get_weights() copies them"
OF_LAYERS = {
    **dict.fromkeys(("kernel", "recurrent_kernel", "bias"), WEIGHTS),
    **dict.fromkeys(("input", "output"), NUMBERS_SEEN),
    **dict.fromkeys(("add_weight", "call", "build"), OWN_CELL),
}
OF_MODELS = {
    **dict.fromkeys(("input", "output", "inputs", "outputs"), NUMBERS_SEEN),
    **dict.fromkeys(("fit_generator", "evaluate_generator", "predict_generator"), IN_BATCHES),
    "to_json": "model.get_config() returns what JSON can hold",
    "predict_classes": "write predict(x).argmax(axis=-1), or predict(x) > 0.5",
    "predict_proba": "write predict",
    "call": "write predict",
    "pop": "make the list of layers anew without the last",
    "reset_metrics": "every figure begins anew with a call, so leave it out",
    **dict.fromkeys(("add_loss", "add_metric"), "a penalty, kernel_regularizer, joins the loss"),
}

# Hooks that callbacks of Keras may have and that no fit calls here.
HOOKS = {
    **{f"on_batch_{when}": f"write on_train_batch_{when}" for when in ("begin", "end")},
    **{
        f"on_{what}_{when}": "of evaluate and predict only a fit's validation has hooks, on_test_begin and on_test_end"
        for what in ("test_batch", "predict", "predict_batch")
        for when in ("begin", "end")
    },
}
CALLED = f"models and layers are lowered to compiled kernels; join layers as nbrnn.Model(inputs, outputs); {OWN_CELL}"


def no_call(cls: type) -> None:
    """Raise ValueError if a class says in Python how it is called, which nobody would run."""
    if "call" in vars(cls):
        raise ValueError(f"{cls.__name__}.call would not be run: {CALLED}.")


class Instead:
    """An attribute that objects of Keras have: asking for it tells the way to do it here."""

    def __init__(self, name: str, way: str) -> None:
        self.name, self.way = name, way

    def __get__(self, instance: Any, owner: type) -> Any:
        raise AttributeError(f"{owner.__name__} has no attribute {self.name!r}; {self.way}")


def point(cls: type, ways: dict[str, str]) -> None:
    """Let a class tell the way to do what attributes of Keras do, but for those that it has."""
    for name, way in ways.items():
        if not hasattr(cls, name):
            setattr(cls, name, Instead(name, way))
    setattr(cls, "__dir__", _there)  # noqa: B010


def _there(instance: Any) -> list[str]:
    """Return the attributes that an object has, without those that only tell a way."""
    return [n for n in object.__dir__(instance) if not isinstance(inspect.getattr_static(instance, n, None), Instead)]


class Trained:
    """The attribute `trainable`, which is True and stays so."""

    def __get__(self, instance: Any, owner: type) -> bool:
        return True

    def __set__(self, instance: Any, value: Any) -> None:
        if value is not True:
            called = getattr(instance, "title", None) or instance.name
            raise ValueError(f"trainable of {instance.sort} {called} cannot be {value!r}: every layer is trained.")


def of_keras(path: Any) -> str:
    """Return "; " and the way to go on where a file is one that Keras wrote, or nothing."""
    begins = b""
    with suppress(OSError), open(path, "rb") as file:
        begins = file.read(8)
    theirs = begins.startswith(b"PK\x03\x04") or begins == b"\x89HDF\r\n\x1a\n"
    return "; Keras' files are not read: model.set_weights(keras_model.get_weights()) takes weights over" * theirs


def way_to(place: str, name: str) -> str:
    """Return "; " and the way to do what a name of Keras does, or nothing where the name is not known."""
    way = NAMES.get(place, {}).get(name)
    return f"; {way}" if way else ""


def knows(ways: Ways) -> Callable[[Called], Called]:
    """Return a decorator: a function takes Keras' arguments where they change nothing, and else says what to do.

    An argument that the function has itself is its own matter.

    Parameters
    ----------
    ways : dict
        By argument the values that change nothing, and what the sentence says for others.
    """

    def decorate(function: Called) -> Called:
        own = inspect.signature(function).parameters
        foreign = {name: way for name, way in ways.items() if name not in own}
        called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

        @functools.wraps(function)
        def taken(*arguments: Any, **named: Any) -> Any:
            for name in [name for name in named if name in foreign]:
                entry, value = foreign[name], named.pop(name)
                if isinstance(entry, Other):
                    if entry.name in named:
                        raise ValueError(f"{called} takes {entry.name} or {name}, one of the two.")
                    named[entry.name] = entry.change(value)
                    continue
                neutral, way = entry
                plain = value is not True and not hasattr(value, "shape")  # arrays compare number by number
                if not any(one is ANY or one is value or (plain and value == one) for one in neutral):
                    given = " ".join(repr(value).split())
                    raise ValueError(f"{called} takes no {name}={given:.40}: {way}.")
            return function(*arguments, **named)

        return taken  # type: ignore[return-value]

    return decorate


def all_take(cls: type, ways: Ways) -> None:
    """Let a class' __init__ know Keras' arguments, where it has one of its own that takes no others."""
    own = vars(cls).get("__init__")
    if own is not None and all(p.kind is not p.VAR_KEYWORD for p in inspect.signature(own).parameters.values()):
        setattr(cls, "__init__", knows(ways)(own))  # noqa: B010
