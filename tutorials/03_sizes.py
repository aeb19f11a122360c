# %% [markdown]
# # Lesson 3: Sizes
#
# **Question.** Why 10 units, why Dense(8), and where do the 1457 parameters come from?
#
# A table of layers says "Param # 1184", and nobody says why. In this lesson you count the numbers that a network learns
# before it exists, and the engine agrees. Then you see what more units buy you, and what they do not.

# %%
import numpy as np

import nbrnn
from nbrnn.tutorial import check, show

QUICK = nbrnn.tutorial.asked_quick()  # True: fewer epochs

# %% [markdown]
# ## Intuition
#
# A unit is one number that a layer keeps. `SimpleRNN(3)` keeps three numbers: its state. At every time step it makes
# three new ones, each from everything it sees: the features of this step, and all three numbers of the step before.
# Each pair of "from here" and "to there" has a weight, and each new number has one weight more that stands alone, the
# bias.
#
# So count the arrows. Units are not time steps: a sequence of 400 steps runs through the same three numbers, and
# through the same weights, 400 times.
#
# ## The equation
#
# With D features and H units, one step of a SimpleRNN is
#
# ```text
# h  =  tanh( x Wx  +  h_before Wh  +  b )
#
#       x   1 x D       Wx  D x H          D*H numbers
#       h   1 x H       Wh  H x H          H*H numbers
#                       b   H              H   numbers
#
# SimpleRNN   D*H + H*H + H
# Dense       F*U + U              F inputs, U units
# ```
#
# Wx is called `kernel`, Wh `recurrent_kernel`, b `bias`.

# %% [markdown]
# ## By hand
#
# This network is from the tutorial "RNN example with Keras SimpleRNN in Python" (DataTechNotes): 4 features,
# SimpleRNN(32), Dense(8), Dense(1). Fill the numbers into the equations.

# %%
simple_rnn = 4 * 32 + 32 * 32 + 32
dense = 32 * 8 + 8
dense_1 = 8 * 1 + 1
total = simple_rnn + dense + dense_1
print(f"SimpleRNN(32)  4*32 + 32*32 + 32 = {simple_rnn}")
print(f"Dense(8)       32*8 + 8          = {dense}")
print(f"Dense(1)       8*1 + 1           = {dense_1}")
print(f"all                                {total}")
assert (simple_rnn, dense, dense_1, total) == (1184, 264, 9, 1457)

# %% [markdown]
# And three smaller ones, on one feature: SimpleRNN(1) alone, SimpleRNN(5) with a Dense(1) on top, and SimpleRNN(3) with
# a Dense(1), which learns sunspots in lesson 8.

# %%
one = 1 * 1 + 1 * 1 + 1
five = (1 * 5 + 5 * 5 + 5) + (5 * 1 + 1)
three = (1 * 3 + 3 * 3 + 3) + (3 * 1 + 1)
print("SimpleRNN(1):", one)
print("SimpleRNN(5) and Dense(1):", five)
print("SimpleRNN(3) and Dense(1):", three)
assert one == 3 and five == 35 + 6 == 41 and three == 19

# %% [markdown]
# ## The engine's run
#
# (relu is a curve as tanh is one: it cuts off what is below zero. It has no weights.)

# %%
layers = [
    nbrnn.SimpleRNN(32, activation="relu"),
    nbrnn.Dense(8, activation="relu"),
    nbrnn.Dense(1),
]
model = nbrnn.Sequential(layers, input_shape=(4, 4), seed=0)
model.summary()
counts = [layer.count_params() for layer in model.layers]
assert counts == [simple_rnn, dense, dense_1]
assert model.count_params() == total

# %% [markdown]
# In the table `None` stands for the number of samples, which may be any. A float32 number takes 4 bytes, hence the
# bytes. The shapes of the arrays are the products of the equations.

# %%
for array in model.get_weights():
    print(f"{array.shape!s:<10}{array.size:5}")
print(f"{total} * 4 bytes = {total * 4}")
sizes = [array.size for array in model.get_weights()]
assert sizes == [4 * 32, 32 * 32, 32, 32 * 8, 8, 8 * 1, 1]

