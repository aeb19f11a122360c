# %% [markdown]
# # Lesson 13: Elman, Jordan, stateful, truncated
#
# **Question.** Elman or Jordan: which one is Keras'? And what do people mean by a *stateful* network and by *truncated*
# backpropagation?
#
# All four words answer one question: what goes on from one step to the next, and how far? Elman and Jordan say *what*
# goes forward. Stateful says whether it goes on when the batch is over. Truncated says how far the blame goes back.
#
# ## Intuition
#
# You take part in a long talk. Before each of your turns you may read one note from your last turn. An *Elman* network
# notes what it *thought*, a *Jordan* network what it *said*. What was thought is richer, and nobody else knows it. What
# was said is poorer, but everybody knows it, a teacher too.
#
# In the evening the note is thrown away, unless you are *stateful*: then you find it on your desk in the morning. And
# if something goes wrong, you look through the minutes for what you should have said otherwise. Who looks through all
# pages does backpropagation through time. Who stops after k pages truncates it.
#
# ## The equation
#
# ```text
# Elman    h_t = act(x_t Wx + h_(t-1) Wh + b)       y_t = h_t V + c
# Jordan   h_t = act(x_t Wx + y_(t-1) Wy + b)       y_t = h_t V + c
#
# stateful     the h_0 of a batch is the h_T of the batch before; else 0
# full         dW = sum over t = 1 ... T of the shares of step t
# truncated    the same, but dh is not handed back over a border; the
#              borders lie every k steps, counted from the end
# ```
#
# Sources: Elman 1990, Jordan 1986, Williams and Peng 1990.

# %%
import numpy as np

import nbrnn
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # True shortens what takes long


def gradient(layers, weights, X, y, truncate=None):
    """Return the gradient that `fit` uses: the step of SGD at rate 1."""
    model = nbrnn.Sequential(layers, X.shape[1:], dtype="float64")
    model.set_weights(weights)
    model.compile(nbrnn.SGD(1.0), "mse")
    model.fit(X, y, batch_size=len(X), verbose=0, truncate=truncate)
    after = model.get_weights()
    return [a - b for a, b in zip(weights, after, strict=True)]


def in_a_row(gradients):
    """Return one long row of all numbers."""
    return np.concatenate([g.ravel() for g in gradients])


# %% [markdown]
# ## By hand: both recurrences
#
# One unit, one output, no tanh, x = 1, 2, 3. Both networks get the same numbers: 0.5 for the input, 0.4 for what comes
# back, b = 0.1; and y = 2 h - 0.5. First Elman: h comes back.

# %%
h, elman = 0, []
for x in (1, 2, 3):
    h = 0.5 * x + 0.4 * h + 0.1
    elman.append(2 * h - 0.5)
    print(f"x = {x}   h = {h:.4f}   y = {elman[-1]:.4f}")

# %% [markdown]
# Now Jordan: y comes back. Predict where the first difference is before you run the cell.

# %%
y, jordan = 0, []
for x in (1, 2, 3):
    h = 0.5 * x + 0.4 * y + 0.1
    y = 2 * h - 0.5
    jordan.append(y)
    print(f"x = {x}   h = {h:.4f}   y = {y:.4f}")
assert elman[0] == jordan[0] and elman[1] != jordan[1]

# %% [markdown]
# ## The engine's run: which one is Keras'?
#
# `SimpleRNN` is Keras' layer, with Keras' equation. Give it our numbers and see whose outputs it makes. `nbrnn.Jordan`
# is the other one; Keras has none.

# %%
numbers = np.array([[[1.0], [2.0], [3.0]]])
rnn = nbrnn.SimpleRNN(1, "linear", return_sequences=True)
layers, options = [rnn, nbrnn.Dense(1)], {"dtype": "float64"}
keras_like = nbrnn.Sequential(layers, (None, 1), **options)
keras_like.set_weights([[[0.5]], [[0.4]], [0.1], [[2.0]], [-0.5]])
layer = nbrnn.Jordan(1, 1, "linear", training="free_running")
other = nbrnn.Sequential([layer], (None, 1), dtype="float64")
other.set_weights([[[0.5], [0.4]], [0.1], [[2.0]], [-0.5]])
for name, model in (("SimpleRNN", keras_like), ("Jordan", other)):
    outputs = model.predict(numbers).ravel()
    print(f"{name:<10}{outputs}")
    assert np.allclose(outputs, elman if name == "SimpleRNN" else jordan)

