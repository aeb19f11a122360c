# %% [markdown]
# # Lesson 8: Sunspots, honestly
#
# **Question.** A network predicts sunspots with a test error of 0.077. Is that good? And how do I split a series by
# year into training, validation and test?
#
# A well-known tutorial ("Understanding simple recurrent neural networks in Keras", MachineLearningMastery) ends with
# that number and a picture in which two curves lie upon each other. You repeat it, put two forecasts beside it that
# are no networks at all, and then do it again by rules that you can defend.
#
# ## Intuition
#
# "He ran it in half an hour" says nothing until you know how far, and how long others took. An error is the same. It
# needs the *unit* (0.077 of what?), and it needs *baselines*: forecasts that cost nothing. If "next month will be as
# this month" is as good, the network has learned nothing that was worth its training.
#
# It also needs a part of the series that nobody has looked at. Whoever tries ten networks on the test rows and reports
# the best one has used the test rows to choose. So there are three parts, in the order of time: *training* rows set the
# weights, *validation* rows decide everything that you decide, *test* rows are looked at once.
#
# ## The equation
#
# ```text
# RMSE         root of the mean of (actual - forecast)^2
# last value   forecast = x_t
# AR(12)       forecast = c + w1 x_t + w2 x_(t-1) + ... + w12 x_(t-11)
#              c and w from least squares on the training windows
# skill        1 - RMSE of the forecast / RMSE of the baseline
# scaled       (x - low) / (high - low)        low, high: whose?
# ```
#
# AR stands for autoregression: the series is explained by its own past. It is to twelve numbers what a straight line is
# to one, and there is one best, found in one step, with no seed and no epochs. RMSE is in the unit of the series.

# %%
import numpy as np

import nbrnn
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # True shortens what takes long
table = nbrnn.load_dataset("sunspots")
spots = table.column("Sunspots")  # a month each, 1749-01 to 1983-12
SPLIT, WINDOW = 2256, 12  # the tutorial's: 188 years, then 47


def rmse(actual, forecast):
    """Return the root of the mean squared error."""
    return nbrnn.scores.rmse(np.ravel(actual), np.ravel(forecast))


def windows(rows):
    """Return windows of 12 and the row after each, not overlapping."""
    return nbrnn.sliding_windows(rows, WINDOW, stride=WINDOW)


# %% [markdown]
# ## By hand
#
# The data, as the tutorial makes it: all values are scaled so that the smallest becomes 0 and the largest 1, the first
# 188 years are for training, and each part is cut into windows of twelve months that do not overlap. Low is 0 here, so
# times high is back in sunspots.

# %%
low, high = spots.min(), spots.max()
scaled = (spots - low) / (high - low)
X, y = windows(scaled[:SPLIT])
X_test, y_test = windows(scaled[SPLIT:])
print(f"{low:g} to {high:g}; training {X.shape}, test {X_test.shape}")
print(f"the first target: {y[0, 0]:.10f}, {y[0, 0] * high:g} sunspots")
print(f"an error of 0.077 is one of {0.077 * high:.1f} sunspots")
assert len(X) == 187 and len(X_test) == 46
assert abs(y[0, 0] - 0.2888100867) < 1e-9  # the tutorial's, all digits

# %% [markdown]
# The first baseline: the last value. Take the first three windows and compute its RMSE on paper. The last month of a
# window stands on the left, what came on the right.

# %%
squares = []
for n in range(3):
    said, came = X[n, -1, 0] * high, y[n, 0] * high
    squares.append((came - said) ** 2)
    print(f"{said:5.1f} -> {came:5.1f}   error {came - said:+6.1f}")
by_hand = (sum(squares) / 3) ** 0.5
print(f"RMSE of these three: {by_hand:.2f} sunspots")
assert abs(by_hand - rmse(y[:3] * high, X[:3, -1] * high)) < 1e-9

# %% [markdown]
# The second: AR(12). Least squares finds the 13 numbers (c and the twelve w) with the smallest RMSE on the training
# windows; the test windows have no say.


# %%
def with_ones(X):
    """Return windows (N, 12, 1) as rows of 13 numbers, the first a 1."""
    return np.hstack([np.ones((len(X), 1)), X[:, :, 0]])


found = np.linalg.lstsq(with_ones(X), y)[0]
print(f"the weight of the last month: {found[-1, 0]:.3f}")
baselines = {"last value": (rmse(y, X[:, -1]), rmse(y_test, X_test[:, -1]))}
linear, linear_test = with_ones(X) @ found, with_ones(X_test) @ found
baselines["AR(12)"] = rmse(y, linear), rmse(y_test, linear_test)
print("RMSE, scaled   train   test")
for name, (train, test) in baselines.items():
    print(f"{name:<13}{train:.4f} {test:.4f}")
