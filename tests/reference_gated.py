"""Naive twins of the LSTM's and the GRU's kernels: one sample and one number at a time, as the equations stand."""

import numpy as np
from reference import BATCH, POSITION, act, slope, turns, zeros


def product(v, W, first, size):
    """Return v W for `size` columns from `first` on."""
    return np.array([sum((v[k] * W[k, first + j] for k in range(len(v))), 0.0 * v[0]) for j in range(size)])


def apply(f, v, code):
    return np.array([f(one, code) for one in v])


def lstm_forward(x, Wx, Px, Wh, Ph, b, activation, gate, initial, h, c, g, s, a):
    (T, B, _), H = x.shape, len(Wh)
    new_h, new_c, new_g = zeros(x, Wx, (T + 1, B, H)), zeros(x, Wx, (T + 1, B, H)), zeros(x, Wx, (T, B, 4 * H))
    new_s, new_a = zeros(x, Wx, (T, B, H)), zeros(x, Wx, (T, B, 4 * H))
    if initial:
        new_h[0], new_c[0] = h[0], c[0]
    for t in range(T):
        for n in range(B):
            total = product(x[t, n], Wx, 0, 4 * H) + product(new_h[t, n], Wh, 0, 4 * H) + (0 if b is None else b)
            codes = (gate, gate, activation, gate)
            i, f, u, o = (apply(act, total[q * H : q * H + H], code) for q, code in enumerate(codes))
            new_c[t + 1, n] = f * new_c[t, n] + i * u
            new_s[t, n] = apply(act, new_c[t + 1, n], activation)
            new_h[t + 1, n] = o * new_s[t, n]
            new_a[t, n], new_g[t, n] = total, np.concatenate([i, f, u, o])
    new_h[0] = h[0]  # left as it came
    return {"h": turns(new_h, h), "c": turns(new_c, c), "g": turns(new_g, g), "s": turns(new_s, s), "a": new_a}


def lstm_backward(Wh, PT, c, g, s, activation, gate, final, add, dh, dc, da, dh0):
    (T, B, H), K = s.shape, len(dh)
    new_da, total, cell = zeros((T, B, 4 * H)), zeros((T, B, H)), dc.copy() if final else zeros((B, H))
    before = dh0.copy() if add and dh0 is not None else zeros((B, H))
    for t in reversed(range(T)):
        for n in range(B):
            total[t, n] += dh[t, n] if K == T else (dh[0, n] if t == T - 1 else 0.0)
            i, f, u, o = g[t, n, : 4 * H].reshape(4, H)
            cell[n] += total[t, n] * o * apply(slope, s[t, n], activation)
            parts = (cell[n] * u, cell[n] * c[t, n], cell[n] * i, total[t, n] * s[t, n])
            codes = (gate, gate, activation, gate)
            slopes = (apply(slope, y, code) for y, code in zip((i, f, u, o), codes, strict=True))
            new_da[t, n] = np.concatenate([p * q for p, q in zip(parts, slopes, strict=True)])
            cell[n] *= f
            back = product(new_da[t, n], Wh.T, 0, H)
            if t > 0:
                total[t - 1, n] += back
            else:
                before[n] += back
    return {"da": new_da, "dc": cell, "dh0": before} | ({"dh": total} if K == T else {})


def mixed(z, n, h):
    return z * h + (1.0 - z) * n


def gru_after_forward(x, Wx, Px, Wh, Ph, b, c, activation, gate, h, g, q, a):
    (T, B, _), H = x.shape, len(Wh)
    new_h, gates = zeros(x, Wx, (T + 1, B, H)), (T, B, 3 * H)
    new_g, new_q, new_a = (zeros(x, Wx, gates) for _ in range(3))
    new_h[0] = h[0]
    for t in range(T):
        for k in range(B):
            p = product(x[t, k], Wx, 0, 3 * H) + (0 if b is None else b)
            new_q[t, k] = product(new_h[t, k], Wh, 0, 3 * H) + (0 if c is None else c)
            zr = p[: 2 * H] + new_q[t, k, : 2 * H]
            z, r = apply(act, zr, gate).reshape(2, H)
            total = p[2 * H :] + r * new_q[t, k, 2 * H :]
            n = apply(act, total, activation)
            new_h[t + 1, k] = mixed(z, n, new_h[t, k])
            new_a[t, k], new_g[t, k] = np.concatenate([zr, total]), np.concatenate([z, r, n])
    return {"h": turns(new_h, h), "g": turns(new_g, g), "q": turns(new_q[:, :, 2 * H :], q), "a": new_a}


