# %% [markdown]
# # Lesson 1: Time becomes a table
#
# **Question.** How do I shape a series for a network, and what do I do with several features?
#
# You have a long column of numbers: passengers month by month, a temperature day by day. A network does not learn from
# a column. It learns from a table of examples: what is known on the left, the right answer on the right. This lesson
# makes the table from the column.
#
# Two words of the code that follows: `assert` stops a lesson if what it says is not true, so whatever stands behind it
# has been tried on your machine. `show` draws a picture, and `check` judges an answer of yours.

# %%
import numpy as np

import nbrnn
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # nothing here takes long

# %% [markdown]
# ## Intuition
#
# Take a strip of cardboard and cut a slot into it, three numbers wide. Lay it over the column. What you see through the
# slot are the inputs; the next number, just below the slot, is the answer. Write both into one row of the table, push
# the strip on by one number, and write the next row.
#
# The slot is called the window. Its width is the `length`, how far you push it each time is the `stride`, and how many
# of the next numbers are the answer is the `horizon`. (Horizon 0 is a special case; it comes below.)
#
# ## The equation
#
# ```text
# R rows, L = length, S = stride, H = horizon
#
# the series       s[0], s[1], ..., s[R-1]
# inputs   X[n] =  s[n*S], ..., s[n*S + L-1]
# answers  y[n] =  s[n*S + L], ..., s[n*S + L+H-1]
# windows that fit:   N = (R - L - H) // S + 1
# ```
#
# The last line says: a window that starts at row n*S needs L + H rows from there on, and the series must have them.
# `//` is Python's division that drops the remainder.

# %% [markdown]
# ## By hand
#
# The series is 1, 2, ... 10. First with a window of one number. Each number's answer is the number after it.

# %%
numbers = list(range(1, 11))
for n in range(9):
    print(numbers[n], "->", numbers[n + 1])

assert (10 - 1 - 1) // 1 + 1 == 9  # R = 10, L = 1, H = 1, S = 1

# %% [markdown]
# The last row is 9 -> 10. There is no row for 10: nobody knows what follows it. So ten numbers give 9 examples, not 10.
#
# Now a window of three numbers. Predict the count before you run the cell: R = 10, L = 3, H = 1, S = 1.

