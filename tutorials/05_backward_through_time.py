# %% [markdown]
# # Lesson 5: Backward through time
#
# **Question.** The same weights are used at every step. When the answer at the end is wrong, which use is to blame, and
# what are `dh_next` and that sum doing in every implementation of a recurrent network?
#
# You need lesson 2 (one cell by hand). You will follow the blame from the end of a sequence to its beginning, write one
# step of it yourself, and then question five layers, four of which have a fault. In this lesson `dh` means: how much
# the loss grows if h grows a little. It is the gradient of h, and so with every other name.

# %%
import numpy as np

import nbrnn
from nbrnn.suspects import SUSPECTS
from nbrnn.testing import assert_gradients, random_array, random_model
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # True: fewer random networks


def question(make, steps):
    """Return which gradients of a layer are wrong; for exercise 2."""
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
# Now backwards. The loss is `(h3 - target)^2`, so if `h3` grows a little, it grows `dh3 = 2 (h3 - target)` times as
# much. `h2` acts on the loss only through `h3`, and there it is multiplied by `w`: so `dh2 = dh3 * w`. That handed-back
# number is what implementations call `dh_next`: at step 2 it is what the *next* step (3) hands back.

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
# - the **immediate** one, `dh3 * h2`, here the last share: only the last use of `w` moves, the state before it is held;
# - the **total** one, the sum over all steps: what training needs.
#
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
# This is backpropagation through time (Werbos, 1990, "Backpropagation through time: what it does and how to do it").
# `+=` is the sum over the uses. `act'` is the slope of the activation. `^T` turns a row into a column: column times row
# is a table of all products, `np.outer(x_t, da_t)`. And `da_t Wh^T` goes back through the table Wh: `da_t @ Wh.T`.
#
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
#
# Is it right? Wiggle each of the four numbers of Wh, as before with w. (At the end of the cell stand all gradients with
# their digits, for whoever computes along with a pencil.)

# %%
print("lengths of dh", [f"{np.linalg.norm(dh):.6f}" for dh in dhs])


def loss_of(Wh):
    state = np.zeros(2)
    for x_t in X:
        state = x_t @ Wx + state @ Wh + b
    return (state @ Wy + by - 4)[0] ** 2


wiggled = np.zeros((2, 2))
for place in np.ndindex(2, 2):
    e = np.zeros((2, 2))  # one number is wiggled, the others are held
    e[place] = 1e-5
    wiggled[place] = (loss_of(Wh + e) - loss_of(Wh - e)) / 2e-5
print(f"by wiggling:\n{wiggled}")
assert np.allclose(wiggled, sum(dWh_terms), rtol=0, atol=1e-6)

known = [1.5868809615, -0.2297678111, -40.7057794592, 44.0985643947]  # dWh
known += [57.3168436853, -40.594126838]  # dWx
known += [31.2986419163, -14.6604453498]  # db, the sum of the dh
known += [12.5773270, 0.9820258, 11.4244282, -5.3512609]  # dh1, dh2
known += [7.2968868, -10.2912103]  # dh3
ours = np.concatenate([sum(dWh_terms), sum(dWx_terms), [sum(dhs)], dhs])
assert np.allclose(ours.ravel(), known, rtol=0, atol=1e-6)

# %% [markdown]
# ## The engine's run, number for number
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
#
# ## Exercise 1: one step back
#
# Write the step for tanh. `dh_loss` and `dh_next` are what reaches h_t from the loss and from step t + 1. Return
# `dh_prev` (for step t - 1) and this step's shares of the three gradients. The slope of tanh is `1 - h_t ** 2`. dWx and
# dWh are tables, all the rest are rows of numbers.


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
    if k >= 3:  # the last step has no future
        hint = "da = (dh_loss + dh_next) * slope, then da @ Wh.T"
        check(f"dh_prev of step {k + 1}", dh_prev, back.dh_prev, hint)
    for name, share in zip(sums, shares, strict=True):
        if k == 4:
            hint = "np.outer of x_t or h_prev with da; db is da"
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
# A fault has a signature: which gradients are wrong, and from how many steps on. Write `print(question(SUSPECTS["A"],
# 1))` and so on into your file of answers, run it with `python`, and think about which gradients each fault can reach.
# Every answer is a letter in quotes, such as "A".

