# %% [markdown]
# # Lesson 4: The RNN that never recurred
#
# **Question.** Time steps or features: which axis is which? And if I take the wrong one, does anybody tell me?
#
# Nobody does. In this lesson a recurrent network trains without an error, its loss goes down, its picture looks fine,
# and 1024 of its weights are never used. You will find out by looking at gradients, and then repair it.
#
# ## Intuition
#
# A recurrent layer takes an array of the shape (samples, time steps, features). It runs its loop once per time step and
# carries its state from one step to the next. Say that you have windows of four numbers. As *four steps of one feature*
# the loop runs four times, and each number meets the memory of those before it. As *one step of four features* the loop
# runs once: the layer sees all four numbers at once, makes a state, and stops. It never reads the state that it made.
# Both arrays hold the same numbers, and the layer takes both.
#
# ## The equation
#
# ```text
# h_t = relu(x_t Wx + h_(t-1) Wh + b)        t = 1 ... T, h_0 = 0
#
# dWh  =  sum over t of  h_(t-1)^T da_t          the gradient of Wh
# ```
#
# relu cuts off what is below zero. A d before a name means: how much the loss grows if this number grows, its gradient.
# da_t is that of the sum inside relu at step t; lesson 5 derives it. The small ^T turns a row into a column, so that
# column times row is a table as large as Wh. Here only the first factor matters, the state *before* the step. With T =
# 1 that is zero.
#
# The network and the series are those of the tutorial "RNN example with Keras SimpleRNN in Python" (DataTechNotes): a
# sine with noise, 1000 rows, the first 800 to train on, windows of four. RMSprop, its way to train, is for lesson 7.

# %%
import numpy as np

import nbrnn
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # True: fewer epochs
ONE_STEP, FOUR_STEPS = (1, 4), (4, 1)  # (time steps, features)

rows = np.arange(1000)
noise = 2 * np.random.default_rng(0).uniform(0, 1, size=1000)
series = np.sin(0.02 * rows) + noise


def table(part):
    """Return windows of 4 and the rows after them, as the tutorial does."""
    padded = np.append(part, np.repeat(part[-1], 4))
    X = np.array([padded[i : i + 4] for i in range(len(part))])
    y = np.array([padded[i + 4] for i in range(len(part))])
    return X, y


def build(shape, seed=0):
    """Return the tutorial's network for inputs of a shape."""
    layers = [nbrnn.SimpleRNN(32, "relu"), nbrnn.Dense(8, "relu")]
    model = nbrnn.Sequential([*layers, nbrnn.Dense(1)], shape, seed)
    model.compile(optimizer="rmsprop", loss="mse")
    return model


# %% [markdown]
# ## By hand
#
# One unit, no relu, the window 1, 2, 3, 4. As one step of four features it meets four weights wx, one for each feature:
# 0.5, -0.2, 0.1, 0.4. As four steps of one feature it meets the same weight 0.5 four times. Guess before you run the
# cell: in which of the two does the recurrent weight wh matter?


# %%
def one_step(wh):
    h = 0  # the state before step 1
    return 1 * 0.5 + 2 * -0.2 + 3 * 0.1 + 4 * 0.4 + h * wh


def four_steps(wh):
    h = 0
    for x in (1, 2, 3, 4):
        h = x * 0.5 + h * wh
    return h


e = 0.001  # a little more, a little less: the gradient of wh by trying
for name, cell in (("one step", one_step), ("four steps", four_steps)):
    slope = (cell(0.3 + e) - cell(0.3 - e)) / (2 * e)
    print(f"{name}: wh = 0.3 gives {cell(0.3):.4f}, 0.4 {cell(0.4):.4f}")
    print(f"   h changes {slope:.3f} times as much as wh")

# %% [markdown]
# In one step wh is multiplied with zero. Now the gradient of the four steps by the equation. The states before the
# steps are 0, 0.5, 1.15 and 1.845. The last sum is h itself, so its da is 1; on the way from an earlier sum to the end
# there is one wh for each step that follows.

# %%
by_hand = 0 * 0.3**3 + 0.5 * 0.3**2 + 1.15 * 0.3 + 1.845 * 1
print(f"by the equation: {by_hand:.3f}")
assert abs(by_hand - slope) < 1e-5

one_unit = [nbrnn.SimpleRNN(1, "linear")]
single = nbrnn.Sequential(one_unit, FOUR_STEPS, dtype="float64")
single.set_weights([[[0.5]], [[0.3]], [0.0]])
trace = nbrnn.trace(single, [1, 2, 3, 4])
print("the engine's states:", *[step.h_prev for step in trace.steps])
assert abs(trace.output[0] - four_steps(0.3)) < 1e-12

