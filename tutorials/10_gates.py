# %% [markdown]
# # Lesson 10: Gates and stacks
#
# **Question.** What do the gates of an LSTM and a GRU do, and what does a second recurrent layer see?
#
# You need lessons 2 (one cell by hand) and 5 (backward through time). You will compute a step of each cell yourself,
# all gates; watch gates that learned to remember; build one with a pencil that adds without training; and question
# six LSTMs, five of which have a fault.

# %%
import textwrap

import numpy as np

import nbrnn
from nbrnn.baselines import LeastSquaresAR, last_value, rmse
from nbrnn.testing import assert_gradients, random_model
from nbrnn.tutorial import check, show
from nbrnn.tutorial.broken import GATED, question

QUICK = nbrnn.tutorial.asked_quick()  # True: fewer seeds, fewer epochs


def adding(count, steps, seed):
    """Return sequences of (value, marker), and the sum of two values."""
    rng, n = np.random.default_rng(seed), np.arange(count)
    X = np.zeros((count, steps, 2))
    X[..., 0] = rng.uniform(0, 1, (count, steps))
    X[n, rng.integers(0, steps // 2, count), 1] = 1  # one in each half
    X[n, rng.integers(steps // 2, steps, count), 1] = 1
    return X, (X[..., 0] * X[..., 1]).sum(axis=1)


# %% [markdown]
# ## Intuition: a notebook with three switches
#
# SimpleRNN writes its whole state anew at every step. What it wants to keep it must copy, through a matrix and a
# tanh, again and again; after some steps little is left of it.
#
# An LSTM has a second state beside h: the *cell state* c, a notebook. Nothing is done to c but multiplying it with a
# number and adding another, a part of the *candidate* n: what the cell would write down from what it reads now. Three
# switches, the *gates*, decide how much, and each is a number between 0 (shut) and 1 (open) which the cell works out
# anew at every step:
#
# - the forget gate f: how much of the old c stays,
# - the input gate i: how much of n is added,
# - the output gate o: how much of c is shown as h.
#
# A GRU has no second state. Its update gate z says how much of the old h stays, and 1 - z how much of the candidate
# comes in: one switch where the LSTM has two. Its reset gate r says how much of the old h the candidate sees.
#
# ## The equation
#
# ```text
# LSTM   i, f, o = sigmoid(x Wx + h' Wh + b)     each with its own Wx, Wh, b
#        n       = tanh(x Wx + h' Wh + b)
#        c       = f c' + i n                    h = o tanh(c)
#
# GRU    z, r    = sigmoid(x Wx + h' Wh + b)
#        n       = tanh(x Wx + b + r (h' Wh + b'))     reset after
#        n       = tanh(x Wx + (r h') Wh + b)          reset before
#        h       = z h' + (1 - z) n
# ```
#
# h' and c' are the states before the step (no slopes here); gates multiply number by number. The two reset forms differ
# in whether r acts after the product with Wh (the default here and in Keras) or before it (as in the first paper, Cho
# et al. 2014). Weights made for one do not fit the other.
#
# ## By hand: a step of an LSTM
#
# One unit, so that every weight is a number (any will do; these are picked at random). The columns are i, f, n, o:

# %%
x, h_old, c_old = 2.0, 0.5, -1.0
wx = np.array([0.5, 0.2, 0.3, -0.5])
wh = np.array([-0.4, 0.6, 0.8, 0.2])
b = np.array([0.1, 1.0, 0.0, 0.0])


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


a_i, a_f, a_n, a_o = x * wx + h_old * wh + b
i, f, n, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_n), sigmoid(a_o)
c = f * c_old + i * n
h = o * np.tanh(c)
print(f"i = sigmoid({a_i:.1f}) = {i:.4f} f = sigmoid({a_f:.1f}) = {f:.4f}")
print(f"n = tanh({a_n:.1f}) = {n:.4f}    o = sigmoid({a_o:.1f}) = {o:.4f}")
print(f"c = {f:.4f}*({c_old}) + {i:.4f}*{n:.4f} = {c:.4f}")
print(f"h = {o:.4f}*tanh({c:.4f}) = {h:.4f}")

# %% [markdown]
# ## By hand: a step of a GRU, in both forms
#
# The columns are z, r, n. With "reset after" there are two biases, bx beside x Wx and bh beside h' Wh; with "reset
# before" there is one, bx.

# %%
vx, vh = np.array([0.3, -0.4, 0.5]), np.array([0.7, 0.2, -0.9])
bx, bh = np.array([0.1, 0.0, -0.2]), np.array([0.0, 0.3, 0.4])

z, r = sigmoid((x * vx + bx + h_old * vh + bh)[:2])
n_after = np.tanh(x * vx[2] + bx[2] + r * (h_old * vh[2] + bh[2]))
h_after = z * h_old + (1 - z) * n_after
print(f"after:  z {z:.4f} r {r:.4f} n {n_after:.4f} h {h_after:.4f}")

z_b, r_b = sigmoid((x * vx + bx + h_old * vh)[:2])
n_before = np.tanh(x * vx[2] + (r_b * h_old) * vh[2] + bx[2])
h_before = z_b * h_old + (1 - z_b) * n_before
print(f"before: z {z_b:.4f} r {r_b:.4f} n {n_before:.4f} h {h_before:.4f}")

# %% [markdown]
# ## The engine's run
#
# A trace names every gate. All of them are the numbers from above:


# %%
def one_step(layer, weights, **states):
    model = nbrnn.Sequential([layer], input_shape=(1, 1), dtype="float64")
    model.set_weights(weights)
    given = {f"{layer.name}/{k}": [[v]] for k, v in states.items()}
    return nbrnn.trace(model, [x], initial_state=given).steps[0]


lstm = one_step(nbrnn.LSTM(1), [[wx], [wh], b], h=h_old, c=c_old)
after = one_step(nbrnn.GRU(1), [[vx], [vh], [bx, bh]], h=h_old)
early = nbrnn.GRU(1, reset_after=False)
before = one_step(early, [[vx], [vh], bx], h=h_old)
for step, mine in (
    (lstm, {"i": i, "f": f, "n": n, "o": o, "c": c, "h": h}),
    (after, {"z": z, "r": r, "n": n_after, "h": h_after}),
    (before, {"z": z_b, "r": r_b, "n": n_before, "h": h_before}),
):
    print({name: round(float(step[name][0]), 4) for name in mine})
    assert all(abs(step[k][0] - v) < 1e-12 for k, v in mine.items())

# %% [markdown]
# ## Remember and add
#
# A task for which one must remember: at every step a random value and a marker, which is 1 at two steps and 0
# elsewhere. At the end, the sum of the two marked values is asked for. Whoever ignores the input says 1, the mean of
# such sums, and has a mean squared error near 1/6 (the variance of a random number from 0 to 1 is 1/12, and there are
# two). That is the baseline.

# %%
LENGTH, epochs = 20, 10 if QUICK else 30
X, y = adding(2000, LENGTH, seed=0)
X_new, y_new = adding(500, LENGTH, seed=1)
print(f"always 1: {np.mean((y_new - 1) ** 2):.4f}   (1/6 = {1 / 6:.4f})")
errors = {}
for cell, units in ((nbrnn.SimpleRNN, 9), (nbrnn.GRU, 4), (nbrnn.LSTM, 4)):
    name = f"{cell.__name__}({units})"
    errors[name] = []
    for seed in range(3 if QUICK else 5):
        layers = [cell(units), nbrnn.Dense(1)]
        adder = nbrnn.Sequential(layers, (LENGTH, 2), seed, "float64")
        adder.compile(nbrnn.Adam(learning_rate=0.01), "mse")
        adder.fit(X, y, epochs=epochs, verbose=0)
        errors[name].append(adder.evaluate(X_new, y_new))
    text = ", ".join(f"{e:.4f}" for e in sorted(errors[name]))
    print(f"{name:12} {adder.count_params():>3} weights, by seed: {text}")
rnn, gru, lstm_4 = (np.median(found) for found in errors.values())
assert max(gru, lstm_4) < rnn / 4

# %% [markdown]
# All on new sequences. SimpleRNN has nine units here, so that it has about as many weights as the others, and it has
# seen the same data as often. Still its median error is more than four times theirs. Lesson 9 shows what it lacks.
#
# ## The picture
#
# The last LSTM reads a new sequence. Look where the marker, x2, is 1.

# %%
seen = nbrnn.trace(adder, X_new[0])
marked = np.flatnonzero(X_new[0, :, 1]) + 1
print("marked steps", marked, " sum", round(float(y_new[0]), 3), end=" ")
print(" predicted", round(float(seen.output[0]), 3))
gate, at = np.array([step.i for step in seen.steps]), X_new[0, :, 1] == 1
apart = gate[at].mean(axis=0) - gate[~at].mean(axis=0)
k, forget = int(apart.argmax()), np.mean([s.f for s in seen.steps])
text = f"unit {k + 1}: i is {gate[at, k].mean():.2f} at the marked steps, "
print(text + f"{gate[~at, k].mean():.2f} elsewhere")
print(f"mean f {forget:.2f}: after 10 steps {forget**10:.2f} of c is left")
assert apart[k] > 0.3 and forget > 0.5
show(nbrnn.plot_gates(seen), "gates")

# %% [markdown]
# Nobody told the gates what to do, and yet the input gate of one unit opens at the marked steps, and elsewhere far
# less: find its row. The forget gates are dark, so most of c stays from one step to the next. Over many steps that is
# not much, so it is no tidy notebook: other units answer a marked step in their own way, c drifts, and what the sum is
# can only be told from all of them. (Cells are hatched where a gate stands at its end.)
#
# ## What a second recurrent layer sees
#
# Not the sequence. It sees the first layer's states, one at every step, as if they were features. For that the first
# layer must hand over all of them: `return_sequences=True`. Without it only the last state comes out, and there is no
# time left to go along:

# %%
try:
    nbrnn.Sequential([nbrnn.LSTM(3), nbrnn.GRU(2)], input_shape=(5, 1))
except ValueError as error:
    print(textwrap.fill(str(error), 76))

layers = [nbrnn.LSTM(3, return_sequences=True), nbrnn.GRU(2)]
stack = nbrnn.Sequential([*layers, nbrnn.Dense(1)], (5, 1), seed=0)
stack.compile(loss="mse")
lower, upper, _ = nbrnn.trace(stack, np.arange(5.0), 1.0).layers
for t in range(5):
    assert (upper.steps[t].x == lower.steps[t].h).all()
    back = lower.backward[t]
    assert np.allclose(back.dh_loss, upper.backward[t].dx, atol=1e-15)
print("step 5: the GRU reads", upper.steps[4].x.round(4), "the LSTM's h")

# %% [markdown]
# And backward: what the second layer hands down at step t is what the first one gets "from the loss" at step t; from
# the future it gets its own dh_next.
#
# Does a second layer help? Daily minimum temperatures in Melbourne: seven years to train, one to choose with, two
# that nobody looks at before the end.

# %%
table = nbrnn.load_dataset("temperatures").values
WINDOW, first, second = 20, 7 * 365, 8 * 365
parts = {"train": table[:first]}
parts["validation"] = table[first - WINDOW : second]
parts["test"] = table[second - WINDOW :]
scaler = nbrnn.StandardScaler().fit(parts["train"])
windows, truth = {}, {}
for name, part in parts.items():
    scaled, truth[name] = scaler.transform(part), part[WINDOW:]
    windows[name] = nbrnn.sliding_windows(scaled, WINDOW)


def train(count, seed):
    """Return a network of one or two LSTMs; the validation stops it."""
    below = [nbrnn.LSTM(8, return_sequences=True)] if count == 2 else []
    layers = [*below, nbrnn.LSTM(8), nbrnn.Dense(1)]
    model = nbrnn.Sequential(layers, (WINDOW, 1), seed, "float64")
    model.compile("adam", "mse")
    stop = nbrnn.EarlyStopping(patience=4, restore_best_weights=True)
    how = {"validation_data": windows["validation"], "callbacks": [stop]}
    how |= {"batch_size": 16, "epochs": 4 if QUICK else 30, "verbose": 0}
    model.fit(*windows["train"], **how)
    return model


def score(model, part):
    """Return the error in degrees."""
    predicted = scaler.inverse_transform(model.predict(windows[part][0]))
    return rmse(truth[part], predicted)


seeds = range(2 if QUICK else 5)
stacks = {count: [train(count, seed) for seed in seeds] for count in (1, 2)}
chosen, called = {}, {1: "one LSTM layer", 2: "two LSTM layers"}
for count, models in stacks.items():
    found = [score(model, "validation") for model in models]
    chosen[count] = np.median(found)
    print(f"{called[count]}: {chosen[count]:.3f} degrees, validation")
    print(f"   (median; by seed {min(found):.3f} to {max(found):.3f})")
best = min(chosen, key=chosen.get)
test = parts["test"]
linear = LeastSquaresAR(WINDOW).fit(parts["train"]).predict(test)
ours = [score(model, "test") for model in stacks[best]]
named = {
    f"{called[best]}, median": np.median(ours),
    f"least squares, {WINDOW} days": rmse(truth["test"], linear),
    "the day before": rmse(truth["test"], last_value(test, WINDOW)),
}
for name, error in named.items():
    print(f"test years: {name:23} {error:.3f} degrees")
assert abs(chosen[1] - chosen[2]) < 0.1
network, by_line, _ = named.values()
assert network > 0.98 * by_line  # of the chosen number of layers

# %% [markdown]
# Not here: the two medians lie closer together than a tenth of a degree. And compare the test errors: a linear forecast
# from the same days is about as good, or better. Stack layers when a validation part says so, not because pictures of
# networks are tall.
#
# ## Exercise 1: hold the forget gate at 1
#
# Let all activations be *linear*, also the tanh in front of h, and f = 1 always. Then c only adds: c = c' + i n and
# h = o c. Choose weights with which one unit solves "remember and add" to the last digit: i is the marker, n the value,
# f and o are 1, whatever comes in.
#
# - kernel: two rows (value, marker), four columns (i, f, n, o).
# - bias: four numbers. The recurrent kernel is zero.
# - left: with f = 0.9 instead, how much of a number is left after ten steps?
# - f_bias: in a usual LSTM f is a sigmoid. Which bias makes it 0.99 where input and state say nothing?

# %% tags=["exercise"]
kernel = ...
bias = ...
left = ...
f_bias = ...

# %% tags=["solution"]
kernel = [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
bias = [0.0, 1.0, 0.0, 1.0]
left = 0.9**10
f_bias = np.log(0.99 / 0.01)

# %% tags=["check"]
check("kernel", kernel, [[0, 0, 1, 0], [1, 0, 0, 0]], "n: value, i: marker")
check("bias", bias, [0, 1, 0, 1], "f and o are 1 whatever comes in")
adds = [nbrnn.LSTM(1, "linear", "linear")]
unit = nbrnn.Sequential(adds, (50, 2), dtype="float64")
unit.set_weights([kernel, np.zeros((1, 4)), bias])
inputs, sums = adding(100, 50, seed=2)
check("its sums", unit.predict(inputs)[:, 0], sums, tolerance=1e-12)
check("left", left, 0.3486784401, "0.9 times 0.9 times ...", tolerance=1e-4)
hint = "sigmoid(a) = 0.99; solve for a: log(p / (1 - p))"
check("f_bias", f_bias, np.log(99), hint, tolerance=1e-3)

# %% [markdown]
# ## Exercise 2: six suspects with gates
#
# `GATED` holds six layers, "F" to "K". Forward they are LSTMs. `question`, imported in the first cell, lists the
# gradients that `check_gradients` finds wrong (W and U are Wx and Wh; h0, c0 the first states), and the gates whose
# columns of dWx are not those of `nbrnn.LSTM`: two texts, "none" where all is right. Ask with 1 step and with 3, as
# `question(GATED["F"], 1)`. With one step dh comes from the loss only, and from the step go out the gates' gradients
# (i, f, n, o), dh0 and dc0. Which of these can a fault reach?

# %% tags=["exercise"]
innocent = ...
drops_dc = ...  # hands nothing back along c
drops_dh = ...  # hands nothing back along h
swaps_gates = ...  # the columns i and f, on the way back only
wrong_slope = ...  # takes 1 - c^2 for the slope of tanh(c)
wrong_state = ...  # multiplies with c where f met the c before

# %% tags=["solution"]
for letter, make in GATED.items():
    for steps in (1, 3):
        wrong, gates = question(make, steps)
        print(f"{letter}, {steps} steps: {wrong:14}  gates {gates}")
innocent = "H"
drops_dc = "F"  # with one step only c0 is wrong
drops_dh = "J"  # with one step only h0 is wrong
swaps_gates = "I"  # i and f, but c0 is right with one step
wrong_slope = "G"  # i, f and n, and c0: what passes tanh(c)
wrong_state = "K"  # f alone

# %% tags=["check"]
found = {letter: question(make, 1) for letter, make in GATED.items()}


def who(wrong, gates):
    """Return the suspect with this signature at one step."""
    return next(k for k, v in found.items() if v == (wrong, gates))


hint = "nothing is wrong, with 3 steps either"
check("innocent", innocent, who("none", "none"), hint)
check("drops_dc", drops_dc, who("c0", "none"), "one step: only c0")
check("drops_dh", drops_dh, who("h0", "none"), "one step: only h0")
check("swaps_gates", swaps_gates, who("W U b x h0", "i f"), "two gates")
hint = "the error passes tanh(c) on its way to i, f, n and c0, not to o"
check("wrong_slope", wrong_slope, who("W U b x h0 c0", "i f n"), hint)
check("wrong_state", wrong_state, who("W U b x h0", "f"), "one gate")

# %% [markdown]
# ## Gradient check: every gate, both reset forms
#
# Not one model but many: random sizes, random weights (equal ones would hide swapped gates). `nbrnn.testing.models`
# lets Hypothesis draw them, for tests of your own.

# %%
rng = np.random.default_rng(3)
for k in range(4 if QUICK else 12):
    steps, features, units = (int(n) for n in rng.integers(1, 6, 3))
    for cell in (
        nbrnn.LSTM(units, return_sequences=True),
        nbrnn.GRU(units, return_sequences=True),
        nbrnn.GRU(units, reset_after=False, return_sequences=True),
    ):
        layers = [cell, nbrnn.LSTM(2)]
        assert_gradients(random_model(layers, (steps, features), seed=k))
print(nbrnn.check_gradients(stack, np.arange(5.0)[None, :, None]))

# %% [markdown]
# ## What to take away
#
# - c is carried by multiplying and adding. With f near 1 a number stays, and so does the error on its way back.
# - Gates are computed from x and h at every step; training makes them.
# - A second layer reads the first one's h, step by step.
#
# ## What people get wrong
#
# - They take weights from a library with another order of gates, or the other reset form. Shapes fit, numbers do not:
#   compare one step by hand.
# - They show h where they mean c. An LSTM has two states; hand over both.
# - They forget `return_sequences=True` below a recurrent layer.
# - They stack layers without a baseline and without a second seed.