# %% tags=["exercise"]
innocent = ...  # its gradients are right
forgets_the_future = ...  # it drops dh_next
counts_the_bias_once = ...  # its db is da of the last step alone
takes_the_wrong_state = ...  # dWh is made with h_t where h_(t-1) belongs
takes_the_wrong_slope = ...  # act' is another activation's
hidden_at_one_step = ...  # the two faulty ones that one step hides, as "XY"

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


hint = "both lists are empty, with 1 step and with 3"
check("innocent", innocent, who(0, 0), hint)
hint = "right with 1 step: there is no future; with 3 all is wrong"
check("forgets_the_future", forgets_the_future, who(0, 4), hint)
hint = "only one gradient can be wrong, and with 1 step it is right"
check("counts_the_bias_once", counts_the_bias_once, who(0, 1), hint)
hint = "which gradient is made with h? it is wrong with 1 step too"
check("takes_the_wrong_state", takes_the_wrong_state, who(1, 1), hint)
hint = "every gradient of the layer goes through act'"
check("takes_the_wrong_slope", takes_the_wrong_slope, who(4, 4), hint)
hint = "two have a fault, and yet question(SUSPECTS[...], 1) gives []"
if isinstance(hidden_at_one_step, str):
    hidden_at_one_step = "".join(sorted(hidden_at_one_step.upper()))
check("hidden_at_one_step", hidden_at_one_step, who(0, 4) + who(0, 1), hint)

# %% [markdown]
# ## Gradient check: any length, any sizes
#
# One shape proves little. A *property* is what must hold for all of them: backpropagation is right for any number of
# steps T, features D and units H. `nbrnn.testing` draws weights and inputs at random, equal numbers would hide a
# mistake, and `assert_gradients` stops if one gradient is wrong. It is made for tests of your own layers.

# %%
rng = np.random.default_rng(0)
for draw in range(4 if QUICK else 12):
    T, D, H = (int(n) for n in rng.integers(1, 7, size=3))
    layers = [nbrnn.SimpleRNN(H), nbrnn.Dense(2)]
    drawn = random_model(layers, (T, D), seed=draw, loss="mse")
    assert_gradients(drawn, random_array((2, T, D), seed=draw))
    print(f"T = {T}, D = {D}, H = {H}: right")

# %% [markdown]
# A test that cannot fail is worth nothing. So the same with the suspects:

# %%
found = 0
for make in SUSPECTS.values():
    suspect = random_model([make(3), nbrnn.Dense(1)], (4, 2), seed=1)
    try:
        assert_gradients(suspect, random_array((2, 4, 2), seed=1))
    except AssertionError as error:
        found += 1
        assert "a gradient is wrong" in str(error)
print(f"{found} of {len(SUSPECTS)} suspects are found out")
assert found == 4

# %% [markdown]
# ## What to take away
#
# - `dh_next` is the error that the next step hands back: `da_(t+1) Wh^T`.
# - A weight's gradient is a sum because the weight is used at every step.
# - Check a backward pass with more than one step. A step that is right alone can be wrong in a sequence.
#
# ## What people get wrong
#
# - They put `h_t` where `h_(t-1)` belongs, or count the bias once.
# - They take the slope at the wrong place: with tanh it is `1 - h^2`, of the *output* h.
# - They run a second backward pass in a framework that adds gradients up, and find everything doubled. Here every pass
#   begins anew:

# %%
again = nbrnn.trace(deep, series[:5], series[1:])
for name, total in every.totals.items():
    assert (again.totals[name] == total).all()
