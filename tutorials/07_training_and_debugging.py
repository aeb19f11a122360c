# %% [markdown]
# # Lesson 7: Training and debugging
#
# **Question.** SimpleRNN(1) is worse than a perceptron! Is the training broken, or the network, or the data, and how do
# I find out?
#
# You need lessons 2 and 5. You will take one step of three optimizers by hand, then look for the reason why a recurrent
# network loses against a single layer of plain weights, and learn to read what a failed training leaves behind.

# %%
import numpy as np

import nbrnn
from nbrnn.tutorial import check, show

QUICK = False  # True: fewer seeds

LENGTH, FIRST, SECOND = 20, 93, 115  # where validation and test begin
passengers = nbrnn.load_dataset("airline").column("Passengers")
low, high = passengers[:FIRST].min(), passengers[:FIRST].max()
scaled = (passengers - low) / (high - low)  # 0 to 1 on the training rows


def windows(start, stop):
    """Return the windows whose answers are rows start to stop."""
    return nbrnn.sliding_windows(scaled[max(start - LENGTH, 0) : stop], LENGTH)


def tiny(optimizer):
    """Return one linear unit with round weights."""
    unit = [nbrnn.SimpleRNN(1, "linear")]
    model = nbrnn.Sequential(unit, (2, 1), dtype="float64")
    model.set_weights([[[0.5]], [[0.3]], [0.1]])
    model.compile(optimizer, "mse")
    return model


def build(layers, rate=0.01, seed=0):
    model = nbrnn.Sequential(layers, (LENGTH, 1), seed)
    model.compile(nbrnn.Adam(rate), "mse")
    return model


# %% [markdown]
# ## Intuition
#
# The loss is a landscape: a place for each setting of the weights, and its height is the loss. You stand in fog and
# feel only the slope under your feet, the gradient. Training is: take a step downhill, feel again. An *optimizer*
# decides how long the step is.
#
# ## The equation
#
# For each weight w with gradient g, step number t and learning rate r:
#
# ```text
# SGD       w = w - r g
# RMSprop   v = 0.9 v + 0.1 g*g                w = w - r g / sqrt(v + 1e-7)
# Adam      m = 0.9 m + 0.1 g
#           v = 0.999 v + 0.001 g*g
#           w = w - r sqrt(1 - 0.999**t) / (1 - 0.9**t) m / (sqrt(v) + 1e-7)
# ```
#
# v is a running mean of the squared gradient, m one of the gradient. They begin at zero; the last line of Adam makes up
# for that. (Tieleman and Hinton 2012; Kingma and Ba 2015.)
#
# ## By hand
#
# One linear unit, wx = 0.5, wh = 0.3, b = 0.1. It reads 1, 2 and should say 1. Forward, and backward as in lesson 5:

# %%
wx, wh, b = 0.5, 0.3, 0.1
h1 = 1 * wx + b
h2 = 2 * wx + h1 * wh + b
dh2 = 2 * (h2 - 1)
dh1 = dh2 * wh
weights = np.array([wx, wh, b])
gradient = np.array([1 * dh1 + 2 * dh2, h1 * dh2, dh1 + dh2])
print(f"h1 {h1:.2f}, h2 {h2:.2f}, dh2 {dh2:.3f}, dh1 {dh1:.3f}")
print("gradients of wx, wh, b:", gradient)

# %% [markdown]
# Now a step of each, with the learning rate 0.01. Which of them goes how far?

# %%
r, v = 0.01, 0.1 * gradient**2
by_hand = {"sgd": weights - r * gradient}
by_hand["rmsprop"] = weights - r * gradient / np.sqrt(v + 1e-7)
m, v = 0.1 * gradient, 0.001 * gradient**2
rate = r * np.sqrt(1 - 0.999) / (1 - 0.9)
by_hand["adam"] = weights - rate * m / (np.sqrt(v) + 1e-7)
for name, after in by_hand.items():
    print(f"{name:<8} step {after - weights}")

# %% [markdown]
# SGD's steps are as long as the gradients. The first step of the other two is the same for each weight, whatever its
# gradient: about 0.0316 and 0.01. They look at its sign only, and learn its size later. So a learning rate that suits
# Adam may be far from one that suits SGD.
#
# ## The engine's run

# %%
optimizers = {
    "sgd": nbrnn.SGD(r),
    "rmsprop": nbrnn.RMSprop(r),
    "adam": nbrnn.Adam(r),
}
for name, optimizer in optimizers.items():
    model = tiny(optimizer)
    model.train_on_batch(np.array([[[1.0], [2.0]]]), np.array([[1.0]]))
    after = np.concatenate([w.ravel() for w in model.get_weights()])
    print(f"{name:<8} {after}")
    assert np.allclose(after, by_hand[name], rtol=0, atol=1e-12)