# %% [markdown]
# So Keras' SimpleRNN is Elman's, and so are PyTorch's RNN, every LSTM and every GRU: the state comes back. One can see
# it without a number, too: SimpleRNN ends with its state. The output is made by a Dense layer above it, whose weights
# the recurrence cannot know.
#
# ## The picture
#
# Two inputs, three units, one output. Follow the dashed arrows.

# %%
layers = [nbrnn.SimpleRNN(3, return_sequences=True), nbrnn.Dense(1)]
wide = nbrnn.Sequential(layers, (None, 2), seed=0)
layer = nbrnn.Jordan(3, 1, training="free_running")
narrow = nbrnn.Sequential([layer], (None, 2), seed=0)
titles = ["Elman: SimpleRNN, Dense", "Jordan"]
counts = wide.count_params(), narrow.count_params()
print("parameters: Elman {}, Jordan {}".format(*counts))
assert counts == (2 * 3 + 3 * 3 + 3 + 4, 2 * 3 + 1 * 3 + 3 + 4)
show(nbrnn.plot_wiring([wide, narrow], titles), "wirings")

# %% [markdown]
# Three numbers come back to Elman's step, one to Jordan's: its memory is no wider than its output. In return the truth
# about what comes back is known: in training the target can stand in its place (*teacher forcing*, lesson 11), and then
# no step waits for another.
#
# ## Stateful
#
# 60 rows of a sine come in three parts, as batches or as days of a measurement. Elman's layer begins each part at a
# state of zero, unless it is stateful.

# %%
wave = np.sin(0.2 * np.arange(61))
x, y = wave[np.newaxis, :60, np.newaxis], wave[np.newaxis, 1:, np.newaxis]


def both(stateful=False):
    cell = nbrnn.SimpleRNN(4, return_sequences=True, stateful=stateful)
    return [cell, nbrnn.Dense(1)]


def network(stateful=False):
    return nbrnn.Sequential(both(stateful), (None, 1), 3, "float64")


plain, keeps = network(), network(True)
whole = plain.predict(x)
for name, model in (("not stateful", plain), ("stateful", keeps)):
    parts = [model.predict(x[:, k : k + 20]) for k in (0, 20, 40)]
    apart = np.abs(np.concatenate(parts, axis=1) - whole).max()
    print(f"{name:<13} in parts and as a whole: {apart:.0e} apart")
    assert (apart < 1e-12) == (name == "stateful")
print("what it keeps:", *keeps.states.values())
again = keeps.predict(x[:, :20])
keeps.reset_states()
fresh = keeps.predict(x[:, :20])
print(f"the first part again: {np.abs(again - whole[:, :20]).max():.0e}")
print(f"after reset_states(): {np.abs(fresh - whole[:, :20]).max():.0e}")
assert np.abs(fresh - whole[:, :20]).max() < 1e-12

# %% [markdown]
# Stateful is a promise of yours: sample i of the next batch goes on where sample i of this one ended. So `fit` wants
# `shuffle=False`, and where a new series begins you call `reset_states()`. If you forget that, nothing fails; the
# numbers are only wrong.
#
# ## Truncated, by hand
#
# The cell of lessons 2 and 5: two linear units, x = 1, 2, 3, target 4. Going back, dh is multiplied with Wh^T at each
# border between steps, and the shares of dWx are x_t times dh_t. The only loss stands at the end, so truncation at k
# keeps the last k of them. (With a loss at every step, as for the wave, each border cuts what lies behind it.)

# %%
Wx = np.array([[0.18662322, -1.2369459]])
Wh = np.array([[0.86981213, -0.49338293], [0.49338293, 0.8698122]])
Wy = np.array([[-0.4635998], [0.6538409]])
weights = [Wx, Wh, np.zeros(2), Wy, np.zeros(1)]
h = np.zeros(2)
for x_t in (1.0, 2.0, 3.0):
    h = x_t * Wx[0] + h @ Wh
dh3 = 2 * (h @ Wy[:, 0] - 4) * Wy[:, 0]
dh2 = dh3 @ Wh.T
dh1 = dh2 @ Wh.T
shares = [1 * dh1, 2 * dh2, 3 * dh3]
by_hand = {k: sum(shares[3 - k :]) for k in (1, 2, 3)}
assert np.allclose(by_hand[3], [57.3168436853, -40.594126838], atol=1e-8)
assert np.allclose(dh1, [12.5773270, 0.9820258], atol=1e-6)


def cell():
    return [nbrnn.SimpleRNN(2, "linear"), nbrnn.Dense(1)]


