# %% [markdown]
# # Lesson 7: Training and debugging
#
# **Question.** SimpleRNN(1) is worse than a perceptron! Is it the training, the network or the data? How do I find out?
#
# You need lessons 2 and 5. You will take one step of three optimizers by hand, find out why a recurrent network loses
# against a *perceptron*, a single layer of plain weights, and read what a failed training leaves behind.

# %%
import numpy as np

import nbrnn
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # True: fewer seeds

LENGTH = 20  # of the windows
problem = nbrnn.make_problem("airline")  # 70 % to train, 15 %, 15 %
parts = problem.parts
FIRST, SECOND = parts["validation"].start, parts["test"].start
passengers = problem.table.column("Passengers")
low, high = passengers[:FIRST].min(), passengers[:FIRST].max()
scaled = (passengers - low) / (high - low)  # 0 to 1 on the training rows


def windows(start, stop):
    """Return the windows whose answers are rows start to stop."""
    before = max(start - LENGTH, 0)
    return nbrnn.sliding_windows(scaled[before:stop], LENGTH)


def build(layers, rate=0.01, seed=0):
    """Return a network for the windows, compiled with Adam."""
    model = nbrnn.Sequential(layers, (LENGTH, 1), seed)
    model.compile(nbrnn.Adam(rate), "mse")
    return model


# %% [markdown]
# ## Intuition
#
# The loss is a landscape: a place for each setting of the weights, its height the loss. You stand in fog and feel only
# the slope under your feet, the gradient. You take a step downhill and feel again; an *optimizer* says how long a step.
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
# v is a running mean of the squared gradient, m one of the gradient. Both begin at zero, so after t steps they hold
# only the shares 1 - 0.999**t and 1 - 0.9**t of a mean; Adam's last line divides by these. 1e-7 keeps the division
# possible where v is zero. All numbers but r are the usual ones (Tieleman and Hinton 2012; Kingma and Ba 2015).
#
# ## By hand
#
# One linear unit, wx = 0.5, wh = 0.3, b = 0.1. It reads 1, 2 and should say 1; the loss is (h2 - 1)^2.
# Forward, and backward as in lesson 5:

# %%
wx, wh, b = 0.5, 0.3, 0.1
h1 = 1 * wx + b
h2 = 2 * wx + h1 * wh + b
dh2 = 2 * (h2 - 1)
dh1 = dh2 * wh
weights = np.array([wx, wh, b])
gradient = np.array([1 * dh1 + 2 * dh2, h1 * dh2, dh1 + dh2])
print("gradients of wx, wh, b:", gradient)

# %% [markdown]
# Now a step of each, with the learning rate 0.01. Which of them goes how far?

# %%
r, v = 0.01, 0.1 * gradient**2
by_hand = {"SGD": weights - r * gradient}
by_hand["RMSprop"] = weights - r * gradient / np.sqrt(v + 1e-7)
m, v = 0.1 * gradient, 0.001 * gradient**2
rate = r * np.sqrt(1 - 0.999) / (1 - 0.9)
by_hand["Adam"] = weights - rate * m / (np.sqrt(v) + 1e-7)
for name, after in by_hand.items():
    print(f"{name:<8} step {(after - weights).round(4)}")

# %% [markdown]
# SGD's steps are as long as the gradients. The first step of the other two is the same for each weight: about 0.0316
# and 0.01. For v holds nothing but this gradient, and in g / sqrt(0.1 g*g) its size cancels. Only later, when v holds
# many, do large and small gradients make different steps. So a rate that suits Adam may be far from one that suits SGD.
#
# ## The engine's run

# %%
x, target = np.array([[[1.0], [2.0]]]), np.array([[1.0]])
for optimizer in (nbrnn.SGD(r), nbrnn.RMSprop(r), nbrnn.Adam(r)):
    unit, name = nbrnn.SimpleRNN(1, "linear"), type(optimizer).__name__
    model = nbrnn.Sequential([unit], (2, 1), dtype="float64")
    model.set_weights([[[wx]], [[wh]], [b]])
    model.compile(optimizer, "mse")
    model.train_on_batch(x, target)
    after = np.concatenate([w.ravel() for w in model.get_weights()])
    print(f"{name:<8} {after}")
    assert np.allclose(after, by_hand[name], rtol=0, atol=1e-12)

# %% [markdown]
# ## SimpleRNN(1) against a perceptron
#
# The airline's months again: windows of 20 months, the month after them. A perceptron (`Flatten`, `Dense(1)`) has a
# weight of its own for each of the 20 months. The same training for all, several seeds: after each *batch* of 8 windows
# the optimizer takes a step, and an *epoch* is once through all windows. `EarlyStopping` ends a training when the
# validation loss has not fallen for 40 epochs, and brings the best weights back. The errors are RMSEs (root of the mean
# squared error) in thousands of passengers on the validation rows, beside what anybody can say without a network.

