"""Slow, obvious twins of every kernel, in float64 or complex128, with a loop over every number.

A twin takes the arguments of its kernel by name and returns what it expects in the arrays that the kernel writes. What
is left out (scratch space) is not compared. `Trainer` puts the twins together to a whole model that learns.

Letters as in the kernels: T steps, B samples, D features, H units, N rows, F features in, O features out.
"""

import math

import numpy as np
from reference_losses import mse

ACTIVATIONS = ("linear", "tanh", "sigmoid", "relu", "softsign", "elu", "hard_sigmoid")
POSITION, BATCH, SHARDS, STEP, EPOCH, SEED, STATUS = range(7)


def zeros(*arrays_and_shape):
    """Return zeros of a shape (last), complex if one of the arrays is."""
    *arrays, shape = arrays_and_shape
    return np.zeros(shape, np.result_type(np.float64, *(a for a in arrays if a is not None)))


# ---------------------------------------------------------------- activations


def act(a, code):
    name = ACTIVATIONS[code]
    if name == "linear":
        return a
    if name == "tanh":
        return np.tanh(a)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-a)) if a.real > 0 else np.exp(a) / (1 + np.exp(a))
    if name == "relu":
        return a if a.real > 0 else 0 * a
    if name == "softsign":
        return a / (1 + a) if a.real > 0 else a / (1 - a)
    if name == "elu":
        return a if a.real > 0 else np.expm1(a)
    if a.real < -3:
        return 0 * a
    return 0 * a + 1 if a.real > 3 else (a + 3) / 6


def slope(y, code):
    """The derivative of act, told from its value."""
    name = ACTIVATIONS[code]
    if name == "tanh":
        return (1 - y) * (1 + y)
    if name == "sigmoid":
        return y - y * y
    if name == "relu":
        return 1.0 if y.real > 0 else 0.0
    if name == "softsign":
        return (1 - y) ** 2 if y.real > 0 else (1 + y) ** 2
    if name == "elu":
        return 1.0 if y.real > 0 else 1 + y
    if name == "hard_sigmoid":
        return 1 / 6 if 0 < y.real < 1 else 0.0
    return 1.0


def activation_backward(y, dy, activation, da):
    return {"da": np.array([[dy[n, o] * slope(y[n, o], activation) for o in range(y.shape[1])] for n in range(len(y))])}


# ---------------------------------------------------------------- layers


def turns(steps, like):
    """Return what is left of all steps in an array of fewer, which take turns; None keeps them all.

    Rows of the array may be longer.
    """
    if like is None:
        return steps
    left = like[..., : steps.shape[-1]].astype(np.result_type(like, steps))
    for t, one in enumerate(steps):
        left[t % len(like)] = one
    return left


def simple_rnn_forward(x, Wx, Px, Wh, Ph, b, activation, initial, h, a):
    (T, B, D), H = x.shape, len(Wh)
    new_h, new_a = zeros(x, Wx, (T + 1, B, H)), zeros(x, Wx, (T, B, H))
    new_h[0] = h[0]
    for t in range(T):
        for i in range(B):
            for j in range(H):
                s = 0.0 if b is None else b[j]
                for d in range(D):
                    s += x[t, i, d] * Wx[d, j]
                for k in range(H):
                    if t > 0 or initial:
                        s += new_h[t, i, k] * Wh[k, j]
                new_a[t, i, j] = s
                new_h[t + 1, i, j] = act(s, activation)
    return {"h": turns(new_h, h), "a": new_a}


def simple_rnn_backward(Wh, PT, h, activation, dh, da, dh0, add=0):
    (T, B), H, K = da.shape[:2], len(Wh), len(dh)
    new_da, total = zeros((T, B, H)), zeros((T, B, H))  # total: dL/dh_t from the loss and from the future
    before = dh0.copy() if add and dh0 is not None else zeros((B, H))
    for t in reversed(range(T)):
        for i in range(B):
            for j in range(H):
                loss = dh[t, i, j] if K == T else (dh[0, i, j] if t == T - 1 else 0.0)
                total[t, i, j] += loss
                new_da[t, i, j] = total[t, i, j] * slope(h[t + 1, i, j], activation)
            for k in range(H):
                for j in range(H):
                    if t > 0:
                        total[t - 1, i, k] += new_da[t, i, j] * Wh[k, j]
                    else:
                        before[i, k] += new_da[t, i, j] * Wh[k, j]
    return {"da": new_da, "dh0": before} | ({"dh": total} if K == T else {})


