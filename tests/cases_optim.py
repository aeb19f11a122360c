"""Arguments of the kernels of one optimizer's step, drawn by Hypothesis."""

import numpy as np
from hypothesis import strategies as st
from reference_optim import SCHEDULED
from support import few, sizes

share = st.sampled_from((0.5, 0.9, 0.999))
rate = st.floats(1e-3, 0.5)


def clip_norm(draw):
    grads = draw.array(draw(st.sampled_from((1, 15, 16, 17, 32, 50)), "P"))
    limit = float(np.linalg.norm(grads)) * draw(st.sampled_from((0.1, 0.9, 1.1, 10.0)), "limit over norm")
    return dict(limit=limit, grads=grads, lanes=draw.rng.normal(size=16))


def clip_value(draw):
    return dict(limit=float(np.float32(draw(st.floats(0.1, 2.0), "limit"))), grads=draw.array(draw(sizes, "P")))


def decay_weights(draw):
    decay = float(np.float32(draw(st.floats(0.0, 1.0), "decay")))
    P = draw(sizes, "P")
    return dict(hyper=np.array([draw(rate), 0.5]), decay=decay, params=draw.array(P), moved=draw.array(P))


def stepped(draw):
    P = 16 * draw(few)
    grads = draw.array(P)
    if draw(st.sampled_from((False, False, True)), "a gradient that is not finite"):
        grads[draw.rng.integers(P)] = draw(st.sampled_from((np.nan, np.inf, -np.inf)))
    return dict(control=draw.control(), grads=grads, params=draw.array(P))


def take_over(draw):
    case = stepped(draw)
    return case | {"control": draw.control(status=draw(st.integers(0, 1), "status"))}


def optimizer(draw, *hyper, **more):
    case, positive = stepped(draw), ("v", "largest")
    P = len(case["grads"])
    slots = {name: abs(draw.array(P)) if name in positive else draw.array(P) for name in more.pop("slots")}
    return case | dict(hyper=np.array(hyper), later=draw(st.integers(0, 1), "later"), **slots, **more)


def sgd(draw):
    momentum = draw(st.booleans(), "momentum")
    more = {} if momentum else {"v": None}
    nesterov, slots = draw(st.integers(0, 1), "nesterov"), ("v",) if momentum else ()
    return optimizer(draw, draw(rate), draw(share) if momentum else 0.0, slots=slots, nesterov=nesterov, **more)


def optional(draw, *names):
    """Return which of some slots are there, and the others as absent."""
    there = [name for name in names if draw(st.booleans(), name)]
    return there, {name: None for name in names if name not in there}


def rmsprop(draw):
    there, absent = optional(draw, "mean", "momentum")
    epsilon = 1000.0 if "mean" in there else draw(st.sampled_from((1e-7, 0.1)))  # random slots: v may be below mean^2
    return optimizer(draw, draw(rate), draw(share), epsilon, draw(share), slots=("v", *there), **absent)


def adam(draw):
    b1, b2, t = draw(share), draw(share), draw(st.integers(0, 5), "steps before")
    hyper, (there, absent) = (b1, b2, draw(st.sampled_from((1e-7, 0.1))), b1**t, b2**t), optional(draw, "largest")
    return optimizer(draw, draw(rate), *hyper, slots=("m", "v", *there), **absent)


def penalty(draw):
    w, kind = draw.array(draw(sizes, "P")), "complex128" if draw.dtype == "complex128" else "float64"
    w[draw.rng.integers(len(w))] *= draw(st.integers(0, 1), "no zero")
    l1, l2 = (float(np.float32(draw(st.floats(0.0, 1.0)))) for _ in range(2))
    samples = draw(few, "samples")
    return dict(
        w=w, control=draw.control(batch=samples + draw(few)), samples=samples, l1=l1, l2=l2, dw=draw.maybe(len(w)),
        stats=draw.rng.normal(size=2).astype(kind), count=draw(st.sampled_from((-1, 1)), "count"),
    )  # fmt: skip


def draw_mask(draw):
    K, B, F = draw(few, "K"), draw(few, "B"), draw(sizes, "F")
    rate, seed = draw(st.sampled_from((0.1, 0.5, 0.9)), "rate"), draw(st.sampled_from((-1, 0, 2**40)), "seed")
    position = draw(st.sampled_from((0, 1, 31, 32, 2**33)), "position")
    return dict(
        control=draw.control(position=position), seed=seed,
        purpose=draw(st.integers(0, 2**32 - 1), "purpose"), sampled=draw(st.integers(0, 1), "sampled"),
        threshold=round(rate * 2**32), kept=float(np.float32(1 / (1 - rate))), mask=draw.array(K, B, F),
        room=draw.array(32),
    )  # fmt: skip


def apply_mask(draw):
    T, B, F = draw(few, "T"), draw(few, "B"), draw(sizes, "F")
    K = draw(st.sampled_from((1, T)), "K")
    return dict(x=draw.array(T, B, F), mask=draw.array(K, B, F), y=draw.array(T, B, F))


def scheduled(name):
    """Return what draws the arguments of a schedule's kernel."""

    def case(draw):
        numbers = [draw(numbers) for numbers in SCHEDULED[name]]
        if name == "piecewise_constant_decay":
            numbers[: len(numbers) // 2] = sorted(numbers[: len(numbers) // 2])
        first = draw(st.integers(0, 9), "first")
        control = draw.control(step=first + draw(st.integers(0, 100), "step"))
        return dict(numbers=np.array(numbers, float), control=control, first=first, hyper=draw.rng.normal(size=3))

    return case


CASES = {
    f.__name__: f
    for f in (clip_norm, clip_value, decay_weights, take_over, sgd, rmsprop, adam, penalty, draw_mask, apply_mask)
}
CASES |= {name: scheduled(name) for name in SCHEDULED}
