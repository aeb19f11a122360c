# %% [markdown]
# # Lesson 2: One cell by hand
#
# **Question.** What does a recurrent cell compute? Why does it have weights before `fit()`, and why does my computer
# print another number than the text that I follow?
#
# You need a pencil, or Python as a pocket calculator. You will compute a small network over three time steps yourself,
# number by number. Then the engine computes it, and the numbers must be the same.
#
# ## Intuition
#
# A recurrent cell reads a sequence one step at a time, as you read a sentence one word at a time. It keeps a few
# numbers, its *state*, written h. At every step it makes a new state out of two things: what it reads now, x, and the
# state that it had one step before. At the beginning there is nothing to remember: the state before step 1 is zero.
#
# ## The equation
#
# ```text
# h_t = x_t Wx + h_(t-1) Wh + b        the state after step t
# o   = h_T Wy + by                    the output, from the last state
# ```
#
# Wx, Wh and Wy are tables of *weights*: numbers to multiply with. b and by are *biases*: numbers to add. They are the
# same at every step. Usually a curve such as tanh bends the result of the first line. We leave it out at first, so that
# there is only multiplying and adding. (This is Elman's network, 1990; Keras calls the cell SimpleRNN.)
#
# The weights below are those of a tutorial by MachineLearningMastery, "Understanding simple recurrent neural networks
# in Keras", so that you can compare with it. The sequence is 1, 2, 3.

# %%
import math

import numpy as np

import nbrnn
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # nothing here takes long

Wx = np.array([[0.18662322, -1.2369459]])
Wh = np.array([[0.86981213, -0.49338293], [0.49338293, 0.8698122]])
b = np.array([0.0, 0.0])
Wy = np.array([[-0.4635998], [0.6538409]])
by = np.array([0.0])
sequence = np.array([[1.0], [2.0], [3.0]])  # 3 time steps, 1 feature
batch = sequence[np.newaxis]  # networks take many sequences at once


def build(activation="linear", dtype="float64", seed=None):
    """Return a network of two units; seed and dtype come below."""
    layers = [nbrnn.SimpleRNN(2, activation), nbrnn.Dense(1)]
    shape = (None, 1)  # any number of time steps, 1 feature
    return nbrnn.Sequential(layers, shape, seed, dtype)


# %% [markdown]
# ## By hand
#
# The state has two numbers. Let us call the two *units* that make them p and q. Each weight leads from somewhere to
# somewhere, so it gets a name that says so. (In Wh a row is where a number comes from, a column is where it goes.) The
# biases are zero, so we leave them out. Step 1:

# %%
x_to_p, x_to_q = 0.18662322, -1.2369459
p_to_p, p_to_q = 0.86981213, -0.49338293
q_to_p, q_to_q = 0.49338293, 0.8698122

x = 1
p0, q0 = 0, 0  # nothing to remember yet
from_x = x * x_to_p
from_p = p0 * p_to_p
from_q = q0 * q_to_p
p1 = from_x + from_p + from_q
print(f"p1 = {p1:.8f}")

from_x = x * x_to_q
from_p = p0 * p_to_q
from_q = q0 * q_to_q
q1 = from_x + from_p + from_q
print(f"q1 = {q1:.8f}")

# %% [markdown]
# Step 2. The same six weights again; only x is new, and the old state is no longer zero.

# %%
x = 2
from_x = x * x_to_p
from_p = p1 * p_to_p
from_q = q1 * q_to_p
p2 = from_x + from_p + from_q
print(f"p2 = {from_x:.8f} {from_p:+.8f} {from_q:+.8f} = {p2:.8f}")

from_x = x * x_to_q
from_p = p1 * p_to_q
from_q = q1 * q_to_q
q2 = from_x + from_p + from_q
print(f"q2 = {from_x:.8f} {from_p:+.8f} {from_q:+.8f} = {q2:.8f}")

# %% [markdown]
# Step 3, and then the output, which is made from the last state only, by two more weights. Use the pencil before you
# read on: x is 3, and the old state is (p2, q2).

# %%
x = 3
p3 = x * x_to_p + p2 * p_to_p + q2 * q_to_p
q3 = x * x_to_q + p2 * p_to_q + q2 * q_to_q
print(f"p3 = {p3:.8f}, q3 = {q3:.8f}")
p_to_o, q_to_o = -0.4635998, 0.6538409
o3 = p3 * p_to_o + q3 * q_to_o
print(f"o3 = {p3 * p_to_o:.8f} {q3 * q_to_o:+.8f} = {o3:.8f}")

