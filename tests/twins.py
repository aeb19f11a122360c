"""Vectorised NumPy twins of the layers' kernels, step by step, for sizes at which those of reference.py take too long.

Each takes its kernel's arguments by name and returns what it expects, as the naive twins do; test_borders.py compares
the two at small sizes. With complex numbers the forward twins are complex too.
"""

import numpy as np
from reference import ACTIVATIONS, turns


def act(a, code):
    name, x = ACTIVATIONS[code], np.real(a)
    if name == "sigmoid":
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-a))
    return {
        "linear": lambda: a,
        "tanh": lambda: np.tanh(a),
        "relu": lambda: np.where(x > 0, a, 0),
        "softsign": lambda: a / (1 + np.where(x > 0, a, -a)),
        "elu": lambda: np.where(x > 0, a, np.expm1(np.where(x > 0, 0, a))),
        "hard_sigmoid": lambda: np.where(x < -3, 0, np.where(x > 3, 1, (a + 3) / 6)),
    }[name]()


def slope(y, code):
    return {
        "linear": lambda: np.ones_like(y),
        "tanh": lambda: 1 - y * y,
        "sigmoid": lambda: y * (1 - y),
        "relu": lambda: np.where(y > 0, 1.0, 0.0),
        "softsign": lambda: (1 - abs(y)) ** 2,
        "elu": lambda: np.where(y > 0, 1.0, 1 + y),
        "hard_sigmoid": lambda: np.where((y > 0) & (y < 1), 1 / 6, 0.0),
    }[ACTIVATIONS[code]]()


def optional(v):
    return 0 if v is None else v


def begun(initial, state):
    """Return a first state: zero, whatever stands there, unless it is given."""
    return state if initial else np.zeros_like(state)


def walk(x, states, step):
    """Run step(x_t, states) -> (states, kept) over all steps; return the states, and what is kept, by step."""
    every, kept = [states], []
    for x_t in x:
        states, more = step(x_t, states)
        every.append(states)
        kept.append(more)
    return [np.array(one) for one in zip(*every, strict=True)], [np.array(one) for one in zip(*kept, strict=True)]


def simple_rnn_forward(x, Wx, Px, Wh, Ph, b, activation, initial, h, a):
    def step(x_t, states):
        total = x_t @ Wx + states[0] @ Wh + optional(b)
        return (act(total, activation),), (total,)

    (new_h,), (new_a,) = walk(x, (begun(initial, h[0]),), step)
    new_h[0] = h[0]
    return {"h": turns(new_h, h), "a": new_a}


def lstm_forward(x, Wx, Px, Wh, Ph, b, activation, gate, initial, h, c, g, s, a):
    codes = (gate, gate, activation, gate)

    def step(x_t, states):
        total = x_t @ Wx + states[0] @ Wh + optional(b)
        i, f, n, o = (act(v, code) for v, code in zip(np.split(total, 4, 1), codes, strict=True))
        cell = f * states[1] + i * n
        squashed = act(cell, activation)
        return (o * squashed, cell), (np.concatenate([i, f, n, o], 1), squashed, total)

    (new_h, new_c), (new_g, new_s, new_a) = walk(x, (begun(initial, h[0]), begun(initial, c[0])), step)
    new_h[0] = h[0]
    return {"h": turns(new_h, h), "c": turns(new_c, c), "g": turns(new_g, g), "s": turns(new_s, s), "a": new_a}


def gru_after_forward(x, Wx, Px, Wh, Ph, b, c, activation, gate, h, g, q, a):
    H = len(Wh)

    def step(x_t, states):
        (before,) = states
        p, product = x_t @ Wx + optional(b), before @ Wh + optional(c)
        zr = p[:, : 2 * H] + product[:, : 2 * H]
        z, r = np.split(act(zr, gate), 2, 1)
        total = p[:, 2 * H :] + r * product[:, 2 * H :]
        n = act(total, activation)
        kept = np.concatenate([z, r, n], 1), product[:, 2 * H :], np.concatenate([zr, total], 1)
        return (z * before + (1 - z) * n,), kept

    (new_h,), (new_g, new_q, new_a) = walk(x, (h[0],), step)
    return {"h": turns(new_h, h), "g": turns(new_g, g), "q": turns(new_q, q), "a": new_a}


