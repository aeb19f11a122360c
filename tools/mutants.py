"""The mutants of a source file: one small mistake each, made in its syntax tree and put into its text.

Signs and operators flipped, terms, factors' order, calls and assignments dropped, gates, slices of columns and names
that look alike exchanged, indices and the bounds of ranges shifted by one, comparisons with another border, constants
and truth values changed. What decorates a function (specifications, FLOP counts), annotations and messages stay.
"""

import ast
import contextlib
import copy
import re
from collections.abc import Iterator
from typing import NamedTuple

# What plain Python never runs, by a pattern of "file function".
COMPILED = re.compile(
    r"tile\.py|lanes\.py (_|module|Lanes|llvm_function)|(abi|gemm|elementary)\.py (_register|_pointer|_scalar|_carve)\b"
    r"|gemm\.py _blocked_gradient"
)

# Changes that change no result, by a pattern of "file function: line -> changed line", and why.
EQUIVALENT = {
    r"simple_rnn.py simple_rnn_forward: states = .* -> .*Wh\.shape\[1\]": "the matrix is square",
    r"gru.py gru_before_forward: T, B, H, L = .* -> .*(Wg\.shape\[0\]|Wn\.shape\[1\]), panel": "that length is H too",
    r"gru.py gru_\w+_forward: T, B, H, L = .* -> .* h\.shape\[1\]": "that length is B too",
    r"lstm.py lstm_forward: n = alive.* -> .* else h\.shape": "that length is B too",
    r"\btaped\b.* a\.size > 0.* -> .* a\.size > 1": "a sample has more gates than one",
    r"TANH, SIGMOID, True\) -> .* TANH, SIGMOID, False\)$": "a call does what is inline else",
    r"panel_width\(W\w\) -> .*panel_width\((Wx|Wg)\)$": "matrices of one dtype",
    r"(x\[0\]|h\[1\]|g\[at - 1\]|h\[0\])\[:0\]": "any empty matrix will do",
    r"w = width\((now|dc|before|out)\) -> w = width\((now|dh|before)\)$": "arrays of one dtype",
    r"gru.py reverse: .* -> .*x\[-1 - t\]": "an index below zero counts from the end",
    r"losses.py huber: .* -> .*(size\.real < delta|e\.real >= 0)": "both forms meet at delta; beyond it e is not 0",
    r"clip_norm: .*\[(q|i) - 1\]": "every number is met once, in whatever order",
    r"clip_norm: if norm > limit: -> if norm >= limit:": "the scale is 1 there",
    r"optimizers.py adam_next: .* -> .*range\(v\.size\)": "m and v have one length",
    r"random.py permute: if i > 0: -> if i >= 0:": "the last number is exchanged with itself",
    r"activate: row = .* -> row = V\[k - 1\]": "every row is met once, in whatever order",
    r"activations.py (act|slope): .*(expm1\(a\)|y \+ one)\) -> .*>=": "elu's two forms meet at 0",
    r"activations.py act: return pick\(real\(y\) < .* -> .*(<= real\(zero\)|>= real\(one\))": (
        "the same value; a kink has no derivative"
    ),
    r"module: SMALL = 8 |units (<=|>=) SMALL": "a threshold of speed",
    r"gemm.py module: DEPTH, PANELS, TALL": "how large blocks are",
    r"gemm.py (neurons|weight_gradient): return -> pass": "what was done is done again, the other way",
    r"gemm.py tiled_strip: if count >= .* -> if count (> 2|>= 3) \* lanes:": "narrow tiles do what wide ones could",
    r"gemm.py tiled_strip: .*, M, 0\).* -> .*, M, 1\)": "wide tiles do not read how many columns are left",
    r"gemm.py tiled_strip: for done .* -> .*count \+ 1": "a tile of no columns",
    r"gemm.py joint_strip: if Px.size: -> if Ph.size:": "weights are packed both or not at all",
    r"gemm.py pack_rows: for .* -> .*(depth \+ 1, 8|start \+ 9)": "no row, or a row that is packed once more",
    r"min\((w|k), ([^()]*)\).* -> .*min\(\1, (?!\2\))": "plain Python takes one number at a time, w = 1",
    r"metrics.py count_rows: .*\[r - 1\]": "every row is met once, in whatever order",
    r"(joins|metrics).py largest: .* -> .*range\(0, ": "the first number is met twice",
    r"masking.py (order_steps|unhold|last_state|from_rows): .* -> .*(seen|valid)\[-1\b": (
        "an index below zero counts from the end"
    ),
    r"masking.py (unhold: wipe|mask_steps: kept|count_valid: steps).* -> .*\[(d - 1|[st] - 1, [ir]|[st], [ir] - 1)\]": (
        "every number is met once, in whatever order"
    ),
    r"masking.py mask_batch: kept .* -> kept -= ": "it matters only whether it is 0",
    r"dropout.py draw_block: .* -> .* > threshold": "one word of 2^32",
    r"dropout.py draw_mask: .* -> .*(size \+ 1, BLOCK|at > 0|at >= 1|BLOCK < size)": "no block, or one by way of room",
    r"feedback.py (module: MOST|draw_coins: .*<= share)": "nothing between 700 and 701; one coin of 2^32",
    r"gemm.py tiled_gradient: for (f|n|first) .* -> .*(F|N|O) \+ 1": "a block of nothing",
    r"gemm.py tiled_gradient: if whole < .* -> if whole <= ": "a block of no rows",
    r"gemm.py tiled_gradient: .* -> .*room, (1, L, room, 0|0, L, room, 1|0, room, 1)": "there is no second product",
    r"gemm.py tiled_gradient: .*, whole, 0\).* -> .*, whole, 1\)": "wide tiles do not read how many columns are left",
    r"gemm.py tiled_gradient: for f .* -> .*TALL - 1": "a row of dW is made twice",
    r"gemm.py tiled_gradient: .* n > 0 or .* -> .* n > 1 or .*": "blocks are longer than one row",
    r"gemm.py add_rows: while n \+ 4 .* -> while n \+ (4 <|5 <=) rows": "the loop below adds what is left",
}


