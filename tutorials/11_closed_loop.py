# %% [markdown]
# # Lesson 11: Closed loop
#
# **Question.** How do I forecast further than one step? Must I then predict every feature? And why does my forecast end
# as an echo or as a constant?
#
# A network that was trained to give the next row gives one row. For the row after it, it needs an input that nobody has
# measured yet. You will feed its own answers back to it, first on paper, then for 500 steps, and see where that works,
# where it dies away, and how to tell the two apart.
#
# ## Intuition
#
# Walk along a corridor with open eyes: each step may be a little off, for you see the wall and correct the next one.
# Now close your eyes. The first step is as good as before. But the second begins where you *think* that you are, and
# nobody corrects you. With open eyes is the *open loop*: every forecast starts from true rows (*teacher-forced*). With
# closed eyes is the *closed loop*: every forecast starts from forecasts (*free-running*). A small error of one step
# tells you little about the end of the corridor.
#
# ## The equation
#
# ```text
# one step      o_1 = F(x_(t-L+1), ..., x_(t-1), x_t)      L rows, all true
# open loop     o_2 = F(x_(t-L+2), ..., x_t, x_(t+1))      x_(t+1) is true
# closed loop   o_2 = F(x_(t-L+2), ..., x_t, o_1)          o_1 is no row
# direct        (o_1, ..., o_h) = F(x_(t-L+1), ..., x_t)   h steps at once
#
# an error e in o_1 comes back in o_2 as  s e,   s = the slope of F there
# ```
#
# F is the whole network. If the slopes are below 1 in size, errors die away, and with them everything else that the
# loop knew about its beginning: it ends at a constant. If they are above 1, errors grow. A loop that goes on swinging
# for ever, and right, stands between the two.

# %%
import textwrap

import numpy as np

import nbrnn
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # True shortens what takes long


def tiny():
    """Return a network of one linear unit, for windows of three rows."""
    layers = [nbrnn.SimpleRNN(1, "linear"), nbrnn.Dense(1)]
    model = nbrnn.Sequential(layers, (3, 1), dtype="float64")
    model.set_weights([[[0.5]], [[0.5]], [0.0], [[1.2]], [0.0]])
    model.compile(loss="mse")
    return model


def error(forecast, truth):
    """Return the RMSE."""
    return nbrnn.scores.rmse(np.ravel(truth), np.ravel(forecast))


# %% [markdown]
# ## By hand: two fed-back steps
#
# One linear unit, h_t = 0.5 x_t + 0.5 h_(t-1), and o = 1.2 h of the last step. The window is 1, 2, 3.

# %%
h = 0.5 * 1 + 0.5 * 0
h = 0.5 * 2 + 0.5 * h
h = 0.5 * 3 + 0.5 * h
o1 = 1.2 * h
print(f"window 1, 2, 3       h = {h:.4f}   o1 = {o1:.4f}")

# %% [markdown]
# Fed back: the window moves on by one row. 1 falls off at the left, and o1 comes in at the right, where a measured row
# would stand. The state begins at 0 again, for it is a new window.

# %%
h = 0.5 * 2 + 0.5 * 0
h = 0.5 * 3 + 0.5 * h
h = 0.5 * o1 + 0.5 * h
o2 = 1.2 * h
print(f"window 2, 3, {o1:.2f}    h = {h:.4f}   o2 = {o2:.4f}")

slope = 1.2 * 0.5  # from the last row of the window to the output
e = 0.1  # had o1 been larger by that
wrong = 1.2 * (0.5 * (o1 + e) + 0.5 * (0.5 * 3 + 0.5 * 0.5 * 2))
print(f"an error of {e} in o1 becomes {wrong - o2:.2f} in o2")
assert abs(wrong - o2 - slope * e) < 1e-12

# %% [markdown]
# The engine's `Forecaster` keeps the window, and feeds back.

# %%
forecaster = nbrnn.Forecaster(tiny(), window=3)
forecaster.meet([1.0, 2.0, 3.0])  # in place of fit(): measures scales only
both = forecaster.forecast(2, [1.0, 2.0, 3.0])[:, 0]
print("the engine:", both)
assert np.allclose(both, [o1, o2], rtol=0, atol=1e-12)

# %% [markdown]
# ## Why an echo, and why a constant?
#
# Make a series of which something can be learned, while the rest is noise: each row is 0.8 times the one before, plus
# a random number of spread 1. No forecast of the next row is better than 0.8 times the last one. A network learns it
# from the first 1500 rows.

# %%
rng = np.random.default_rng(0)
noisy = np.zeros(2000)
for t in range(1, 2000):
    noisy[t] = 0.8 * noisy[t - 1] + rng.normal()
