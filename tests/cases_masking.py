"""Arguments for the kernels of masking.py."""

import numpy as np
import reference_masking
from hypothesis import strategies as st
from support import few, sizes


def mask_of(draw, T, B):
    """Return a mask: of random holes, of beginnings, of everything, or of nothing."""
    kind = draw(st.sampled_from(("holes", "beginnings", "all", "none")), "mask")
    steps, lengths = np.arange(T)[:, None], draw.rng.integers(0, T + 1, B)
    valid = {"holes": draw.rng.random((T, B)) < 0.6, "beginnings": steps < lengths, "all": steps < T, "none": steps < 0}
    return np.broadcast_to(valid[kind], (T, B)).astype(draw.dtype)


def packing(draw, *names, T=None):
    """Return sizes, and some of the arrays that say where steps go, of a random mask."""
    T, B = draw(few, "T") if T is None else T, draw(few, "B")
    nothing = dict(row=None, seen=None, source=np.zeros((T, B), np.int64), alive=None)
    made = reference_masking.order_steps(mask_of(draw, T, B), draw(st.integers(0, 1), "backwards"), **nothing)
    return T, B, {name: made[name] for name in names}


def order_steps(draw):
    T, B = draw(few, "T"), draw(few, "B")
    integers = {"row": (B,), "seen": (T, B), "source": (T, B), "alive": (T,)}
    arrays = {name: draw.rng.integers(0, 9, shape) for name, shape in integers.items()}
    return dict(valid=mask_of(draw, T, B), backwards=draw(st.integers(0, 1), "backwards"), **arrays)


def squeeze(draw):
    (T, B, places), D = packing(draw, "source", "alive"), draw(sizes, "D")
    return dict(x=draw.array(T, B, D), z=draw.array(T, B, D), **places)


def unsqueeze(draw):
    (T, B, places), D = packing(draw, "source", "alive"), draw(sizes, "D")
    start = draw(st.integers(0, T - 1), "start")
    part = {name: array[start:] for name, array in places.items()}
    return dict(dz=draw.array(T - start, B, D), dx=draw.array(T, B, D), **part)


def compact(draw):
    (T, B, places), D = packing(draw, "alive"), draw(sizes, "D")
    return dict(v=draw.array(T, B, D), rows=draw.array(T, B, D), **places)


def hold(draw):
    (T, B, places), H = packing(draw, "row", "seen"), draw(sizes, "H")
    K = draw(st.sampled_from((1, T)), "K")
    kept = T + 1 if K > 1 else draw(st.sampled_from((2, T + 1)), "states kept")
    return dict(h=draw.array(kept, B, H), zero=draw(st.integers(0, 1), "zero"), y=draw.array(K, B, H), **places)


def unhold(draw):
    (T, B, places), H = packing(draw, "row", "seen"), draw(sizes, "H")
    K = draw(st.sampled_from((1, T)), "K")
    J = draw(st.sampled_from((K, T)), "J")
    own = dict(dy=draw.array(K, B, H), last=draw.maybe(B, H), zero=draw(st.integers(0, 1), "zero"))
    return own | dict(dh=draw.array(J, B, H), **places)


def last_state(draw):
    (T, B, places), H = packing(draw, "row", "seen"), draw(sizes, "H")
    kept = draw(st.sampled_from((2, T + 1)), "states kept")
    return dict(s=draw.array(kept, B, H), last=draw.array(B, H), **places)


def to_rows(draw):
    (_, B, places), H = packing(draw, "row"), draw(sizes, "H")
    return dict(v=draw.array(B, H), rows=draw.array(B, H), **places)


def from_rows(draw):
    (_, B, places), H = packing(draw, "row", "seen"), draw(sizes, "H")
    return dict(rows=draw.array(B, H), last=draw.maybe(B, H), v=draw.array(B, H), **places)


def masked_numbers(draw, *shape):
    """Return numbers of which many steps hold one value alone and others in part, and that value."""
    value, x = float(draw(st.sampled_from((0, -1, 7)), "value")), draw.array(*shape)
    x[draw.rng.random(shape) < 0.4] = value
    x[draw.rng.random(shape[:-1]) < 0.4] = value
    return x, value


def mask_steps(draw):
    T, B, D = draw(few, "T"), draw(few, "B"), draw(few, "D")
    x, value = masked_numbers(draw, T, B, D)
    before = mask_of(draw, T, B) if draw(st.booleans(), "present before") else None
    return dict(x=x, before=before, value=value, valid=draw.array(T, B), y=draw.array(T, B, D))


def mask_back(draw):
    T, B, D = draw(few, "T"), draw(few, "B"), draw(few, "D")
    return dict(dy=draw.array(T, B, D), valid=mask_of(draw, T, B), dx=draw.array(T, B, D))


def mask_batch(draw):
    N, T, D = draw(sizes, "N"), draw(few, "T"), draw(few, "D")
    x, value = masked_numbers(draw, N, T, D)
    batch = draw(st.integers(1, N), "batch")
    first = draw(st.integers(0, (N - 1) // batch), "which batch") * batch
    count = min(batch, N - first)
    control = draw.control(batch=count, position=first + draw(st.integers(0, count - 1), "of a shard"))
    strides = dict(per_sample=T * D, per_step=D, per_feature=1)
    own = dict(order=draw.rng.permutation(N), control=control, batch=batch, features=D, value=value)
    return dict(source=x.reshape(-1), valid=mask_of(draw, T, batch), **own, **strides)


def fill(draw):
    return dict(value=float(draw(few, "value")), v=draw.array(draw(sizes, "N")))


def join_masks(draw):
    N = draw(sizes, "N")
    return dict(a=mask_of(draw, 1, N)[0], b=mask_of(draw, 1, N)[0], both=draw.array(N))


def count_valid(draw):
    return dict(valid=mask_of(draw, draw(few, "T"), draw(few, "M")), count=draw.array(1))


CASES = {
    f.__name__: f
    for f in (
        order_steps, squeeze, unsqueeze, compact, hold, unhold, last_state, to_rows, from_rows, mask_steps, mask_back,
        mask_batch, fill, join_masks, count_valid,
    )
}  # fmt: skip