class Mutant(NamedTuple):
    path: str
    function: str
    line: int
    original: str
    changed: str
    source: str  # of the whole changed file

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.function}: {self.original}  ->  {self.changed}"

    @property
    def change(self) -> str:
        """What the patterns of EQUIVALENT look at."""
        return f"{self.path} {self.function}: {self.original} -> {self.changed}"

    @property
    def reason(self) -> str | None:
        """Why it changes no result, if EQUIVALENT says so."""
        return next((why for pattern, why in EQUIVALENT.items() if re.search(pattern, self.change)), None)


class Scope(NamedTuple):
    function: str
    names: frozenset[str]  # bound in the function
    parts: tuple[str, ...]  # its slices of columns: :H, H:2 * H ...
    index: bool  # inside brackets, or an argument of range


SWAPPED = {  # operators
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
BORDERS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt), ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}  # fmt: skip
ALIKE = [  # names that a slip may exchange
    group.split()
    for group in (
        "i f u o", "ai af an ao", "z r u", "di df dn do", "dz dr dn", "activation gate", "h c", "dh dc", "m v",
        "b1 b2", "r1 r2", "k0 k1", "c0 c1 c2 c3", "p0 p1", "Wx Wh", "Wg Wn", "b c", "before now", "x h", "old new",
        "before_at now_at", "at t", "Px Ph", "Pg Pn",
    )
]  # fmt: skip
UNTOUCHED = {"decorator_list", "annotation", "returns", "targets", "type_params"}  # fields; a target is no term
SILENT = (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)
GUARDS = ("strict=", "raise NotImplementedError")  # against mistakes that only another change could make


def shifted(node: ast.expr) -> list[ast.expr]:
    one = ast.Constant(1)
    return [ast.BinOp(node, ast.Sub(), one), ast.BinOp(node, ast.Add(), one)]


