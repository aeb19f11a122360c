"""Arguments of the kernels of losses and metrics, drawn by Hypothesis."""

import functools

import numpy as np
from hypothesis import strategies as st
from support import few, sizes

LOSSES = {"mse", "mae", "mape", "huber", "projection", "quantile", "binary_crossentropy", "categorical_crossentropy"}
smoothing = st.sampled_from((0.0, 0.125, 1.0))


def common(draw, R, each, words=1):
    """Return what all of them take: weights, of which some are 0, counts, and statistics that others have filled."""
    weight = draw.maybe(R)
    if weight is not None:
        weight = abs(weight.real).astype(draw.dtype)
        weight[draw.rng.random(R) < 0.3] = 0
    stats = draw.rng.normal(size=words + 2).astype("complex128" if draw.dtype == "complex128" else "float64")
    slot = draw(st.integers(0, 2), "slot")
    return dict(weight=weight, outputs=each * draw(few, "rows of a sample"), slot=slot, stats=stats)


def counted(draw):
    """Return how many rows of the batch a mask leaves, or None."""
    return np.array([draw(st.sampled_from((0.0, 1.0, 7.0)))], draw.dtype) if draw(st.booleans(), "masked") else None


def flat(draw, y=None, target=None, **more):
    R, O = draw(sizes, "R"), draw(few, "O")
    target = draw.array(R * O) if target is None else target(R * O)
    y = target + draw.array(R * O).astype(draw.dtype) if y is None else y(R * O)
    y[0] = target[0] if draw(st.booleans(), "an exact hit") else y[0]
    control = draw.control(batch=R + draw(few))
    arguments = dict(y=y, target=target, each=O, control=control, valid=counted(draw), dy=draw.maybe(R * O))
    return arguments | common(draw, R, O) | more


def mape(draw):
    arguments = flat(draw)
    if draw(st.booleans(), "a target of 0"):
        arguments["target"][-1] = 0
    return arguments


def huber(draw):
    return flat(draw, delta=float(np.float32(draw(st.floats(0.2, 2.0), "delta"))))


def quantile(draw):
    levels = draw(few, "levels")
    R, P = draw(sizes, "R"), draw(few, "P")
    target = draw.array(R * P)
    y = np.repeat(target, levels) + draw.array(R * P * levels).astype(draw.dtype)
    y[0] = target[0] if draw(st.booleans(), "an exact hit") else y[0]
    arguments = dict(y=y, target=target, each=P * levels, valid=counted(draw), dy=draw.maybe(y.size))
    level = dict(q=float(np.float32(draw(st.floats(0.05, 0.95), "q"))), first=draw(st.integers(0, levels - 1), "first"))
    control = draw.control(batch=R + draw(few))
    return arguments | dict(control=control) | level | common(draw, R, P * levels)


def uniform(draw, *shape):
    """Return numbers between 0.02 and 0.98, in complex128 with imaginary parts."""
    array = draw.array(*shape)
    return (0.02 + 0.96 * draw.rng.random(shape) + (array - array.real)).astype(draw.dtype)


def probabilities(draw, *shape):
    """Return such numbers, of which some may be 0 or (where float32's rounding does not show) 1 and beyond."""
    y = uniform(draw, *shape)
    if draw(st.booleans(), "beyond"):
        ends = (0.0, -0.2) if draw.dtype == "float32" else (0.0, -0.2, 1.0, 1.5)
        y[draw.rng.random(shape) < 0.3] = draw(st.sampled_from(ends), "end")
    return y


def binary_crossentropy(draw):
    logits = draw(st.integers(0, 1), "from_logits")
    outputs = (lambda n: 3 * draw.array(n)) if logits else (lambda n: probabilities(draw, n))
    arguments = flat(draw, outputs, lambda n: uniform(draw, n).real.astype(draw.dtype))
    return arguments | dict(from_logits=logits, label_smoothing=draw(smoothing, "smoothing"))


def matrix(draw, y):
    """Return outputs of several classes, and targets: labels or shares."""
    R, O = draw(sizes, "R"), draw(st.sampled_from((2, 3, 5, 17)), "O")
    labels = draw.rng.integers(0, O, R)
    share = draw.rng.random((R, O)) + np.eye(O)[labels]
    kinds = {"labels": labels[:, None], "one-hot": np.eye(O)[labels], "shares": share / share.sum(1, keepdims=True)}
    target = kinds[draw(st.sampled_from(sorted(kinds)), "target")].astype(draw.dtype)
    return dict(y=y(R, O), target=target)


def categorical_crossentropy(draw):
    logits = draw(st.integers(0, 1), "from_logits")

    def outputs(R, O):
        y = 3 * draw.array(R, O) if logits else uniform(draw, R, O)
        if not logits and draw(st.booleans(), "beyond"):
            y[0, 1:] = 1e-9 if draw.dtype != "float32" else 0.0
        return y

    arguments = matrix(draw, outputs)
    R, O = arguments["y"].shape
    own = dict(from_logits=logits, label_smoothing=draw(smoothing, "smoothing"), valid=counted(draw))
    control = draw.control(batch=R + draw(few))
    return arguments | own | dict(control=control, dy=draw.maybe(R, O)) | common(draw, R, 1)


def halves(draw, *shape):
    """Return multiples of one half: among them are ties, and numbers at a threshold."""
    y = draw.array(*shape)
    return (y - y.real + np.round(2 * y.real) / 2).astype(draw.dtype)


def binary_accuracy(draw):
    R, O = draw(sizes, "R"), draw(few, "O")
    target = draw.rng.integers(0, 2, R * O).astype(draw.dtype)
    threshold = draw(st.sampled_from((0.0, 0.5)), "threshold")
    arguments = dict(y=halves(draw, R * O), target=target, each=O, threshold=threshold, valid=counted(draw))
    return arguments | common(draw, R, O)


def categorical_accuracy(draw):
    arguments = matrix(draw, functools.partial(halves, draw))
    return arguments | dict(valid=counted(draw)) | common(draw, len(arguments["y"]), 1)


def without_count(arguments):
    del arguments["outputs"]
    return arguments


def positives(draw):
    arguments = matrix(draw, functools.partial(halves, draw))
    class_id = draw(st.sampled_from((-1, 0, 1)), "class_id")
    arguments |= dict(threshold=draw(st.sampled_from((0.0, 0.5)), "threshold"), class_id=class_id)
    return without_count(arguments | common(draw, len(arguments["y"]), 1, 3))


def determination(draw):
    R, O = draw(sizes, "R"), draw(few, "O")
    return without_count(dict(y=draw.array(R, O), target=draw.array(R, O)) | common(draw, R, 1, 1 + 3 * O))


def mask(draw, R):
    return draw.rng.integers(0, 2, R).astype(draw.dtype)


def count_rows(draw):
    arguments = common(draw, 1, 1)
    return dict(mask=mask(draw, draw(sizes, "R")), slot=arguments["slot"], stats=arguments["stats"])


def weigh_mask(draw):
    R = draw(sizes, "R")
    return dict(weight=draw.array(R), mask=mask(draw, R), both=draw.array(R))


CASES = {"mse": flat, "mae": flat, "projection": flat} | {
    f.__name__: f
    for f in (
        mape, huber, quantile, binary_crossentropy, categorical_crossentropy, binary_accuracy, categorical_accuracy,
        positives, determination, count_rows, weigh_mask,
    )
}  # fmt: skip
