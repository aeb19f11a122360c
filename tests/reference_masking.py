"""Slow, obvious twins of the kernels of masking.py; see reference.py."""

import numpy as np
from reference import BATCH, POSITION


def order_steps(valid, backwards, row, seen, source, alive):
    T, B = valid.shape
    source = source.copy()
    steps = [[t for t in range(T) if valid[t, i].real > 0] for i in range(B)]
    order = sorted(range(B), key=lambda i: -len(steps[i]))
    for r, i in enumerate(order):
        for s, t in enumerate(steps[i][::-1] if backwards else steps[i]):
            source[s, r] = t * B + i
    turned = valid[::-1] if backwards else valid
    return {
        "row": np.array([order.index(i) for i in range(B)]),
        "seen": np.cumsum(turned.real > 0, axis=0),
        "source": source,
        "alive": np.array([sum(len(own) > s for own in steps) for s in range(T)]),
    }


def squeeze(x, source, alive, z):
    z = z.copy()
    for s, n in enumerate(alive):
        for r in range(n):
            z[s, r] = x.reshape(-1, x.shape[-1])[source[s, r]]
    return {"z": z}


def unsqueeze(dz, source, alive, dx):
    dx, k = dx.copy(), 0
    for s, n in enumerate(alive):
        for r in range(n):
            dx.reshape(-1, dx.shape[-1])[source[s, r]] = dz.reshape(-1, dz.shape[-1])[k]
            k += 1
    return {"dx": dx}


def compact(v, alive, rows):
    rows = rows.copy()
    found = [v[s, r] for s, n in enumerate(alive) for r in range(n)]
    last = max((s for s, n in enumerate(alive) if n), default=0)
    if any(n < v.shape[1] for n in alive[:last]):
        rows.reshape(-1, rows.shape[-1])[: len(found)] = found
    return {"rows": rows}


def hold(h, row, seen, zero, y):
    T, K, y = seen.shape[0], y.shape[0], np.zeros_like(y)
    for k in range(K):
        for i, r in enumerate(row):
            n = seen[T - K + k, i]
            masked = n == (seen[T - K + k - 1, i] if T - K + k else 0)
            if n and not (zero and masked):
                y[k, i] = h[n % len(h), r]
    return {"y": y}


def unhold(dy, last, row, seen, zero, dh):
    T, K, dh = seen.shape[0], dy.shape[0], np.zeros_like(dh)
    for i, r in enumerate(row):
        for k in range(K):
            n = seen[T - K + k, i]
            masked = n == (seen[T - K + k - 1, i] if T - K + k else 0)
            if n and not (zero and masked):
                dh[n - 1 if len(dh) > 1 else 0, r] += dy[k, i]
        if last is not None and seen[-1, i]:
            dh[seen[-1, i] - 1 if len(dh) > 1 else 0, r] += last[i]
    return {"dh": dh}


def last_state(s, row, seen, last):
    return {"last": np.array([s[n % len(s), r] for n, r in zip(seen[-1], row, strict=True)])}


def to_rows(v, row, rows):
    return {"rows": v[np.argsort(row)]}


def from_rows(rows, last, row, seen, v):
    nothing = np.zeros_like(rows) if last is None else last
    return {"v": np.where(seen[-1][:, None] > 0, rows[row], nothing)}


def mask_steps(x, before, value, valid, y):
    kept = (x.real != value).any(axis=-1)
    if before is not None:
        kept &= before.real > 0
    return {"valid": kept.astype(x.dtype), "y": x * kept[..., None]}


def mask_back(dy, valid, dx):
    return {"dx": dy * valid[..., None]}


def mask_batch(source, order, control, batch, per_sample, per_step, per_feature, features, value, valid):
    valid, first = valid.copy(), control[POSITION] // batch * batch
    for t, i in np.ndindex(valid.shape):
        if i >= control[BATCH]:
            valid[t, i] = 0
            continue
        places = [order[first + i] * per_sample + t * per_step + d * per_feature for d in range(features)]
        if all(source[k].real == value for k in places):
            valid[t, i] = 0
    return {"valid": valid}


def fill(value, v):
    return {"v": np.full_like(v, value)}


def join_masks(a, b, both):
    return {"both": ((a.real > 0) | (b.real > 0)).astype(a.dtype)}


def count_valid(valid, count):
    return {"count": np.full_like(count, (valid.real > 0).sum())}