def length(node: ast.expr) -> bool:
    """Whether it is a length, such as H: divided, it would be a float, which dies at once."""
    return isinstance(node, ast.Name) and node.id.isupper()


def variants(node: ast.AST, scope: Scope) -> Iterator[ast.AST]:
    """Yield what may stand in a node's place."""
    match node:
        case ast.BinOp(left, op, right):
            sizes = isinstance(op, (ast.Mult, ast.Div)) and (scope.index or length(left) or length(right))
            if type(op) in SWAPPED and not sizes:
                yield ast.BinOp(left, SWAPPED[type(op)](), right)
            if isinstance(op, (ast.Add, ast.Sub)):
                yield from (left, right if isinstance(op, ast.Add) else ast.UnaryOp(op=ast.USub(), operand=right))
        case ast.AugAssign(target, op, value):
            yield from (ast.AugAssign(target, SWAPPED[type(op)](), value), ast.Pass())
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            yield operand
        case ast.Compare(left, ops, values):
            for k, op in enumerate(ops):
                for other in BORDERS[type(op)]:
                    yield ast.Compare(left, [*ops[:k], other(), *ops[k + 1 :]], values)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            yield from values
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(type(value)(0 if value == 1 else value + 1))
        case ast.Subscript(value, part, ctx):
            whole = part.elts if isinstance(part, ast.Tuple) else [part]
            for k, one in enumerate(whole):
                for other in beside(one, scope):
                    items = [*whole[:k], other, *whole[k + 1 :]]
                    index = ast.Tuple(items, ast.Load()) if isinstance(part, ast.Tuple) else other
                    yield ast.Subscript(value, index, ctx)
        case ast.Call(ast.Name("range") as name, bounds):
            for k, bound in enumerate(bounds):
                for other in [] if isinstance(bound, ast.Constant) else shifted(bound):
                    yield ast.Call(name, [*bounds[:k], other, *bounds[k + 1 :]], [])
        case ast.Name(name, ast.Load()):
            others = {other for group in ALIKE if name in group for other in group}
            yield from (ast.Name(other, ast.Load()) for other in sorted((others & scope.names) - {name}))
        case ast.Expr(ast.Call()) | ast.Raise() | ast.Return(None):
            yield ast.Pass()
        case ast.Assign(targets) if all(isinstance(target, ast.Subscript) for target in targets):
            yield ast.Pass()


def beside(index: ast.expr, scope: Scope) -> list[ast.expr]:
    """Return indices beside one: a step before and after, or the function's other slices of columns."""
    if isinstance(index, ast.Name):  # only steps have a neighbour that is there at the end too
        return shifted(index)[: 2 if index.id == "t" else 1]
    text = ast.unparse(index)
    others = scope.parts if isinstance(index, ast.Slice) and text in scope.parts else ()
    return [ast.parse(f"a[{other}]", mode="eval").body.slice for other in others if other != text]  # type: ignore[attr-defined]


