# %% [markdown]
# # Lesson 6: Many inputs
#
# **Question.** Keras prints one value, and my own computation gives two. What happens to a step that has several
# features, and do more features make a better forecast?
#
# You need lesson 2 (one cell by hand). A reader of the tutorial that lesson 2 follows gave each step two numbers
# instead of one, computed by hand, and got two outputs. You will compute it right, find his mistake, and then give a
# network five columns of weather, to see which of them help.

# %%
import importlib.util

import numpy as np

import nbrnn
from nbrnn.baselines import LeastSquaresAR
from nbrnn.testing import assert_gradients, random_array, random_model
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # True: fewer seeds

sequence = np.array([[1, 0.1], [2, 0.2], [3, 0.3]])  # 3 steps, 2 features
Wx = np.array([[0.18662322, -1.2369459], [0.5, 0.25]])
Wh = np.array([[0.86981213, -0.49338293], [0.49338293, 0.8698122]])
Wy = np.array([[-0.4635998], [0.6538409]])
narx = [(1, 2, 3, 9), (1, 3, 3, 10), (2, 3, 3, 11), (3, 4, 4, 12)]
narx = np.array([*narx, (2, 4, 4, 13)])  # columns x1, x2, x3, o

# %% [markdown]
# ## Intuition
#
# A unit with one input turns one knob: x times its weight. With two inputs it turns two knobs and adds. It still makes
# *one* number: the features are added up, they are not kept apart. So the state has as many numbers as there are units,
# and the output as many as the Dense layer has, however many features come in.
#
# ## The equation
#
# With D features x_1 ... x_D in a step, unit u makes of them
#
# ```text
# (x Wx)_u = x_1 Wx[1, u] + x_2 Wx[2, u] + ... + x_D Wx[D, u]
# h        = act(x Wx + h_before Wh + b)
# ```
#
# Wx has a row for each feature and a column for each unit. Nothing else in the cell changes.
#
# ## By hand
#
# Lesson 2's cell again: two linear units p and q. Its Wx gets a second row, for the second feature: 0.5 and 0.25, which
# are made up. Three steps: (1, 0.1), (2, 0.2), (3, 0.3).

# %%
p, q = 0.0, 0.0
for x1, x2 in ((1, 0.1), (2, 0.2), (3, 0.3)):
    from_x_to_p = x1 * 0.18662322 + x2 * 0.5
    from_x_to_q = x1 * -1.2369459 + x2 * 0.25
    from_h_to_p = p * 0.86981213 + q * 0.49338293
    from_h_to_q = p * -0.49338293 + q * 0.8698122
    p, q = from_x_to_p + from_h_to_p, from_x_to_q + from_h_to_q
    print(f"x = ({x1}, {x2}):  p = {p:.8f}  q = {q:.8f}")
o = p * -0.4635998 + q * 0.6538409
print(f"o = {o:.8f}: one number")

# %% [markdown]
# ## The engine's run

# %%
layers = [nbrnn.SimpleRNN(2, "linear"), nbrnn.Dense(1)]
two = nbrnn.Sequential(layers, input_shape=(3, 2), dtype="float64")
two.set_weights([Wx, Wh, [0, 0], Wy, [0]])
two.compile(loss="mse")
trace = nbrnn.trace(two, sequence, 4)
for t, step in enumerate(trace.steps, start=1):
    print(f"step {t}: x {step.x}  x Wx {step.xWx}  h {step.h.round(6)}")
print("output", trace.output)
assert np.allclose(trace.steps[2].h, [p, q], rtol=0, atol=1e-12)
assert trace.output.shape == (1,) and abs(trace.output[0] - o) < 1e-12

# %% [markdown]
# And the reader's way. He had the six numbers in a flat list and took `flat[0]`, `flat[1]`, `flat[2]` for the three
# steps. Then x is a single number, `x * Wx` is a whole table of two rows, and all that follows has two rows as well.
# The computation never complains.

# %%
flat, h = sequence.ravel(), np.zeros(2)
for t in range(3):
    h = flat[t] * Wx + h @ Wh
    print(f"step {t + 1}: x = {flat[t]}, the state has the shape {h.shape}")
print("two outputs:", (h @ Wy).ravel())
assert (h @ Wy).shape == (2, 1) and not np.isclose(h @ Wy, o).any()