# %%
FIVE, LINEAR = "SimpleRNN(5), Dense(1)", "20 linear, Dense(1)"
networks = {
    "perceptron": lambda: [nbrnn.Flatten(), nbrnn.Dense(1)],
    "SimpleRNN(1)": lambda: [nbrnn.SimpleRNN(1)],
    "SimpleRNN(1), Dense(1)": lambda: [nbrnn.SimpleRNN(1), nbrnn.Dense(1)],
    FIVE: lambda: [nbrnn.SimpleRNN(5), nbrnn.Dense(1)],
    LINEAR: lambda: [nbrnn.SimpleRNN(20, "linear"), nbrnn.Dense(1)],
}
train, held = windows(0, FIRST), windows(FIRST, SECOND)


def fit(layers, seed, steps=slice(None)):  # steps: later; now all of them
    model = build(layers, seed=seed)
    (x, y), (x_held, y_held) = train, held
    best = nbrnn.EarlyStopping(patience=40, restore_best_weights=True)
    how = {"validation_data": (x_held[:, steps], y_held), "verbose": 0}
    how |= {"batch_size": 8, "epochs": 300, "callbacks": [best]}
    model.fit(x[:, steps], y, **how)
    return model


def error(model, part, steps=slice(None)):
    return (high - low) * model.evaluate(part[0][:, steps], part[1]) ** 0.5


def naive(lag, start, stop):
    before = passengers[start - lag : stop - lag]
    return np.mean((passengers[start:stop] - before) ** 2) ** 0.5


seeds, medians, fitted = range(3 if QUICK else 7), {}, {}
print("validation RMSE, median of the seeds (lowest to highest)")
for name, layers in networks.items():
    models = [fit(layers(), seed) for seed in seeds]
    errors = [error(model, held) for model in models]
    fitted[name], medians[name] = models, np.median(errors)
    shown = f"{medians[name]:6.1f} ({min(errors):.1f} to {max(errors):.1f})"
    print(f"{name:<24}{models[0].count_params():4} weights {shown}")
month, year = (naive(lag, FIRST, SECOND) for lag in (1, 12))
print(f"last month {month:.1f}, a year ago {year:.1f}")
assert medians["SimpleRNN(1)"] > month > year > medians["perceptron"]
assert medians["SimpleRNN(1), Dense(1)"] > 0.8 * month
assert medians[LINEAR] < 1.2 * medians["perceptron"]

# %% [markdown]
# So it is true, and SimpleRNN(1) is even worse than repeating the last month. Two suspects:
#
# **The range.** A tanh ends at 1, and so do its answers. What do the rows want? A Dense(1) on top can say more than 1:
# look at its line in the table. That helps, and it is still hardly better than the last month.
#
# **The memory.** One unit has one number to keep. How much does each month of the window move the answer? That is the
# gradient of the output o, month by month: the perceptron's are simply its weights. A trace has that of the loss, as
# dx; with the target o - 0.5 the loss (o - target)^2 has the slope 2 * 0.5 = 1, so that both are the same.

# %%
model, window = fitted["SimpleRNN(1)"][0], held[0][0]
top = model.predict(held[0]).max()
print(f"the targets go up to {held[1].max():.2f}, its answers to {top:.2f}")
dense = fitted["perceptron"][0].get_weights()[0][:, 0]
trace = nbrnn.trace(model, window, model.predict(window[None])[0] - 0.5)
rnn = np.array([back.dx[0] for back in trace.backward])
print("               perceptron  SimpleRNN(1)")
for lag in (1, 2, 3, 12, 13):
    print(f"{lag:2} months back: {dense[-lag]:10.3f} {rnn[-lag]:13.6f}")
assert held[1].max() > 1.2 and top < 1
assert abs(rnn[-12]) < 0.01 and np.argmax(np.abs(dense)) == LENGTH - 12

# %% [markdown]
# The perceptron looks a year back: that month has its largest weight. One unit cannot: its last column shrinks from
# month to month, each time by a factor of much the same kind (wh and a slope), and never rises again. Twenty linear
# units can hold all of them (lesson 3's shelf), and then the recurrent network is as good as the perceptron: compare
# the table. Neither the training nor the data was broken. The network was too small in one way and bent in another.
#
# Now that all is chosen, the test rows, once. (There are more passengers every year, so all errors are larger there.)