def inside(node: ast.AST, scope: Scope) -> Scope:
    """Return the scope of what stands below a node."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        names = {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
        for n in ast.walk(node):
            if isinstance(n, ast.Assign):
                names |= {m.id for target in n.targets for m in ast.walk(target) if isinstance(m, ast.Name)}
        slices = {ast.unparse(n) for n in ast.walk(node) if isinstance(n, ast.Slice)}
        parts = tuple(sorted(s for s in slices if re.search(r"\bH\b", s)))
        name = f"{scope.function}.{node.name}".removeprefix("module.")
        return Scope(name, scope.names | names, parts, False)
    if isinstance(node, ast.Subscript) or (isinstance(node, ast.Call) and ast.unparse(node.func) == "range"):
        return scope._replace(index=True)
    return scope


def places(node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, str, int | None, ast.AST, Scope]]:
    """Yield parent, field, position in the field, node and scope of all that may change."""
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for k, child in enumerate(children):
            if not isinstance(child, ast.AST) or field in UNTOUCHED or isinstance(child, SILENT):
                continue
            counts = isinstance(child, ast.Lambda) and scope.function == "module"  # of operations
            if counts or (isinstance(child, (ast.keyword, ast.Raise)) and ast.unparse(child).startswith(GUARDS)):
                continue
            yield node, field, k if isinstance(value, list) else None, child, scope
            # Of a raise nothing but itself changes, nor of a slice of columns.
            whole = isinstance(child, ast.Raise) or (isinstance(child, ast.Slice) and ast.unparse(child) in scope.parts)
            if not whole:
                yield from places(child, inside(child, scope))


def spliced(source: bytes, first_line: int, node: ast.expr | ast.stmt, text: str) -> bytes:
    """Put a text in a node's place in a source that begins at a line of its file; columns count bytes."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    assert node.end_lineno and node.end_col_offset is not None
    first = starts[node.lineno - first_line] + node.col_offset
    last = starts[node.end_lineno - first_line] + node.end_col_offset
    return source[:first] + text.encode() + source[last:]


def changed(parent: ast.AST, field: str, node: ast.AST, scope: Scope) -> Iterator[ast.AST]:
    """Yield what may stand in a node's place, as its parent sees it."""
    for new in variants(node, scope):
        term = isinstance(parent, ast.BinOp) and isinstance(parent.op, (ast.Add, ast.Sub))
        if not (term and isinstance(new, ast.Constant) and new.value == 0):  # dropping the term is the same
            yield new
    named = isinstance(node, (ast.Name, ast.Attribute, ast.Call))
    if named and (field == "test" or isinstance(parent, ast.BoolOp)):
        yield ast.UnaryOp(ast.Not(), node)


def mutants(path: str, source: str) -> list[Mutant]:
    """Return all mutants of a file, in the order of its lines, each once."""
    lines = source.encode().splitlines(keepends=True)
    found = []
    for top in ast.parse(source).body:  # one after the other: smaller trees to compare
        start = min([top.lineno, *(d.lineno for d in getattr(top, "decorator_list", []))])
        name = getattr(top, "name", "module")
        if COMPILED.search(f"{path} {name}"):
            continue
        before, own, after = lines[: start - 1], lines[start - 1 : top.end_lineno], lines[top.end_lineno :]
        for line, function, part in of_statement(top, start, b"".join(own)):
            shown = (text.decode().splitlines()[line - start].strip() for text in (b"".join(own), part))
            whole = b"".join([*before, part, *after]).decode()
            found.append(Mutant(path, function, line, *shown, whole))
    return sorted(found, key=lambda mutant: mutant.line)


def of_statement(top: ast.stmt, start: int, source: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Yield line, function and changed source of all mutants of a statement that begins at a line of its file."""
    tree = ast.Module([top], [])
    seen = {ast.dump(top)}
    for parent, field, k, node, scope in places(tree, Scope("module", frozenset(), (), False)):
        if not isinstance(node, (ast.expr, ast.stmt)):
            continue
        for new in changed(parent, field, node, scope):
            siblings = getattr(parent, field)
            setattr(parent, field, new if k is None else [*siblings[:k], new, *siblings[k + 1 :]])
            wanted = ast.dump(tree.body[0])
            setattr(parent, field, siblings)
            if wanted not in seen:
                seen.add(wanted)
                plain = ast.unparse(ast.fix_missing_locations(copy.deepcopy(new)))
                yield node.lineno, scope.function, fitting(source, start, node, plain, wanted)


def fitting(source: bytes, start: int, node: ast.expr | ast.stmt, text: str, wanted: str) -> bytes:
    """Return the source with a text in a node's place, in brackets if it would else mean another tree."""
    for candidate in (text, f"({text})"):
        after = spliced(source, start, node, candidate)
        with contextlib.suppress(SyntaxError):
            if ast.dump(ast.parse(after).body[0]) == wanted:
                return after
    raise AssertionError(f"{text} does not fit in line {node.lineno}")
