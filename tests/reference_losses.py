"""Naive twins of the kernels of losses and metrics: one output at a time, as the formulas stand."""

import cmath

import numpy as np

BATCH = 1  # word of the control block
LEAST = 1e-7


def sign(e):
    return 1.0 if e.real > 0 else (-1.0 if e.real < 0 else 0.0)


def huber_value(y, target, delta):
    e = y - target
    return e * e / 2 if abs(e.real) <= delta else delta * (sign(e) * e - delta / 2)


def huber_derivative(y, target, delta):
    return y - target if abs((y - target).real) <= delta else delta * sign(y - target)


def percent(target):
    size = sign(target) * target
    return 100 / (size if size.real > LEAST else LEAST)


def pinball_value(y, target, q):
    return q * (target - y) if (target - y).real > 0 else (1 - q) * (y - target)


def pinball_derivative(y, target, q):
    return 0.0 if y.real == target.real else (-q if target.real > y.real else 1 - q)


def held(p):
    return min(max(p.real, LEAST), 1 - LEAST) if not LEAST <= p.real <= 1 - LEAST else p


def entropy(t, p):
    return -t * cmath.log(p) - (1 - t) * cmath.log(1 - p)


def binary_value(y, t, from_logits):
    return entropy(t, 1 / (1 + cmath.exp(-y)) if from_logits else held(y))


def binary_derivative(y, t, from_logits):
    if from_logits:
        return 1 / (1 + cmath.exp(-y)) - t
    return 0.0 if not LEAST <= y.real <= 1 - LEAST else (1 - t) / (1 - y) - t / y


def result(like, dy, total, count, stats, slot):
    """Return a twin's results: the gradient, and statistics with one more, real where all numbers are."""
    kind, new = np.result_type(like, np.float64), stats.copy()
    dy = np.array(dy, complex)
    new[slot] = total / count if kind.kind == "c" else (total / count).real
    return {"dy": dy if kind.kind == "c" else dy.real, "stats": new}


