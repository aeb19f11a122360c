# %% [markdown]
# # Lesson 5: Backward through time
#
# **Question.** The same weights are used at every step. When the answer at the end is wrong, which use is to blame, and
# what are `dh_next` and that sum doing in every implementation of a recurrent network?
#
# You need lesson 2 (one cell by hand). You will follow the blame from the end of a sequence to its beginning, write one
# step of it yourself, and then question five layers, four of which have a fault.

# %%
import numpy as np

import nbrnn
from nbrnn.suspects import SUSPECTS
from nbrnn.tutorial import check, show

QUICK = False


def question(make, steps):
    """Return which gradients of a layer are wrong with so many steps."""
    layers, shape = [make(3), nbrnn.Dense(1)], (steps, 2)
    model = nbrnn.Sequential(layers, input_shape=shape, seed=1)
    x = np.random.default_rng(0).normal(size=(2, *shape))
    rows = nbrnn.check_gradients(model, x).rows
    wrong = [row.name for row in rows if row.relative_error > 1e-6]
    return [name.split("/")[1] for name in wrong if "/" in name]


# %% [markdown]
# ## Intuition: one weight, used three times
#
# Take a recurrence without matrices: `h_t = w h_(t-1) + x_t`, three steps, `h_0 = 0`. The weight `w` appears three
# times. Change it a little, and all three uses change at once; what that does to the end is the *sum* of what each use
# does alone.

# %%
x, w, target = [1.0, 2.0, 3.0], 0.5, 4.0


def run(w):
    h, states = 0.0, []
    for x_t in x:
        h = w * h + x_t
        states.append(h)
    return states


h1, h2, h3 = run(w)
print("states", h1, h2, h3, " loss", (h3 - target) ** 2)

# %% [markdown]
# Now backwards. `dh3` is what the loss feels of `h3`. `h2` acts on the loss only through `h3`, and there it is
# multiplied by `w`: so `dh2 = dh3 * w`. That handed-back number is what implementations call `dh_next`: at step 2 it is
# what the *next* step (3) hands back.

# %%
dh3 = 2 * (h3 - target)  # from the loss
dh2 = dh3 * w  # from step 3
dh1 = dh2 * w  # from step 2

# At each step w multiplies the state before it.
shares = [dh1 * 0.0, dh2 * h1, dh3 * h2]
dw = sum(shares)
print("dh ", dh1, dh2, dh3)
print("shares of dL/dw", shares, " sum", dw)

# %% [markdown]
# Is the sum right? Wiggle `w` itself, which changes all three uses:

# %%
eps = 1e-6
above = (run(w + eps)[-1] - target) ** 2
below = (run(w - eps)[-1] - target) ** 2
wiggled = (above - below) / (2 * eps)
print("by wiggling", wiggled, " by hand", dw)
assert abs(wiggled - dw) < 1e-8

# %% [markdown]
# Two derivatives have nearly the same name, and mixing them up is the usual mistake:
#
# - the **immediate** one, `dh3 * h2`: only the last use of `w` moves, the state before it is held fast;
# - the **total** one, the sum over all steps: what training needs.

# %%
print("immediate", shares[-1], " total", dw)
assert shares[-1] != dw

# %% [markdown]
# ## The equation
#
# With matrices (row vectors, `h_t = act(a_t)`, `a_t = x_t Wx + h_(t-1) Wh + b`), for t from the last step to the first:
#
# ```text
# dh_t     = what comes from the loss  +  dh_next
# da_t     = dh_t * act'(a_t)
# dh_next  = da_t Wh^T                      (handed to step t - 1)
# dWx     += x_t^T da_t        dWh += h_(t-1)^T da_t        db += da_t
# ```
#
# This is backpropagation through time (Werbos, 1990). `+=` is the sum over the uses.

# %% [markdown]
# ## By hand
#
# The cell of lesson 2: two linear units, x = 1, 2, 3, and now a target, 4. Forward once more, keeping every state:

# %%
Wx = np.array([[0.18662322, -1.2369459]])
Wh = np.array([[0.86981213, -0.49338293], [0.49338293, 0.8698122]])
b = np.zeros(2)
Wy, by = np.array([[-0.4635998], [0.6538409]]), np.zeros(1)

X = np.array([[1.0], [2.0], [3.0]])
h = [np.zeros(2)]
for x_t in X:
    h.append(x_t @ Wx + h[-1] @ Wh + b)
o = h[3] @ Wy + by
print("h3", h[3], " o", o, " loss", (o - 4) ** 2)

# %% [markdown]
# Backwards. The loss only sees the last state, through `Wy`; earlier steps hear of it through `dh_next` alone. The
# activation is linear, so `act' = 1` and `da = dh`.

# %%
do = 2 * (o - 4)
from_loss = [np.zeros(2), np.zeros(2), do @ Wy.T]
dh_next = np.zeros(2)
dWh_terms, dWx_terms, dhs = [], [], []
for t in (2, 1, 0):
    dh = from_loss[t] + dh_next
    da = dh * 1.0
    dh_next = da @ Wh.T
    dWh_terms.insert(0, np.outer(h[t], da))
    dWx_terms.insert(0, np.outer(X[t], da))
    dhs.insert(0, dh)
    print(f"step {t + 1}: dh = {dh}")
