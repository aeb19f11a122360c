"""The cells of the persistent kernels: what a thread does at its items, with the cells' own step functions.

An item is a unit j@ of the block's sequence r@, which is the batch's n@; o@ is its place in a step's states. Forward,
pre holds x Wx + b of the steps from `base` on; whole_h and whole_c say that h and c keep all states, and not two that
take turns; `tape` that gates are kept for a way back, `taped` that pre-activations are kept, too.
"""

from .persistent_text import Cell

OPEN = """
masked: m@ = zero
masked: if there@:
masked:     m@ = peek(mask, o@)
"""
STATE = """
    whole_h: old = t0 * BH
    !whole_h: old = (t0 & 1) * BH
    y = peek(h, o@ + old)
"""
OPERAND = """
    masked: y = y * m@
    masked: if t0 == 0:
    masked:     poke(kept, o@, y)
    poke(M, X0 + r@ * ROW0 + j@, rounded(y, DROPPED))
"""
STORE = """
    whole_h: new = (t + 1) * BH
    !whole_h: new = ((t + 1) & 1) * BH
    poke(h, o@ + new, y)
    masked: y = y * m@
    masked: poke(kept, o@ + new, y)
    poke(M, X0 + r@ * ROW0 + j@, rounded(y, DROPPED))
"""
DOWN = """
    if t > 0:
        every: nd_@ = nd_@ + d
        every: poke(dh, o@ + (t - 1) * BH, nd_@)
        !every: dy@ = d
        !every: poke(dh, o@, d)
    ends: else:
    ends:     poke(dh0, o@, peek(dh0, o@) + d if add else d)
"""
UNMASK = """
    masked: if t == t0:
    masked:     poke(room, o@, d)
    masked: d = d * m@
"""
LAST = """
!every: dy@ = zero
!every: if there@:
!every:     dy@ = peek(dh, o@)
"""
WORKS = """
limited: if there@ & (n@ < working):
!limited: if there@:
"""
FROM_ABOVE = """
    every: d = pd_@
    !every: d = dy@
"""
GATES = """
    tape: at = (t * batch + n@) * G + j@
"""
PRE = """
at = ((TIME - base) * batch + n@) * G + j@
"""
GRADIENT = """
    at = (t * batch + n@) * E + j@
"""


def gates(array: str, *values: str, word: str = "") -> str:
    """Return the lines that write an item's number of each gate."""
    ahead = f"    {word}: " if word else "    "
    return "".join(f"{ahead}poke({array}, at + {k} * H, {v})\n" for k, v in enumerate(values))


def reads(array: str, *names: str) -> str:
    """Return the lines that read an item's number of each gate."""
    return "".join(f"p{name}_@ = peek({array}, at + {k} * H)\n" for k, name in enumerate(names))


def pre_activations(*values: str) -> str:
    """Return the lines that keep pre-activations where they are asked for."""
    return "    taped: at = (t * batch + n@) * A + j@\n" + gates("a", *values, word="taped")