def gru_before_forward(x, Wx, Px, Wg, Pg, Wn, Pn, b, activation, gate, h, g, m, a):
    H = len(Wn)

    def step(x_t, states):
        (before,) = states
        p = x_t @ Wx + optional(b)
        zr = p[:, : 2 * H] + before @ Wg
        z, r = np.split(act(zr, gate), 2, 1)
        total = p[:, 2 * H :] + (r * before) @ Wn
        n = act(total, activation)
        kept = np.concatenate([z, r, n], 1), r * before, np.concatenate([zr, total], 1)
        return (z * before + (1 - z) * n,), kept

    (new_h,), (new_g, new_m, new_a) = walk(x, (h[0],), step)
    return {"h": turns(new_h, h), "g": turns(new_g, g), "m": turns(new_m, m), "a": new_a}


def walk_back(T, dh, step, before=None):
    """Run step(t, dL/dh_t) -> (what flows to the state before, kept) from the end; return dh_0, all dh, and kept.

    What flows to the first state is added to `before`, if that is given.
    """
    every, K, flows, kept = np.zeros((T, *dh.shape[1:])), len(dh), 0.0, []
    for t in reversed(range(T)):
        every[t] = flows + (dh[t] if K == T else dh[0] if t == T - 1 else 0.0)
        flows, more = step(t, every[t])
        kept.append(more)
    found = {"dh0": flows if before is None else flows + before} | ({"dh": every} if K == T else {})
    return found, [np.array(one) for one in zip(*reversed(kept), strict=True)]


def simple_rnn_backward(Wh, PT, h, activation, add, dh, da, dh0):
    def step(t, d):
        at = d * slope(h[t + 1], activation)
        return at @ Wh.T, (at,)

    found, (new_da,) = walk_back(len(da), dh, step, dh0 if add else None)
    return found | {"da": new_da}


def lstm_backward(Wh, PT, c, g, s, activation, gate, final, add, dh, dc, da, dh0):
    codes, H = (gate, gate, activation, gate), len(Wh)
    cell = dc * final

    def step(t, d):
        nonlocal cell
        i, f, n, o = gates = np.split(g[t][:, : 4 * H], 4, 1)
        cell = cell + d * o * slope(s[t], activation)
        parts = cell * n, cell * c[t], cell * i, d * s[t]
        at = np.concatenate([p * slope(y, code) for p, y, code in zip(parts, gates, codes, strict=True)], 1)
        cell = cell * f
        return at @ Wh.T, (at,)

    found, (new_da,) = walk_back(len(s), dh, step, dh0 if add else None)
    return found | {"da": new_da, "dc": cell}


def gru_after_backward(Wh, PT, h, g, q, activation, gate, add, dh, through, da, dq, dh0):
    H = len(Wh)

    def step(t, d):
        z, r, n = np.split(g[t][:, : 3 * H], 3, 1)
        dz, dn = d * (h[t] - n) * slope(z, gate), d * (1 - z) * slope(n, activation)
        dr = dn * q[t] * slope(r, gate)
        products = np.concatenate([dz, dr, dn * r], 1)
        return products @ Wh.T + d * z, (np.concatenate([dz, dr, dn], 1), products)

    found, (new_da, new_dq) = walk_back(len(q), dh, step, dh0 if add else None)
    return found | {"da": new_da, "dq": new_dq}


def gru_before_backward(Wg, PgT, Wn, PnT, h, g, activation, gate, dh, through, dm, da, dg, dn, dh0):
    def step(t, d):
        z, r, n = np.split(g[t], 3, 1)
        dz, at_n = d * (h[t] - n) * slope(z, gate), d * (1 - z) * slope(n, activation)
        product = at_n @ Wn.T
        dzr = np.concatenate([dz, product * h[t] * slope(r, gate)], 1)
        return dzr @ Wg.T + product * r + d * z, (np.concatenate([dzr, at_n], 1), dzr, at_n)

    found, (new_da, new_dg, new_dn) = walk_back(len(g), dh, step)
    return found | {"da": new_da, "dg": new_dg, "dn": new_dn}


def dense_forward(x, W, P, b, activation, y, a):
    total = x @ W + optional(b)
    return {"y": act(total, activation), "a": total}


def weight_gradient(x, da, add, dW, db, tall=None, room=None):
    columns = da[:, : dW.shape[1]]
    begun = (dW, optional(db)) if add else (0.0, 0.0)
    return {"dW": begun[0] + x.T @ columns, "db": begun[1] + columns.sum(0)}


def input_gradient(da, W, PT, dx):
    return {"dx": da[:, : W.shape[1]] @ W.T}