print("\ndWh, one term for each step:")
for t, term in enumerate(dWh_terms):
    print(f"step {t + 1}:\n{term}")
print("sum:\n", sum(dWh_terms))

# %% [markdown]
# The first term is zero because the state before step 1 is. Nothing of the error is lost on the way: `Wh` here is a
# rotation (lesson 2), so `dh` keeps its length. Lesson 9 is about what happens when it does not.

# %%
print("lengths of dh", [f"{np.linalg.norm(dh):.6f}" for dh in dhs])

# %% [markdown]
# ## The engine, number for number
#
# `nbrnn.trace` runs the engine and keeps every number of both passes.

# %%
layers = [nbrnn.SimpleRNN(2, "linear"), nbrnn.Dense(1)]
model = nbrnn.Sequential(layers, input_shape=(3, 1), dtype="float64")
model.set_weights([Wx, Wh, b, Wy, by])
model.compile(loss="mse")
t = nbrnn.trace(model, [1, 2, 3], 4)


def same(a, b):
    return np.allclose(a, b, rtol=0, atol=1e-12)


for k in range(3):
    assert same(t.backward[k].dh, dhs[k])
    assert same(t.backward[k].dWh, dWh_terms[k])
assert same(t.totals["simple_rnn/recurrent_kernel"], sum(dWh_terms))
assert same(t.totals["simple_rnn/kernel"], sum(dWx_terms))
for name, total in t.totals.items():
    print(f"{name}\n{total}")

# %% [markdown]
# `print(t)` writes the formulas out, with these numbers in them. Its last part is the sum over the steps:

# %%
part = str(t).split("-- gradients: simple_rnn")[1].split("\n\n")[0]
print(*part.splitlines()[1:], sep="\n")

# %% [markdown]
# `dh_loss` and `dh_future` are the two sources of `dh`. At the last step nothing comes from the future, at the others
# nothing comes from the loss, because only the last state goes on to the Dense layer:

# %%
for k, step in enumerate(t.backward):
    print(f"step {k + 1}: loss {step.dh_loss}, future {step.dh_future}")

# %% [markdown]
# ## The picture
#
# If every step has an output, every step has a loss of its own, and each of these losses sends its share back through
# all the steps before it. That makes a triangle: row t, column k is how much the loss at step t has to say about the
# weight's use at step k.

# %%
layers = [nbrnn.SimpleRNN(3, return_sequences=True), nbrnn.Dense(1)]
deep = nbrnn.Sequential(layers, input_shape=(5, 1), seed=4)
deep.compile(loss="mse")
series = np.cos(np.arange(6.0))
every = nbrnn.trace(deep, series[:5], series[1:])
show(nbrnn.plot_itemised(every), "itemised")

# %% [markdown]
# The first column is zero: before step 1 there is no state to multiply with. The triangle's sum is what training uses.
# Truncated backpropagation (lesson 13) cuts off the part that lies far from the diagonal.

# %% [markdown]
# ## Exercise 1: one step back
#
# Write the step for tanh. `dh_loss` and `dh_next` are what reaches h_t from the loss and from step t + 1. Return
# `dh_prev` (for step t - 1) and this step's shares of the three gradients. The slope of tanh is `1 - h_t ** 2`.


# %% tags=["exercise"]
def step_backward(dh_loss, dh_next, x_t, h_prev, h_t, Wh):
    da = ...
    dh_prev = ...
    dWx = ...
    dWh = ...
    db = ...
    return dh_prev, dWx, dWh, db


# %% tags=["solution"]
def step_backward(dh_loss, dh_next, x_t, h_prev, h_t, Wh):
    da = (dh_loss + dh_next) * (1 - h_t**2)
    dh_prev = da @ Wh.T
    dWx = np.outer(x_t, da)
    dWh = np.outer(h_prev, da)
    db = da
    return dh_prev, dWx, dWh, db


# %% [markdown]
# The check runs your step over a whole sequence, because a fault can hide in a single step: with T = 1 nothing comes
# from the future, and forgetting `dh_next` changes nothing at all.

# %% tags=["check"]
layers = [nbrnn.SimpleRNN(3, return_sequences=True), nbrnn.Dense(1)]
judge = nbrnn.Sequential(layers, input_shape=(5, 1), seed=8)
judge.compile(loss="mse")
inputs, targets = np.cos(np.arange(5.0)), np.sin(np.arange(5.0))
rnn = nbrnn.trace(judge, inputs, targets).layers[0]
dh_next, sums = np.zeros(3), {"dWx": 0.0, "dWh": 0.0, "db": 0.0}
for k in range(4, -1, -1):
    now, back = rnn.steps[k], rnn.backward[k]
    forward = now.x, now.h_prev, now.h, rnn.weights["Wh"]
    dh_prev, *shares = step_backward(back.dh_loss, dh_next, *forward)
    hint = "da Wh^T; is dh the sum of its two sources?"
    check(f"dh_prev of step {k + 1}", dh_prev, back.dh_prev, hint)
    for name, share in zip(sums, shares, strict=True):
        hint = "multiply da with x_t, with h_(t-1), with 1"
        check(f"{name} of step {k + 1}", share, back[name], hint)
        sums[name] = sums[name] + share
    dh_next = dh_prev
