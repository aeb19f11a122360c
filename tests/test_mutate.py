"""The mutation run of tools/: what it changes, what it finds, and that it leaves the tree alone."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from test_elementary import tool

mutants = tool("mutants")
ROOT = Path(__file__).parents[1]

SOURCE = """
@kernel("x[N] H[N]", flops=lambda d: 2 * d["N"])
def step(x: int | None, g, t, H):
    "Add 1 + 1."
    i, f = g[t, :H], g[t, H : 2 * H]
    if not x:
        clear(g)
    for k in range(H):
        x[k] += i[k] * -f[k]
    if t > 0 or x.size:
        raise ValueError("ö 1 + 2")  # 3 - 4
    return 2 * (t - 1), True
"""
CHANGED = {
    "i, f = g[t, :H], g[t, H : 2 * H]": [
        "i, f = g[t - 1, :H], g[t, H : 2 * H]", "i, f = g[t + 1, :H], g[t, H : 2 * H]",
        "i, f = g[t, H:2 * H], g[t, H : 2 * H]", "i, f = g[t, :H], g[t - 1, H:2 * H]",
        "i, f = g[t, :H], g[t + 1, H:2 * H]", "i, f = g[t, :H], g[t, :H]",
    ],
    "if not x:": ["if x:"],
    "clear(g)": ["pass"],
    "for k in range(H):": ["for k in range(H - 1):", "for k in range(H + 1):"],
    "x[k] += i[k] * -f[k]": [
        "x[k] -= i[k] * -f[k]", "pass", "x[k - 1] += i[k] * -f[k]", "x[k] += i[k] / -f[k]", "x[k] += i[k - 1] * -f[k]",
        "x[k] += f[k] * -f[k]", "x[k] += i[k] * f[k]", "x[k] += i[k] * -f[k - 1]", "x[k] += i[k] * -i[k]",
    ],
    "if t > 0 or x.size:": [
        "if t > 0 and x.size:", "if t > 0:", "if x.size:", "if t >= 0 or x.size:", "if t <= 0 or x.size:",
        "if t > 1 or x.size:", "if t > 0 or not x.size:",
    ],
    'raise ValueError("ö 1 + 2")  # 3 - 4': ["pass  # 3 - 4"],
    "return 2 * (t - 1), True": [
        "return 2 / (t - 1), True", "return 3 * (t - 1), True", "return 2 * (t + 1), True", "return 2 * (t), True",
        "return 2 * (-1), True", "return 2 * (t - 1), False",
    ],
}  # fmt: skip


def test_every_change_is_made_once_and_nothing_else_is_touched():
    found = mutants.mutants("step.py", SOURCE)
    assert {m.original for m in found} == set(CHANGED)
    for line, changed in CHANGED.items():
        assert sorted(m.changed for m in found if m.original == line) == sorted(changed)
    lines = SOURCE.splitlines()
    for m in found:
        assert (m.function, lines[m.line - 1].strip()) == ("step", m.original)
        after = m.source.splitlines()
        assert [n for n, (a, b) in enumerate(zip(lines, after, strict=True), 1) if a != b] == [m.line]
        assert after[m.line - 1].strip() == m.changed


@cache
def changes():
    """Return all changes to the kernels and the layers, as the table's patterns see them."""
    layers = (f"nbrnn/{name}.py" for name in ("recurrent", "gated", "layers", "lowering"))
    paths = [*(ROOT / "nbrnn" / "kernels").glob("*.py"), *(ROOT / path for path in layers)]
    return [m.change for path in paths for m in mutants.mutants(str(path.relative_to(ROOT)), path.read_text("utf-8"))]


@pytest.mark.parametrize("pattern", mutants.EQUIVALENT)
def test_a_row_of_the_table_of_equivalents_names_a_mutant(pattern):
    """If it names none, its line has changed: remove the row, or look at the line's mutants again."""
    assert any(re.search(pattern, change) for change in changes())


# ---------------------------------------------------------------- a run

SUMS = """def total(v):
    s = 0
    while v:
        s += v.pop()
    return s


def positive(x):
    return x if x > 0 else 0
"""
TESTS = """from sums import positive, total


def test_sums():
    assert total([1, 2, 4]) == 7 and positive(5) == 5 and positive(-5) == WANTED
"""


def run(tree, wanted, *options):
    (tree / "tests").mkdir()
    (tree / "sums.py").write_text(SUMS)
    (tree / "tests" / "test_sums.py").write_text(TESTS.replace("WANTED", wanted))
    command = [sys.executable, ROOT / "tools" / "mutate.py", "--root", tree, "--files", "sums.py"]
    command += ["--tests", "tests/test_sums.py", *options]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(os.name == "nt", reason="needs fork")
def test_a_run_tells_killed_endless_and_surviving_mutants_apart(tmp_path):
    done = run(tmp_path, "0", "--timeout", "4")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    table = next(line.split() for line in lines if line.startswith("sums.py"))
    assert table == ["sums.py", "8", "5", "1", "0", "2"], done.stdout
    survivors = [line for line in lines if line.startswith(("survived", "timed out"))]
    assert survivors == [
        "timed out: sums.py:4 total: s += v.pop()  ->  pass",
        "survived: sums.py:9 positive: return x if x > 0 else 0  ->  return x if x >= 0 else 0",
        "survived: sums.py:9 positive: return x if x > 0 else 0  ->  return x if x > 1 else 0",
    ]
    assert "test_sums.py::test_sums" in done.stdout and "[8/8" in done.stdout
    assert (tmp_path / "sums.py").read_text() == SUMS
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["sums.py", "test_sums.py"]


@pytest.mark.skipif(os.name == "nt", reason="needs fork")
def test_a_tree_whose_tests_fail_is_not_mutated(tmp_path):
    done = run(tmp_path, "1")
    assert done.returncode == 1 and "the unchanged tree must pass, but tests/test_sums.py failed" in done.stderr
    assert "[1/8" not in done.stdout
