"""Cross-entropies, of probabilities or of logits, as Keras 3 has them; denominators and weights as in losses.py.

    binary:       l = -t ln p - (1 - t) ln(1 - p), a mean over the outputs of a row
                  of a logit z, p = sigmoid(z): l = max(z, 0) - z t + ln(1 + e^-|z|), dl/dz = p - t
    categorical:  l = -sum_k t_k ln q_k, one a row; of logits, q = softmax(z): dl/dz_j = q_j sum_k t_k - t_j
                  of probabilities, q = y / sum_k y_k: dl/dy_j = (g_j - sum_k g_k q_k) / sum_k y_k, g_k = -t_k / q_k

t is the target, smoothed: t (1 - s) + s / 2, or s / O of O classes. Probabilities are held between 1e-7 and 1 - 1e-7,
and where they were held the slope is zero. A target of one column where there are several classes is the class's
number. A row that weighs 0 is not looked at.
"""

from .abi import inlined, kernel
from .elementary import exp, log, log1p, magnitude, sigmoid
from .losses import LEAST, SPEC, mean_of, scale_of, weight_of

LOGITS = "slot:int from_logits:int label_smoothing:float"
ROWS = "y[R,O] target[R,P] weight[R]? valid[A]? control[C]:i8 outputs:int " + LOGITS + " -> dy[R,O]? stats[S]:f8"


@inlined
def held(p, low, high):
    """Return a probability that is at least `low` and at most `high`; what it is set to has no slope."""
    if p.real < low.real:
        return low
    if p.real > high.real:
        return high
    return p


@kernel(SPEC.replace("slot:int", LOGITS), flops=lambda d: 30 * d["N"])
def binary_crossentropy(
    y, target, weight, valid, control, outputs, each, slot, from_logits, label_smoothing, dy, stats
):
    """Binary cross-entropy of each output for itself."""
    scale, total = scale_of(y, valid, control, outputs, each), stats.dtype.type(0)
    zero, half, one = y.dtype.type(0), y.dtype.type(0.5), y.dtype.type(1)
    low, high = y.dtype.type(LEAST), y.dtype.type(1.0 - LEAST)
    for n in range(y.size):
        w = weight_of(y, weight, n, each)
        if w.real == zero.real:
            if dy.size:
                dy[n] = zero
            continue
        t = target[n] * (one - label_smoothing) + half * label_smoothing
        if from_logits:
            z = y[n]
            total += w * ((z if z.real > zero.real else zero) - z * t + log1p(exp(-magnitude(z))))
            g = sigmoid(z) - t
        else:
            p = held(y[n], low, high)
            total -= w * (t * log(p) + (one - t) * log(one - p))
            g = (p - t) / (p * (one - p)) if low.real <= y[n].real <= high.real else zero
        if dy.size:
            dy[n] = scale * w * g
    stats[slot] = mean_of(total, valid, outputs, each)


@inlined
def truth(target, r, k, classes, label_smoothing):
    """Return the smoothed share of class k in row r."""
    one = target.dtype.type(1)
    if target.shape[1] < classes:
        t = one if int(target[r, 0].real) == k else target.dtype.type(0)
    else:
        t = target[r, k]
    return t * (one - label_smoothing) + label_smoothing / target.dtype.type(classes)


@kernel(ROWS, flops=lambda d: 20 * d["R"] * d["O"])
def categorical_crossentropy(y, target, weight, valid, control, outputs, slot, from_logits, label_smoothing, dy, stats):
    """Cross-entropy of the classes of each row."""
    scale, total = scale_of(y, valid, control, outputs, 1), stats.dtype.type(0)
    zero, (R, O) = y.dtype.type(0), y.shape
    low, high = y.dtype.type(LEAST), y.dtype.type(1.0 - LEAST)
    for r in range(R):
        row, w = y[r], weight_of(y, weight, r, 1)
        if w.real == zero.real:
            for k in range(O if dy.size else 0):
                dy[r, k] = zero
            continue
        part, sum_t, sum_y = stats.dtype.type(0), stats.dtype.type(0), stats.dtype.type(0)
        if from_logits:
            top = row[0].real
            for k in range(1, O):
                top = max(top, row[k].real)
            for k in range(O):
                t = truth(target, r, k, O, label_smoothing)
                sum_t += t
                sum_y += exp(row[k] - top)
                part -= t * (row[k] - top)
            part += sum_t * log(sum_y)
            for k in range(O if dy.size else 0):
                q = exp(row[k] - top) * y.dtype.type(sum_t / sum_y)
                dy[r, k] = scale * w * (q - truth(target, r, k, O, label_smoothing))
        else:
            for k in range(O):
                sum_y += row[k]
            share, pulled = y.dtype.type(1.0 / sum_y), stats.dtype.type(0)
            for k in range(O):
                t, q = truth(target, r, k, O, label_smoothing), row[k] * share
                inside = low.real <= q.real <= high.real
                if t.real != zero.real:
                    part -= t * log(held(q, low, high))
                pulled -= t if inside else zero  # g_k q_k
                if dy.size:
                    dy[r, k] = -t / q if inside else zero
            for k in range(O if dy.size else 0):
                dy[r, k] = scale * w * share * (dy[r, k] - y.dtype.type(pulled))
        total += w * part
    stats[slot] = mean_of(total, valid, outputs, 1)