def gru_backward(Wh, h, g, dh, codes, reset, begun=None):
    """Both forms: `reset(dn, t, k)` gives dr, what goes through r to the state before, and dq or None."""
    activation, gate = codes
    (T, B), H, K = g.shape[:2], h.shape[2], len(dh)
    new_da, new_dq, total = zeros((T, B, 3 * H)), zeros((T, B, 3 * H)), zeros((T, B, H))
    before = zeros((B, H)) if begun is None else begun.copy()
    for t in reversed(range(T)):
        for k in range(B):
            total[t, k] += dh[t, k] if K == T else (dh[0, k] if t == T - 1 else 0.0)
            z, r, n = g[t, k, : 3 * H].reshape(3, H)
            dn = total[t, k] * (1.0 - z) * apply(slope, n, activation)
            dz = total[t, k] * (h[t, k] - n) * apply(slope, z, gate)
            dr, through, dqn = reset(dn, t, k)
            dr = dr * apply(slope, r, gate)
            new_da[t, k], new_dq[t, k] = np.concatenate([dz, dr, dn]), np.concatenate([dz, dr, dqn])
            back = total[t, k] * z + through + product(new_dq[t, k], Wh.T, 0, H)
            if t > 0:
                total[t - 1, k] += back
            else:
                before[k] += back
    return {"da": new_da, "dq": new_dq, "dh0": before} | ({"dh": total} if K == T else {})


def gru_after_backward(Wh, PT, h, g, q, activation, gate, add, dh, through, da, dq, dh0):
    H = h.shape[2]

    def reset(dn, t, k):
        return dn * q[t, k], 0.0, dn * g[t, k, H : 2 * H]

    return gru_backward(Wh, h, g, dh, (activation, gate), reset, dh0 if add else None)


def gru_before_forward(x, Wx, Px, Wg, Pg, Wn, Pn, b, activation, gate, h, g, m, a):
    (T, B, _), H = x.shape, len(Wn)
    new_h, new_m = zeros(x, Wx, (T + 1, B, H)), zeros(x, Wx, (T, B, H))
    new_g, new_a = zeros(x, Wx, (T, B, 3 * H)), zeros(x, Wx, (T, B, 3 * H))
    new_h[0] = h[0]
    for t in range(T):
        for k in range(B):
            p = product(x[t, k], Wx, 0, 3 * H) + (0 if b is None else b)
            zr = p[: 2 * H] + product(new_h[t, k], Wg, 0, 2 * H)
            z, r = apply(act, zr, gate).reshape(2, H)
            new_m[t, k] = r * new_h[t, k]
            total = p[2 * H :] + product(new_m[t, k], Wn, 0, H)
            n = apply(act, total, activation)
            new_h[t + 1, k] = mixed(z, n, new_h[t, k])
            new_a[t, k], new_g[t, k] = np.concatenate([zr, total]), np.concatenate([z, r, n])
    return {"h": turns(new_h, h), "g": turns(new_g, g), "m": turns(new_m, m), "a": new_a}


def gru_before_backward(Wg, PgT, Wn, PnT, h, g, activation, gate, dh, through, dm, da, dg, dn, dh0):
    H = h.shape[2]

    def reset(dn, t, k):
        dm = product(dn, Wn.T, 0, H)
        return dm * h[t, k], dm * g[t, k, H : 2 * H], 0.0 * dn

    found = gru_backward(np.concatenate([Wg, np.zeros_like(Wn)], 1), h, g, dh, (activation, gate), reset)
    return found | {"dg": found["da"][:, :, : 2 * H], "dn": found["da"][:, :, 2 * H :]}


def begin(initial, h):
    new = h.copy()
    new[0] = new[0] if initial else 0.0
    return {"h": new}


def take_columns(W, first, part):
    return {"part": W[:, first : first + part.shape[1]]}


def put_columns(part, first, W):
    return {"W": np.concatenate([W[:, :first], part, W[:, first + part.shape[1] :]], 1)}


def reverse(x, y):
    return {"y": x[::-1]}


def row(control, order, i, carried):
    at = control[POSITION] + i
    return at % control[BATCH] if carried else order[at]


def load_state(source, order, control, carried, state):
    return {"state": np.array([source[row(control, order, i, carried)] for i in range(len(state))])}


def store_state(state, order, control, carried, target):
    new = target.copy()
    for i, numbers in enumerate(state):
        new[row(control, order, i, carried)] = numbers
    return {"target": new}


def accumulate(v, into):
    return {"into": into + v}


def spread(dy, dh):
    return {"dh": np.concatenate([np.zeros((len(dh) - len(dy), *dy.shape[1:])), dy])}