# %% [markdown]
# Does a longer sequence need more parameters? Count again for 4 steps of one feature and for 400 steps.

# %%
for steps in (4, 400):
    layer = nbrnn.SimpleRNN(32)
    nbrnn.Sequential([layer], input_shape=(steps, 1))
    print(steps, "steps of 1 feature:", layer.count_params(), "parameters")
    assert layer.count_params() == 1 * 32 + 32 * 32 + 32 == 1088

# %% [markdown]
# The number of steps is in no product. (4 features in one step need more than one feature in 4 steps: 1184 against
# 1088.)
#
# ## Gates: the same count, three or four times
#
# GRU and LSTM are cells with *gates*: numbers between 0 and 1 that decide how much of the old state is kept. What they
# do is for lesson 10; here they only have to be counted. A GRU (Cho and others, 2014) makes three sets of H numbers at
# every step: two gates, z and r, and a *candidate*, which is what SimpleRNN makes. Each set has weights of its own, so
# everything is there three times. An LSTM (Hochreiter and Schmidhuber, 1997; Gers and others, 2000) has three gates and
# a candidate: four times.
#
# ```text
# LSTM        4 * (D*H + H*H + H)
# GRU         3 * (D*H + H*H + H)        with one bias
#             3 * (D*H + H*H + 2*H)      with two
# ```
#
# The GRU is in use in two forms. The one that Keras and PyTorch take (`reset_after=True`) has a bias for the input and
# another one for the state; the one of the first paper has one bias. That is why two tables may disagree about the same
# GRU(10) on one feature, or GRU(300) on four.

# %%
counts = {}
for reset_after in (False, True):
    gru = nbrnn.GRU(10, reset_after=reset_after)
    model = nbrnn.Sequential([gru, nbrnn.Dense(1)], input_shape=(50, 1))
    counts[reset_after] = gru.count_params()
    print(f"reset_after={reset_after!s:<6} GRU(10): {gru.count_params()}")
assert counts[False] == 3 * (1 * 10 + 10 * 10 + 10) == 360
assert counts[True] == 3 * (1 * 10 + 10 * 10 + 2 * 10) == 390
assert model.count_params() == 390 + 11
for reset_after, wanted in ((False, 274500), (True, 275400)):
    layers = [nbrnn.GRU(300, reset_after=reset_after), nbrnn.Dense(4)]
    nbrnn.Sequential(layers, input_shape=(300, 4))
    large, head = (layer.count_params() for layer in layers)
    print(f"{reset_after!s:<6} GRU(300): {large}, Dense(4): {head}")
    assert (large, head) == (wanted, 300 * 4 + 4) and head == 1204

# %% [markdown]
# An LSTM(32) that reads 8 features at each of 3 steps, with a Dense(2) that says no or yes:

# %%
layers = [nbrnn.LSTM(32), nbrnn.Dense(2)]
classifier = nbrnn.Sequential(layers, input_shape=(3, 8))
lstm, head = (layer.count_params() for layer in classifier.layers)
print("LSTM(32):", lstm, "  Dense(2):", head)
assert lstm == 4 * (8 * 32 + 32 * 32 + 32) == 5248
assert head == 32 * 2 + 2 == 66

# %% [markdown]
# ## The picture
#
# The GRU as boxes, with the arithmetic beside them.

# %%
show(nbrnn.plot_model(model, title="GRU(10) and Dense(1)"), "gru-10")

# %%
title = "LSTM(32) and Dense(2)"
show(nbrnn.plot_model(classifier, title=title), "lstm-32")

# %% [markdown]
# ## So why 10 units?
#
# Nobody can tell you a number from the count alone. But you can ask what the network must keep in mind. Here is a task
# where the answer is known: read four numbers, and say which one came second.
#
# The same weights work at every step, so the network does not know which number is the second of the four until it is
# over: it must keep the last three at any time. Three units can do it. Push each number along by one place, as on a
# shelf. You can write these weights yourself.