layers = [nbrnn.SimpleRNN(8), nbrnn.Dense(1)]
model = nbrnn.Sequential(layers, (5, 1), seed=0)
model.compile("adam", "mse")
echo = nbrnn.Forecaster(model, 5, nbrnn.StandardScaler())
echo.fit(noisy[:1500], epochs=20, batch_size=16, verbose=0)
said, came = echo.predict(noisy[1495:])[:, 0], noisy[1500:]
before = noisy[1499:-1]
print(f"RMSE one step ahead       {error(said, came):.3f}")
print(f"0.8 times the row before  {error(0.8 * before, came):.3f}")
with_truth = np.corrcoef(said, came)[0, 1]
with_past = np.corrcoef(said, before)[0, 1]
print(f"correlation with what came {with_truth:.3f},")
print(f"with the row before {with_past:.3f}")
top = int(came.argmax()) + 1501  # begin right after a high value
loop, mean = echo.forecast(40, noisy[:top])[:, 0], noisy[:1500].mean()
print("closed loop:", np.round([noisy[top - 1], *loop[:7]], 2))
print(f"after 40 steps {loop[-1]:.2f}; the mean is {mean:.2f}")
assert with_past > 0.97 and with_truth < 0.9
assert abs(loop[-1] - mean) < 0.4 and np.ptp(loop[-10:]) < 0.1

# %% [markdown]
# The forecast is the row before, a little smaller (a correlation of 1 would be the same curve but for its scale): drawn
# beside the truth it looks like the truth, one row late. That is the echo. In closed loop it goes to the mean and stays
# there: the constant. Neither is a bug. The best forecast of the next row keeps what is known, and what is known about
# a far row of this series is its mean.
#
# So a constant says that there is no more to know, or that your network has not learned it. A better baseline tells.
#
# ## The engine's run: 500 steps of a sine
#
# Now a series with no noise at all, sin(t) in steps of 0.04. A GRU(10) reads 50 rows and gives the next. After 2501
# rows, 2451 windows, it goes on alone for 500 steps, three turns of the sine. (While it learns, `CosineDecay` lets the
# rate of Adam sink to 0.)

# %%
series, truth = np.split(np.sin(0.04 * np.arange(3001)), [2501])
epochs = 20 if QUICK else 60


