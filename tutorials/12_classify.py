# %% [markdown]
# # Lesson 12: Classify
#
# **Question.** Why does a classifier of sequences end in "last step, then Linear, then Softmax", and why in this order?
#
# You need lesson 10 (gates). You will work out the gradient of a softmax with a pencil, tell summer days from winter
# days by their electricity, and nine speakers by one vowel each, spoken for as long as they like. Somebody asked this
# lesson's question about a network in Mathematica: an LSTM, SequenceLast, a linear layer of two, a softmax.

# %%
import numpy as np

import nbrnn
from nbrnn.testing import random_model
from nbrnn.tutorial import check, show
from nbrnn.tutorial.broken import MASKED

QUICK = False  # True: fewer settings and seeds to choose from

DAYS = nbrnn.load_dataset("italy-power").values
FIRST_TEST = int((DAYS[:, -1] == 0).sum())  # training days come first


def days(part):
    """Return days as (days, 24 hours, 1 feature), and 0 or 1 for each."""
    rows = DAYS[:FIRST_TEST] if part == "train" else DAYS[FIRST_TEST:]
    return rows[:, 1:25, None], rows[:, 0].astype(int) - 1


def softmax(a):
    return np.exp(a) / np.exp(a).sum(axis=-1, keepdims=True)


# %% [markdown]
# ## Intuition: read, compare, make it a share
#
# Three jobs, one after the other:
#
# - *Read.* A recurrent layer goes along the sequence. Its state after the last step is the only one that has seen all
#   of it, and it has the same size whether the sequence was short or long. So one takes the last state (in Mathematica
#   `SequenceLast`; here a layer without `return_sequences`).
# - *Compare.* A linear layer makes of it one number for each class, the *logit*: how much speaks for the class. The
#   state itself cannot be the answer: it has as many numbers as units, not as classes, and tanh keeps them below 1.
# - *Make it a share.* Softmax turns logits into numbers between 0 and 1 that sum to 1: shares, to be compared with what
#   the class is.
#
# The order matters. Softmax before the linear layer would squeeze the state into shares of nothing, and what comes out
# last would be no shares. And taking the last step after the softmax would compute all the others for nothing.
#
# ## The equation
#
# ```text
# a   = h_T W + b                        logits, from the last state
# p_k = exp(a_k) / sum_j exp(a_j)        softmax
# L   = -log p_c                         cross-entropy; c is the class
#
# dL/da = p - y                          y is 1 at c and 0 elsewhere
# ```
#
# The last line is why softmax and cross-entropy belong together: two layers of exponentials and a logarithm, and going
# back they leave a subtraction. Where the network is sure and right, p - y is 0; sure and wrong, it is nearly 1 in size,
# however flat the softmax is there.
#
# ## By hand: p - y
#
# Three classes, logits 2, 1, -1, and the second class is right.

# %%
a, c = np.array([2.0, 1.0, -1.0]), 1
e = [round(float(v), 4) for v in np.exp(a)]
p, y = softmax(a), np.eye(3)[c]
print("exp(a)", e, " sum", round(sum(e), 4))
print("p     ", p.round(4), " sum", p.sum().round(12))
print(f"L      {-np.log(p[c]):.4f}")
print("p - y ", (p - y).round(4), " sum", abs((p - y).sum().round(12)))

little = 1e-6
for k in range(3):
    d = little * np.eye(3)[k]
    above, below = -np.log(softmax(a + d)[c]), -np.log(softmax(a - d)[c])
    tried = (above - below) / (2 * little)
    print(f"a{k + 1}: by trying {tried:.6f}, p - y {(p - y)[k]:.6f}")
    assert abs(tried - (p - y)[k]) < 1e-9

# %% [markdown]
# The gradient says: raise the logit of the right class, lower the others, each by its share. All of it sums to zero, for
# only differences of logits matter: add 9 to all three, and no p changes.
#
# ## The engine's run
#
# A Dense layer without a nonlinearity, then Softmax. The trace has dL/da, and it is p - y.

# %%
layers = [nbrnn.LSTM(32), nbrnn.Dense(2), nbrnn.Softmax()]
asked = nbrnn.Sequential(layers, input_shape=(3, 8), seed=0)
asked.summary()
counts = [layer.count_params() for layer in asked.layers]
assert counts == [5248, 66, 0]

