"""Arguments for the kernels of feedback.py."""

from hypothesis import strategies as st
from support import few, sizes

ONE = 2**32  # the unit of the shares


def lagged(draw):
    """Draw the sizes T, B, O, the rows T + k - 1 and the columns, and where those that count begin."""
    T, B, O, k = draw(few, "T"), draw(few, "B"), draw(few, "O"), draw(few, "k")
    first = draw(st.integers(0, 3), "first")
    return T, B, O, T + k - 1, first, first + k * O + draw(st.integers(0, 2), "more")


def lag(draw):
    T, B, O, U, first, F = lagged(draw)
    return dict(fed=draw.array(U, B, O), first=first, W=draw.array(T, B, F))


def lag_back(draw):
    T, B, O, U, first, F = lagged(draw)
    return dict(dW=draw.array(T, B, F), first=first, skip=draw(st.integers(0, U), "skip"), dfed=draw.array(U, B, O))


def draw_coins(draw):
    kind = draw(st.integers(0, 2), "kind")
    rate = draw(st.floats(1.0, 50.0) if kind == 2 else st.floats(0.001, 0.999), "rate")
    shares = {name: round(ONE * draw(st.floats(0.0, 1.0), name)) for name in ("start", "stop")}
    control = draw.control(position=draw(st.integers(0, 99), "position"))
    seed = draw(st.sampled_from((-1, 0, 5, 2**40)), "seed")
    return dict(
        control=control, seed=seed, purpose=draw(st.integers(2**31, 2**32 - 1), "purpose"), kind=kind,
        rate=round(rate * ONE), **shares, coins=draw.array(draw(few, "T"), draw(sizes, "B")),
    )  # fmt: skip


def coin(draw, B):
    return draw.rng.integers(0, 2, B).astype(draw.dtype)


def choose(draw):
    B, O = draw(few, "B"), draw(sizes, "O")
    return dict(y=draw.array(B, O), target=draw.array(B, O), coin=coin(draw, B), fed=draw.array(B, O))


def choose_back(draw):
    B, O = draw(few, "B"), draw(sizes, "O")
    return dict(dfed=draw.array(B, O), coin=coin(draw, B), dy=draw.array(B, O))


CASES = {f.__name__: f for f in (lag, lag_back, draw_coins, choose, choose_back)}