by_hand = np.array([(p1, q1), (p2, q2), (p3, q3)])
published = [  # the tutorial's h1, h2, h3; and its o3 is -3.86981216
    (0.18662322, -1.23694587),
    (-0.07471441, -3.64187904),
    (-1.30195881, -6.84172557),
]
farthest = max(np.abs(by_hand - published).max(), abs(o3 - -3.86981216))
print(f"the tutorial's states and o3 are at most {farthest:.0e} away")
assert farthest < 1e-6
exact = [-1.3019588453, -6.8417257964, -3.8698122919]
assert np.allclose([p3, q3, o3], exact, rtol=0, atol=1e-9)

# %% [markdown]
# The tutorial's numbers, but for the last digits. Why those differ comes below.
#
# Now with NumPy. Multiplying and adding, column by column of a table, is what `@` does. With it a step fits into one
# line, and the line is the equation from above. x_t and h are rows of numbers, and they stand left of the tables.

# %%
h = np.zeros(2)
for t, x_t in enumerate(sequence, start=1):
    h = x_t @ Wx + h @ Wh + b
    print(f"h{t} = {h}")
    assert np.allclose(h, by_hand[t - 1], rtol=0, atol=1e-12)
o = h @ Wy + by
print(f"o3 = {o[0]:.10f}")
assert abs(o[0] - o3) < 1e-12

# %% [markdown]
# ## The engine's run
#
# `nbrnn.SimpleRNN(2)` is the cell, `nbrnn.Dense(1)` makes the output from the last state. `set_weights()` puts our
# weights into the network. It wants them in the order in which `get_weights()` returns them: for each layer, from the
# input to the output, first what multiplies its input, then what multiplies its state (if it has one), then its bias.

# %%
model = build()
model.set_weights([Wx, Wh, b, Wy, by])
print("shapes:", *[weight.shape for weight in model.get_weights()])
print("input: ", batch.shape, "is 1 sequence, 3 time steps, 1 feature")
predicted = model.predict(batch)[0, 0]
print(f"o3 by hand    {o3:.10f}")
print(f"o3 of nbrnn   {predicted:.10f}")
assert abs(predicted - o3) < 1e-12

# %% [markdown]
# ## Weights before fit()
#
# Nobody has trained the next three networks. They have weights all the same: whoever builds a network gives it random
# numbers to begin with. Training, a call of `fit()`, does not make weights, it changes those that are there. So an
# untrained network answers too, only not sensibly.

# %%
answers = []
for seed in (0, 1, 0):
    untrained = build(seed=seed)
    answers.append(untrained.predict(batch)[0, 0])
    print("seed", seed, "Wx", untrained.get_weights()[0], "o", answers[-1])
assert answers[0] == answers[2] != answers[1]

# %% [markdown]
# The *seed* decides which random numbers are drawn: seed 0 gave the same answer twice, seed 1 another one. If you name
# no seed, each network draws its own. And the same seed means other numbers in another program, because each program
# has its own way to draw. That is by far the largest reason why your number is not the one in a text. To compare with
# somebody, hand over the weights themselves, as we did above.
#
# The other reason is small: most engines, this one too, compute in *float32* unless told otherwise. That is 4 bytes for
# a number, about 7 digits. We asked for float64: 8 bytes, about 16 digits, as Python itself has them.

# %%
for kind in ("float32", "float64"):
    size, digits = np.dtype(kind).itemsize, -np.log10(np.finfo(kind).eps)
    print(f"{kind}: {size} bytes, about {digits:.0f} digits")
model32 = build(dtype="float32")
model32.set_weights([Wx, Wh, b, Wy, by])
predicted32 = float(model32.predict(batch)[0, 0])
keras = -3.8698118  # what the tutorial's network printed, float32 too
print(f"o3 in float32   {predicted32:.10f}  off by {predicted32 - o3:.1e}")
print(f"the tutorial's  {keras:.7f}     off by {keras - o3:.1e}")
assert 0 < abs(predicted32 - o3) < 1e-6 and 0 < abs(keras - o3) < 1e-6

# %% [markdown]
# Both are right. Two float32 programs may add the same numbers in another order, and then they round in another way. So
# compare float32 results to about six digits, never with `==`. A difference in the seventh digit is rounding. A
# difference in the second digit is another weight, or a mistake.
#
# A *trace* is the engine's own record of every number. Here is its step 2 (`steps=[1]`, for Python counts from 0). Find
# the three products of each unit; then see that all three steps are yours.

