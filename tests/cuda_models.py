"""Whole models that run on both targets, small: a simulated thread of the device is a thread of Python.

As a script: run all of them in the simulator and write what they find.

NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python tests/cuda_models.py FILE.npz
"""

import sys

import numpy as np
from support import random_weights

import nbrnn
from nbrnn import GRU, LSTM, Dense, Dropout, Flatten, SimpleRNN, TimeDistributed

N, T, D, BATCH, SEED = 5, 3, 2, 3, 4  # a batch of 3 samples, and one of 2


class Case:
    """A model, its data and how it is trained."""

    def __init__(self, layers, optimizer="sgd", loss="mse", *, outputs=None, x=None, y=None, **settings):
        self.layers, self.optimizer, self.loss = layers, optimizer, loss
        self.x, self.y, self.outputs = x, y, outputs
        self.metrics = settings.pop("metrics", ())
        self.given = settings.pop("given", False)  # first states
        self.fit = {"epochs": 2, "batch_size": BATCH, "verbose": 0} | settings

    def model(self, dtype):
        """Return the model, with random weights."""
        DTYPE[0] = dtype
        made = self.layers()
        if isinstance(made, list):
            made = nbrnn.Sequential(made, input_shape=(T, D), seed=SEED, dtype=dtype)
        random_weights(made, SEED)
        made.compile(self.optimizer() if callable(self.optimizer) else self.optimizer, self.loss, list(self.metrics))
        return made

    def data(self, model):
        """Return inputs and targets."""
        rng = np.random.default_rng(SEED)
        x = self.x(rng) if self.x else rng.normal(size=(N, T, D))
        y = self.y(rng) if self.y else rng.normal(size=(N, *model.output_shape))
        return x, y

    def numbers(self, device, dtype):
        """Return by name the losses, weights and predictions of a small fit."""
        model = self.model(dtype)
        x, y = self.data(model)
        model.to(device)
        history = model.fit(x, y, **self.fit).history
        found = {f"{name} of the fit": np.array(values) for name, values in history.items()}
        found |= {f"weight {k}": w for k, w in enumerate(model.get_weights())}
        states = {}
        if self.given:
            rng = np.random.default_rng(SEED)
            states = {"initial_state": [rng.normal(size=(N, 3)).astype(dtype) for _ in range(self.given)]}
        batch = self.fit["batch_size"]
        predicted = model.predict(x, batch_size=batch, verbose=0, **states)
        parts = predicted if isinstance(predicted, (list, tuple)) else [predicted]
        found |= {f"prediction {k}": np.asarray(p) for k, p in enumerate(parts)}
        found["evaluation"] = np.ravel(model.evaluate(x, y, batch_size=batch, verbose=0))
        return found


def holes(rng):
    """Return sequences with masked steps: at an end, in the middle, and everywhere."""
    x = rng.normal(size=(N, T, D))
    x[0, 2:], x[1, 1], x[2, :2], x[3] = 0.0, 0.0, 0.0, 0.0
    return x


def classes(rng):
    return np.eye(3)[rng.integers(0, 3, N)]


def two_inputs():
    """Return a graph in which values meet, states are handed on, and two outputs have losses."""
    a, b = nbrnn.Input((T, D), name="a"), nbrnn.Input((T, D), name="b")
    h, state = GRU(3, return_sequences=True, return_state=True)(a)
    k = SimpleRNN(3, return_sequences=True)(b, initial_state=state)
    both = nbrnn.layers.Activation("tanh")(nbrnn.add([h, k]))
    first = Dense(1, name="first")(LSTM(2)(nbrnn.concatenate([both, nbrnn.add([h, k])])))
    second = Dense(3, name="second")(nbrnn.layers.Activation("softsign")(both))
    return nbrnn.Model([a, b], [first, second], seed=SEED, dtype=DTYPE[0])