# %%
test = windows(SECOND, len(passengers))
for name in ("perceptron", LINEAR, "SimpleRNN(1)"):
    found = [error(model, test) for model in fitted[name]]
    print(f"{name:<20}{np.median(found):6.1f}", end=" ")
    print(f"({min(found):.1f} to {max(found):.1f})")
print(f"a year ago          {naive(12, SECOND, len(passengers)):6.1f}")

# %% [markdown]
# ## The picture: learning curves
#
# Is the learning rate right? Look at the loss by epochs. Three rates for SimpleRNN(5) and Dense(1):

# %%
curves = {}
for rate in (0.0001, 0.01, 0.5):
    how = {"validation_data": held, "batch_size": 8, "verbose": 0}
    history = build(networks[FIVE](), rate).fit(*train, epochs=100, **how)
    curves[f"loss, rate {rate}"] = history.history["loss"]
    curves[f"val_loss, rate {rate}"] = history.history["val_loss"]
picture = nbrnn.plot_history(curves, "Too slow, right, too fast")
for axes in picture.axes:
    axes.set_ylim(0.003, 5)  # the same for all three
show(picture, "learning-curves")

# %% [markdown]
# Too small: it still falls at the end. Too large: it jumps, and ends higher than with the middle rate. In the first two
# the validation loss lies above the training loss: most of these later months lie above those before.
#
# ## The picture: the landscape
#
# A linear SimpleRNN(1) has three weights, so nearly all of its landscape fits into a map: a plane in the two directions
# in which the ways of SGD and Adam spread most, whose scales differ. Both begin at the same place.

# %%
ways = {}
for optimizer in (nbrnn.SGD(0.05), nbrnn.Adam(0.02)):
    model = nbrnn.Sequential([nbrnn.SimpleRNN(1, "linear")], (LENGTH, 1))
    model.set_weights([[[-0.5]], [[-0.2]], [0.3]])
    model.compile(optimizer, "mse")
    ways[type(optimizer).__name__] = points = [model.get_weights()]
    for _ in range(150):  # fit() goes on from where it ended
        model.fit(*train, batch_size=16, verbose=0)
        points.append(model.get_weights())
    print(list(ways)[-1], f"ends at {model.evaluate(*train):.5f}")
show(nbrnn.plot_loss_surface(model, *train, ways), "landscape")

# %% [markdown]
# SGD's steps are as long as the slope: down the hillside; on the flat floor it nearly stands still. Adam's steps are at
# first equally long for each weight, so it leaves the straight way down. In the valley it goes on along the floor.
#
# ## A fit that explodes
#
# The 20 linear units on *raw* passengers, hundreds instead of 0 to 1, with SGD and windows of 6 (so that the report is
# short). The loss becomes infinite, the fit stops with a `DivergedError`, and the last finite weights are kept. Its
# report is a post-mortem: where the first bad number stood, and how states and gradients grew from step to step.

# %%
model = nbrnn.Sequential(networks[LINEAR](), seed=0)
model.compile(nbrnn.SGD(1.0), "mse")
try:
    model.fit(*nbrnn.sliding_windows(passengers[:FIRST], 6), verbose=0)
    raise AssertionError("it did not explode")
except nbrnn.DivergedError as diverged:
    print(diverged.report())
    dh = diverged.gradient_norms["simple_rnn"]
print(f"\nthe largest number in float32: {np.finfo('f4').max:.1e}")
assert dh[0] > 1e6 * dh[-1]

# %% [markdown]
# Read it from the top. It failed in the second batch: the first step was far too long, and now each step of time
# multiplies the state with the spoiled Wh, until float32 ends (the bars are in float64, which reaches further). The
# cure stands there too: scale the data, clip (lesson 9), or step less.
#
# ## Scrambled time
#
# Does a network use the order of the months at all? Permute the 20 months of each window, always in the same way.
# Either *before training*, so that the network learns on permuted windows; or only *at the test*, trained on them
# as they are. Guess first: who is hurt? The two networks are the perceptron and SimpleRNN(5) with Dense(1);
# a `Recipe` says how the latter is made and trained (lesson 8). Every line is a draw: other seeds, another permutation.

# %%
how = {"learning_rate": 0.01, "epochs": 300, "patience": 40}
recipe = nbrnn.Recipe(LENGTH, units=(5,), batch_size=8, **how)
scrambled = nbrnn.scramble_time(problem, recipe, draws=len(seeds))
flat, network = scores = list(scrambled)
print("validation RMSE  in order  at the test  before training")
for one in scores:
    for draw in one.draws:
        print(f"{one.name:<16}{draw[0]:9.1f}{draw[1]:13.1f}{draw[2]:17.1f}")