# %%
shelf = nbrnn.Sequential(
    [
        nbrnn.SimpleRNN(3, "linear", use_bias=False),
        nbrnn.Dense(1, use_bias=False),
    ],
    input_shape=(4, 1),
    dtype="float64",
)
Wx = [[1, 0, 0]]  # the new number goes to place 0
Wh = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]  # 0 to 1, 1 to 2, 2 falls off
Wy = [[0], [0], [1]]  # read place 2
shelf.set_weights([Wx, Wh, Wy])
print(shelf.predict([[[5], [6], [7], [8]]]))
assert shelf.predict([[[5], [6], [7], [8]]]).tolist() == [[6]]

# %% [markdown]
# Can it be learned, and by how many units? Train networks with 1, 2, 3 and 5 units on random sequences. For each number
# of units three seeds compete, and the best loss counts: one seed may be unlucky. (The loss is the mean squared error;
# Adam is a way to train, and 0.02 is how far it goes at a time. Lesson 7 computes it by hand.)

# %%
rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, size=(400, 4, 1))
second = x[:, 1]
best = {}
for units in (1, 2, 3, 5):
    losses = []
    for seed in range(3):
        layers = [nbrnn.SimpleRNN(units, "linear"), nbrnn.Dense(1)]
        net = nbrnn.Sequential(layers, input_shape=(4, 1), seed=seed)
        net.compile(nbrnn.Adam(0.02), "mse")
        epochs = 50 if QUICK else 200  # times through all samples
        history = net.fit(x, second, epochs=epochs, verbose=0).history
        losses.append(history["loss"][-1])
    best[units] = min(losses)
    size = net.count_params()
    print(f"units {units}  parameters {size:2}  loss {best[units]:.1e}")
assert best[1] > 0.1 and best[2] > 1e-4
assert best[3] < 1e-6 and best[5] < 1e-6

# %% [markdown]
# One unit does not get there. Two come nearer, by pressing three numbers into two. Three do it, and five do it no
# better: they only cost more, and with few examples they can learn its noise by heart. So begin small, double the units
# while the error on data that was not trained on falls, and stop when it does not.
#
# Mind how the price grows: the H*H of Wh wins. Twice the units are nearly four times the parameters.

# %%
for units in (8, 16, 32, 64):
    layer = nbrnn.SimpleRNN(units)
    nbrnn.Sequential([layer], input_shape=(4, 1))
    print(f"{units:3} units {layer.count_params():6} parameters")
assert layer.count_params() / 1088 > 3.8  # 64 units against 32

# %% [markdown]
# ## And why Dense(8)?
#
# The SimpleRNN(32) hands over 32 numbers. A Dense(1) could turn them into the answer at once, with 33 parameters. The
# Dense(8) in between lets the network bend: its relu cuts off what is below zero, and sums of such pieces can follow a
# curve. Without an activation it would be of no use at all: two products of matrices are one product.

# %%
layers = [nbrnn.Dense(8), nbrnn.Dense(1)]  # both linear
two = nbrnn.Sequential(layers, input_shape=(32,), seed=1, dtype="float64")
W1, b1, W2, b2 = two.get_weights()
one = nbrnn.Sequential([nbrnn.Dense(1)], input_shape=(32,), dtype="float64")
one.set_weights([W1 @ W2, b1 @ W2 + b2])
states = rng.normal(size=(5, 32))
difference = np.abs(two.predict(states) - one.predict(states)).max()
many, few = two.count_params(), one.count_params()
print(f"{many} parameters do what {few} can do")
print(f"largest difference {difference:.0e}")
assert (many, few) == (273, 33)
assert difference < 1e-12

# %% [markdown]
# The 8 is a choice, like the 10. It is small because the answer is one number.

# %% [markdown]
# ## Exercise 1: a GRU
#
# How many parameters has a GRU, from its features, its units, and `reset_after`, which is True or False?


# %% tags=["exercise"]
def gru_params(features, units, reset_after):
    return ...


# %% tags=["solution"]
def gru_params(features, units, reset_after):
    biases = 2 if reset_after else 1
    return 3 * (features * units + units * units + biases * units)