# %% [markdown]
# ## The engine's run
#
# The tutorial's array has the shape (800, 1, 4). Read the axes aloud: 800 samples, one time step, four features.

# %%
X, y = table(series[:800])
X_test, y_test = table(series[800:])
assert len(X) == 800 and len(X_test) == 200
networks = {shape: build(shape) for shape in (ONE_STEP, FOUR_STEPS)}
for shape, model in networks.items():
    print(f"\n{X.reshape(-1, *shape).shape}")
    model.summary()

print(f"1024 of 1184 in the first layer are Wh: {1024 / 1184:.0%}")
assert networks[ONE_STEP].get_weights()[1].size == 32 * 32 == 1024
assert networks[FOUR_STEPS].layers[0].count_params() == 1 * 32 + 1024 + 32
assert [m.count_params() for m in networks.values()] == [1457, 1361]

# %% [markdown]
# The summary does not warn. It counts the 1024 numbers of Wh in both networks, whether they are used or not. Now train
# both, and see which weights move.

# %%
epochs = 30 if QUICK else 100  # times through all windows, 16 a step
for shape, model in networks.items():
    before = model.get_weights()
    inputs = X.reshape(-1, *shape)
    history = model.fit(inputs, y, batch_size=16, epochs=epochs, verbose=0)
    loss, after = history.history["loss"], model.get_weights()
    print(f"{shape}: loss {loss[0]:.3f} at first, {loss[-1]:.3f} at last")
    for k, name in enumerate(("Wx", "Wh", "b")):
        moved = np.sum(before[k] != after[k])
        print(f"   {name}: {moved} of {after[k].size} moved")
    same = before[1].tobytes() == after[1].tobytes()
    assert same == (shape == ONE_STEP)  # bit for bit

# %% [markdown]
# With one time step not one of the 1024 weights has moved, not by its last bit. So the "recurrent" network must be an
# ordinary one. Here is the proof: put its other weights into a network without any recurrence.

# %%
disguised = networks[ONE_STEP]
layers = [nbrnn.Dense(32, "relu"), nbrnn.Dense(8, "relu"), nbrnn.Dense(1)]
plain = nbrnn.Sequential(layers, (4,))
Wx, Wh, b, *others = disguised.get_weights()
plain.set_weights([Wx, b, *others])
apart = plain.predict(X) - disguised.predict(X.reshape(-1, *ONE_STEP))
print(plain.count_params(), "weights instead of", disguised.count_params())
print(f"their predictions differ by at most {np.abs(apart).max():.1g}")
assert np.abs(apart).max() < 1e-6 and plain.count_params() == 1457 - 1024

# %% [markdown]
# ## The picture
#
# How large are the gradients of the first layer? Take the first window, and for each table of weights the *norm* of its
# gradient: the root of the sum of all squares, one number for how much the table is asked to move. On the left the
# window is one time step, on the right it is four.

# %%
traces = []
for shape in networks:
    traces.append(nbrnn.trace(build(shape), X[0].reshape(shape), y[0]))
    totals = traces[-1].layers[0].totals
    norms = {d: np.linalg.norm(gradient) for d, gradient in totals.items()}
    print(shape, *(f"{d} {norm:.5g}" for d, norm in norms.items()))
    assert norms["dWx"] > 0 and (norms["dWh"] == 0) == (shape == ONE_STEP)
titles = "shape (n, 1, 4)", "shape (n, 4, 1)"
show(nbrnn.plot_gradient_norms(traces, titles), "gradients")

# %% [markdown]
# ## How good can it be?
#
# The losses look alike. Are they good? The series is a sine plus noise: 2 U(0,1), twice a random number between 0 and
# 1, a new one in each row. Nobody can predict that. Somebody who knows the sine would add the noise's mean, 1, and be
# wrong by the noise's distance from 1. The mean square of that distance is the *noise floor*. For a number between 0
# and 1 it would be 1/12; the noise is twice as wide, so its squares are four times as large: 4/12.

# %%
u = (np.arange(1000) + 0.5) / 1000  # evenly between 0 and 1
by_average, floor = np.mean((2 * u - 1) ** 2), 4 / 12
print(f"by averaging {by_average:.4f}, floor 4/12 = {floor:.4f}")
assert abs(by_average - floor) < 1e-5