print("published     0.058  0.077")
assert np.allclose(baselines["last value"], [0.0629, 0.0796], atol=5e-5)
assert np.allclose(baselines["AR(12)"], [0.0514, 0.0781], atol=5e-5)

# %% [markdown]
# So 0.077 is a little better than saying the same number again, and hardly better than the straight line AR(12). The
# skill (0.077 is rounded, so the last digits are not sure):

# %%
for name, (_, test) in baselines.items():
    print(f"skill of 0.077 over {name:<10} {1 - 0.077 / test:6.1%}")
assert 0 < 1 - 0.077 / baselines["AR(12)"][1] < 0.02

# %% [markdown]
# ## The engine's run
#
# The engine's AR(12) must be ours. Then the tutorial's network: three units, a Dense(1), tanh in both, Adam, batches
# of one, 20 epochs. One seed is one draw of the first weights, so take 20 of them.

# %%
ar = nbrnn.baselines.LeastSquaresAR(12).fit(scaled[:SPLIT], stride=WINDOW)
its = ar.predict(scaled[SPLIT:], stride=WINDOW)
assert np.allclose(its, linear_test, atol=1e-9)
networks = []
for seed in range(20):
    layers = [nbrnn.SimpleRNN(3, "tanh"), nbrnn.Dense(1, "tanh")]
    model = nbrnn.Sequential(layers, (WINDOW, 1), seed)
    model.compile("adam", "mse")
    model.fit(X, y, epochs=20, batch_size=1, verbose=0)
    networks.append(model)
print("parameters:", networks[0].count_params())
train = [rmse(y, model.predict(X)) for model in networks]
test = [rmse(y_test, model.predict(X_test)) for model in networks]
errors = np.stack([train, test], axis=1)
for name, part in zip(("train", "test "), errors.T, strict=True):
    print(f"{name}  median {np.median(part):.4f},", end=" ")
    print(f"from {part.min():.4f} to {part.max():.4f}")
limits = {name: test for name, (_, test) in baselines.items()}
limits["published"] = 0.077
beaten = [int((errors[:, 1] < limit).sum()) for limit in limits.values()]
print("of 20 beat it:", dict(zip(limits, beaten, strict=True)))
assert networks[0].count_params() == 19
assert 0.057 < np.median(errors[:, 0]) < 0.066
assert 0.080 < np.median(errors[:, 1]) < 0.105
assert max(beaten) < 10

# %% [markdown]
# So the published number is not wrong, it is *lucky*: a typical seed loses to the last value. A report with one seed
# cannot tell skill from luck.
#
# ## The picture
#
# Here is the tutorial's picture, the red line between training and test, drawn for the network in the middle of our 20.

# %%
middle = networks[np.argsort(errors[:, 1])[9]]
forecasts = [middle.predict(part)[:, 0] * high for part in (X, X_test)]
first, second = (np.arange(1, len(f) + 1) * WINDOW for f in forecasts)
rows = np.concatenate([first, SPLIT + second])
drawn = spots[rows], np.concatenate(forecasts), SPLIT, rows, table.dates
title = "The tutorial's network: every twelfth month"
show(nbrnn.plot_predictions(*drawn, "sunspots", title), "red-line")

# %% [markdown]
# It looks convincing, and so would the last value: the eye cannot see a skill of one per cent. Scores show it.

# %%
title = "The tutorial's network, 20 seeds"
figure = nbrnn.plot_seeds(errors[:, 1], limits, "test RMSE, scaled", title)
show(figure, "twenty-seeds")

# %% [markdown]
# ## What else is wrong with it
#
# **The scaler has seen the future.** Low and high were taken from all rows. Where is the largest value?

# %%
top = int(spots.argmax())
known = spots[:SPLIT].max()
print(f"the largest value, {high:g}, is of {table.dates[top]}: row {top}")
print(f"the training rows end at row {SPLIT - 1} and reach {known:g}")
assert top >= SPLIT and known < high

# %% [markdown]
# It is a test row. Who stands at the end of the training rows cannot divide by it.
#
# **The head cannot say 1.** A tanh ends below 1, the scaled maximum. The gradient check below shows what that does.
#
# **A window of twelve months** makes you think of a year's season. Which period is the strongest? A Fourier transform
# takes the series apart into waves; wave k goes up and down k times in all the rows. Which is the largest?

