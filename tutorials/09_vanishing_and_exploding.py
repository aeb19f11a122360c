# %% [markdown]
# # Lesson 9: Vanishing and exploding
#
# **Question.** A recurrent network remembers, so why can it not learn what happened 50 steps ago? And what do the gates
# of a GRU or an LSTM change about it?
#
# You need lesson 2 (the cell whose Wh is a rotation) and lesson 5 (what flows back from step to step). You will see one
# gradient fade, stay, and grow a hundredfold, with the same data, and two remedies: gates, and clipping.

# %%
import numpy as np

import nbrnn
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # nothing here takes long

STEPS = 50
Wx = np.array([[0.18662322, -1.2369459]])
Wh = np.array([[0.86981213, -0.49338293], [0.49338293, 0.8698122]])
Wy = np.array([[-0.4635998], [0.6538409]])
noise = np.random.default_rng(0).normal(size=(STEPS, 1))


def rotation(factor):
    """Return lesson 2's cell with its Wh times a factor."""
    layers = [nbrnn.SimpleRNN(2, "linear"), nbrnn.Dense(1)]
    model = nbrnn.Sequential(layers, (STEPS, 1), dtype="float64")
    model.set_weights([Wx, factor * Wh, [0, 0], Wy, [0]])
    model.compile(loss="mse")
    return model


def network(layer, seed=0):
    """Return an untrained network of some layer and a Dense(1)."""
    layers = [layer, nbrnn.Dense(1)]
    model = nbrnn.Sequential(layers, (STEPS, 1), seed, "float64")
    model.compile(loss="mse")
    return model


def too_strong(optimizer, seed=0):
    """Return a linear network whose Wh begins 1.1 times too large."""
    model = network(nbrnn.SimpleRNN(8, "linear"), seed)
    weights = model.get_weights()
    model.set_weights([weights[0], 1.1 * weights[1], *weights[2:]])
    model.compile(optimizer, "mse")
    return model


def reach(model):
    """Return how much of dL/dh (dL/dc, of an LSTM) comes to the start."""
    back = nbrnn.trace(model, noise, 1.0).backward
    state = "c" if "dc" in back[0].names else "h"
    last = np.linalg.norm(back[-1][f"d{state}"])
    return np.linalg.norm(back[0][f"d{state}_prev"]) / last


# %% [markdown]
# ## Intuition
#
# A rumour goes through a row of people, and each one passes on a little less than he heard. After a few people it is
# weaker, after many nobody can hear it. If each one adds a little, it is shouted at the end. Only where everybody
# passes on exactly what he heard does it arrive as it was.
#
# The gradient is such a rumour, and it goes backward: from the loss at the last step to the steps long ago. What
# arrives there says how the weights should treat an early input. If nothing arrives, nothing is learned about it.
#
# ## The equation
#
# From one step to the step before it (lesson 5), with the slope act' of the activation:
#
# ```text
# dL/dh_(t-1)  =  (dL/dh_t * act'(a_t)) Wh^T
# ```
#
# So over k steps it is multiplied k times with Wh^T and with slopes. If each time shrinks it by a factor below 1, it
# *vanishes*; by one above 1, it *explodes*. In both cases it does so as a power: `factor ** k`.
#
# ## By hand
#
# Lesson 2's Wh turns a pair of numbers and keeps its length. Multiply it with 0.9, and every step keeps nine tenths;
# with 1.1, every step adds a tenth. What is left after 50 steps? Guess before you run the cell. It takes the power, and
# then the matrix itself, from what the loss says about the last state on; the cell is linear, so act' is 1.

# %%
by_hand = {}
for factor in (0.9, 1, 1.1):
    gradient = Wy[:, 0]  # dL/do is a common factor; leave it out
    lengths = [np.linalg.norm(gradient)]
    for _ in range(STEPS):
        gradient = gradient @ (factor * Wh).T
        lengths.append(np.linalg.norm(gradient))
    by_hand[factor] = np.array(lengths) / lengths[0]
    print(f"{factor} ** 50 = {factor**50:.4f}", end=", ")
    print(f"with the matrix {by_hand[factor][-1]:.4f}")

# %% [markdown]
# ## The engine's run
#
# A trace keeps dL/dh of every step. The input is noise, 50 numbers, and the target is 4. Neither matters for the ratio:
# the slopes of a linear cell are 1 whatever comes in, and the target only says how large all of it is.

