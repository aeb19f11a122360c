"""Random arguments for the LSTM's and the GRU's kernels; test_kernels.py compares them with their twins."""

import numpy as np
from hypothesis import strategies as st
from support import few, panels, sizes

from nbrnn.kernels.activations import ACTIVATIONS

BOUNDED = tuple(ACTIVATIONS.index(name) for name in ("tanh", "sigmoid", "softsign", "hard_sigmoid"))


def gate_code(draw):
    """Draw a gate's activation: with gates that have no bounds a state grows beyond float32 within a few steps."""
    return draw(st.sampled_from(BOUNDED), "gate")


def shapes(draw):
    return draw(few, "T"), draw(few, "B"), draw(sizes, "D"), draw(sizes, "H")


def turned(draw, W):
    return panels(W.T) if draw(st.booleans(), "transposed copy") else None


def packed(draw, *named):
    """Draw whether weights are packed: matrices by name, each with its number of gates."""
    there = draw.dtype != "complex128" and draw(st.booleans(), "packed")
    return {name: panels(W, gates) if there else None for name, W, gates in named}


def longer(draw, columns):
    """Draw the length of rows of so many columns that count."""
    return columns + draw(st.sampled_from((0, 0, 1, 16)), "more")


def kept(draw, T):
    """Draw how many steps and states are kept: all of them, or one and two."""
    return (T, T + 1) if draw(st.booleans(), "taped") else (1, 2)


def both(draw, D, H, G):
    """Draw kernel and recurrent kernel, packed too or not."""
    Wx, Wh = draw.array(D, G * H, scale=D**-0.5), draw.array(H, G * H, scale=H**-0.5)
    return dict(Wx=Wx, Wh=Wh, **packed(draw, ("Px", Wx, G), ("Ph", Wh, G)))


def lstm_forward(draw):
    T, B, D, H = shapes(draw)
    K, U = kept(draw, T)
    return dict(
        x=draw.array(T, B, D), **both(draw, D, H, 4),
        b=draw.maybe(4 * H), activation=draw.code(), gate=gate_code(draw), initial=draw(st.integers(0, 1), "initial"),
        h=draw.array(T + 1, B, H), c=draw.array(U, B, H), g=draw.array(K, B, longer(draw, 4 * H)),
        s=draw.array(K, B, H),
        a=draw.maybe(T, B, 4 * H),
    )  # fmt: skip


def gates(draw, T, B, H, order, codes, columns):
    """Draw gates, in rows of so many columns; what does not count is no number."""
    parts = [draw.activated(codes[k], T, B, H) for k in order]
    return np.concatenate([*parts, np.full((T, B, columns - H * len(order)), np.nan, draw.dtype)], 2)


def lstm_backward(draw):
    T, B, _, H = shapes(draw)
    Wh, gate, activation = draw.array(H, 4 * H, scale=H**-0.5), draw.code("gate"), draw.code()
    return dict(
        Wh=Wh, PT=turned(draw, Wh), c=draw.array(T + 1, B, H),
        g=gates(draw, T, B, H, (0, 0, 1, 0), (gate, activation), longer(draw, 4 * H)),
        s=draw.activated(activation, T, B, H), activation=activation, gate=gate,
        final=draw(st.integers(0, 1), "final"), add=draw(st.integers(0, 1), "add"),
        dh=draw.array(draw(st.sampled_from((1, T)), "K"), B, H), dc=draw.array(B, H),
        da=draw.array(T, B, longer(draw, 4 * H)), dh0=draw.maybe(B, H),
    )  # fmt: skip


def gru_after_forward(draw):
    T, B, D, H = shapes(draw)
    K, U = kept(draw, T)
    return dict(
        x=draw.array(T, B, D), **both(draw, D, H, 3),
        b=draw.maybe(3 * H), c=draw.maybe(3 * H), activation=draw.code(), gate=gate_code(draw),
        h=draw.array(U, B, H), g=draw.array(K, B, longer(draw, 3 * H)), q=draw.array(K, B, H),
        a=draw.maybe(T, B, 3 * H),
    )  # fmt: skip