layers = [nbrnn.GRU(4), nbrnn.Dense(3), nbrnn.Softmax()]
small = nbrnn.Sequential(layers, input_shape=(5, 1), seed=1)
small.compile(loss="categorical_crossentropy")
t = nbrnn.trace(small, np.cos(np.arange(5.0)), y)
gru, dense, shares = t.layers
p_small = softmax(gru.steps[-1].h @ dense.weights["W"] + dense.weights["b"])
print("p", t.output.round(4), " dL/da", dense.backward[0].da.round(4))
assert np.allclose(t.output, p_small, rtol=0, atol=1e-12)
assert np.allclose(dense.backward[0].da, p_small - y, rtol=0, atol=1e-12)
assert np.allclose(gru.backward[-1].dh, (p_small - y) @ dense.weights["W"].T)
assert not any(back.dh_loss.any() for back in gru.backward[:-1])

# %% [markdown]
# The network that was asked about has 5248 weights in its LSTM and 66 in its linear layer; softmax has none. In the
# small one the loss reaches the GRU's last state only; the earlier ones hear of it from the future (lesson 5).
#
# ## Summer or winter?
#
# A day is 24 hourly figures of Italy's demand for electricity, scaled to mean 0; October to March is class 0, April to
# September class 1. There are 67 days to train on and 1029 to test. The baseline knows no training: it takes the class
# of the *nearest* training day, by the sum of squared differences (1-NN). It is hard to beat.

# %%
X, labels = days("train")
X_test, labels_test = days("test")
squares = ((X_test[:, None, :, 0] - X[None, :, :, 0]) ** 2).sum(axis=2)
nearest = np.mean(labels[squares.argmin(axis=1)] != labels_test)
majority = np.mean(labels_test != np.bincount(labels).argmax())
print(f"{len(X)} days to train, {len(X_test)} to test")
print(f"error of 1-NN {nearest:.4f}, of always the same class {majority:.4f}")
assert abs(nearest - 0.0447) < 5e-5

# %% [markdown]
# Which network, and for how many epochs? The test days must not decide. So cut the 67 training days into four parts;
# train on three, look at the fourth, in turn (*cross-validation*). With so few days an error more or less is chance, so
# compare the loss, which also sees how sure the network was.


# %%
def classifier(cell, shape, classes, seed):
    layers = [cell, nbrnn.Dense(classes), nbrnn.Softmax()]
    model = nbrnn.Sequential(layers, shape, seed)
    adam = nbrnn.Adam(learning_rate=0.01)
    loss = "sparse_categorical_crossentropy"
    model.compile(adam, loss, metrics=["accuracy"])
    return model


def validate(make, epochs, inputs, classes, part, seeds):
    """Return loss and error on parts that were left out, in turn."""
    found, shape = [], (None, inputs[0].shape[1])
    for k in range(4):
        fit, left_out = np.flatnonzero(part != k), np.flatnonzero(part == k)
        for seed in seeds:
            model = classifier(make(), shape, classes.max() + 1, seed)
            x = [inputs[i] for i in fit]
            model.fit(x, classes[fit], 16, epochs, verbose=0)
            x = [inputs[i] for i in left_out]
            loss, accuracy = model.evaluate(x, classes[left_out])
            found.append((loss, 1 - accuracy))
    return np.mean(found, axis=0)


def choose(settings, *data):
    """Return the setting with the lowest loss in cross-validation."""
    losses = {}
    for (name, epochs), make in settings.items():
        losses[name, epochs], error = validate(make, epochs, *data)
        text = f"loss {losses[name, epochs]:.3f}, error {error:.3f}"
        print(f"{name:22} {epochs:>3} epochs: {text}")
    return min(losses, key=losses.get)


GRU, LSTM = nbrnn.GRU, nbrnn.LSTM
cells = {"GRU(8)": lambda: GRU(8), "LSTM(8)": lambda: LSTM(8)}
if not QUICK:
    cells |= {"GRU(32)": lambda: GRU(32), "LSTM(32)": lambda: LSTM(32)}
lengths = (50,) if QUICK else (25, 50, 100)
settings = {(n, e): make for n, make in cells.items() for e in lengths}
fold = np.empty(len(labels), int)
for k in range(2):  # as many of each class in every part
    fold[labels == k] = np.arange((labels == k).sum()) % 4
seeds = range(1 if QUICK else 3)
cell, epochs = choose(settings, X, labels, fold, seeds)
print(f"chosen: {cell}, {epochs} epochs")

# %% [markdown]
# Now train on all training days, with five seeds, and look at the test days: once.

# %%
errors = []
for seed in range(5):
    model = classifier(settings[cell, epochs](), (24, 1), 2, seed)
    model.fit(X, labels, 16, epochs, verbose=0)
    errors.append(1 - model.evaluate(X_test, labels_test)[1])
print(f"{cell} on the test days, by seed:", *(f"{e:.4f}" for e in sorted(errors)))
print(f"median {np.median(errors):.4f}; 1-NN {nearest:.4f}")
assert np.median(errors) < nearest