TIMES = """
at = TIME * BH + o@
"""
CELLS = {
    "simple_rnn_forward": Cell(
        "Wh, mask, alive, h, kept, a, pre, G, A, base, begun",
        ("Wh",),
        OPEN + "if there@ & begun:\n" + STATE + OPERAND,
        PRE + reads("pre", "0"),
        (WORKS + "    y = p0_@\n    ADD 0 y\n" + pre_activations("y") + "    y = squash(y, ACT, True)\n" + STORE,),
    ),
    "lstm_forward": Cell(
        "Wh, mask, alive, h, kept, c, g, s, a, pre, G, A, base, begun",
        ("Wh",),
        OPEN
        + """
c@ = zero
if there@ & begun:
    whole_c: c@ = peek(c, o@ + t0 * BH)
    !whole_c: c@ = peek(c, o@ + (t0 & 1) * BH)
"""
        + STATE
        + OPERAND
        + """
if there@ & (not begun):
    poke(c, o@, zero)
""",
        PRE + reads("pre", "0", "1", "2", "3"),
        (
            WORKS
            + "    i, f, u, o = p0_@, p1_@, p2_@, p3_@\n    ADD 0 i f u o\n"
            + pre_activations("i", "f", "u", "o")
            + "    i, f, u, o, c@, v, y = step(i, f, u, o, c@, ACT, GATE, True)\n"
            + GATES
            + gates("g", "i", "f", "u", "o", word="tape")
            + """
    tape: poke(s, o@ + t * BH, v)
    whole_c: poke(c, o@ + (t + 1) * BH, c@)
    !whole_c: poke(c, o@ + ((t + 1) & 1) * BH, c@)
"""
            + STORE,
        ),
    ),
    "gru_after_forward": Cell(
        "Wh, bias, mask, alive, h, kept, g, q, a, pre, G, A, base",
        ("Wh",),
        OPEN
        + """
b@ = zero
biased: b0_@, b1_@, b2_@ = zero, zero, zero
if there@:
    biased: b0_@, b1_@, b2_@ = peek(bias, j@), peek(bias, H + j@), peek(bias, 2 * H + j@)
"""
        + STATE
        + "    b@ = y\n"
        + OPERAND,
        PRE + reads("pre", "0", "1", "2"),
        (
            WORKS
            + """
    z, r, v, w = p0_@, p1_@, p2_@, zero
    biased: z, r, w = z + b0_@, r + b1_@, b2_@
    ADD 0 z r w
"""
            + "    az, ar = z, r\n    z, r, v, u, y = step_after(z, r, v, w, b@, ACT, GATE, True)\n"
            + pre_activations("az", "ar", "v")
            + GATES
            + gates("g", "z", "r", "u", word="tape")
            + "    tape: poke(q, o@ + t * BH, w)\n    b@ = y\n"
            + STORE,
        ),
    ),
    "gru_before_forward": Cell(
        "Wg, Wn, mask, alive, h, kept, g, m, a, pre, G, A, base",
        ("Wg", "Wn"),
        OPEN + "b@, y@, z@ = zero, zero, zero\nif there@:\n" + STATE + "    b@ = y\n" + OPERAND + "    y@ = y\n",
        PRE + reads("pre", "0", "1", "2"),
        (
            WORKS
            + "    z, r = p0_@, p1_@\n    ADD 0 z r\n"
            + pre_activations("z", "r")
            + "    z@, r = squash(z, GATE, True), squash(r, GATE, True)\n    v = r * y@\n"
            + GATES
            + gates("g", "z@", "r", word="tape")
            + "    tape: poke(m, o@ + t * BH, v)\n    poke(M, X1 + r@ * ROW1 + j@, rounded(v, DROPPED))\n",
            WORKS
            + "    v = p2_@\n    ADD 1 v\n"
            + "    taped: poke(a, (t * batch + n@) * A + 2 * H + j@, v)\n"
            + "    v = squash(v, ACT, True)\n"
            + "    tape: poke(g, (t * batch + n@) * G + 2 * H + j@, v)\n"
            + "    y = blend(z@, v, b@)\n    b@ = y\n"
            + STORE
            + "    y@ = y\n",
        ),
    ),
    "simple_rnn_backward": Cell(
        "Wh, mask, alive, h, dh, da, dh0, room, E, add",
        ("Wh turned",),
        OPEN + LAST,
        TIMES + "p0_@ = peek(h, at + BH)\nevery: pd_@ = peek(dh, at)\n",
        (
            WORKS
            + FROM_ABOVE
            + "    d = d * steepness(p0_@, ACT, True)\n"
            + GRADIENT
            + gates("da", "d")
            + "    poke(M, X0 + r@ * ROW0 + j@, rounded(d, DROPPED))\n",
            WORKS + "    d = zero\n    ADD 0 d\n" + UNMASK + DOWN,
        ),
    ),
    "lstm_backward": Cell(
        "Wh, mask, alive, c, g, s, dh, dc, da, dh0, room, G, E, add, begun",
        ("Wh turned",),
        OPEN
        + LAST
        + """
dc@ = zero
if there@ & begun:
    dc@ = peek(dc, o@)
""",
        "at = (TIME * batch + n@) * G + j@\n"
        + reads("g", "0", "1", "2", "3")
        + TIMES
        + "p4_@ = peek(c, at)\np5_@ = peek(s, at)\nevery: pd_@ = peek(dh, at)\n",
        (
            WORKS
            + FROM_ABOVE
            + "    i, f, u, o, dc@ = "
            + "step_back(p0_@, p1_@, p2_@, p3_@, p4_@, p5_@, d, dc@, ACT, GATE, True)\n"
            + GRADIENT
            + gates("da", "i", "f", "u", "o")
            + "    at = X0 + r@ * ROW0 + j@\n"
            + gates("M", *(f"rounded({d}, DROPPED)" for d in ("i", "f", "u", "o"))),
            WORKS + "    d = zero\n    ADD 0 d\n" + UNMASK + DOWN,
        ),
        "if there@:\n    poke(dc, o@, dc@)\n",
    ),
    "gru_after_backward": Cell(
        "Wh, mask, alive, h, g, q, dh, through, da, dq, dh0, room, G, E, add",
        ("Wh turned",),
        OPEN + LAST + "d@ = zero\n",
        "at = (TIME * batch + n@) * G + j@\n"
        + reads("g", "0", "1", "2")
        + TIMES
        + "p3_@ = peek(q, at)\np4_@ = peek(h, at)\nevery: pd_@ = peek(dh, at)\n",
        (
            WORKS
            + FROM_ABOVE
            + """
    z, u, d@ = step_unmix(p0_@, p2_@, p4_@, d, ACT, GATE, True)
    r, w = step_reset_back(p1_@, p3_@, u, GATE, True)
"""
            + GRADIENT
            + gates("da", "z", "r", "u")
            + gates("dq", "z", "r", "w")
            + "    at = X0 + r@ * ROW0 + j@\n"
            + gates("M", *(f"rounded({d}, DROPPED)" for d in ("z", "r", "w")))
            + "    if t == t0:\n        poke(through, o@, d@)\n",
            WORKS + "    d = zero\n    ADD 0 d\n" + UNMASK + "    d = d + d@\n" + DOWN,
        ),
    ),
    "gru_before_backward": Cell(
        "Wg, Wn, mask, alive, h, kept, g, dh, through, dm, da, dg, dn, dh0, room, G, E, add",
        ("Wn turned", "Wg turned"),
        OPEN + LAST + "d@ = zero\n",
        "at = (TIME * batch + n@) * G + j@\n"
        + reads("g", "0", "1", "2")
        + TIMES
        + "p3_@ = peek(h, at)\nmasked: p4_@ = peek(kept, at)\nevery: pd_@ = peek(dh, at)\n",
        (
            WORKS
            + FROM_ABOVE
            + "    z, u, d@ = step_unmix(p0_@, p2_@, p3_@, d, ACT, GATE, True)\n"
            + GRADIENT
            + """
    poke(da, at, z)
    poke(da, at + 2 * H, u)
    poke(dn, o@ + t * BH, u)
    poke(dg, o@ + t * 2 * BH + n@ * H, z)
    poke(M, X0 + r@ * ROW0 + j@, rounded(u, DROPPED))
    poke(M, X1 + r@ * ROW1 + j@, rounded(z, DROPPED))
""",
            WORKS
            + """
    d = zero
    ADD 0 d
    if t == t0:
        poke(dm, o@, d)
    !masked: w = p3_@
    masked: w = p4_@
    r = d * w * steepness(p1_@, GATE, True)
    d = d * p1_@
    masked: d = d * m@
    d@ = d@ + d
    if t == t0:
        poke(through, o@, d@)
"""
            + GRADIENT
            + """
    poke(da, at + H, r)
    poke(dg, o@ + t * 2 * BH + n@ * H + H, r)
    poke(M, X1 + r@ * ROW1 + H + j@, rounded(r, DROPPED))
""",
            WORKS + "    d = zero\n    ADD 1 d\n" + UNMASK + "    d = d + d@\n" + DOWN,
        ),
    ),
}