perfect = (series - np.sin(0.02 * rows) - 1) ** 2
parts = perfect[:800], perfect[800:]
print("mean squared error    train  test")
print(f"who knows the sine    {parts[0].mean():.3f}  {parts[1].mean():.3f}")
print("the tutorial's        0.3533")
medians = {}
for shape in networks:
    known = X.reshape(-1, *shape), y
    new = X_test.reshape(-1, *shape), y_test
    losses = []
    for seed in range(5):
        model = build(shape, seed)
        model.fit(*known, batch_size=16, epochs=epochs, verbose=0)
        losses.append((model.evaluate(*known), model.evaluate(*new)))
    medians[shape] = train, test = np.median(losses, axis=0)
    print(f"{shape}, 5 seeds       {train:.3f}  {test:.3f}   (medians)")
last_value = np.mean((X[:, -1] - y) ** 2)
print(f"repeat the last row   {last_value:.3f}")
assert np.abs(medians[ONE_STEP] - medians[FOUR_STEPS]).max() < 0.05
assert max(medians[ONE_STEP]) < last_value

# %% [markdown]
# The floor is a mean over endlessly many rows; so few rows as these come out a little beside it. The tutorial reports a
# training loss of 0.3533, not far above it. On endlessly many new rows no network whatever gets below.
#
# And the repair? It hardly changes the loss. Both networks see the same four numbers, so there is little to gain. That
# is why nobody noticed. What the repair buys: longer windows with the same weights. Do they help?

# %%
for steps in (4, 20):
    wide = build((1, steps)).layers[0].count_params()
    long = build((steps, 1)).layers[0].count_params()
    print(f"{steps} numbers: as features {wide} weights, as steps {long}")
assert (wide, long) == (20 * 32 + 1024 + 32, 1088)

known = nbrnn.sliding_windows(series[:800], 20)
new = nbrnn.sliding_windows(series[800:], 20)
losses = []
for seed in range(3 if QUICK else 5):
    model = build((20, 1), seed)
    model.fit(*known, batch_size=16, epochs=100, verbose=0)
    losses.append((model.evaluate(*known), model.evaluate(*new)))
train, test = np.median(losses, axis=0)
print(f"windows of 20, {len(losses)} seeds")
print(f"   training loss {train:.3f}, on new rows {test:.3f}  (medians)")
assert train < 0.25 and np.min(losses, axis=0)[1] > medians[FOUR_STEPS][1]

# %% [markdown]
# They do not, here: the training loss falls far below the floor, and on new rows the network does worse than with four.
# What is below the floor is noise. It does not come again, and who learns it by heart is wrong on new rows.
#
# ## Two more things in the same tutorial
#
# It pads each part with four copies of the last row, so that there are as many windows as rows, and it draws prediction
# i at row i. Send row numbers through the same code, and see which rows meet. The last four targets stand in their own
# windows already: there is nothing to predict. And every prediction is drawn four rows before the row that it is about,
# so that even a forecast without any error would look wrong.

# %%
windows, targets = table(rows[:800])
for i in (0, 1, 795, 796, 797, 798, 799):
    print(f"rows {windows[i]} -> row {targets[i]}, drawn at row {i}")
assert (targets[:796] == rows[:796] + 4).all()  # drawn 4 rows early
assert (targets[796:] == 799).all() and (windows[796:, 3] == 799).all()

early = np.mean((y[:796] - series[:796]) ** 2)
right = np.mean((y[:796] - series[4:800]) ** 2)
print(f"a perfect forecast, drawn at row i:     error {early:.3f}")
print(f"a perfect forecast, drawn at row i + 4: error {right:.3f}")
assert early > 0.5 and right == 0

show(nbrnn.plot_shifts(series, y[:796], [0, 4]), "four-rows-early")

# %% [markdown]
# ## Exercise 1: repair it
#
# - shaped: X has the shape (n, 4); return it as four time steps of one feature.
# - repaired: return the tutorial's three layers, with their units and activations, as a `nbrnn.Sequential` for that
#   shape.
# - as_steps, as_features: how many parameters has the whole network for windows of *twelve* rows, taken as twelve
#   steps, and taken as twelve features?

# %% tags=["exercise"]


def shaped(X):
    return ...


def repaired():
    return ...


as_steps = ...
as_features = ...

# %% tags=["solution"]


def shaped(X):
    return X.reshape(-1, 4, 1)