assert abs(flat.trained / flat.ordered - 1) < 1e-3
assert network.tested > network.ordered and flat.tested > flat.ordered
harder = [trained > ordered for ordered, _, trained in network.draws]
assert any(harder) and not all(harder)
show(nbrnn.plot_scrambled(scores, "thousands"), "scrambled")

# %% [markdown]
# Scrambled at the test, both are hurt: they meet what they have not learned. Before training, the perceptron does not
# notice: its weights can be permuted in the same way. To the recurrent network it is another problem, in one draw a
# harder one, in another an easier one. Why? Exchange just two months: put the one a year back last, or first.

# %%
for name, place in (("in order", 8), ("first", 0), ("last", 19)):
    steps = np.arange(LENGTH)
    steps[[8, place]] = place, 8  # 8 is 12 months back
    models = [fit(networks[FIVE](), seed, steps) for seed in seeds]
    middle = np.median([error(model, held, steps) for model in models])
    print(f"the month a year back {name}: {middle:.1f}")
assert middle < 0.8 * medians[FIVE]  # the last one

# %% [markdown]
# What comes last is remembered best, so a permutation may help. But to be near is not all: look at "first".
#
# ## Exercise 1: two steps of Adam
#
# A weight is 1.0, its gradients in two steps are 0.4 and -0.2, the learning rate is 0.1. What is the weight after each?

# %% tags=["exercise"]
after_one = ...
after_two = ...

# %% tags=["solution"]
m, v = 0.1 * 0.4, 0.001 * 0.4**2
after_one = 1 - 0.1 * np.sqrt(0.001) / 0.1 * m / (np.sqrt(v) + 1e-7)
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
hint = "m and v begin at zero; is sqrt(1 - 0.999**t) / (1 - 0.9**t) there?"
check("after_one", after_one, right[1], hint, tolerance=1e-4)
hint = "keep m and v of the first step; t is 2 now."
check("after_two", after_two, right[2], hint, tolerance=1e-4)

# %% [markdown]
# ## Exercise 2: scramble
#
# A perceptron has a kernel of one row a step. The steps of its windows are permuted, `X[:, order]`, after its training.
# Return the kernel with which it answers as before.


# %% tags=["exercise"]
def moved(kernel, order):
    return ...


# %% tags=["solution"]
def moved(kernel, order):
    return kernel[order]


# %% tags=["check"]
X, _ = windows(0, FIRST)
order = np.random.default_rng(0).permutation(LENGTH)
flat = build([nbrnn.Flatten(), nbrnn.Dense(1)])
wanted, (kernel, bias) = flat.predict(X), flat.get_weights()
rows = moved(kernel, order)
hint = "in place k of X[:, order] stands step order[k]: which row meets it?"
check("moved(kernel, order)", rows, kernel[order], hint)
flat.set_weights([rows, bias])
check("its answers", flat.predict(X[:, order]), wanted, hint, 1e-5)

# %% [markdown]
# ## Gradient check: along a random direction
#
# One number tests a whole gradient g: walk a little along a random direction d. Does the loss change by the sum g . d?

# %%
model = nbrnn.Sequential(networks[FIVE](), (LENGTH, 1), 0, "float64")
model.compile("adam", "mse")
few = held[0][:4], held[1][:4]  # enough: a check is not a training
report = nbrnn.check_gradients(model, *few)
slopes, start = list(report.gradients.values()), model.get_weights()
rng = np.random.default_rng(0)
for _ in range(3):
    d, losses = [rng.normal(size=w.shape) for w in start], []
    for s in (1e-5, -1e-5):
        model.set_weights([w + s * d[k] for k, w in enumerate(start)])
        losses.append(model.evaluate(*few))
    walked = (losses[0] - losses[1]) / 2e-5
    said = sum(np.sum(slopes[k] * a) for k, a in enumerate(d))
    print(f"by walking {walked:11.8f}, g . d {said:11.8f}")
    assert abs(walked - said) < 1e-7
print(report)
assert report.passed

# %% [markdown]
# Three walks are quick for any number of weights. They tell *that* something is wrong, the table where (x, h0 too).
#
# ## What to take away
#
# - SGD's step is as long as the gradient; RMSprop and Adam begin with equal steps for all weights.
# - Before you blame the training: a baseline, several seeds, the range of the targets, and what the network can hold.
# - Curves that still fall want more epochs or a larger rate, curves that jump a smaller one.
#
# ## What people get wrong
#
# - They compare networks by one seed each, or on the test rows, again and again.
# - They give tanh or sigmoid outputs targets that lie beyond their ends.
# - They scramble the test windows, see an error that grows, and call it proof of memory. The perceptron's grows too.