# %% tags=["check"]
for case in ((1, 10, True), (1, 10, False), (4, 300, True)):
    features, units, reset_after = case
    gru = nbrnn.GRU(units, reset_after=reset_after)
    nbrnn.Sequential([gru], input_shape=(None, features))
    hint = "three sets of weights; with reset_after each has two biases."
    check(f"gru_params{case}", gru_params(*case), gru.count_params(), hint)

# %% [markdown]
# ## Exercise 2: an LSTM with a head
#
# How many parameters have an LSTM and a Dense layer on top of it, together?


# %% tags=["exercise"]
def lstm_and_dense_params(features, units, outputs):
    return ...


# %% tags=["solution"]
def lstm_and_dense_params(features, units, outputs):
    lstm = 4 * (features * units + units * units + units)
    return lstm + units * outputs + outputs


# %% tags=["check"]
for case in ((8, 32, 2), (1, 10, 1), (3, 7, 5)):
    features, units, outputs = case
    layers = [nbrnn.LSTM(units), nbrnn.Dense(outputs)]
    both = nbrnn.Sequential(layers, input_shape=(None, features))
    hint = "four sets for the LSTM; Dense reads its units, and has biases."
    yours = lstm_and_dense_params(*case)
    check(f"lstm_and_dense_params{case}", yours, both.count_params(), hint)

# %% [markdown]
# ## Exercise 3: backwards
#
# A table says: SimpleRNN on one feature, 120 parameters. How many units? (Trying is allowed.)

# %% tags=["exercise"]
units_of_120 = ...  # a whole number

# %% tags=["solution"]
units_of_120 = 10  # 1*10 + 10*10 + 10

# %% tags=["check"]
found = None
for units in range(1, 20):
    layer = nbrnn.SimpleRNN(units)
    nbrnn.Sequential([layer], input_shape=(None, 1))
    if layer.count_params() == 120:
        found = units
check("units_of_120", units_of_120, found, "try some H: H + H*H + H = 120.")

# %% [markdown]
# ## Gradient check: one slope for each parameter
#
# Training moves every parameter, so it needs as many slopes as there are parameters, not one less. Here are those of a
# GRU(3) with a Dense(1) on two features, each compared with the complex step of lesson 1.

# %%
layers = [nbrnn.GRU(3), nbrnn.Dense(1)]
small = nbrnn.Sequential(layers, input_shape=(4, 2), seed=0)
small.compile(optimizer="sgd", loss="mse")
x = rng.normal(size=(2, 4, 2))
y = rng.normal(size=(2, 1))
report = nbrnn.check_gradients(small, x, y)
print(report)
assert report.passed

# %%
slopes = 0
for name, gradient in report.gradients.items():
    if name.startswith(("gru/", "dense/")) and not name.endswith("h0"):
        slopes += gradient.size
print(slopes, "slopes for", small.count_params(), "parameters")
assert slopes == small.count_params() == 3 * (2 * 3 + 3 * 3 + 2 * 3) + 4

# %% [markdown]
# The two other rows of the report, `x` and `gru/h0`, are the slopes of the input and of the first state. Training does
# not move them, but a layer below or a step before needs them: they are how the error travels on.
#
# ## What to take away
#
# - SimpleRNN D*H + H*H + H; LSTM four times that, GRU three times, with one bias more in Keras' form. Dense F*U + U.
# - The number of time steps is in none of them: the weights are used again at every step.
# - Units are what the network can keep in mind. Too few cannot do it, too many cost about H*H.
# - One slope for each parameter.
#
# ## What people get wrong
#
# - They take units for time steps. SimpleRNN(12) is not a window of 12.
# - They forget the bias: 4*32 + 32*32 is 1152, and the table says 1184.
# - They shape four time steps as (1, 4): one step with four features. Nothing complains, and the count is 1184 where it
#   should be 1088. If the first layer's count surprises you, look at the shape.
# - They compare a GRU of 360 parameters with one of 390 and look for the error in the wrong place.

# %%
assert 4 * 32 + 32 * 32 == 1152
wrong = nbrnn.SimpleRNN(32)
nbrnn.Sequential([wrong], input_shape=(1, 4))
print("input_shape=(1, 4):", wrong.count_params(), "parameters")
assert wrong.count_params() == 1184