# %% [markdown]
# Worse: his steps are the numbers 1, 0.1 and 2. The sequence was never read to its end. The repair is to take whole
# rows of the table that is not flat: `x[t]`, or `x[t, :]`, which is the same.
#
# ## The picture
#
# The terms of the sum as bars: for each unit, what each feature adds. Here x2 is ten times smaller than x1, and so are
# its bars.

# %%
show(nbrnn.plot_products(trace), "two-features")

# %% [markdown]
# ## Scales
#
# So the bars depend on two things: on the weights, and on the *size* of the numbers. Five columns of Beijing, 1825
# days: fine dust (pm25, in micrograms), dew point and temperature (degrees), air pressure (hPa), wind (m/s, cumulated
# by its source). The pressure is a thousand and more, whatever the weather.

# %%
COLUMNS = ["pm25", "dewp", "temp", "pres", "wind"]
table = nbrnn.load_dataset("beijing")
rows = table.values[:, [table.index(name) for name in COLUMNS]]
first, second, days = 1277, 1551, 7  # where validation and test begin
print(len(rows), "days:", first, second - first, len(rows) - second)
for name, column in zip(COLUMNS, rows[:first].T, strict=True):
    mean, sd = column.mean(), column.std()
    print(f"{name:<5} mean {mean:7.1f}  standard deviation {sd:5.1f}")
scaler = nbrnn.StandardScaler().fit(rows[:first])  # training rows only
rnn = nbrnn.Sequential([nbrnn.SimpleRNN(4)], (days, 5), seed=0)
raw = nbrnn.trace(rnn, rows[:days])
scaled = nbrnn.trace(rnn, scaler.transform(rows[:days]))
for name, seen in (("raw", raw), ("scaled", scaled)):
    shares = np.abs(seen.steps[0].x[:, None] * raw.layers[0].weights["Wx"])
    pressure = shares[3].sum() / shares.sum()
    h = np.abs([step.h for step in seen.steps])
    print(f"{name:<7} pressure makes {pressure:.0%} of |x Wx|,", end=" ")
    print(f"{np.mean(h > 0.999):.0%} of the states are at +-1")
    if name == "raw":
        assert pressure > 0.7 and np.mean(h > 0.999) > 0.9
assert pressure < 0.4 and np.mean(h > 0.999) < 0.3
show(nbrnn.plot_products(scaled, None, [0, 6], COLUMNS), "beijing-scaled")

# %% [markdown]
# Raw, the pressure drowns the rest, the sums are far from zero, and tanh gives +1 or -1 on every day: the network is
# blind. Scaled (each column less its mean, divided by its standard deviation), all of them have a say. Mind that the
# scaler has seen the training rows only.
#
# ## Do more features help?
#
# The task: from seven days of some columns, tomorrow's pm25. The first 1277 days are for training, the next 274 decide
# when to stop and which columns are best. The last 274 are for the end, once. Several seeds each, since one is one
# draw. The cell is a GRU (lesson 10), and `EarlyStopping` ends a training that no longer helps on the validation days.
# Beside it stand two forecasts without a network: the *last value*, tomorrow as today, and the *linear* one, the best
# weighted sum of the same seven days (least squares). The score is the RMSE, the root of the mean squared error, in
# micrograms.

# %%
SETS = {"pm25 alone": [0], "and wind": [0, 4], "all five": [0, 1, 2, 3, 4]}
sd = rows[:first, 0].std()  # back to micrograms


def windows(columns, start, stop):
    scaled = scaler.transform(rows[max(start - days, 0) : stop])
    return nbrnn.sliding_windows(scaled[:, columns], days, target=0)


def fit(columns, seed):
    layers = [nbrnn.GRU(8), nbrnn.Dense(1)]
    model = nbrnn.Sequential(layers, (days, len(columns)), seed)
    model.compile(nbrnn.Adam(0.005), "mse")
    stop = nbrnn.EarlyStopping(patience=5, restore_best_weights=True)
    model.fit(
        *windows(columns, 0, first),
        epochs=30,
        verbose=0,
        validation_data=windows(columns, first, second),
        callbacks=[stop],
    )
    return model


def rmse(model, columns, start, stop):
    return sd * model.evaluate(*windows(columns, start, stop)) ** 0.5