def loss_twin(value, derivative):
    """Make a loss's twin from l(y, target) of one output and its derivative with respect to y."""

    def twin(y, target, weight, valid, control, outputs, each, slot, dy, stats, parameter=1.0, smooth=0.0):
        if valid is None:
            batch, count = control[BATCH] * outputs, outputs
        else:
            batch, count = max(valid[0].real, 1.0) * each, each
        total, new_dy = 0.0, []
        for n in range(len(y)):
            w = 1.0 if weight is None else weight[n // each]
            t = target[n] * (1 - smooth) + smooth / 2
            total += w * value(y[n], t, parameter)
            new_dy.append(w * derivative(y[n], t, parameter) / batch)
        return result(y, new_dy, complex(total), count, stats, slot)

    return twin


mse = loss_twin(lambda y, target, _: (y - target) ** 2, lambda y, target, _: 2 * (y - target))
mae = loss_twin(lambda y, target, _: sign(y - target) * (y - target), lambda y, target, _: sign(y - target))
mape = loss_twin(lambda y, t, _: percent(t) * sign(y - t) * (y - t), lambda y, t, _: percent(t) * sign(y - t))
projection = loss_twin(lambda y, target, _: y * target, lambda y, target, _: target)
of_huber, of_pinball = loss_twin(huber_value, huber_derivative), loss_twin(pinball_value, pinball_derivative)
of_binary = loss_twin(binary_value, binary_derivative)


def huber(*arguments, delta=1.0, **named):
    return of_huber(*arguments, parameter=delta, **named)


def quantile(y, target, q, first, dy, each, **named):
    levels = len(y) // len(target)
    found = of_pinball(y[first::levels], target, each=each // levels, dy=None, parameter=q, **named)
    if named["valid"] is None:  # the mean is over all outputs, not over this quantile's
        return found | {"dy": spread(dy, found["dy"], first, levels)}
    stats = named["stats"].copy()
    stats[named["slot"]] = found["stats"][named["slot"]] / levels
    return {"dy": spread(dy, found["dy"] / levels, first, levels), "stats": stats}


def spread(dy, own, first, levels):
    """Return a gradient in which every `levels`-th number is set."""
    new = np.zeros(len(own) * levels, own.dtype) if dy is None else dy.copy()
    new[first::levels] = own
    return new


def binary_crossentropy(from_logits, label_smoothing, **named):
    return of_binary(parameter=from_logits, smooth=label_smoothing, **named)


def one_hot(target, classes):
    """Return targets of a row as a number a class."""
    return np.eye(classes)[target[:, 0].real.astype(int)] if target.shape[1] < classes else target


def categorical_crossentropy(y, target, weight, valid, control, outputs, slot, from_logits, label_smoothing, dy, stats):
    (R, O), new_dy, total = y.shape, np.zeros(y.shape, complex), 0.0
    batch, count = (control[BATCH] * outputs, outputs) if valid is None else (max(valid[0].real, 1.0), 1)
    shares = one_hot(target, O) * (1 - label_smoothing) + label_smoothing / O
    for r in range(R):
        w, t = 1.0 if weight is None else weight[r], shares[r]
        raw = [cmath.exp(z) for z in y[r]] if from_logits else [complex(v) for v in y[r]]
        S = sum(raw)
        q = [v / S for v in raw]
        inside = [from_logits or LEAST <= v.real <= 1 - LEAST for v in q]
        total += w * sum(-t[k] * cmath.log(q[k] if from_logits else held(q[k])) for k in range(O))
        for j in range(O):
            for k in range(O):
                g = -t[k] / q[k] if inside[k] else 0.0
                slope = (k == j) / S - raw[k] / S**2  # of q_k by raw_j
                new_dy[r, j] += w * g * slope * (raw[j] if from_logits else 1.0) / batch
    return result(y, new_dy, complex(total), count, stats, slot)


# ---------------------------------------------------------------- metrics


def binary_accuracy(y, target, weight, valid, outputs, each, slot, threshold, stats):
    weights = np.ones(len(y)) if weight is None else np.repeat(weight, each)
    new, hits = stats.copy(), (y.real > threshold) == target.real
    new[slot] = (hits * weights).sum() / (outputs if valid is None else each)
    return {"stats": new}


def categorical_accuracy(y, target, weight, valid, outputs, slot, stats):
    weights = np.ones(len(y)) if weight is None else weight
    new, wanted = stats.copy(), one_hot(target, y.shape[1]).real.argmax(axis=1)
    new[slot] = ((y.real.argmax(axis=1) == wanted) * weights).sum() / (outputs if valid is None else 1)
    return {"stats": new}


def positives(y, target, weight, slot, threshold, class_id, stats):
    weights = (np.ones(len(y)) if weight is None else weight)[:, None]
    columns = slice(None) if class_id < 0 else slice(class_id, class_id + 1)
    yes, above = one_hot(target, y.shape[1])[:, columns].real > 0, y[:, columns].real > threshold
    new = stats.copy()
    new[slot : slot + 3] = [(weights * part).sum() for part in (yes & above, above, yes)]
    return {"stats": new}


def determination(y, target, weight, slot, stats):
    weights, new = np.ones(len(y)) if weight is None else weight, stats.copy()
    new[slot] = weights.sum()
    for k in range(y.shape[1]):
        t, e = target[:, k], y[:, k] - target[:, k]
        new[slot + 1 + 3 * k : slot + 4 + 3 * k] = [(weights * part).sum() for part in (t, t * t, e * e)]
    return {"stats": new}


def count_rows(mask, slot, stats):
    new = stats.copy()
    new[slot] = sum(mask)
    return {"stats": new}


def weigh_mask(weight, mask, both):
    return {"both": np.array([w * m for w, m in zip(weight, mask, strict=True)])}