DTYPE = ["float64"]  # of the models that are no lists of layers
ADAM = lambda: nbrnn.Adam(0.01, amsgrad=True, clipnorm=1.0)
RMSPROP = lambda: nbrnn.RMSprop(0.01, momentum=0.5, centered=True, global_clipnorm=0.5)
ADAMW = lambda: nbrnn.AdamW(nbrnn.schedules.CosineDecay(0.1, 9), weight_decay=0.01, clipvalue=0.05)
DECAY = lambda: nbrnn.SGD(nbrnn.schedules.ExponentialDecay(0.1, 3, 0.5), 0.9, nesterov=True)
CASES = {
    "lstm": Case(
        lambda: [LSTM(3, return_sequences=True), LSTM(2, "relu", "hard_sigmoid", go_backwards=True), Dense(1)],
        ADAM, metrics=("mae", "r2_score"), sample_weight=np.linspace(0.5, 2.0, N),
    ),
    "gru": Case(
        lambda: [GRU(3, return_sequences=True), GRU(2, "softsign", reset_after=False), Dense(3), nbrnn.Softmax()],
        RMSPROP, "categorical_crossentropy", y=classes, metrics=("accuracy", "precision"),
    ),
    "masked": Case(
        lambda: [
            nbrnn.Masking(), LSTM(3, return_sequences=True, recurrent_dropout=0.3),
            GRU(3, return_sequences=True, zero_output_for_mask=True),
            GRU(2, reset_after=False, go_backwards=True),
            Dense(1, "tanh"),
        ],
        ADAMW, "mae", x=holes,
    ),
    "masked steps": Case(
        lambda: [nbrnn.Masking(), SimpleRNN(3, return_sequences=True), TimeDistributed(Dense(2, "sigmoid"))],
        DECAY, "binary_crossentropy", x=holes, y=lambda rng: rng.integers(0, 2, (N, T, 2)),
        metrics=("binary_accuracy",),
    ),
    "dropout": Case(
        lambda: [
            Dropout(0.3), LSTM(3, return_sequences=True, dropout=0.2, recurrent_dropout=0.3),
            GRU(3, return_sequences=True, recurrent_dropout=0.3),
            GRU(2, reset_after=False, return_sequences=True, recurrent_dropout=0.3),
            SimpleRNN(2, recurrent_dropout=0.4), Dense(1),
        ],
        loss="huber",
    ),
    "penalties": Case(
        lambda: [
            SimpleRNN(3, kernel_regularizer="l2", recurrent_regularizer="l1"), Dense(2, kernel_regularizer="l1_l2"),
        ],
        DECAY, nbrnn.losses.Quantile([0.2, 0.8]), y=lambda rng: rng.normal(size=(N, 1)),
    ),
    "tokens": Case(
        lambda: nbrnn.Sequential(
            [nbrnn.Embedding(6, 3, mask_zero=True), nbrnn.Bidirectional(GRU(2)), nbrnn.RepeatVector(2),
             LSTM(3, return_sequences=True), Flatten(), Dense(1)],
            input_shape=(T,), seed=SEED, dtype=DTYPE[0],
        ),
        x=lambda rng: rng.integers(0, 6, (N, T)),
    ),
    "graph": Case(
        two_inputs, loss=["mse", "mae"], x=lambda rng: [rng.normal(size=(N, T, D)) for _ in range(2)],
        y=lambda rng: [rng.normal(size=(N, 1)), rng.normal(size=(N, T, 3))],
    ),
    "fed back": Case(
        lambda: [nbrnn.Feedback([LSTM(3), Dense(2)], 2, nbrnn.ScheduledSampling("linear", k=0.01, start=0.5))],
    ),
    "stateful": Case(
        lambda: [LSTM(3, stateful=True, return_sequences=True), GRU(2, stateful=True), Dense(1)],
        shuffle=False, batch_size=5,
    ),
    "truncated": Case(lambda: [LSTM(3, return_sequences=True), SimpleRNN(3), Dense(1)], truncate=2),
    "given states": Case(lambda: [LSTM(3, return_state=True)], given=2),
}  # fmt: skip
FLOATS = ("lstm", "masked")  # run in float32, too
RUNS = [(name, dtype) for name in CASES for dtype in ("float32", "float64") if dtype == "float64" or name in FLOATS]
CELLS = {
    "lstm": lambda: LSTM(3),
    "gru after": lambda: GRU(3),
    "gru before": lambda: GRU(3, reset_after=False),
    "simple": lambda: SimpleRNN(3),
}


def slope_by_two_ways(cell, device):
    """Return the loss' derivative along a random direction of all weights: by the gradient, and by differences."""
    model = nbrnn.Sequential([CELLS[cell](), Dense(1)], input_shape=(T, D), seed=SEED, dtype="float64")
    random_weights(model, SEED)
    model.compile(nbrnn.SGD(1.0), "mse")
    rng = np.random.default_rng(SEED)
    x, y, before = rng.normal(size=(N, T, D)), rng.normal(size=(N, 1)), model.get_weights()
    along = [rng.normal(size=w.shape) for w in before]
    model.to(device)
    losses = []
    for h in (1e-5, -1e-5):
        model.set_weights([w + h * d for w, d in zip(before, along, strict=True)])
        losses.append(model.evaluate(x, y, batch_size=N, verbose=0))
    model.set_weights(before)
    model.fit(x, y, batch_size=N, verbose=0)
    slope = sum(((w - v) * d).sum() for w, v, d in zip(before, model.get_weights(), along, strict=True))
    return slope, (losses[0] - losses[1]) / 2e-5


if __name__ == "__main__":
    import cuda_strict  # noqa: F401

    from nbrnn.targets.cuda import launching

    launching.GRID = (2, 2)
    made = {}
    for case, dtype in RUNS:
        made |= {f"{case}|{dtype}|{key}": a for key, a in CASES[case].numbers("cuda", dtype).items()}
    made |= {f"slope|{cell}": np.array(slope_by_two_ways(cell, "cuda")) for cell in CELLS}
    np.savez(sys.argv[1], **made)