def by_baselines(columns, start, stop):
    X, y = windows(columns, start, stop)
    last = sd * np.mean((X[:, -1, 0] - y[:, 0]) ** 2) ** 0.5
    linear = LeastSquaresAR(days, target=0).fit(rows[:first, columns])
    part = rows[start - days : stop]
    errors = linear.predict(part[:, columns])[:, 0] - part[days:, 0]
    return last, np.mean(errors**2) ** 0.5


# %%
medians, models = {}, {}
print("RMSE             network (seeds)          linear  last value")
for name, columns in SETS.items():
    models[name] = [fit(columns, seed) for seed in range(3 if QUICK else 7)]
    found = [rmse(model, columns, first, second) for model in models[name]]
    last, linear = by_baselines(columns, first, second)
    medians[name] = np.median(found)
    spread = f"{medians[name]:.1f} ({min(found):.1f} to {max(found):.1f})"
    print(f"{name:<12}{spread:>28}{linear:8.1f}{last:12.1f}")
for name in ("and wind", "all five"):
    gain = 1 - medians[name] / medians["pm25 alone"]
    print(f"{name}: {gain:.1%} below pm25 alone")
best = min(medians, key=medians.get)
print("best on the validation days:", best)
assert best == "all five" and medians[best] < linear < last

# %% [markdown]
# The weather helps, by some per cent; the wind alone by less, and less than seeds differ. Now the test days, once, with
# the columns that the validation days chose.

# %%
part = SETS[best], second, len(rows)
found = [rmse(model, *part) for model in models[best]]
last, linear = by_baselines(*part)
spread = f"{min(found):.1f} to {max(found):.1f}"
print(f"test days, {best}: network {np.median(found):.1f} ({spread}),")
print(f"linear {linear:.1f}, last value {last:.1f}")
held = {"validation": rows[first:second], "test": rows[second:]}
for name, some in held.items():
    print(f"{name} days: pm25 has the deviation {some[:, 0].std():.1f}")
assert max(found) < last

# %% [markdown]
# All errors are smaller here, for these days differ less from each other: compare scores of the same days only. And
# more features are no gift as such. Each one brings a row of weights that can learn noise. Ask the validation days.
#
# ## Several sources
#
# Sometimes features come as arrays of their own: three of the shape (50, 1), say. Which axis joins them? Axis 0 is that
# of the samples. Joined at axis 1, the steps, they become one sequence of 150 steps, one *after* the other. What you
# want is 50 steps of 3 features, side by side: the last axis, -1. The weights tell the two apart as well: three
# features want three rows of Wx.

# %%
sources = [nbrnn.Input((50, 1), name) for name in ("a", "b", "c")]
for axis in (1, -1):
    joined = nbrnn.Concatenate(axis=axis)(sources)
    both = nbrnn.Model(sources, nbrnn.GRU(4, return_sequences=True)(joined))
    x = [np.zeros((2, 50, 1))] * 3
    steps = both.predict(x).shape[1]
    print(f"axis {axis:>2}: {steps} steps, {both.count_params()} weights")
    assert steps == (150 if axis == 1 else 50)

# %% [markdown]
# ## Exercise 1: one step
#
# The cell of this lesson, at its first step, with the features (2, -1). Compute the two numbers of x Wx, and the output
# if the sequence ends there. (Wx, Wh and Wy are those of the first cell.)

# %% tags=["exercise"]
x_Wx = ...
output = ...

# %% tags=["solution"]
x_Wx = [2 * 0.18662322 - 1 * 0.5, 2 * -1.2369459 - 1 * 0.25]
output = x_Wx[0] * -0.4635998 + x_Wx[1] * 0.6538409

# %% tags=["check"]
layers = [nbrnn.SimpleRNN(2, "linear"), nbrnn.Dense(1)]
model = nbrnn.Sequential(layers, input_shape=(1, 2), dtype="float64")
model.set_weights([Wx, Wh, [0, 0], Wy, [0]])
seen = nbrnn.trace(model, [[2, -1]])
hint = "for each unit x1 times row 1 plus x2 times row 2 of Wx."
check("x_Wx", x_Wx, seen.steps[0].xWx, hint, tolerance=1e-6)
hint = "the old state is zero, so the state is x Wx; then Wy."
check("output", output, seen.output[0], hint, tolerance=1e-6)