# %%
flows = {}
for factor, known in ((0.9, 0.0052), (1, 1), (1.1, 117.39)):
    trace = nbrnn.trace(rotation(factor), noise, 4)
    dhs = [back.dh for back in trace.backward[::-1]]  # the last step first
    dhs.append(trace.backward[0].dh_prev)  # of the state before step 1
    lengths = np.linalg.norm(dhs, axis=1)
    ratios = lengths / lengths[0]
    flows[f"Wh times {factor}"] = trace
    print(f"Wh times {factor}: the ratio is {ratios[-1]:.4f}")
    assert np.allclose(ratios, by_hand[factor], rtol=1e-12)
    assert abs(ratios[-1] - known) < 0.005 * max(known, 0.01)

# %% [markdown]
# The same numbers. And mind what they mean for training: each step adds its own share to the gradient of Wx. Whose
# shares are large? With 0.9 training hardly hears of the early steps, with 1.1 it hears of little else.

# %%
early = []
for name, trace in flows.items():
    shares = np.array([np.linalg.norm(back.dWx) for back in trace.backward])
    early.append(shares[:10].sum() / shares.sum())
    print(f"{name}: the first 10 of 50 steps make {early[-1]:.1%} of it")
assert early[0] < 0.05 and early[2] > 0.5

# %% [markdown]
# ## The picture
#
# The axis is logarithmic: a power becomes a straight line.

# %%
show(nbrnn.plot_gradient_flow(flows), "rotation")

# %% [markdown]
# ## With tanh it vanishes anyway
#
# The slope of tanh is 1 at zero only, and smaller elsewhere. So even an orthogonal Wh, the one that recurrent layers
# begin with, loses something at each step, the more, the further the units are from zero. Here is a SimpleRNN(16) of
# tanh on the same noise, made small and made large.

# %%
model, kept = network(nbrnn.SimpleRNN(16)), []
for size in (0.1, 1, 3):
    back = nbrnn.trace(model, size * noise, 1.0).backward
    last = np.linalg.norm(back[-1].dh)
    kept.append(np.linalg.norm(back[0].dh_prev) / last)
    print(f"input times {size}: {kept[-1]:.2g} of the gradient arrives")
assert 0.1 < kept[0] < 1 and kept[0] > 1e3 * kept[1] > 1e6 * kept[2]

# %% [markdown]
# ## What a gate changes
#
# A GRU does not make its state anew at every step. It mixes: of each unit the share z stays as it is, and the rest is
# the new candidate n.
#
# ```text
# GRU     h_t = z * h_(t-1) + (1 - z) * n          z, f = sigmoid(...)
# LSTM    c_t = f * c_(t-1) + i * n
# ```
#
# On the way back the first term multiplies with z (with f, in an LSTM) and with nothing else: no matrix, no slope of a
# tanh. If z is near 1, that way is open over many steps. The network can learn z, for each unit and each step.
#
# By hand: a bias b in front of the sigmoid, and nothing else, gives z = 1 / (1 + exp(-b)), and `z ** 50` of the
# gradient is left after 50 steps. In the engine there are ways through Wh beside this one, so it gives more where z is
# small, and about as much where z is near 1.

# %%
arrives = {}
for b in (0, 2, 5):
    model = network(nbrnn.GRU(16))
    Wx_gru, Wh_gru, bias, *head = model.get_weights()
    bias[0, :16] = b  # z, r, n: the first 16 columns are those of z
    model.set_weights([Wx_gru, Wh_gru, bias, *head])
    arrives[b] = reach(model)
    z = 1 / (1 + np.exp(-b))
    print(f"b = {b}: z = {z:.3f}, z**50 = {z**50:.2g}", end=", ")
    print(f"the engine's GRU {arrives[b]:.2g}")
assert arrives[0] < 1e-8 and 0.5 < arrives[5] < 1

# %% [markdown]
# So a gate does not make long memory, it makes it *possible*. A fresh GRU has b = 0 and forgets faster than a
# SimpleRNN, until training has changed z! (Keras gives the forget gate of an LSTM the bias 1 to begin with, and so does
# this engine.) Of an LSTM it is the share of dL/dc that is printed, the dashed curve of the picture, which begins
# lower.

# %%
cells = {c.__name__: c for c in (nbrnn.SimpleRNN, nbrnn.GRU, nbrnn.LSTM)}
fresh = {name: network(cell(16)) for name, cell in cells.items()}
traces = {name: nbrnn.trace(m, noise, 1.0) for name, m in fresh.items()}
for name, model in fresh.items():
    print(f"{name:<10}{reach(model):.2g} of the gradient arrives")
assert reach(fresh["GRU"]) < reach(fresh["SimpleRNN"])
show(nbrnn.plot_gradient_flow(traces), "before-training")

