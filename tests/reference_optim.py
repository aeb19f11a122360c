"""Naive twins of what belongs to an optimizer's step: clipping, decay and schedules."""

import math

import numpy as np
from hypothesis import strategies as st
from reference import BATCH, EPOCH, POSITION, SEED, STATUS, STEP, philox
from reference_losses import sign

rate, steps, switch = st.floats(1e-3, 1.0), st.integers(1, 40), st.integers(0, 1)
SCHEDULED = {  # the numbers of each schedule
    "exponential_decay": (rate, steps, st.floats(0.1, 1.5), switch),
    "inverse_time_decay": (rate, steps, st.floats(0.0, 2.0), switch),
    "polynomial_decay": (rate, steps, st.floats(0.0, 0.1), st.sampled_from((0.5, 1.0, 2.0)), switch),
    "piecewise_constant_decay": (steps, steps, steps, rate, rate, rate, rate),
    "cosine_decay": (rate, steps, st.floats(0.0, 0.5), st.sampled_from((-1.0, 0.7)), st.integers(0, 9)),
    "cosine_decay_restarts": (
        rate, steps, st.sampled_from((1.0, 1.5, 2.0)), st.sampled_from((0.8, 1.0)), st.floats(0.0, 0.5)
    ),
}  # fmt: skip


def clip_value(limit, grads):
    return {"grads": np.array([min(max(g, -limit), limit) for g in grads])}


def decay_weights(hyper, decay, params, moved):
    return {"moved": np.array([m - hyper[0] * decay * p for m, p in zip(moved, params, strict=True)])}


def take_over(control, grads, params):
    new = control.copy()
    if control[STATUS]:
        return {"params": params, "control": new}
    good = np.isfinite(grads).all()
    new[STATUS] = 0 if good else 2
    return {"params": grads if good else params, "control": new}


def penalty(w, control, samples, count, l1, l2, dw, stats):
    new = stats.copy()
    new[0] += (samples if count < 0 else stats[count]) * sum(l1 * sign(v) * v + l2 * v * v for v in w)
    if dw is None:
        return {"stats": new}
    share = samples / control[BATCH]
    return {"stats": new, "dw": np.array([d + share * (l1 * sign(v) + 2 * l2 * v) for d, v in zip(dw, w, strict=True)])}


def draw_mask(control, seed, purpose, sampled, threshold, kept, mask, room):
    K, B, F = mask.shape
    key, new = int(control[SEED] if seed < 0 else seed), np.zeros_like(mask)
    for t, i, j in np.ndindex(K, B, F):
        block, place = divmod((int(control[POSITION]) + i) * F + j, 32)
        counter = t * 2**40 + block * 8 + place % 8
        number = int(control[EPOCH if sampled else STEP])
        words = philox((counter % 2**32, counter // 2**32, number, purpose), (key % 2**32, key // 2**32))
        new[t, i, j] = kept if words[place // 8] >= threshold else 0.0
    return {"mask": new}


def apply_mask(x, mask, y):
    return {"y": x * mask}


def schedule_twin(formula):
    """Make a twin of a schedule's kernel from formula(step, *numbers), which returns the rate."""

    def twin(numbers, control, first, hyper):
        return {"hyper": np.array([formula(int(control[STEP]) - first, *numbers), *hyper[1:]])}

    return twin


def ratio(step, steps, staircase):
    return step // steps if staircase else step / steps


def polynomial(step, initial, steps, end, power, cycle):
    if cycle:
        steps *= max(1, math.ceil(step / steps))
    step = min(step, steps)
    return (initial - end) * (1 - step / steps) ** power + end


def piecewise(step, *numbers):
    boundaries, values = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    return next((v for b, v in zip(boundaries, values, strict=False) if step <= b), values[-1])


def cosine(share, alpha):
    return (1 - alpha) * (1 + math.cos(math.pi * share)) / 2 + alpha


def warmed(step, initial, steps, alpha, target, warmup):
    if target < 0:
        return initial * cosine(min(1, step / steps), alpha)
    if step < warmup:
        return initial + (target - initial) * step / warmup
    return target * cosine(min(1, (step - warmup) / steps), alpha)


def restarted(step, initial, steps, longer, higher, alpha):
    height = 1.0
    while step >= steps:
        step, steps, height = step - steps, steps * longer, height * higher
    return initial * ((1 - alpha) * height * cosine(step / steps, 0.0) + alpha)


exponential_decay = schedule_twin(lambda s, initial, d, r, stairs: initial * r ** ratio(s, d, stairs))
inverse_time_decay = schedule_twin(lambda s, initial, d, r, stairs: initial / (1 + r * ratio(s, d, stairs)))
polynomial_decay, piecewise_constant_decay = schedule_twin(polynomial), schedule_twin(piecewise)
cosine_decay, cosine_decay_restarts = schedule_twin(warmed), schedule_twin(restarted)