# %%
waves = np.abs(np.fft.rfft(spots - spots.mean()))
turns = int(waves.argmax())
period = round(len(spots) / turns)
print(f"{len(spots)} rows, the largest wave turns {turns} times in them")
print(f"the strongest period: {period} months, {period / 12:.1f} years")
assert period == 134

# %% [markdown]
# The sun does not know our year. And windows that do not overlap throw away eleven of twelve answers.
#
# ## Honestly: train, validation and test by year
#
# The training rows end with 1965, the validation rows with 1975, and the rest is the test. A date says what a row
# number hides. `make_problem` splits by date, and everything that it measures, the scaler too, is measured on the
# training rows. The windows overlap, and the head is linear.

# %%
years = {"train_until": "1965", "validate_until": "1975"}
problem = nbrnn.make_problem("sunspots", **years)
for name, part in problem.parts.items():
    dates = table.dates[part]
    print(f"{name:<11}{len(dates):5} rows, {dates[0]} to {dates[-1]}")
sizes = [part.stop - part.start for part in problem.parts.values()]
assert sum(sizes) == len(spots) and sizes[1:] == [120, 96]

# %% [markdown]
# Now a choice: how long a window? The validation rows decide, with some seeds each, and also when a training stops. A
# `Recipe` is all that is decided about a network, here SimpleRNN(16) with a Dense(1), and the usual for the rest
# (`help(nbrnn.Recipe)`). `problem.fit` trains it; `problem.backtest` forecasts every row of a part from the true rows
# before it, and does the same by baselines, whose names are in `known()`.


# %%
def trained(window, seed):
    """Return a forecaster; the validation rows say when to stop."""
    recipe = nbrnn.Recipe(window=window, units=(16,), seed=seed)
    return problem.fit(recipe, verbose=0)


def scores(some, part):
    """Return the RMSE of some forecasters on a part, in sunspots."""
    return np.array([problem.backtest(f, part).score("rmse") for f in some])


choices = {}
for window in (12, 24) if QUICK else (12, 24, 48):
    some = [trained(window, seed) for seed in range(2 if QUICK else 3)]
    choices[window] = np.median(scores(some, "validation"))
    print(f"window {window}: median validation RMSE {choices[window]:.2f}")
chosen = min(choices, key=choices.get)
print("chosen by the validation rows:", chosen)

# %% [markdown]
# The choice is made. Now several seeds, and the test rows, once. Whatever comes out is the result. Of the baselines,
# drift is the last value plus the mean change of a month in the training rows (next to nothing here), seasonal-naive
# the value of one period ago, and the season's mean that of all months at the same place in their period.

# %%
forecasters = [trained(chosen, seed) for seed in range(4 if QUICK else 20)]
judged = scores(forecasters, "test")
test = problem.backtest(forecasters[0], "test")
naive = {name: test.score("rmse", name) for name in test.known()}
for name, value in naive.items():
    wins = f"{(judged < value).sum()} of {len(judged)} seeds beat it"
    print(f"{name:<26}{value:6.2f}   {wins}")
for pick in (np.median, np.min, np.max):
    print(f"{'network, ' + pick.__name__:<26}{pick(judged):6.2f}")
line = f"least-squares AR({chosen})"
gain = 1 - np.median(judged) / naive[line]
print(f"median skill over {line}: {gain:.1%}")
assert (judged < naive["last value"]).all() and abs(gain) < 0.05

# %% [markdown]
# What may you say now? "Every seed beats the last value; beside a straight line through the same window the network
# gains nothing worth telling." That is a result. (The scores stand on other rows than the tutorial's: scores of
# different test parts must not be compared.)

# %%
lines = {name: naive[name] for name in ("last value", line)}
title = f"Window {chosen}, {len(judged)} seeds, test rows 1976 to 1983"
figure = nbrnn.plot_seeds(judged, lines, "test RMSE, sunspots", title)
show(figure, "honest-seeds")

# %% [markdown]
# ## Exercise 1: a scaler without a leak
#
# Split the table by year (training to 1965, validation to 1975, test) and return the three parts scaled to 0 ... 1, as
# the *training* rows measure it. `nbrnn.chronological_split` has `train_until` and `validate_until`;
# `nbrnn.MinMaxScaler` has `fit` and `transform`; what `transform` returns is an array, without dates.
#
# How does one find a leak? Our series has its maximum before 1966, so a leak would not even show in the numbers. So
# change the future: the check also takes a table whose years from 1966 on are ten times as large. The training part
# must come out as before.