# %% [markdown]
# ## SimpleRNN(1) against a perceptron
#
# The airline's 144 months again: windows of 20 months, the month after them. A perceptron (`Flatten`, `Dense(1)`) has a
# weight of its own for each of the 20 months. The same training for all, several seeds; the errors are in thousands of
# passengers on the validation rows, beside what anybody can say without a network.


# %%
def linear():
    return nbrnn.SimpleRNN(20, "linear")


networks = {
    "perceptron": lambda: [nbrnn.Flatten(), nbrnn.Dense(1)],
    "SimpleRNN(1)": lambda: [nbrnn.SimpleRNN(1)],
    "SimpleRNN(1), Dense(1)": lambda: [nbrnn.SimpleRNN(1), nbrnn.Dense(1)],
    "SimpleRNN(5), Dense(1)": lambda: [nbrnn.SimpleRNN(5), nbrnn.Dense(1)],
    "20 linear units": lambda: [linear(), nbrnn.Dense(1)],
}
train, held = windows(0, FIRST), windows(FIRST, SECOND)


def fit(model):
    best = nbrnn.EarlyStopping(patience=40, restore_best_weights=True)
    how = {"epochs": 300, "batch_size": 8, "verbose": 0, "callbacks": [best]}
    model.fit(*train, validation_data=held, **how)
    return model


def error(model, part):
    return (high - low) * model.evaluate(*part) ** 0.5


def naive(lag, start, stop):
    before = passengers[start - lag : stop - lag]
    return np.mean((passengers[start:stop] - before) ** 2) ** 0.5


medians, fitted = {}, {}
for name, layers in networks.items():
    models = [fit(build(layers(), seed=s)) for s in range(3 if QUICK else 7)]
    errors = [error(model, held) for model in models]
    fitted[name], medians[name] = models, np.median(errors)
    spread = f"({min(errors):.1f} to {max(errors):.1f})"
    count = models[0].count_params()
    print(f"{name:<24}{count:4} weights {medians[name]:6.1f} {spread}")
print(f"last month {naive(1, FIRST, SECOND):.1f},", end=" ")
print(f"a year ago {naive(12, FIRST, SECOND):.1f}")
assert medians["perceptron"] < 0.5 * medians["SimpleRNN(1)"]
assert medians["SimpleRNN(1)"] > naive(1, FIRST, SECOND)
assert medians["20 linear units"] < 0.5 * medians["SimpleRNN(5), Dense(1)"]

# %% [markdown]
# So it is true, and SimpleRNN(1) is even worse than repeating the last month. Two suspects:
#
# **The range.** A tanh ends at 1, and so do these networks' answers. What do the rows want?

# %%
for name, part in (("validation", held), ("training", train)):
    print(f"{name} targets go up to {part[1].max():.2f}", end=", ")
top = fitted["SimpleRNN(1)"][0].predict(held[0]).max()
print(f"\nSimpleRNN(1) never says more than {top:.2f}")
assert held[1].max() > 1.2 and top < 1

# %% [markdown]
# A Dense(1) on top can say more than 1, and helps a little. But the states below it are still near the end of tanh,
# where all large numbers look alike.
#
# **The memory.** One unit has one number to keep. How much does each month of the window move the answer? That is the
# gradient of the output, month by month: a trace has it as dx. The perceptron's are simply its weights.

# %%
dense = fitted["perceptron"][0].get_weights()[0][:, 0]
trace = nbrnn.trace(fitted["SimpleRNN(1)"][0], held[0][0], 9.0)
slope = next(iter(trace.slopes.values()))[0]
rnn = np.array([back.dx[0] / slope for back in trace.backward])
for lag in (1, 2, 3, 12, 13):
    print(f"{lag:2} months back: {dense[-lag]:6.3f} {rnn[-lag]:10.6f}")
assert abs(dense[-12]) > 0.2 and abs(rnn[-12]) < 0.01
assert np.argmax(np.abs(dense)) == LENGTH - 12

# %% [markdown]
# The perceptron looks a year back: that month has its largest weight. One unit cannot. It forgets every month by nearly
# the same factor at each step, so it can weigh last month most, or smear, but never single one out. Twenty linear units
# can hold all twenty months (lesson 3's shelf), and then the recurrent network is as good as the perceptron: compare
# the table. Neither the training nor the data was broken. The network was too small in one way and bent in another.
#
# Now that all is chosen, the test rows, once:

# %%
test = windows(SECOND, len(passengers))
final = {name: [error(m, test) for m in ms] for name, ms in fitted.items()}
for name in ("perceptron", "20 linear units", "SimpleRNN(1)"):
    spread = f"({min(final[name]):.1f} to {max(final[name]):.1f})"
    print(f"{name:<17}{np.median(final[name]):6.1f} {spread}")