# %%
by_hand = []
for n in range((10 - 3 - 1) // 1 + 1):
    by_hand.append((numbers[n : n + 3], numbers[n + 3]))
    print(*by_hand[-1], sep=" -> ")

assert len(by_hand) == 7
assert by_hand[0] == ([1, 2, 3], 4)
assert by_hand[6] == ([7, 8, 9], 10)

# %% [markdown]
# ## The engine's run
#
# `nbrnn.sliding_windows` does the same.

# %%
X, y = nbrnn.sliding_windows(numbers, length=3)
for n in range(len(X)):
    assert (X[n, :, 0].tolist(), y[n, 0]) == by_hand[n]
print("X has the shape", X.shape)
print("y has the shape", y.shape)
assert X.shape == (7, 3, 1) and y.shape == (7, 1)

# %% [markdown]
# X has three axes, and every recurrent network wants exactly these, in this order:
#
# 1. samples: the rows of the table, here 7
# 2. time steps: the rows of a window, here 3
# 3. features: the numbers that are measured at each time step, here 1
#
# The last axis is there even if it holds one number only. `X[n, t, f]` is feature f at time step t of sample n, each
# counted from 0.

# %%
print("the first window, step by step:")
for t in range(3):
    print("  time step", t, "has the features", X[0, t])
assert X[0, 2, 0] == 3

# %% [markdown]
# ## Overlapping or not
#
# With stride 1 the windows overlap: 2 stands in the first window and in the second. With a stride as long as the window
# they do not.

# %%
X, y = nbrnn.sliding_windows(numbers, length=3, stride=3)
for n in range(len(X)):
    print(X[n, :, 0], "->", y[n, 0])
assert X[..., 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
assert y[:, 0].tolist() == [4, 7, 10]
assert (10 - 3 - 1) // 3 + 1 == 3

# %% [markdown]
# From 7 examples 3 are left. Which is better? Overlapping windows give more examples, and every row (but the first
# ones) is an answer once. But neighbours are nearly the same example, so seven of them teach less than seven that were
# picked apart from each other. Without an overlap the examples have no inputs in common, but there are few of them, and
# most numbers are never an answer.
#
# How much that is, a tutorial shows that lesson 8 comes back to. It has 235 years of monthly sunspots, trains on the
# first 188 and tests on the rest, with windows of 12 months that do not overlap.

# %%
for years in (188, 235 - 188):
    months = np.zeros(12 * years)  # the values do not matter for the count
    apart, _ = nbrnn.sliding_windows(months, length=12, stride=12)
    overlapping, _ = nbrnn.sliding_windows(months, length=12)
    print(f"{len(months)} months: {len(apart)} windows apart,", end=" ")
    print(f"{len(overlapping)} that overlap")
    wanted = {188: (2256, 187, 2244), 47: (564, 46, 552)}[years]
    assert (len(months), len(apart), len(overlapping)) == wanted

# %% [markdown]
# ## Several features
#
# Now each row holds three numbers: x1 and x2, which you measure, and y, which you want to know.
#
# ```text
# x1  x2   y
#  2   3   3
#  3   4   4
#  2   4   4
#  3   5   5
#  4   6   6
# ```
#
# There are two different questions, and each has its own table.
#
# **What is y now?** You see x1 and x2 up to this row, but not y. The answer stands not behind the window but in its
# last row. That special case is called horizon 0. `target=2` names the answer's column: columns count from 0, so y is
# column 2. With horizon 0 the engine leaves that column out of X.

# %%
rows = [(2, 3, 3), (3, 4, 4), (2, 4, 4), (3, 5, 5), (4, 6, 6)]
X, y = nbrnn.sliding_windows(rows, length=3, horizon=0, target=2)
for n in range(len(X)):
    print(X[n].tolist(), "->", y[n, 0])
assert X.shape == (3, 3, 2)  # 3 samples, 3 time steps, 2 features
assert X[0].tolist() == [[2, 3], [3, 4], [2, 4]] and y[0, 0] == 4
assert y[:, 0].tolist() == [4, 5, 6]

# %% [markdown]
# **What will y be in the next row?** Then the past of y is known as well, so it is a feature like the others. That is
# horizon 1.

# %%
X, y = nbrnn.sliding_windows(rows, length=3, horizon=1, target=2)
for n in range(len(X)):
    print(X[n].tolist(), "->", y[n, 0])
assert X.shape == (2, 3, 3)  # 2 samples, 3 time steps, 3 features
assert y[:, 0].tolist() == [5, 6]

# %% [markdown]
# One sample less: the last window has no row after it.
#
# ## Real data
#
# 144 months of airline passengers, in thousands. How many windows of 10 months are there, and how many of 20? The
# formula first, then the engine.

# %%
airline = nbrnn.load_dataset("airline").column("Passengers")
for length in (10, 20):
    X, y = nbrnn.sliding_windows(airline, length)
    by_formula = (len(airline) - length - 1) // 1 + 1
    print(f"length {length}: {by_formula} by the formula, X {X.shape}")
    assert len(X) == by_formula
assert len(airline) == 144
assert len(nbrnn.sliding_windows(airline, 10)[0]) == 134
assert len(nbrnn.sliding_windows(airline, 20)[0]) == 124

# %% [markdown]
# ## The picture
#
# The window slides over the series. Each lane is a row of the table. First the ten numbers with stride 3, then the
# passengers. (Pictures count rows from 1, as people do; code and formula count from 0.)

# %%
title = "1 to 10, a window of 3, stride 3"
picture = nbrnn.plot_windows(numbers, length=3, stride=3, title=title)
show(picture, "windows-of-ten-numbers")

# %%
title = "Airline passengers, a window of 10"
unit = "passengers (thousands)"
picture = nbrnn.plot_windows(airline, length=10, unit=unit, title=title)
show(picture, "windows-of-the-airline")

# %% [markdown]
# ## Exercise 1: how many?
#
# The airline's 144 months again. Cut them into windows of a year that do not overlap; the answer is the month after
# each. How many examples are there? Use the formula, or count on your fingers.

# %% tags=["exercise"]
windows_of_a_year = ...  # a whole number

# %% tags=["solution"]
windows_of_a_year = (144 - 12 - 1) // 12 + 1

# %% tags=["check"]
years, _ = nbrnn.sliding_windows(np.zeros(144), length=12, stride=12)
hint = "L = 12 and S = 12; the last year has no month after it."
check("windows_of_a_year", windows_of_a_year, len(years), hint)

# %% [markdown]
# ## Exercise 2: count
#
# Write the count as a function: rows of the series, length, horizon, stride. It returns a whole number.


# %% tags=["exercise"]
def count_windows(rows, length, horizon, stride):
    return ...


# %% tags=["solution"]
def count_windows(rows, length, horizon, stride):
    return (rows - length - horizon) // stride + 1


# %% tags=["check"]
for case in ((10, 3, 1, 1), (10, 3, 1, 3), (144, 20, 6, 5), (5, 3, 0, 1)):
    table = np.zeros((case[0], 2))
    X, _ = nbrnn.sliding_windows(table, *case[1:], target=1)
    hint = "a window starts every S rows, the last at R-L-H; count with //"
    check(f"count_windows{case}", count_windows(*case), len(X), hint)

# %% [markdown]
# ## Exercise 3: cut
#
# Cut a list of numbers yourself, without `nbrnn.sliding_windows`: X is a list of windows, each a list of numbers, and y
# a list of the numbers after them, one number for each window. With `stride=1` the windows overlap, with
# `stride=length` they do not.


# %% tags=["exercise"]
def cut(series, length, stride):
    X, y = ..., ...
    return X, y


# %% tags=["solution"]
def cut(series, length, stride):
    X, y = [], []
    for start in range(0, len(series) - length, stride):
        X.append(series[start : start + length])
        y.append(series[start + length])
    return X, y


# %% tags=["check"]
digits = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
for stride in (1, 2, 3):
    right_X, right_y = nbrnn.sliding_windows(digits, 3, stride=stride)
    your_X, your_y = cut(digits, 3, stride)
    name = f"cut(digits, 3, {stride})"
    hint = "window n starts at n * stride, while a number follows it."
    check(f"the X of {name}", your_X, right_X[..., 0], hint)
    hint = "one number for each window: the one after it."
    check(f"the y of {name}", your_y, right_y[:, 0], hint)

# %% [markdown]
# ## Gradient check: what is a slope, and how do you measure it?
#
# A network learns by asking of each of its weights: if you grew a little, would the error grow? That is a slope, and
# many slopes together are a gradient. Every lesson ends with a check that the slopes are right. Here is the smallest
# one: f(x) = x*x at x = 3. Its slope there is 2*3 = 6.
#
# To measure it, take a small step s and see how much f changes:
#
# ```text
# forward    (f(3 + s) - f(3)) / s            =  6 + s
# central    (f(3 + s) - f(3 - s)) / (2*s)    =  6
# ```
#
# On paper the forward difference is wrong by exactly s, the central one not at all (for x*x; for other functions it is
# wrong by about s*s). So a tiny s must be best. Is it?


# %%
def f(x):
    return x * x


for s in (1e-1, 1e-4, 1e-8, 1e-12, 1e-16):
    forward = (f(3 + s) - f(3)) / s
    print(f"s = {s:.0e}   slope {forward:<20.12g} error {forward - 6:.1e}")

assert abs((f(3 + 1e-4) - f(3)) / 1e-4 - 6) < 2e-4
assert f(3 + 1e-16) - f(3) == 0  # so the slope would be 0

# %% [markdown]
# No. A number in the computer has about 16 digits. With s = 1e-16 the sum 3 + s is 3 again, and the measured slope is
# 0. The smaller the step, the more digits are lost when two nearly equal values are subtracted.
#
# The complex step subtracts nothing. Go sideways, into the imaginary numbers: f(3 + s*i) = 9 - s*s + 6*s*i. The slope
# stands in the imaginary part, alone:
#
# ```text
# complex    imag(f(3 + s*i)) / s             =  6
# ```
#
# You need not know complex numbers for it: Python has them, `1j` is i.

# %%
steps = 10.0 ** -np.arange(1, 17)
errors = {
    "forward": abs((f(3 + steps) - f(3)) / steps - 6),
    "central": abs((f(3 + steps) - f(3 - steps)) / (2 * steps) - 6),
    "complex step": abs(f(3 + 1j * steps).imag / steps - 6),
}
for method, error in errors.items():
    print(f"{method:<14}from {error.min():.0e} to {error.max():.0e}")
best = errors["forward"].argmin()
print(f"forward is best at s = {steps[best]:.0e}, and no better than that")
assert errors["complex step"].max() < 1e-14
assert 1e-10 < errors["forward"].min() < 1e-6
assert 1e-10 < steps[best] < 1e-6

# %%
title = "Measuring the slope of x*x at 3, which is 6"
show(nbrnn.plot_step_errors(steps, errors, title=title), "step-sizes")

# %% [markdown]
# The forward difference draws a V: too large a step on its left, rounding on its right. The complex step has no bad
# side: where its curve jumps up, only the last of the 16 digits was rounded. So `nbrnn.check_gradients` takes it. Here
# it measures every slope of a small network on our table of 1 to 10 (divided by 10), and compares them with those that
# the engine computes when it trains. The names in the code and in its table come in lessons 2 and 3.

# %%
X, y = nbrnn.sliding_windows(np.array(numbers) / 10, length=3)
layers = [nbrnn.SimpleRNN(2), nbrnn.Dense(1)]
model = nbrnn.Sequential(layers, input_shape=(3, 1), seed=0)
model.compile(optimizer="sgd", loss="mse")  # mse: mean squared error
report = nbrnn.check_gradients(model, X, y)
print(report)
assert report.passed

# %% [markdown]
# ## What to take away
#
# - A window's rows are the inputs, what comes after it is the answer.
# - N = (R - L - H) // S + 1.
# - The shape is (samples, time steps, features), in this order, always.
# - Horizon 0 asks for the present, horizon 1 for the next row. With horizon 1 the answer's own past belongs to the
#   features.
# - Slopes can be measured. A smaller step is not always better.
#
# ## What people get wrong
#
# **The axes.** (7, 3, 1) and (7, 1, 3) hold the same numbers, and a network takes both. But the second is one time step
# with three features: nothing is left to remember, and the network's loop never runs. Lesson 4 shows it.
#
# **The shuffle.** Overlapping windows share their rows. Who puts some of them aside at random, to test on, has seen
# nearly all of the answers in training:

# %%
row_numbers = np.arange(144)
X, y = nbrnn.sliding_windows(row_numbers, length=10)
mixed = np.random.default_rng(0).permutation(len(X))
training, test = mixed[:107], mixed[107:]  # four of five, and one of five
seen = np.isin(y[test], X[training]).sum()
print(f"{seen} of {len(test)} test answers stand in a training window")
assert len(test) == 27 and seen > 20

# %% [markdown]
# So split the series first, by time, then cut each part into windows. The past is for training, the future for the
# test.

# %%
past, future = nbrnn.chronological_split(row_numbers, share=0.8)
X_train, _ = nbrnn.sliding_windows(past, length=10)
_, y_test = nbrnn.sliding_windows(future, length=10)
seen = np.isin(y_test, X_train).sum()
print(f"{seen} of {len(y_test)} test answers stand in a training window")
assert seen == 0 and len(past) + len(future) == 144
