"""The text of the persistent kernels: what all cells share. persistent_cells.py has what is a cell's own.

A kernel is written out for its sizes: a thread's weights are variables, a tuple for each block of four inputs and four
outputs, which the compiler keeps in registers; an array would stand in local memory where an index is not a constant.

A cell's lines stand there once for each of a thread's items, whose number takes the place of @. "given: line" stands
there only if the word `given` holds, "!given: line" only if it does not; "ADD 0 a b" adds to the variables a and b what
product 0 has left for an item, a row of units each.
"""

import re
from dataclasses import dataclass
from textwrap import indent

from .persistent_layout import FOUR, Layout, Matrix

# What happens between two barriers, and to which shared array; PRODUCT stands for each of a step's products in turn:
#     before the loop   X is set to zero; barrier; a thread writes X at its items (forward: the first states)
#     pointwise         writes X at its items; forward it reads the sums at its items before that
#     barrier           X is written before it by items' owners, and read after it by all threads
#     PRODUCT           reads X, and the weights, each thread those that it has written itself; writes the sums
#     barrier           the sums are written before it by slices' owners, and read after it by items' owners;
#                       X is read before it, and written after it by the next pointwise step
#     pointwise         reads the sums, which the next PRODUCT writes again behind its first barrier
# All threads of a block meet at each barrier: what is asked around them (t, alive, the first sequence) is the block's.
# Sequences stand in the order of their lengths: once the first of a block has no more steps, the block has none.
FRAME = """
def persistent({arguments}, batch, t0, t1):
    M = cuda.shared.array(0, KIND, alignment=16)
    tid, first, zero = cuda.threadIdx.x, cuda.blockIdx.x * {rows}, REAL(0)
    {places}
    BH = batch * H
{start}
{weights}
    tid = read_again(tid)
{items}
    for k in range(tid, {operands}, {threads}):
        poke(M, k, zero)
    cuda.syncthreads()
{opening}
{loop}
"""
ITEM = """
i@ = tid + @ * {threads}
r@, j@ = i@ // H, i@ % H
n@ = first + r@
there@ = (i@ < {all}) & (n@ < batch)
o@ = n@ * H + j@
"""
LATER = """
limited: while t1 > t0 and first >= peek(alive, t1 - 1):
limited:     t1 = t1 - 1
"""
FORWARD = """
for t in range(t0, t1):
    working = batch
    limited: working = peek(alive, t)
    if first >= working:
        break
{ahead}
{stages}
{turn}
"""
BACKWARD = """
for k in range(t1 - t0):
    t = t1 - 1 - k
    working = batch
    limited: working = peek(alive, t)
{ahead}
{stages}
    ends: if True:
    !ends: if t > 0:
{last}
{turn}
{closing}
"""
PRODUCT = """
cuda.syncthreads()
if tid < {busy}:
    for row in range(0, {rows}, {abreast}):
        at = {operand} + row * {length} + begin{number}
        to = {sums} + (begin{number} // {each} * {rows} + row) * {wide} + group{number}
{lines}
cuda.syncthreads()
"""


READ = 2  # blocks of weights that a thread reads at once; of pairs, half as many


@dataclass(frozen=True)
class Cell:
    """A kernel's own lines."""

    arguments: str
    matrices: tuple[str, ...]  # a weight's name, "Wh turned" for its transpose
    opening: str  # what an item begins with
    loads: str  # what a step at TIME reads from device memory, into p0_@, p1_@ ...
    stages: tuple[str, ...]  # with a product between each two
    closing: str = ""

    @property
    def backward(self) -> bool:
        """Whether time runs back."""
        return len(self.stages) > len(self.matrices)


def named(text: str, words: frozenset[str]) -> str:
    """Keep the lines whose conditions hold, without these."""
    lines = []
    for line in text.strip("\n").splitlines():
        match = re.match(r"( *)(!?)([a-z_]+): (.*)", line)
        if match is None or match[3] == "else":
            lines.append(line)
        elif (match[3] in words) != bool(match[2]):
            lines.append(match[1] + match[4])
    return "\n".join(lines)


def loading(m: Matrix, number: int, name: str, layout: Layout, held: bool) -> str:
    """Return the lines that bring a thread its part of a matrix: what registers hold, or what shared memory does."""
    name, _, turned = name.partition(" ")
    block, lines = "pairs" if m.packed else "block", []
    for i in range(0, m.held, FOUR) if held else range(m.held, m.each, FOUR):
        place = f"begin{number} + {i}, group{number}, {m.inputs}, {m.outputs}, {bool(turned)}, DROPPED"
        if held:
            lines.append(f"w{number}_{i} = {block}({name}, {place})")
        else:
            lines.append(f"put_{block}(M, {layout.place(number, i)} + tid * {FOUR}, {layout.threads * FOUR}, ")
            lines[-1] += f"{block}({name}, {place}))"
        if m.packed or i // FOUR % READ == READ - 1 or i + FOUR == m.each:
            lines.append("apart()")
    return "\n".join(lines)