print(f"a year ago       {naive(12, SECOND, len(passengers)):6.1f}")

# %% [markdown]
# ## The picture: learning curves
#
# Is the learning rate right? Look at the loss by epochs. Three rates for SimpleRNN(5) and Dense(1):

# %%
curves = {}
for rate in (0.0001, 0.01, 0.5):
    model = build(networks["SimpleRNN(5), Dense(1)"](), rate)
    how = {"epochs": 100, "batch_size": 8, "verbose": 0}
    history = model.fit(*train, validation_data=held, **how).history
    curves[f"rate {rate}"] = history["loss"]
    curves[f"val_rate {rate}"] = history["val_loss"]
    print(f"rate {rate}: {history['loss'][0]:.4f} to {history['loss'][-1]:.4f}")
title = "Too slow, right, too fast"
show(nbrnn.plot_history(curves, title=title), "learning-curves")

# %% [markdown]
# Too small: it still falls when the epochs are over. Too large: it jumps and stays high. And the validation loss lies
# above the training loss all the time, as these rows lie above all that was trained on.
#
# ## The picture: the landscape
#
# A linear SimpleRNN(1) has three weights, so nearly all of its landscape fits into a map of two directions. SGD and
# Adam begin at the same place.


# %%
class Way(nbrnn.Callback):
    def on_train_begin(self, logs=None):
        self.points = [self.model.get_weights()]

    def on_epoch_end(self, epoch, logs=None):
        self.points.append(self.model.get_weights())


ways = {}
for name, optimizer in (("SGD", nbrnn.SGD(0.05)), ("Adam", nbrnn.Adam(0.02))):
    model = nbrnn.Sequential([nbrnn.SimpleRNN(1, "linear")], (LENGTH, 1))
    model.set_weights([[[-0.5]], [[-0.2]], [0.3]])
    model.compile(optimizer, "mse")
    way = Way()
    model.fit(*train, epochs=150, batch_size=16, verbose=0, callbacks=[way])
    ways[name] = way.points
    print(f"{name}: loss {model.evaluate(*train):.5f}")
show(nbrnn.plot_loss_surface(model, *train, ways), "landscape")

# %% [markdown]
# SGD's way is smooth: where the slope is small it nearly stands still. Adam's steps are equally long at first, so it
# cuts across, and then walks along the floor of the valley.
#
# ## A fit that explodes
#
# The same linear network on *raw* passengers, hundreds instead of 0 to 1, with SGD. The loss becomes infinite, the fit
# stops with a `DivergedError`, and the last finite weights are kept. Its report is a post-mortem: where the first bad
# number stood, and how the states and the gradients grew from step to step.

# %%
model = nbrnn.Sequential([nbrnn.SimpleRNN(5, "linear"), nbrnn.Dense(1)], seed=0)
model.compile(nbrnn.SGD(0.1), "mse")
try:
    model.fit(*nbrnn.sliding_windows(passengers[:FIRST], 6), verbose=0)
    raise AssertionError("it did not explode")
except nbrnn.DivergedError as diverged:
    print(diverged.report())
    dh = diverged.gradient_norms["simple_rnn"]
assert dh[0] > 1e6 * dh[-1]

# %% [markdown]
# Read it from the top. It failed in the second batch or so: the first step was far too long. Each step of time then
# multiplies the state with the spoiled Wh. The cure stands in the first lines: scale the data, clip (lesson 9), or step
# less.
#
# ## Scrambled time
#
# Does a network use the order of the months at all? Permute the 20 months of each window, always in the same way.
# Either *before training*, so that the network learns on permuted windows; or only *at the test*. Guess first: who is
# hurt?

# %%
problem = nbrnn.make_problem("airline")
how = {"epochs": 300, "learning_rate": 0.01, "patience": 40}
recipe = nbrnn.Recipe(window=LENGTH, units=(5,), batch_size=8, **how)
scores = list(nbrnn.scramble_time(problem, recipe))
for score in scores:
    print(f"{score.name:<17}in order {score.ordered:5.1f},", end=" ")
    print(f"at the test {score.tested:5.1f}, before {score.trained:5.1f}")
flat, network = scores
assert abs(flat.trained / flat.ordered - 1) < 1e-3 < flat.tested / 1e3
assert network.tested > network.ordered and flat.tested > flat.ordered
show(nbrnn.plot_scrambled(scores, "thousands"), "scrambled")

# %% [markdown]
# Scrambled at the test, both are hurt: they meet what they have not learned. Before training, the perceptron does not
# notice: its weights can be permuted in the same way. The recurrent network loses what the order told it.
#
# ## Exercise 1: two steps of Adam
#
# A weight is 1.0, its gradients in two steps are 0.4 and -0.2, the learning rate is 0.1. What is the weight after each?