# %%
trace = nbrnn.trace(model, sequence)
print(trace.text(steps=[1], layers=["simple_rnn"], digits=8))
print()
for t, step in enumerate(trace.steps, start=1):
    print(f"step {t}: from {step.h_prev} and {step.x} to {step.h}")
    assert np.allclose(step.h, by_hand[t - 1], rtol=0, atol=1e-12)
assert abs(trace.output[0] - o3) < 1e-12

# %% [markdown]
# ## The picture
#
# It has three boxes h, but there is only one cell. It was used three times, and the drawing is *unrolled*: one box for
# each use. The boxes share their weights. How many boxes there are depends on the sequence; how many numbers stand in
# one is the number of *units*, which you choose: `SimpleRNN(2)`. More steps need no new weights, more units do.

# %%
for units, steps in ((2, 3), (2, 300), (4, 3)):
    layers = [nbrnn.SimpleRNN(units), nbrnn.Dense(1)]
    count = nbrnn.Sequential(layers, (steps, 1)).count_params()
    print(f"{units} units, {steps:>3} steps: {count} weights and biases")
    assert count == units + units * units + units + units + 1
show(nbrnn.plot_unrolled(trace), "unrolled")

# %% [markdown]
# ## Wh turns the state
#
# The four numbers of Wh look arbitrary, but they are not. They are the cosine and the sine of one angle: multiplying
# with this table turns the point (p, q) about the origin and keeps its distance.

# %%
angle = math.degrees(math.atan2(q_to_p, p_to_p))
print(f"the angle is {angle:.3f} degrees")
assert round(angle, 3) == 29.563
cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
assert np.allclose(Wh, [[cos, -sin], [sin, cos]], rtol=0, atol=1e-6)

for table in (Wh, untrained.get_weights()[1]):  # ours, and a new one
    distance, turned = math.hypot(p2, q2), math.hypot(*([p2, q2] @ table))
    print(f"distance of h2 {distance:.6f}, turned {turned:.6f}")
    assert abs(turned - distance) < 1e-6

# %% [markdown]
# So Wh was drawn at random, but only among the tables that keep distances. They are called *orthogonal*, and recurrent
# layers begin with one on purpose: multiplying with it at step after step neither shrinks what is remembered nor blows
# it up. Lesson 9 shows what happens otherwise. Training may change Wh later.
#
# ## With tanh
#
# A real cell bends each sum with tanh, which brings any number into the range from -1 to 1. Everything else stays.

# %%
h = np.zeros(2)
for t, x_t in enumerate(sequence, start=1):
    h = np.tanh(x_t @ Wx + h @ Wh + b)
    print(f"h{t} = {h}")
o_tanh = (h @ Wy + by)[0]
print(f"o3 = {o_tanh:.10f}")
exact = [0.1675505239, -0.9998118847, -0.7313942919]
assert np.allclose([*h, o_tanh], exact, rtol=0, atol=1e-9)
model_tanh = build("tanh")
model_tanh.set_weights([Wx, Wh, b, Wy, by])
assert abs(o_tanh - model_tanh.predict(batch)[0, 0]) < 1e-12

# %% [markdown]
# ## Exercise 1: a shorter sequence
#
# - h2, o2: state (a pair) and output if the sequence is 1, 2 and ends there. The same weights, no tanh.
# - o2_turned: the output if the sequence is 2, 1. Guess first: does the order matter?
#
# Let Python compute: Wx, Wh and Wy are those of the first cell. If you type numbers, give six digits.

# %% tags=["exercise"]
h2 = ...
o2 = ...
o2_turned = ...

# %% tags=["solution"]
h2 = 2.0 * Wx[0] + (1.0 * Wx[0]) @ Wh
o2 = (h2 @ Wy)[0]
o2_turned = ((1.0 * Wx[0] + (2.0 * Wx[0]) @ Wh) @ Wy)[0]

# %% tags=["check"]
engine = build()
engine.set_weights([Wx, Wh, b, Wy, by])
one_two, two_one = nbrnn.trace(engine, [1, 2]), nbrnn.trace(engine, [2, 1])
hint = "2 * Wx[0] plus h1 @ Wh; h1 is 1 * Wx[0]. A pair has the shape (2,)."
check("h2", h2, one_two.steps[1].h, hint, tolerance=1e-6)
check("o2", o2, one_two.output[0], "use h2 and Wy.", tolerance=1e-6)
hint = "begin anew: the first state comes from x = 2, the second from 1."
check("o2_turned", o2_turned, two_one.output[0], hint, tolerance=1e-6)

# %% [markdown]
# ## Exercise 2: find the weight that gives 0.9
#
# A cell with one unit and tanh reads x = 3. Its old state is h = 0.4, its weights are wh = 0.5 and b = 0.1. Which wx
# makes the new state exactly 0.9?
#
# - a: which value must the sum before tanh have? (`math.atanh` undoes tanh.)
# - wx: the sum is a = x wx + h wh + b; solve it for wx.