def product(m: Matrix, number: int, layout: Layout) -> str:
    """Return the lines that leave the parts of a product in shared memory."""
    abreast, block = range(layout.abreast), "pairs" if m.packed else "block"
    lines = [f"a{r}_sum = zero, zero, zero, zero" for r in abreast]
    for i in range(0, m.each, FOUR):
        w = f"w{number}_{i}"
        if i >= m.held:
            w = "w"
            lines.append(f"w = get_{block}(M, {layout.place(number, i)} + tid * {FOUR}, {layout.threads * FOUR})")
        for r in abreast:
            lines.append(f"a{r}_sum = add_{block}(a{r}_sum, peek4(M, at + {r * m.row + i}), {w})")
    lines += [f"poke4(M, to + {r * m.wide}, a{r}_sum)" for r in abreast]
    return PRODUCT.format(
        busy=m.slices * m.groups,
        rows=layout.rows,
        abreast=layout.abreast,
        operand=layout.operands[number],
        length=m.row,
        number=number,
        sums=layout.operands[-1],
        each=m.each,
        wide=m.wide,
        lines=indent("\n".join(lines), " " * 8),
    ).strip()


def adding(match: re.Match[str], layout: Layout) -> str:
    """Return the lines that "ADD 0 a b" stands for."""
    space, number, sums = match.groups()
    m = layout.matrices[int(number)]
    lines = [
        f"at = {layout.operands[-1]} + r@ * {m.wide} + j@",
        f"for part in range({m.slices}):",
        *(f"    {name} = {name} + peek(M, at + {k * layout.units})" for k, name in enumerate(sums.split())),
        f"    at = at + {layout.rows * m.wide}",
    ]
    return indent("\n".join(lines), space)


def text_of(cell: Cell, layout: Layout, words: frozenset[str]) -> str:
    """Return a kernel's text.

    Parameters
    ----------
    cell : Cell
    layout : Layout
    words : frozenset of str
        Of the conditions before lines, those that hold.
    """

    def items(text: str, depth: int) -> str:
        text = re.sub(r"( *)ADD (\d) (.*)", lambda match: adding(match, layout), named(text, words))
        each = [text.replace("@", str(k)) for k in range(layout.items)] if text.strip() else []
        return indent("\n".join(each), " " * depth)

    loads = named(cell.loads, words)
    ahead = re.findall(r"^p(\w+)_@ =", loads, re.MULTILINE)
    start, near, within = ("(t1 - 1)", "(t - 1)", "t > 0") if cell.backward else ("t0", "(t + 1)", "t + 1 < t1")
    first = "\n".join([*(f"p{k}_@ = zero" for k in ahead), "if there@:", indent(loads, "    ")])
    later = re.sub(r"\bp(\w+_@ =)", r"n\1", first).replace("there@", f"there@ & ({within})")
    first = first.replace("there@", "there@ & (t1 > t0)")
    stages: list[str] = []
    products = [product(m, k, layout) for k, m in enumerate(layout.matrices)]
    texts = list(cell.stages)
    if cell.backward:  # the last product is the gradient of the state before, the first of which may not be wanted
        stages, last = [items(texts[0], 4)], [indent(products[-1], " " * 8), items(texts[-1], 8)]
        for between, text in zip(products[:-1], texts[1:-1], strict=True):
            stages += [indent(between, "    "), items(text, 4)]
    else:
        last = []
        for between, text in zip(products, texts, strict=True):
            stages += [indent(between, "    "), items(text, 4)]
    loop = (BACKWARD if cell.backward else FORWARD).format(
        ahead=items(later.replace("TIME", near), 4),
        stages="\n".join(stages),
        last="\n".join(last),
        turn=items("\n".join(f"p{k}_@ = n{k}_@" for k in ahead), 4),
        closing=items(cell.closing, 0),
    )
    places = {"H": layout.units} | {f"X{k}": place for k, place in enumerate(layout.operands[:-1])}
    places |= {f"ROW{k}": m.row for k, m in enumerate(layout.matrices)}
    matrices = list(enumerate(zip(layout.matrices, cell.matrices, strict=True)))
    weights = [
        f"begin{k}, group{k} = tid // {m.groups} * {m.each}, tid % {m.groups} * {FOUR}" for k, (m, _) in matrices
    ]
    for held in (False, True):  # what passes through registers comes before what stays there
        weights += [loading(m, k, name, layout, held) for k, (m, name) in matrices]
    return FRAME.format(
        arguments=cell.arguments,
        rows=layout.rows,
        threads=layout.threads,
        places=f"{', '.join(places)} = {', '.join(map(str, places.values()))}",
        operands=layout.operands[-1],
        start=indent(named(LATER if cell.backward else "", words), "    "),
        weights=indent("\n".join(line for line in weights if line), "    "),
        items=items(ITEM.format(threads=layout.threads, all=layout.rows * layout.units), 4),
        opening=items(cell.opening, 4) + "\n" + items(first.replace("TIME", start), 4),
        loop=indent(named(loop, words), "    "),
    )