# %% [markdown]
# ## Exercise 2: outputs as inputs
#
# A NARX table: to predict o, a row holds x1, x2, x3 of *this* row and the last two outputs, o1 (one row ago) and o2
# (two rows ago). The first row that has both is the third:
#
# ```text
# x1 x2 x3 o1 o2    o
#  2  3  3 10  9   11
#  3  4  4 11 10   12
#  2  4  4 12 11   13
# ```
#
# Write the function that makes X (all columns but the last) and y from a table x1, x2, x3, o such as `narx` in the
# first cell. It must work for any number of rows.


# %% tags=["exercise"]
def narx_rows(table):
    X = ...
    y = ...
    return X, y


# %% tags=["solution"]
def narx_rows(table):
    x, o = table[2:, :3], table[:, 3]
    X = np.column_stack([x, o[1:-1], o[:-2]])
    return X, o[2:]


# %% tags=["check"]
X, y = narx_rows(narx)
wanted = [(2, 3, 3, 10, 9), (3, 4, 4, 11, 10), (2, 4, 4, 12, 11)]
hint = "x of this row, then o of the row before, then o of two rows before."
check("X of narx", X, wanted, hint)
check("y of narx", y, [11, 12, 13], "o of the same row as x.")
longer = np.random.default_rng(1).normal(size=(30, 4))
o1, _ = nbrnn.sliding_windows(longer[:, 3], 2)
X, y = narx_rows(longer)
wanted = np.hstack([longer[2:, :3], o1[:, ::-1, 0]])
check("X of 30 rows", X, wanted, hint)
check("y of 30 rows", y, longer[2:, 3], "two rows are lost, no more.")

# %% [markdown]
# ## Gradient check: any number of features
#
# The gradient of Wx is a sum over the steps of x_t^T da_t: a row for each feature. And each feature has a gradient of
# its own, dx: how the loss would answer if this number were larger. A layer below would need it. Here they are for the
# three steps of this lesson.

# %%
for t, back in enumerate(trace.backward, start=1):
    print(f"step {t}: dx = {back.dx}")
report = nbrnn.check_gradients(two, sequence[np.newaxis], [[4.0]])
print(report)
assert report.passed

# %% [markdown]
# One network with one shape proves little. `nbrnn.testing` makes networks and inputs at random, and checks all their
# gradients. A *property* is what must hold for each of them, such as: backpropagation is right for any number of
# features, steps and units.

# %%
rng = np.random.default_rng(0)
for draw in range(5):
    features, steps, units = (int(n) for n in rng.integers(2, 6, size=3))
    layers = [nbrnn.SimpleRNN(units), nbrnn.Dense(1)]
    drawn = random_model(layers, (steps, features), seed=draw, loss="mse")
    x = random_array((2, steps, features), seed=draw)
    assert_gradients(drawn, x)
    print(f"{features} features, {steps} steps, {units} units: right")

# %% [markdown]
# The library Hypothesis (`pip install hypothesis`) draws the sizes too, and looks for the smallest network that fails
# if one does. That is how the engine itself is tested. If you have it:

# %%
if importlib.util.find_spec("hypothesis"):
    from hypothesis import given, seed, settings

    many = nbrnn.testing.models(features=(2, 5), steps=(1, 4), losses="mse")
    counted = []

    @seed(0)
    @settings(deadline=None, max_examples=10, database=None)
    @given(model=many)
    def test_gradients_with_many_features(model):
        counted.append(model.input_shape[1])
        assert_gradients(model)

    test_gradients_with_many_features()
    print(len(counted), "networks, their features:", sorted(set(counted)))
else:
    print("Hypothesis is not installed; the cell above has checked five.")

# %% [markdown]
# ## What to take away
#
# - Features are added up in each unit: x Wx. More features mean more rows of Wx, not more outputs.
# - A step is a row: `x[t]`.
# - Scale each column, with the training rows only. Otherwise the largest numbers decide.
# - Whether a feature helps is for the validation rows to say, with several seeds and beside a baseline.
#
# ## What people get wrong
#
# - They index a flat array and wonder about two outputs.
# - They join sources one after the other (axis 1) where they mean side by side (axis -1).
# - They give the network tomorrow's weather to predict tomorrow's dust. What is not known when the forecast is made is
#   no feature.
# - They take a small weight for an unimportant feature. Look at x times the weight, as in the picture.