# %% tags=["exercise"]
after_one = ...
after_two = ...

# %% tags=["solution"]
m, v = 0.1 * 0.4, 0.001 * 0.4**2
rate = 0.1 * np.sqrt(1 - 0.999) / (1 - 0.9)
after_one = 1.0 - rate * m / (np.sqrt(v) + 1e-7)
m, v = 0.9 * m + 0.1 * -0.2, 0.999 * v + 0.001 * 0.2**2
rate = 0.1 * np.sqrt(1 - 0.999**2) / (1 - 0.9**2)
after_two = after_one - rate * m / (np.sqrt(v) + 1e-7)

# %% tags=["check"]
layer = [nbrnn.Dense(1, use_bias=False)]  # y = x w: dL/dw = 2 (x w - y) x
model = nbrnn.Sequential(layer, (1,), dtype="float64")
model.set_weights([[[1.0]]])
model.compile(nbrnn.Adam(0.1), "mse")
right = [1.0]
for g in (0.4, -0.2):
    model.train_on_batch(np.ones((1, 1)), np.array([[right[-1] - g / 2]]))
    right.append(float(model.get_weights()[0][0, 0]))
hint = "m and v begin at zero; t is 1 in the first step."
check("after_one", after_one, right[1], hint)
hint = "keep m and v of the first step; t is 2 now."
check("after_two", after_two, right[2], hint)

# %% [markdown]
# ## Exercise 2: scramble
#
# - scrambled: permute the time steps of X, (samples, steps, features), in the order given, such as [2, 0, 1].
# - moved: the kernel of a perceptron, one row a step (and one feature), for which scrambled windows give the same
#   answers.


# %% tags=["exercise"]
def scrambled(X, order):
    return ...


def moved(kernel, order):
    return ...


# %% tags=["solution"]
def scrambled(X, order):
    return X[:, order]


def moved(kernel, order):
    return kernel[order]


# %% tags=["check"]
X, order = windows(0, FIRST)[0], np.random.default_rng(0).permutation(LENGTH)
ours = np.stack([window[order] for window in X])
hint = "the steps are the second axis."
check("scrambled(X, order)", scrambled(X, order), ours, hint)
flat = build([nbrnn.Flatten(), nbrnn.Dense(1)])
wanted, (kernel, bias) = flat.predict(X), flat.get_weights()
rows = moved(kernel, order)
hint = "row k belongs to step k: move the rows as the steps were moved."
check("moved(kernel, order)", rows, kernel[order], hint)
flat.set_weights([rows, bias])
check("its answers", flat.predict(ours), wanted, hint, tolerance=1e-5)

# %% [markdown]
# ## Gradient check: along a random direction
#
# One number tests a whole gradient: walk a little along a random direction d, and see whether the loss changes as g . d
# says, the sum of all products.

# %%
layers = networks["SimpleRNN(5), Dense(1)"]()
model = nbrnn.Sequential(layers, (LENGTH, 1), 0, "float64")
model.compile("adam", "mse")
few = held[0][:4], held[1][:4]
report = nbrnn.check_gradients(model, *few)
g, start = list(report.gradients.values())[:5], model.get_weights()
rng = np.random.default_rng(0)
for _ in range(3):
    d = [rng.normal(size=w.shape) for w in start]
    losses = []
    for s in (1e-5, -1e-5):
        model.set_weights([w + s * a for w, a in zip(start, d, strict=True)])
        losses.append(model.evaluate(*few))
    walked = (losses[0] - losses[1]) / 2e-5
    said = sum(np.sum(a * b) for a, b in zip(g, d, strict=True))
    print(f"by walking {walked:11.8f}, g . d {said:11.8f}")
    assert abs(walked - said) < 1e-7
print(report)
assert report.passed

# %% [markdown]
# Three walks are quick, whatever the number of weights. They tell you *that* something is wrong; the table of
# `check_gradients` tells you where.
#
# ## What to take away
#
# - SGD's step is as long as the gradient; RMSprop and Adam begin with equal steps for all weights.
# - Before you blame the training: a baseline, several seeds, the range of the targets, and what the network can hold.
# - Curves that still fall want more epochs or a larger rate, curves that jump a smaller one.
# - A fit that diverges names the first bad number. Read the report from the top.
#
# ## What people get wrong
#
# - They compare two networks by one seed each, or on the test rows, again and again.
# - They give tanh or sigmoid outputs targets that lie beyond their ends.
# - They take a learning rate from one optimizer to another.
# - They scramble the test windows, see an error that grows, and call it proof of memory. The perceptron's grows too.