def dense_forward(x, W, P, b, activation, y, a):
    (N, F), O = x.shape, W.shape[1]
    new_y, new_a = zeros(x, W, (N, O)), zeros(x, W, (N, O))
    for n in range(N):
        for o in range(O):
            s = 0.0 if b is None else b[o]
            for f in range(F):
                s += x[n, f] * W[f, o]
            new_a[n, o], new_y[n, o] = s, act(s, activation)
    return {"y": new_y, "a": new_a}


def weight_gradient(x, da, dW, db, tall=None, room=None, add=0):
    new_dW, new_db = zeros(x, da, dW.shape), zeros(da, dW.shape[1])
    if add:
        new_dW, new_db = new_dW + dW, new_db + (0 if db is None else db)
    for n in range(len(x)):
        for o in range(dW.shape[1]):
            new_db[o] += da[n, o]
            for f in range(x.shape[1]):
                new_dW[f, o] += x[n, f] * da[n, o]
    return {"dW": new_dW, "db": new_db}


def input_gradient(da, W, PT, dx):
    new = zeros(da, W, dx.shape)
    for n in range(len(da)):
        for f in range(W.shape[0]):
            for o in range(W.shape[1]):
                new[n, f] += da[n, o] * W[f, o]
    return {"dx": new}


def pack(W, first, each, start, P):
    new, panels = zeros(W, P.shape), -(-each // P.shape[2])
    for k, j in np.ndindex(W.shape):
        gate, column = divmod(j - first, each)
        q = gate * panels + column // P.shape[2] - start
        if j >= first and 0 <= q < len(P):
            new[q, k, column % P.shape[2]] = W[k, j]
    return {"P": new}


def pack_transposed(W, first, start, P):
    part = W[:, first : first + P.shape[1]].T
    return pack(part, 0, part.shape[1], start, P)


def flatten(x, y):
    T, B, D = x.shape
    return {"y": np.array([[x[t, i, d] for t in range(T) for d in range(D)] for i in range(B)])}


def flatten_backward(dy, dx):
    T, B, D = dx.shape
    return {"dx": np.array([[[dy[i, t * D + d] for d in range(D)] for i in range(B)] for t in range(T)])}


# ---------------------------------------------------------------- optimizers


def sum_shards(control, grads):
    new = grads.copy()
    for p in range(grads.shape[1]):
        new[0, p] = sum(grads[s, p] for s in range(control[SHARDS]))
    return {"grads": new}


def clip_norm(limit, grads, lanes):
    norm = math.sqrt(sum(g * g for g in grads.tolist()))
    return {"grads": np.array([g * limit / norm if norm > limit else g for g in grads])}


def step_twin(move):
    """Make an optimizer's twin from move(p, g, slots, hyper, nesterov), which returns the new p and its new slots."""

    def twin(hyper, control, grads, params, nesterov=0, later=0, **slots):
        new_control, new_params = control.copy(), params.copy()
        new_slots = {name: slot.copy() for name, slot in slots.items() if slot is not None}
        new_hyper = hyper.copy()
        if move is adam_move and np.isfinite(grads).all():
            new_hyper[4], new_hyper[5] = hyper[4] * hyper[1], hyper[5] * hyper[2]
        if not np.isfinite(grads).all():
            new_control[STATUS] = 1
        else:
            for p in range(len(params)):
                state = {name: slot[p] for name, slot in new_slots.items()}
                new_params[p], state = move(params[p], grads[p], state, new_hyper, nesterov)
                for name, number in state.items():
                    new_slots[name][p] = number
        result = {"control": new_control, "params": new_params, "hyper": new_hyper, **new_slots}
        if later:  # the next parameters wait in the gradients' place
            result |= {"params": params} | ({} if new_control[STATUS] else {"grads": new_params})
        return result

    return twin


def sgd_move(p, g, state, hyper, nesterov):
    rate, momentum = hyper
    if not state:
        return p - rate * g, {}
    v = momentum * state["v"] - rate * g
    return (p + momentum * v - rate * g if nesterov else p + v), {"v": v}


def rmsprop_move(p, g, state, hyper, nesterov):
    rate, rho, epsilon, momentum = hyper
    new = {"v": rho * state["v"] + (1 - rho) * g**2}
    square = new["v"] + epsilon
    if "mean" in state:
        new["mean"] = rho * state["mean"] + (1 - rho) * g
        square -= new["mean"] ** 2
    step = rate * g / math.sqrt(square)
    if "momentum" in state:
        step = new["momentum"] = momentum * state["momentum"] + step
    return p - step, new


def adam_move(p, g, state, hyper, nesterov):
    rate, beta_1, beta_2, epsilon, power_1, power_2 = hyper
    m = beta_1 * state["m"] + (1 - beta_1) * g
    v = beta_2 * state["v"] + (1 - beta_2) * g**2
    new, most = {"m": m, "v": v}, v
    if "largest" in state:
        most = new["largest"] = max(state["largest"], v)
    return p - rate * math.sqrt(1 - power_2) / (1 - power_1) * m / (math.sqrt(most) + epsilon), new


sgd, rmsprop, adam = step_twin(sgd_move), step_twin(rmsprop_move), step_twin(adam_move)


# ---------------------------------------------------------------- moving numbers, and chance


def gather(source, order, control, per_sample, per_step, per_feature, x):
    new = zeros(source, x.shape)
    for t, i, d in np.ndindex(x.shape):
        new[t, i, d] = source[order[control[POSITION] + i] * per_sample + t * per_step + d * per_feature]
    return {"x": new}


def scatter(y, order, control, output):
    new = output.copy()
    for t, i, d in np.ndindex(y.shape):
        new[order[control[POSITION] + i], t, d] = y[t, i, d]
    return {"output": new}


def philox(counter, key):
    """Philox4x32-10 on Python's whole numbers: four words and two words in, four words out."""
    c, k = list(counter), list(key)
    for _ in range(10):
        high_0, low_0 = divmod(0xD2511F53 * c[0], 2**32)
        high_1, low_1 = divmod(0xCD9E8D57 * c[2], 2**32)
        c = [high_1 ^ c[1] ^ k[0], low_1, high_0 ^ c[3] ^ k[1], low_0]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def permute(n, seed, epoch):
    """Return the order of n samples in an epoch: Fisher and Yates from the top, four draws a counter."""
    order, i = list(range(n)), n - 1
    while i > 0:
        for draw in philox((i % 2**32, i // 2**32, epoch, 1), (seed % 2**32, seed // 2**32)):
            if i > 0:
                j = draw * (i + 1) // 2**32
                order[i], order[j] = order[j], order[i]
                i -= 1
    return order


# ---------------------------------------------------------------- a model that learns


class Trainer:
    """The naive twin of a float64 model: the whole batch at once, one layer after the other, one update a batch."""

    def __init__(self, model, optimizer="sgd", hyper=(0.01, 0.0), clip=None, nesterov=0, loss=mse):
        self.layers = [(type(layer).__name__, layer.config(), layer.get_weights()) for layer in model.layers]
        self.weights = [w.astype(np.float64) for *_, weights in self.layers for w in weights]
        self.hyper, self.clip, self.nesterov, self.loss = np.array(hyper), clip, nesterov, loss
        self.move = {"sgd": sgd, "rmsprop": rmsprop, "adam": adam}[optimizer]
        names = {"sgd": ("v",) if self.hyper[1] else (), "rmsprop": ("v",), "adam": ("m", "v")}[optimizer]
        self.slots = {name: np.zeros(sum(w.size for w in self.weights)) for name in names}
        self.seed, self.epochs = model.seed, 0

    def forward(self, x):
        """Return the outputs and, for the way back, what every layer saw; sequences are (N, T, D)."""
        tape, k = [], 0
        for kind, config, weights in self.layers:
            count = len(weights)
            W, value = self.weights[k : k + count], x
            code = ACTIVATIONS.index(config.get("activation", "linear"))
            bias = W[-1] if config.get("use_bias") else None
            if kind == "SimpleRNN":
                x_t, (N, T, _), H = x.swapaxes(0, 1), x.shape, config["units"]
                states = simple_rnn_forward(x_t, W[0], None, W[1], None, bias, code, 0, zeros((T + 1, N, H)), None)["h"]
                value = states[1:].swapaxes(0, 1) if config["return_sequences"] else states[-1]
                tape.append((x_t, states))
            elif kind == "Dense":
                flat = x.reshape(-1, x.shape[-1])
                y = dense_forward(flat, W[0], None, bias, code, None, None)["y"]
                value = y.reshape(*x.shape[:-1], -1)
                tape.append((flat, y))
            else:
                value = x.reshape(len(x), -1)
                tape.append((x, value))
            x, k = value, k + count
        return x, tape

    def gradients(self, x, y):
        """Return the loss and the gradients of the batch's mean, in the order of the weights."""
        out, tape = self.forward(x)
        control = np.array([0, len(x), 1, 0, 0, 0, 0, 0])
        sizes = (control, out[0].size, out.shape[-1])
        result = self.loss(out.reshape(-1), y.reshape(-1), None, None, *sizes, 0, None, np.zeros(1))
        dy, gradients, k = result["dy"].reshape(out.shape), [], len(self.weights)
        for (kind, config, weights), (a, b) in zip(reversed(self.layers), reversed(tape), strict=True):
            k -= len(weights)
            code = ACTIVATIONS.index(config.get("activation", "linear"))
            if kind == "SimpleRNN":
                T, N, H = b[1:].shape
                dh = dy.swapaxes(0, 1) if config["return_sequences"] else dy[None]
                da = simple_rnn_backward(self.weights[k + 1], None, b, code, dh, zeros((T, N, H)), None)["da"]
                flat = da.reshape(-1, H)
                first = weight_gradient(a.reshape(-1, a.shape[-1]), flat, self.weights[k], None)
                second = weight_gradient(b[:-1].reshape(-1, H), flat, self.weights[k + 1], None)
                own = [first["dW"], second["dW"], first["db"]]
                dy = (flat @ self.weights[k].T).reshape(a.shape).swapaxes(0, 1)
            elif kind == "Dense":
                da = activation_backward(b, dy.reshape(b.shape), code, None)["da"]
                first = weight_gradient(a, da, self.weights[k], None)
                own = [first["dW"], first["db"]]
                dy = (da @ self.weights[k].T).reshape(*dy.shape[:-1], -1)
            else:
                own, dy = [], dy.reshape(a.shape)
            gradients = own[: len(weights)] + gradients
        return float(result["stats"][0]) / len(x), gradients

    def update(self, gradients):
        flat = np.concatenate([g.reshape(-1) for g in gradients])
        if self.clip is not None:
            flat = clip_norm(self.clip, flat, None)["grads"]
        params = np.concatenate([w.reshape(-1) for w in self.weights])
        extra = {"nesterov": self.nesterov} if self.move is sgd else {}
        new = self.move(self.hyper, np.zeros(8, np.int64), flat, params, **self.slots, **extra)
        self.hyper, self.slots = new["hyper"], {name: new[name] for name in self.slots}
        ends = np.cumsum([w.size for w in self.weights])[:-1]
        parts = np.split(new["params"], ends)
        self.weights = [part.reshape(w.shape) for part, w in zip(parts, self.weights, strict=True)]

    def fit(self, x, y, epochs, batch, shuffle=True):
        """Train and return the loss of every epoch, the mean over its samples as they were met."""
        losses = []
        for _ in range(epochs):
            order = permute(len(x), self.seed, self.epochs) if shuffle else list(range(len(x)))
            total = 0.0
            for start in range(0, len(x), batch):
                part = order[start : start + batch]
                loss, gradients = self.gradients(x[part], y[part])
                self.update(gradients)
                total += loss * len(part)
            losses.append(total / len(x))
            self.epochs += 1
        return losses