for k, dWx in by_hand.items():
    found = gradient(cell(), weights, numbers, np.array([[4.0]]), k)[0]
    print(f"k = {k}: by hand {dWx.round(6)}, engine {found[0].round(6)}")
    assert np.allclose(found[0], dWx, atol=1e-9)

# %% [markdown]
# With k = 1 the first number is less than half of what it should be. With k = 3 = T no border is left, and truncated is
# full; over a whole training, too, and bit for bit:

# %%
trained = {}
for truncate in (None, 60, 20):
    model = network()
    model.compile("adam", "mse")
    model.fit(x, y, epochs=30, verbose=0, truncate=truncate)
    trained[truncate] = in_a_row(model.get_weights()).tobytes()
print("k = 60 is full:", trained[60] == trained[None])
print("k = 20 is full:", trained[20] == trained[None])
assert trained[60] == trained[None] != trained[20]

# %% [markdown]
# Stateful and truncated meet here. Feed the wave in three parts to a stateful network: the state goes on from part to
# part, the blame does not, for a part that is over cannot be gone back through. That is truncation at 20 (only that
# `fit` would take a step after each part; here the weights are put back each time).

# %%
fixed = network(True).get_weights()
keeps = network(True)
keeps.compile(nbrnn.SGD(1.0), "mse")
in_parts = 0
for k in (0, 20, 40):
    keeps.set_weights(fixed)
    part = x[:, k : k + 20], y[:, k : k + 20]
    keeps.fit(*part, shuffle=False, verbose=0)
    in_parts = in_parts + in_a_row(fixed) - in_a_row(keeps.get_weights())
truncated = in_a_row(gradient(both(), fixed, x, y, 20))
apart = np.abs(in_parts / 3 - truncated).max()  # the mean of three losses
print(f"three stateful parts and truncate=20: {apart:.0e} apart")
assert apart < 1e-12

# %% [markdown]
# ## What truncation costs
#
# It costs *bias*. A gradient from few samples is noisy, but the noise averages out over many. What is cut off is cut
# off in every sample, and stays. Here are 512 sequences of 20 steps; the target is in the past, plus noise.

# %%
rng = np.random.default_rng(0)
X = rng.normal(size=(512, 20, 1))
target = X[:, 5] + rng.normal(size=(512, 1))


def small():
    return [nbrnn.SimpleRNN(4), nbrnn.Dense(1)]


start = nbrnn.Sequential(small(), (20, 1), 1, "float64").get_weights()


def slopes(rows, k):
    return in_a_row(gradient(small(), start, X[rows], target[rows], k))


full = slopes(slice(None), None)
length = np.linalg.norm(full)
print("batches of 8 rows, away from the full gradient of all 512 rows:")
bias, noise = {}, {}
for k in (1, 2, 5, 10, 15, 20):
    each = [slopes(slice(i, i + 8), k) for i in range(0, 512, 8)]
    noise[k] = np.mean([np.linalg.norm(g - full) for g in each]) / length
    bias[k] = np.linalg.norm(np.mean(each, axis=0) - full) / length
    print(f"k = {k:2}: one batch {noise[k]:.2f}, mean of all {bias[k]:.5f}")
assert bias[1] > 0.1 > bias[10] > 1e-4 and bias[20] < 1e-12

# %% [markdown]
# One batch is far off in any case; that is noise, with k = 20 too. (It even looks a little less with a small k, since
# what is cut off had noise of its own.) The mean of all batches is right with k = 20 only.

# %%
show(nbrnn.plot_truncation(noise, bias), "bias")

# %% [markdown]
# Is a bias of a few per cent harmless? That depends on where the answer lies. Let a network keep the *first* of ten
# numbers until the end:

# %%
first = rng.uniform(-1, 1, size=(1000, 10, 1))
learned, held = (first[:800], first[:800, 0]), (first[800:], first[800:, 0])
print(f"say the mean: error {np.var(held[1]):.3f}")
for k in (2, 5, 10):
    errors = []
    for seed in range(2 if QUICK else 5):
        model = nbrnn.Sequential(small(), (10, 1), seed)
        model.compile(nbrnn.Adam(0.01, clipnorm=1.0), "mse")
        model.fit(*learned, epochs=100, verbose=0, truncate=k)
        errors.append(model.evaluate(*held))
    ends = f"{min(errors):.3f} to {max(errors):.3f}"
    print(f"truncate={k:<3} median error {np.median(errors):.3f} ({ends})")