# %% tags=["exercise"]
a = ...
wx = ...

# %% tags=["solution"]
a = math.atanh(0.9)
wx = (a - 0.4 * 0.5 - 0.1) / 3

# %% tags=["check"]
check("a", a, 1.4722194896, "tanh(a) must be 0.9.", tolerance=1e-6)
right_wx = (1.4722194896 - 0.4 * 0.5 - 0.1) / 3
unit = nbrnn.Sequential([nbrnn.SimpleRNN(1, "tanh")], (1, 1))
unit.set_weights([[[right_wx]], [[0.5]], [0.1]])
new = unit.predict([[[3.0]]], initial_state=[[[0.4]]])[0, 0]
assert abs(new - 0.9) < 1e-6  # the engine agrees
hint = "x wx = a - h wh - b; then divide by x."
check("wx", wx, right_wx, hint, tolerance=1e-6)

# %% [markdown]
# ## Gradient check: the output's weights
#
# Say the answer should have been 4. The *loss* says how wrong o3 is: L = (o3 - 4)^2. Training asks of each weight: if
# it grew a little, how would L change? The answer is the weight's *gradient*. For Wy it takes one line.
#
# If o3 grows a little, L changes 2 (o3 - 4) times as much. If p_to_o grows a little, o3 changes p3 times as much. One
# after the other means times:
#
# ```text
# dL/dWy = 2 (o3 - 4) h3
# ```
#
# Do not believe it: try it. Make the weight a little larger, then a little smaller, and see what the loss does.


# %%
def loss(p_to_o, q_to_o):
    return (p3 * p_to_o + q3 * q_to_o - 4) ** 2


formula = np.array([2 * (o3 - 4) * p3, 2 * (o3 - 4) * q3])
e = 0.001  # a little
larger, smaller = loss(p_to_o + e, q_to_o), loss(p_to_o - e, q_to_o)
tried_p = (larger - smaller) / (2 * e)
larger, smaller = loss(p_to_o, q_to_o + e), loss(p_to_o, q_to_o - e)
tried_q = (larger - smaller) / (2 * e)
print(f"by the formula  {formula[0]:.10f}  {formula[1]:.10f}")
print(f"by trying       {tried_p:.10f}  {tried_q:.10f}")
known = [20.4923434493, 107.6861955404]
assert np.allclose(formula, known, rtol=0, atol=1e-9)
assert np.allclose(formula, [tried_p, tried_q], rtol=0, atol=1e-8)

# %% [markdown]
# The engine computes gradients backward, from the loss to the weights; with a target, the trace holds them.
# `check_gradients` tries every number of the network as you just tried two, only in a more exact way. Its rows are Wx
# (a layer's kernel), Wh (its recurrent kernel), b, Wy, by, the sequence x and the first state. The last column says how
# far the backward pass and the trial are apart.

# %%
model.compile(loss="mse")  # mean squared error; here of one number
in_trace = nbrnn.trace(model, sequence, 4).totals["dense/kernel"].ravel()
print("the engine's dL/dWy:", in_trace)
assert np.allclose(in_trace, formula, rtol=0, atol=1e-9)
report = nbrnn.check_gradients(model, batch, [[4.0]])
print(report)
assert report.passed

# %% [markdown]
# Wy was easy, because h3 does not depend on it. Wh is harder: it made h3 out of h2, but it had made h2 as well. Hold h2
# still, and you get the *immediate* derivative of h3. Follow every way by which Wh comes in, and you get the *total*
# one. Training needs the total one, and that is what the engine gives. Lesson 5 takes it apart.
#
# ## What to take away
#
# - A step: new state = input times Wx + old state times Wh + b. Then a curve, usually tanh.
# - The same weights serve every step. Units say how wide the state is, steps how often the cell is used.
# - Networks begin with random weights. Equal numbers need equal weights, not only equal code.
# - `get_weights()` gives Wx, Wh, b of the recurrent layer, then Wy, by of the Dense layer.
#
# ## What people get wrong
#
# - They expect the text's number from random weights of their own. Use `set_weights()`.
# - They compare float32 numbers with `==`. Ask for six digits.
# - They number the numbers and not the steps, when a step has several features. Step t is a row, `x[t, :]`: lesson 6.
# - They count three cells in the unrolled picture. It is one cell, used three times.
# - They put Wh left of h. Here h is a row, so it is `h @ Wh`. (Books in which h is a column turn both round.)