# %% tags=["exercise"]
def scaled_parts(table):
    train, validation, test = ..., ..., ...
    return train, validation, test


# %% tags=["solution"]
def scaled_parts(table):
    years = {"train_until": "1965", "validate_until": "1975"}
    parts = nbrnn.chronological_split(table, **years)
    scaler = nbrnn.MinMaxScaler().fit(parts[0])
    train, validation, test = (scaler.transform(part) for part in parts)
    return train, validation, test


# %% tags=["check"]
first = table.dates.index("1966-01")
other = spots.copy()
other[first:] *= 10
future = nbrnn.Table(other[:, None], table.columns, table.dates, "future")
names = "training", "validation", "test"
edges = 0, first, table.dates.index("1976-01"), len(spots)
bottom, range_ = spots[:first].min(), np.ptp(spots[:first])
for told, source in (("", table), (" of another future", future)):
    answers = scaled_parts(source)
    for k, name in enumerate(names):
        right = (source.values[edges[k] : edges[k + 1]] - bottom) / range_
        hint = "fit the scaler on the training rows alone."
        check(f"the {name} part{told}", answers[k], right, hint)

# %% [markdown]
# ## Exercise 2: is it good?
#
# - skill: a friend's network has a test RMSE of 0.060 where the last value has 0.080. Its skill,
#   as a share (0.5 would be half the error)?
# - in_sunspots: what is 0.060 in sunspots, if 0 to 1 are 0 to 253.8?
# - part: your friend tried many networks and reports the one that was best on the rows that he calls "test". What are
#   these rows in truth: "training", "validation" or "test"?

# %% tags=["exercise"]
skill = ...
in_sunspots = ...
part = ...

# %% tags=["solution"]
skill = 1 - 0.060 / 0.080
in_sunspots = 0.060 * 253.8
part = "validation"

# %% tags=["check"]
hint = "1 less the ratio of the two; 0 is no better than the baseline."
check("skill", skill, 0.25, hint, tolerance=1e-6)
hint = "multiply by high - low."
check("in_sunspots", in_sunspots, 0.060 * np.ptp(spots), hint, 1e-6)
check("part", part, "validation", "they were used to choose.")

# %% [markdown]
# ## Gradient check: a saturated tanh head
#
# The head says o = tanh(a), and the target is 1. What the error hands back to a is 2 (o - 1) times the slope 1 - o^2.
# Both factors vanish as o comes near 1; a linear head has slope 1. So the nearer a tanh head comes to the highest
# peaks, the less it is told to go on.

# %%
x = scaled[top - WINDOW : top].reshape(1, WINDOW, 1)
print("   a        o   2(o-1)  slope    dL/da of tanh   of linear")
for a in (0.5, 1, 2, 4):
    o = np.tanh(a)
    found = {}
    for head in ("tanh", "linear"):
        layers = [nbrnn.SimpleRNN(3, "tanh"), nbrnn.Dense(1, head)]
        model = nbrnn.Sequential(layers, (WINDOW, 1), 0, "float64")
        model.compile(loss="mse")
        *cell, Wy, _ = model.get_weights()
        said = a if head == "tanh" else o  # so that both put out o
        model.set_weights([*cell, 0 * Wy, [said]])
        report = nbrnn.check_gradients(model, x, [[1.0]])
        assert report.passed
        found[head] = report.gradients["dense/bias"][0]
    assert abs(found["tanh"] - 2 * (o - 1) * (1 - o**2)) < 1e-9
    print(f"{a:4} {o:8.5f} {2 * (o - 1):8.5f} {1 - o**2:6.4f}", end="")
    print(f"{found['tanh']:17.7f} {found['linear']:11.5f}")

# %% [markdown]
# The gradient is right at every a, and useless at the last one: right and large enough are two things.
#
# All gradients of the tutorial's network, trained:

# %%
print(nbrnn.check_gradients(middle, x, [[1.0]]))

# %% [markdown]
# ## What to take away
#
# - A score needs its unit, its baselines and several seeds. 0.077 was as good as a straight line.
# - Three parts in the order of time, split by date. Training sets weights, validation decides, test is looked at once.
# - Whatever is measured, low and high too, is measured on the training rows.
# - A linear head for a number; a tanh head cannot reach the ends of its range.
#
# ## What people get wrong
#
# - They scale first and split afterwards.
# - They choose by the test rows, and still call them test.
# - They show two curves that lie upon each other. One step ahead, any forecast does.
# - They report the best seed. Report the median and the range.
# - They compare scores of different test rows, or of different units.