def sine_model(seed):
    layers = [nbrnn.GRU(10), nbrnn.Dense(1)]
    model = nbrnn.Sequential(layers, (50, 1), seed)
    batches = epochs * -(-2451 // 16)  # -(-a // b): a / b, rounded up
    model.compile(nbrnn.Adam(nbrnn.CosineDecay(0.01, batches)), "mse")
    return model


models = [sine_model(seed) for seed in range(3 if QUICK else 5)]
alone = nbrnn.Forecaster(models, window=50)
alone.fit(series, epochs=epochs, batch_size=16, verbose=0)
fan = alone.fan(500)
single = nbrnn.Forecaster(models[0], window=50)  # the first seed alone
single.meet(series)
free = single.forecast(500, series)[:, 0]
taught = single.predict(np.concatenate([series[-50:], truth]))[:, 0]
season = round(2 * np.pi / 0.04)  # 157 rows
naive = np.resize(series[-season:], 500)  # again and again
assert len(alone.windows(series)[0]) == 2451
runs = {"teacher-forced": taught, "free-running": free}
runs["seasonal-naive"] = naive
for name, run in runs.items():
    print(f"{name:<15} RMSE {error(run, truth):.5f}")
spread = [error(path, truth) for path in fan.paths[:, :, 0]]
print(f"a constant 0    RMSE {error(0 * truth, truth):.5f}")
print(f"free-running, all seeds: {min(spread):.5f} to {max(spread):.5f}")
assert max(spread) < 0.3 and error(taught, truth) < min(0.02, max(spread))

# %% [markdown]
# The open loop looks best, as always, for it was told the truth 500 times: that number must never stand for the closed
# loop's. And mind the baseline, seasonal-naive: a sine is nothing but season, so "as 157 rows ago" is hard to beat.
# Compare it with all seeds.
#
# ## The picture
#
# All three in one. The band is the *fan*: networks of other seeds learned the same rows, their paths part, and most of
# them lie in the band. It knows how much they disagree, not the noise of a series, nor what all networks get wrong.

# %%
show(nbrnn.plot_runs(series[-150:], truth, runs, fan), "sine")

# %% [markdown]
# ## Must I predict every feature?
#
# Beijing's fine dust: the network sees eight features and predicts one, pm25. One step is no problem. For the second it
# would need tomorrow's temperature, wind, rain ...

# %%
dust = nbrnn.make_problem("beijing")
recipe = nbrnn.Recipe(14, cell="gru", units=(8,), epochs=60, patience=8)
one = dust.fit(recipe, verbose=0)
print(f"one step: {one.forecast(1, dust.table)[0, 0]:.1f} ug/m3")
try:
    one.forecast(3, dust.table)
except ValueError as refusal:
    print(textwrap.fill(str(refusal), 76))

# %% [markdown]
# There are three ways, and only the first has to predict every feature:
#
# 1. *All features*: the network predicts all eight, and the loop feeds all eight back.
# 2. *Direct*: the network gives seven days of pm25 at once. Nothing is fed back, so nothing else must be known.
# 3. *Known columns*: for a calendar, a price or a plan, name the columns, `known=`, and hand their future in.
#
# Which is better here, the first or the second? Ask the validation rows, and the baselines of lesson 8.

# %%
every = nbrnn.make_problem("beijing", target="all")
ways = {"all features, closed loop": (every, 1), "direct": (dust, 7)}
print("RMSE in ug/m3 at           1, 2 and 7 days ahead")
for name, (problem, horizon) in ways.items():
    errors = []
    for seed in range(2 if QUICK else 5):
        options = {"cell": "gru", "units": (8,), "patience": 8}
        recipe = nbrnn.Recipe(14, horizon, epochs=60, seed=seed, **options)
        fitted = problem.fit(recipe, verbose=0)
        judged = problem.backtest(fitted, "validation", steps=7)
        errors.append([judged.score("rmse", step=s) for s in (1, 2, 7)])
    print(f"{name:<26}", np.round(np.median(errors, axis=0), 1), "median")
    if horizon == 1:
        looped = fitted
for name in judged.known():
    baseline = [judged.score("rmse", name, s) for s in (1, 2, 7)]
    print(f"{name:<26}", np.round(baseline, 1))

# %% [markdown]
# Beyond the first day both ways come to about what the weekday's mean (season's mean) scores: the features say little
# about the day after tomorrow. `look_ahead` tells when a loop has run out. Its picture has both, the echo in thin blue
# and the constant, which is near the mean but not the mean: the loop's own resting place. (Nothing is chosen by it.)

# %%
outlook = nbrnn.look_ahead(every, looped, steps=30)
flat = outlook.runs_flat(0)
end = outlook.columns(0)["mean"][-1]
mean = dust.table[dust.parts["training"]].column("pm25").mean()
print(f"pm25 is constant from step {flat} on, at {end:.0f} ug/m3;")
print(f"the mean of the training rows is {mean:.0f}")
assert flat is not None and flat < 30
show(nbrnn.plot_forecast(outlook), "dust")

# %% [markdown]
# ## 300 steps of four series
#
# Three drivers, each with a period of its own, and an observable that follows them, a little noisy: 700 rows to
# learn from, 300 to foretell, all four fed back. Once one step at a time, and once 25 steps at a time. RMSE / sd is the
# error as a share of the truth's own spread: who always says the mean has 1.

# %%
table = nbrnn.driven_series(1000, seed=0, noise=0.02)
past, future = table[:700], table.values[700:]
epochs, found = 60 if QUICK else 300, {}
for horizon in (1, 25):
    batches = epochs * -(-(700 - 60 - horizon + 1) // 16)
    rate = nbrnn.CosineDecay(0.005, batches)
    models = []
    for seed in range(1 if QUICK else 3):
        layers = [nbrnn.GRU(32), nbrnn.Dense(4 * horizon)]
        models.append(nbrnn.Sequential(layers, (60, 4), seed))
        models[-1].compile(nbrnn.Adam(rate, clipnorm=1.0), "mse")
    loops = nbrnn.Forecaster(models, 60, nbrnn.StandardScaler())
    loops.fit(past, epochs=epochs, batch_size=16, verbose=0)
    paths = loops.fan(300).paths
    scale = future.std(axis=0)
    errors = np.sqrt(np.mean((paths - future) ** 2, axis=1)) / scale
    drift = abs(paths.std(axis=1) / scale - 1)
    found[f"{horizon} at a time"] = paths[0, :, 3]
    own = np.median(errors[:, 3]), np.median(drift[:, 3])
    print(f"{horizon:2} at a time: RMSE / sd {own[0]:.3f}, ", end="")
    print(f"amplitude off by {own[1]:.1%}")
seen, came = past.values[-120:, 3], future[:, 3]
found["as 120 rows ago"] = np.resize(seen, 300)
of = {name: error(run, came) / scale[3] for name, run in found.items()}
print(f"as 120 rows ago: RMSE / sd {of['as 120 rows ago']:.3f}")
assert of["25 at a time"] < 0.3 and of["1 at a time"] > 0.8
show(nbrnn.plot_runs(seen, came, found, title="The observable"), "driven")

# %% [markdown]
# One step at a time goes through the loop 300 times, and each turn adds its error: the swing remains, but too early or
# too late, and that is no better than the mean. 25 at a time take 12 turns. Who knows that all comes again after 120
# rows needs no network; the network was not told.
#
# ## Exercise 1: close the loop
#
# `predict` takes a list of three rows and returns the next one. Return the first `steps` forecasts in closed loop, a
# list of numbers.


# %% tags=["exercise"]
def go_on(predict, window, steps):
    return ...


# %% tags=["solution"]
def go_on(predict, window, steps):
    window, found = list(window), []
    for _ in range(steps):
        found.append(predict(window))
        window = [*window[1:], found[-1]]
    return found


# %% tags=["check"]
model = tiny()
judge = nbrnn.Forecaster(model, window=3)
judge.meet([1.0, 2.0, 3.0])


def predict(window):
    return float(model.predict(np.reshape(window, (1, 3, 1)))[0, 0])


for start in ([1.0, 2.0, 3.0], [0.3, -1.0, 2.0]):
    right = judge.forecast(7, start)[:, 0]
    hint = "drop the window's first row, append the forecast, and predict."
    check(f"go_on from {start}", go_on(predict, start, 7), right, hint)

# %% [markdown]
# ## Exercise 2: 300 steps
#
# - turns_1, turns_25: how often is the network asked for 300 steps, one at a time and 25 at a time?
# - off: a forecast's standard deviation is 0.6, the truth's 0.5. By how many percent of the truth's is it off?
# - fed_back: eight features are seen; seven days of one of them are given at once, and wanted. How many are fed back?

# %% tags=["exercise"]
turns_1 = ...
turns_25 = ...
off = ...
fed_back = ...

# %% tags=["solution"]
turns_1 = 300
turns_25 = 300 / 25
off = 100 * (0.6 / 0.5 - 1)
fed_back = 0

# %% tags=["check"]
check("turns_1", turns_1, 300, "one turn gives one row.")
check("turns_25", turns_25, -(-300 // 25), "one turn gives 25 rows.")
check("off", off, 20.0, "the ratio of the two, less 1, times 100.", 1e-6)
check("fed_back", fed_back, 0, "direct: all seven days come at once.")

# %% [markdown]
# ## Gradient check: through the feedback, and with dropout
#
# A network can be *trained* in closed loop too: `Feedback` (and `Jordan`, lesson 13) feed a layer's last outputs (here
# two, `lags=2`) back within the model. Then an output acts on the loss twice: by itself, and through all that come
# after it. A way that was forgotten would fail the check. Teacher forcing has another gradient: there the targets are
# fed back, and these do not move.

# %%
x, y = rng.normal(size=(2, 5, 2)), rng.normal(size=(2, 5, 1))
first = {}
for training in ("free_running", "teacher_forcing"):
    layers = [nbrnn.Dense(3, "tanh"), nbrnn.Dense(1)]
    layer = nbrnn.Feedback(layers, lags=2, training=training)
    model = nbrnn.Sequential([layer], (5, 2), seed=0, dtype="float64")
    model.compile(loss="mse")
    report = nbrnn.check_gradients(model, x, y)
    name = next(iter(report.gradients))
    first[training] = report.gradients[name]
    print(f"{training}: worst error {report.max_relative_error:.0e}")
    print(f"   {name}: {first[training][0]}")
    assert report.passed
assert not np.allclose(first["free_running"], first["teacher_forcing"])

# %% [markdown]
# Dropout sets numbers to zero by chance. Wiggle a weight while other numbers drop out, and you measure the chance. So
# the mask is frozen during a check: the same numbers drop in all runs.

# %%
dropped = nbrnn.GRU(4, dropout=0.3, recurrent_dropout=0.3)
model = nbrnn.Sequential([dropped, nbrnn.Dense(1)], (5, 2), 0, "float64")
model.compile(loss="mse")
outputs = [model.predict(x, training=True, seed=k)[0, 0] for k in (0, 0, 1)]
print("the same mask twice, then another:", np.round(outputs, 6))
report = nbrnn.check_gradients(model, x, y[:, -1])
print(f"frozen: worst error {report.max_relative_error:.0e}")
assert outputs[0] == outputs[1] != outputs[2] and report.passed

# %% [markdown]
# ## What to take away
#
# - One step: no loop. More steps: closed loop, direct, or both (25 at a time).
# - All that the network sees must be predicted, known, or not needed (direct).
# - A constant is the best far forecast of noise. A baseline tells whether there was more to learn.
#
# ## What people get wrong
#
# - They show the open loop and call it a forecast of 500 steps.
# - They take the echo for skill: compare with the last value.
# - They take a fan for a promise. It holds the disagreement of networks, not the noise.
# - They feed back scaled outputs as raw values, or put them at the window's wrong end.