# %% [markdown]
# ## Can they learn it?
#
# The smallest task for a memory: read 20 random numbers, then say which one came *first*. The numbers have the variance
# 1, so somebody who always answers with the mean has a loss of about 1: that is the baseline. Several seeds for each
# cell, sorted by their loss on sequences that nobody trained on.

# %%
x, new = np.random.default_rng(1).normal(size=(2, 1000, 20, 1))
baseline = np.mean((new[:, 0] - x[:, 0].mean()) ** 2)
print(f"always the mean: {baseline:.3f}")
losses, trained = {}, {}
for name, cell in cells.items():
    runs = []
    for seed in range(7):
        layers = [cell(8), nbrnn.Dense(1)]
        model = nbrnn.Sequential(layers, (20, 1), seed)
        model.compile(nbrnn.Adam(0.01, global_clipnorm=1.0), "mse")
        model.fit(x, x[:, 0], epochs=60, verbose=0)
        runs.append((model.evaluate(new, new[:, 0]), seed, model))
    runs.sort(key=lambda run: run[0])
    losses[name] = [loss for loss, *_ in runs]
    trained[name] = runs[len(runs) // 2][2]  # the median one
    print(f"{name:<10}", *[f"{loss:.4f}" for loss in losses[name]])
middle = {name: np.median(found) for name, found in losses.items()}
print("medians:", *[f"{name} {loss:.4f}" for name, loss in middle.items()])
assert middle["GRU"] < 0.5 * middle["SimpleRNN"] < 0.5 * baseline
assert middle["LSTM"] < middle["SimpleRNN"]

# %% [markdown]
# In the median both gated cells come nearer than the SimpleRNN. But a run may fail altogether, gates or not.
# (global_clipnorm makes that rarer; it comes below.) How does the gradient flow in the trained networks of the median?

# %%
traces = {n: nbrnn.trace(m, new[0], 0.0) for n, m in trained.items()}
show(nbrnn.plot_gradient_flow(traces), "after-training")

# %% [markdown]
# All of them carry it back over 20 steps, where fresh ones let it fade: what the state carries forward, the gradient
# carries back. In the LSTM it is c that carries; h sinks, and rises again at the right, where it has a say in the gates
# that let the first number in. (Curves that end somewhat above 1 are no explosion.)
#
# ## Exploding, and clipping
#
# A gradient a thousand times too large makes a step a thousand times too long, and everything is lost in one batch.
# Here is a linear network whose Wh begins 1.1 times too large. It shall add the last two of 50 numbers.

# %%
x = np.random.default_rng(1).normal(size=(500, STEPS, 1))
y = x[:, -1] + x[:, -2]
try:
    too_strong(nbrnn.SGD(0.01)).fit(x, y, epochs=10, verbose=0)
    raise AssertionError("it did not explode")
except nbrnn.DivergedError as error:
    print(str(error).split(":")[0])

# %% [markdown]
# *Clipping* shortens what is too long, and keeps the direction. With all gradients laid out as one long list g:
#
# ```text
# length  = root of the sum of all squares of g
# clipped = g * limit / length      where length > limit, else g
# ```

# %%
model = too_strong(nbrnn.SGD(0.01, global_clipnorm=10.0))
history = model.fit(x, y, epochs=20, verbose=0).history["loss"]
first, last, zero = history[0], history[-1], np.mean(y**2)
print(f"{first:.3g} at first, {last:.3g} at last; always 0: {zero:.3g}")
assert last < 0.05 * zero

# %% [markdown]
# ## Exercise 1: clip
#
# `gradients` is a list of arrays. Return the list of the clipped ones, of the same shapes.


# %% tags=["exercise"]
def clip(gradients, limit):
    return ...


# %% tags=["solution"]
def clip(gradients, limit):
    length = np.sqrt(sum(np.sum(g**2) for g in gradients))
    return [g * min(1, limit / length) for g in gradients]


# %% tags=["check"]
numbers = np.random.default_rng(2).normal(size=(4, STEPS, 1))
steps = {}
for bound in (None, 1e9, 0.5):  # a step of size 1 is the gradient
    one = too_strong(nbrnn.SGD(1.0, global_clipnorm=bound))
    before = one.get_weights()
    one.train_on_batch(numbers, numbers[:, 0])
    after = one.get_weights()
    steps[bound] = [b - a for b, a in zip(before, after, strict=True)]
hint = "one length for all arrays; a short list stays as it is."
for bound in (1e9, 0.5):
    yours = clip(steps[None], bound)
    for k, ours in enumerate(steps[bound]):
        what = f"array {k + 1} of clip(gradients, {bound:g})"
        check(what, yours if yours is ... else yours[k], ours, hint, 1e-6)

# %% [markdown]
# ## Exercise 2: choose the limit
#
# With a limit that is too high the fit still explodes; with one that is far too low it crawls. Find a `limit` with
# which `too_strong(nbrnn.SGD(0.01, global_clipnorm=limit))` learns to add the last two of 50 numbers within 40 epochs:
# the loss on new sequences must be below 0.05 for three seeds. Try powers of ten, beginning with 0.001.

# %% tags=["exercise"]
limit = ...

# %% tags=["solution"]
limit = 10.0  # 0.001 and 1000 fail

# %% tags=["check"]
check("the limit to try", limit, limit)
x, new = np.random.default_rng(3).normal(size=(2, 500, STEPS, 1))
for seed in range(3):
    model = too_strong(nbrnn.SGD(0.01, global_clipnorm=limit), seed)
    judged = new, new[:, -1] + new[:, -2]
    first, cure = model.evaluate(*judged), "short: a larger limit."
    try:
        model.fit(x, x[:, -1] + x[:, -2], epochs=40, verbose=0)
        loss = model.evaluate(*judged)
    except nbrnn.DivergedError:
        loss = np.inf
    if loss > first:
        cure = "long: a smaller limit."
    hint = f"it was {first:.3g} and is {loss:.3g}; the steps are too {cure}"
    below = "yes" if loss < 0.05 else "no"
    check(f"seed {seed}: is the loss below 0.05", below, "yes", hint)

# %% [markdown]
# ## Exercise 3: keep half
#
# Which bias b must a gate have (and nothing else in its sum) so that half of the gradient is left after 50 steps on the
# way through the gate? First z, then b.

# %% tags=["exercise"]
z = ...
b = ...

# %% tags=["solution"]
z = 0.5 ** (1 / 50)
b = np.log(z / (1 - z))

# %% tags=["check"]
check("z", z, np.exp(np.log(0.5) / 50), "z ** 50 must be 0.5.")
wanted = np.exp(np.log(0.5) / 50)
hint = "z = 1 / (1 + exp(-b)); solve it for b."
check("b", b, -np.log(1 / wanted - 1), hint)

# %% [markdown]
# ## Gradient check: clipped and unclipped
#
# A gradient that explodes is not wrong. Backpropagation computes it as exactly as any other; it is only long. And
# clipping is no part of the gradient: it changes the step, afterwards. See both. First the gradients; then the steps
# that SGD takes with a learning rate of 1, which are the gradients themselves, or what was made of them.

# %%
few = x[:4], y[:4]
report = nbrnn.check_gradients(too_strong("sgd"), *few)
print(report)
assert report.passed

taken = {}
for option in ({}, {"global_clipnorm": 0.5}, {"clipvalue": 0.5}):
    model, name = too_strong(nbrnn.SGD(1.0, **option)), "".join(option)
    before = np.concatenate([w.ravel() for w in model.get_weights()])
    model.train_on_batch(*few)
    after = np.concatenate([w.ravel() for w in model.get_weights()])
    taken[name] = step = before - after
    g = taken[""]
    cosine = step @ g / np.linalg.norm(step) / np.linalg.norm(g)
    print(f"{name or 'not clipped':<16} length", end=" ")
    print(f"{np.linalg.norm(step):9.4g}, cosine {cosine:.6f}")
five = list(report.gradients.values())[:5]  # the weights; then x and h0
checked = np.concatenate([gradient.ravel() for gradient in five])
assert np.allclose(g, checked, rtol=1e-9, atol=1e-9)
short = g * 0.5 / np.linalg.norm(g)
assert np.allclose(taken["global_clipnorm"], short, rtol=1e-9)
assert cosine < 0.99  # of the last one: another direction

# %% [markdown]
# A cosine of 1 means the same direction. Clipping the length of all together (global_clipnorm) keeps it. Clipping each
# number on its own (clipvalue) does not: large and small numbers become equal, and the step leads somewhere else.
#
# ## What to take away
#
# - On its way back the gradient is multiplied at every step. Factors below 1 make it vanish, factors above 1 explode.
# - An orthogonal Wh is the best start for a plain RNN, but tanh takes its share.
# - A gate opens a way back on which there is no matrix: the factor is z or f. Training opens it where it is needed.
# - Clip by the length of the whole gradient. It mends explosions; nothing mends a gradient that has vanished.
#
# ## What people get wrong
#
# - They say that an LSTM has no vanishing gradients. A fresh one has, as you have seen; it can learn not to.
# - They look at dL/dh of an LSTM only. Its long memory is in c, the dashed curve.
# - They clip at a limit from somebody else's code. Lengths depend on the loss and the units: measure yours first.