def gru_after_backward(draw):
    T, B, _, H = shapes(draw)
    Wh, gate, activation, E = draw.array(H, 3 * H, scale=H**-0.5), draw.code("gate"), draw.code(), longer(draw, 3 * H)
    return dict(
        Wh=Wh, PT=turned(draw, Wh), h=draw.array(T + 1, B, H),
        g=gates(draw, T, B, H, (0, 0, 1), (gate, activation), longer(draw, 3 * H)),
        q=draw.array(T, B, H), activation=activation, gate=gate, add=draw(st.integers(0, 1), "add"),
        dh=draw.array(draw(st.sampled_from((1, T)), "K"), B, H), through=draw.array(B, H),
        da=draw.array(T, B, E), dq=draw.array(T, B, E), dh0=draw.maybe(B, H),
    )  # fmt: skip


def gru_before_forward(draw):
    T, B, D, H = shapes(draw)
    K, U = kept(draw, T)
    Wx, Wg = draw.array(D, 3 * H, scale=D**-0.5), draw.array(H, 2 * H, scale=H**-0.5)
    Wn = draw.array(H, H, scale=H**-0.5)
    weights = dict(Wx=Wx, Wg=Wg, Wn=Wn, **packed(draw, ("Px", Wx, 3), ("Pg", Wg, 2), ("Pn", Wn, 1)))
    return dict(
        x=draw.array(T, B, D), **weights, b=draw.maybe(3 * H), activation=draw.code(), gate=gate_code(draw),
        h=draw.array(U, B, H), g=draw.array(K, B, 3 * H), m=draw.array(K, B, H),
        a=draw.maybe(T, B, 3 * H),
    )  # fmt: skip


def gru_before_backward(draw):
    T, B, _, H = shapes(draw)
    Wg, Wn = draw.array(H, 2 * H, scale=H**-0.5), draw.array(H, H, scale=H**-0.5)
    gate, activation = draw.code("gate"), draw.code()
    return dict(
        Wg=Wg, PgT=turned(draw, Wg), Wn=Wn, PnT=turned(draw, Wn), h=draw.array(T + 1, B, H),
        g=gates(draw, T, B, H, (0, 0, 1), (gate, activation), 3 * H), activation=activation, gate=gate,
        dh=draw.array(draw(st.sampled_from((1, T)), "K"), B, H), through=draw.array(B, H), dm=draw.array(B, H),
        da=draw.array(T, B, 3 * H), dg=draw.array(T, B, 2 * H), dn=draw.array(T, B, H), dh0=draw.maybe(B, H),
    )  # fmt: skip


def begin(draw):
    T, B, _, H = shapes(draw)
    return dict(initial=draw(st.integers(0, 1)), h=draw.array(T, B, H))


def columns(draw):
    H, G = draw(sizes, "H"), draw(sizes, "G")
    first = draw(st.integers(0, G - 1))
    part = draw.array(H, draw(st.integers(1, G - first)))
    return dict(W=draw.array(H, G), first=first, part=part)


def reverse(draw):
    T, B, D, _ = shapes(draw)
    return dict(x=draw.array(T, B, D), y=draw.array(T, B, D))


def state(draw):
    """Draw samples at a place of the order, or of a batch."""
    _, B, _, H = shapes(draw)
    more = draw(few, "samples elsewhere")
    batch, carried = B + more, draw(st.integers(0, 1), "carried")
    position = draw(st.integers(0, more), "position")  # of the shard; one never wraps round its batch
    if carried:
        position += batch * draw(few)
    order = draw.rng.permutation(position + B + more)
    control = draw.control(position=position, batch=batch)
    rows = batch if carried else len(order)
    return dict(order=order, control=control, carried=carried), draw.array(rows, H), draw.array(B, H)


def load_state(draw):
    where, rows, few_rows = state(draw)
    return dict(source=rows, state=few_rows, **where)


def store_state(draw):
    where, rows, few_rows = state(draw)
    return dict(state=few_rows, target=rows, **where)


def accumulate(draw):
    _, B, _, H = shapes(draw)
    return dict(v=draw.array(B, H), into=draw.array(B, H))


def spread(draw):
    T, B, _, H = shapes(draw)
    return dict(dy=draw.array(draw(st.integers(1, T), "K"), B, H), dh=draw.array(T, B, H))


CASES = {"take_columns": columns, "put_columns": columns} | {
    f.__name__: f
    for f in (
        lstm_forward, lstm_backward, gru_after_forward, gru_after_backward, gru_before_forward, gru_before_backward,
        begin, reverse, load_state, store_state, accumulate, spread,
    )
}  # fmt: skip