for name, total in sums.items():
    check(f"sum of {name}", total, rnn.totals[name], "a share a step")

# %% [markdown]
# ## Exercise 2: five suspects
#
# `SUSPECTS` holds five layers, "A" to "E". Forward they are all SimpleRNN. One is right; the other four have a fault in
# their backward pass, of the kind that people write. No peeking: question them.
#
# `nbrnn.check_gradients(model, x)` compares the backward pass with numeric gradients, by the complex step of lesson 1.
# `question(layer, steps)`, in the first cell, lists the gradients for which the two differ. For a layer that is right,
# `nbrnn.SimpleRNN`, the list is empty.

# %%
print("SimpleRNN, 1 step: ", question(nbrnn.SimpleRNN, 1))
print("SimpleRNN, 3 steps:", question(nbrnn.SimpleRNN, 3))

# %% [markdown]
# A fault has a signature: which gradients are wrong, and from how many steps on. Try `question(SUSPECTS["A"], 1)` and
# so on, think about which gradients each fault can reach, and fill in letters.

# %% tags=["exercise"]
innocent = ...  # its gradients are right
forgets_the_future = ...  # it drops dh_next
counts_the_bias_once = ...  # its db is da of the last step alone
takes_the_wrong_state = ...  # dWh is made with h_t where h_(t-1) belongs
takes_the_wrong_slope = ...  # act' is another activation's
hidden_at_one_step = ...  # two faulty ones that one step hides, as in "XY"

# %% tags=["solution"]
for letter, make in SUSPECTS.items():
    print(f"{letter}, 1 step:  {question(make, 1)}")
    print(f"{letter}, 3 steps: {question(make, 3)}")
innocent = "C"  # empty both times
forgets_the_future = "A"  # right with one step, wrong everywhere with three
counts_the_bias_once = "B"  # only the bias, where it is used more than once
takes_the_wrong_state = "D"  # only the recurrent kernel, at once
takes_the_wrong_slope = "E"  # everything, at once
hidden_at_one_step = "AB"

# %% tags=["check"]
alone = {letter: question(make, 1) for letter, make in SUSPECTS.items()}
together = {letter: question(make, 3) for letter, make in SUSPECTS.items()}


def who(one, three):
    """Return who has so many wrong gradients with 1 step, and with 3."""
    counts = {k: (len(alone[k]), len(together[k])) for k in SUSPECTS}
    return next(k for k, count in counts.items() if count == (one, three))


hint = "both lists are empty"
check("innocent", innocent, who(0, 0), hint)
hint = "with one step there is no future"
check("forgets_the_future", forgets_the_future, who(0, 4), hint)
hint = "only one gradient can be wrong"
check("counts_the_bias_once", counts_the_bias_once, who(0, 1), hint)
hint = "which gradient is made with h?"
check("takes_the_wrong_state", takes_the_wrong_state, who(1, 1), hint)
hint = "every gradient of the layer goes through act'"
check("takes_the_wrong_slope", takes_the_wrong_slope, who(4, 4), hint)
hint = "question(SUSPECTS[...], 1) is an empty list, and it is not innocent"
check("hidden_at_one_step", hidden_at_one_step, who(0, 4) + who(0, 1), hint)

# %% [markdown]
# ## Gradient check: any length, any sizes
#
# One shape proves little. The right layer passes for all of these:

# %%
rng = np.random.default_rng(7)
worst = 0.0
for _ in range(3 if QUICK else 10):
    steps, features, units = (int(n) for n in rng.integers(1, 6, 3))
    layers = [nbrnn.SimpleRNN(units), nbrnn.Dense(2)]
    shape = (steps, features)
    model = nbrnn.Sequential(layers, input_shape=shape, seed=steps)
    report = nbrnn.check_gradients(model, rng.normal(size=(2, *shape)))
    assert report.passed
    worst = max(worst, report.max_relative_error)
print(f"largest relative error: {worst:.1e}")

# %% [markdown]
# ## What to take away
#
# - `dh_next` is the error that the next step hands back: `da_(t+1) Wh^T`.
# - A weight's gradient is a sum because the weight is used at every step.
# - Check a backward pass with more than one step. A step that is right alone can be wrong in a sequence.
#
# ## What people get wrong
#
# - They put `h_t` where `h_(t-1)` belongs (suspect D), or count the bias once (suspect B).
# - They take the slope at the wrong place: with tanh it is `1 - h^2`, of the *output* h.
# - They run a second backward pass in a framework that adds gradients up, and find everything doubled. Here every pass
#   begins anew:

# %%
again = nbrnn.trace(deep, series[:5], series[1:])
for name, total in every.totals.items():
    assert (again.totals[name] == total).all()