assert np.median(errors) < 0.1 * np.var(held[1])

# %% [markdown]
# With k = 2 or 5 the blame never reaches the first number, and the median is about as bad as the mean. The state could
# carry it, forward nothing is cut, and by luck a seed may come nearer. But nobody told the network to.
#
# ## Exercise 1: Jordan
#
# Return the outputs of a Jordan network with one unit and one output, no activation, as a list. y_0 is 0.


# %% tags=["exercise"]
def jordan_outputs(x, wx, wy, b, v, c):
    return ...


# %% tags=["solution"]
def jordan_outputs(x, wx, wy, b, v, c):
    y, outputs = 0, []
    for x_t in x:
        h = x_t * wx + y * wy + b
        y = h * v + c
        outputs.append(y)
    return outputs


# %% tags=["check"]
layer = nbrnn.Jordan(1, 1, "linear", training="free_running")
judge = nbrnn.Sequential([layer], (None, 1), dtype="float64")
judge.set_weights([[[0.3], [-0.7]], [0.2], [[1.5]], [0.4]])
for series in ([1.0, 2.0, 3.0], [0.5, -1.0, 0.0, 2.0]):
    right = judge.predict(np.reshape(series, (1, -1, 1))).ravel()
    yours = jordan_outputs(series, 0.3, -0.7, 0.2, 1.5, 0.4)
    hint = "what comes back is y, the output, not h."
    check(f"{len(series)} outputs", yours, right, hint)

# %% [markdown]
# ## Exercise 2: k = T is full
#
# The recurrence of lesson 5: h_t = w h_(t-1) + x_t, h_0 = 0, and the loss (h_T - target)^2. Return dL/dw with the
# shares of the last k steps only. With k = T, the largest k, it must be the whole gradient.


# %% tags=["exercise"]
def truncated_slope(x, w, target, k):
    return ...


# %% tags=["solution"]
def truncated_slope(x, w, target, k):
    states = [0.0]
    for x_t in x:
        states.append(w * states[-1] + x_t)
    dh, dw = 2 * (states[-1] - target), 0.0
    for t in range(len(x), len(x) - k, -1):
        dw += dh * states[t - 1]
        dh *= w
    return dw


# %% tags=["check"]
series = np.array([1.0, -2.0, 0.5, 3.0])
for k in (1, 2, 3, 4):
    unit = [nbrnn.SimpleRNN(1, "linear", use_bias=False)]
    given = [np.ones((1, 1)), np.full((1, 1), 0.6)]
    sample = series.reshape(1, 4, 1), np.array([[2.0]])
    right = gradient(unit, given, *sample, truncate=k)[1][0, 0]
    hint = "step t's share is dh_t times h_(t-1); begin at the last step."
    yours = truncated_slope([1.0, -2.0, 0.5, 3.0], 0.6, 2.0, k)
    check(f"the slope with k = {k}", yours, right, hint)

# %% [markdown]
# ## Gradient check: the bias of truncation
#
# `check_gradients` always checks the whole gradient: a truncated one is the derivative of no loss, so there is nothing
# to try it against. It can say how far off the truncated one is. Jordan's gradients pass too.

# %%
model = nbrnn.Sequential(cell(), (3, 1), dtype="float64")
model.set_weights(weights)
model.compile(loss="mse")
report = nbrnn.check_gradients(model, numbers, [[4.0]])
print(report)
whole = report.gradients["simple_rnn/kernel"]
for k in (1, 2, 3):
    off = np.abs(by_hand[k] - whole[0]).max() / np.abs(whole).max()
    print(f"dWx truncated at {k}: relative error {off:.1e}")
assert report.passed and off < 1e-9
jordans = nbrnn.check_gradients(narrow, rng.normal(size=(2, 5, 2)))
assert jordans.passed
print(f"Jordan: largest relative error {jordans.max_relative_error:.0e}")

# %% [markdown]
# ## What to take away
#
# - Elman feeds the state back, Jordan the output. Keras' SimpleRNN, LSTM and GRU feed the state back.
# - Stateful keeps the state from batch to batch; truncated cuts the gradient, never the state. k = T is full.
# - Noise averages out, bias does not. Choose k at least as long as what the network must remember.
#
# ## What people get wrong
#
# - They take `stateful=True` for "has a state". Every recurrent layer has one, within a batch.
# - They shuffle the batches of a stateful network, or never reset it.
# - They cut a long series into windows of k and wonder why nothing older than k is learned: that is truncation too.