def repaired():
    layers = [nbrnn.SimpleRNN(32, "relu"), nbrnn.Dense(8, "relu")]
    return nbrnn.Sequential([*layers, nbrnn.Dense(1)], (4, 1), seed=1)


as_steps = (1 * 32 + 32 * 32 + 32) + (32 * 8 + 8) + (8 + 1)
as_features = (12 * 32 + 32 * 32 + 32) + (32 * 8 + 8) + (8 + 1)

# %% tags=["check"]
X, _ = table(series[:800])
hint = "X.reshape(-1, time steps, features); -1 is as many as there are."
check("shaped(X)", shaped(X), X.reshape(800, 4, 1), hint)
model = repaired()
hint = "give Sequential the shape of one sample: (time steps, features)."
shape = getattr(model, "input_shape", ...) or "not given"
check("the shape of repaired()", shape, (4, 1), hint)
count = model.count_params()
check("the parameters of repaired()", count, 1361, "units: 32, 8, 1.")
hint = "relu, relu, and none for the last: see build in the first cell."
curves = " ".join(layer.activation for layer in model.layers)
check("the activations of repaired()", curves, "relu relu linear", hint)
hint = "weights are shared by all steps: build((12, 1))."
check("as_steps", as_steps, build((12, 1)).count_params(), hint)
hint = "every feature has a weight to each unit: build((1, 12))."
check("as_features", as_features, build((1, 12)).count_params(), hint)

# %% [markdown]
# ## Exercise 2: the floor
#
# - percent: a repaired network has the loss 0.35. By how many percent is that above the floor of 4/12? (One digit after
#   the point will do.)
# - floor_of_3: the noise floor if the noise were 3 U(0,1).
# - is_it_skill: then a friend's network reports a training loss of 0.6. Is that "skill", or did it learn "by heart"?

# %% tags=["exercise"]
percent = ...
floor_of_3 = ...
is_it_skill = ...  # "skill" or "by heart"

# %% tags=["solution"]
percent = 100 * (0.35 / (4 / 12) - 1)
floor_of_3 = 9 / 12
is_it_skill = "by heart"

# %% tags=["check"]
hint = "the difference from the floor, divided by the floor, times 100."
check("percent", percent, 5.0, hint, tolerance=0.01)
u = (np.arange(1000) + 0.5) / 1000  # evenly between 0 and 1
assert abs(np.mean((3 * u - 1.5) ** 2) - 9 / 12) < 1e-5
hint = "twice the noise has four times the mean square; and three times?"
check("floor_of_3", floor_of_3, 9 / 12, hint, tolerance=1e-4)
check("is_it_skill", is_it_skill, "by heart", "is 0.6 below the floor?")

# %% [markdown]
# ## Gradient check: exactly zero, then not
#
# `check_gradients` computes each gradient twice: by the engine's backward pass, and by trying. For one step of four
# features both must say zero for Wh, exactly. Its row is simple_rnn/recurrent_kernel: an error of 0 means here that
# both numbers are zero.
#
# One trap: without targets y the check begins with random first states, so that every weight is tried. Then Wh is read
# even at the first step. It is dead because the first state is zero, and for no other reason.

# %%
name = "simple_rnn/recurrent_kernel"
for shape in (ONE_STEP, FOUR_STEPS):
    few = X[:4].reshape(-1, *shape)
    report = nbrnn.check_gradients(build(shape), few, y[:4])
    largest = np.abs(report.gradients[name]).max()
    print(f"shape {few.shape}: largest number of dWh {largest:.4g}")
    print(f"{report}\n")
    assert report.passed and (largest == 0) == (shape == ONE_STEP)

trap = nbrnn.check_gradients(build(ONE_STEP), X[:4].reshape(4, 1, 4))
print(f"random first states: {np.abs(trap.gradients[name]).max():.4g}")
assert trap.gradients[name].any()

# %% [markdown]
# ## What to take away
#
# - The shape is (samples, time steps, features). Windows of one series are (n, length, 1).
# - With one time step a recurrent layer is a Dense layer; the gradient of Wh is exactly zero.
# - A falling loss does not show that a network works as you meant. Gradients do: look for those that are zero.
# - Know the floor. Below it there is only noise to learn.
#
# ## What people get wrong
#
# - They reshape until the error message is gone. Both shapes run. Read the axes aloud.
# - They take the larger count for the larger network: 1457 parameters did the work of 433.
# - They pad the targets so that the lengths match, and draw forecasts at the row where the window begins.
# - They compare losses without a floor or a baseline, and call the smaller one better.
