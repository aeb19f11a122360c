"""The house: imports run down one ladder, files stay short, docstrings agree with signatures, and starting is quick."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import nbrnn

PACKAGE = Path(nbrnn.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the cellar to the roof; a module imports only what stands on its own rung or below.
LADDER = [
    {"kernels", "checks", "files", "elsewhere", "kerasways"},
    {"program", "plan", "listing", "memory", "paths", "arrays", "initializers", "progress", "series", "graph"},
    {"targets", "losses", "metrics", "optimizers", "regularizers", "schedules", "products"},
    {
        "layers",
        "dropout",
        "masking",
        "truncation",
        "handed",
        "recurrent",
        "simple",
        "gated",
        "joins",
        "shaping",
        "embedding",
        "celled",
        "pointwise",
        "sampling",
        "unrolled",
        "feedback",
        "wrappers",
        "heads",
        "described",
        "cells",
        "rehearsal",
        "usermodule",
        "variables",
    },
    {"lowering", "summary", "placed", "stack", "chain", "states", "tokens", "supervision", "ragged"},
    {
        "model",
        "models",
        "sequential",
        "evaluating",
        "running",
        "streaming",
        "training",
        "saving",
        "blueprint",
        "slots",
        "callbacks",
        "recording",
        "checkpoint",
        "postmortem",
    },
    set(),  # whatever is not named here: gradcheck, data, datasets, forecasting, plots ...
    {"cli", "__main__", "__init__"},
]
RUNGS = {name: k for k, names in enumerate(LADDER) for name in names}
OTHERS = LADDER.index(set())
OUTSIDE = {"numba": {"kernels", "targets"}, "llvmlite": {"kernels", "targets"}, "click": {"cli"}}


def module_of(path):
    """Return a file's module below nbrnn, as a list of names."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts


def checking_only(tree):
    """Return the imports that only a type checker sees."""
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    return {id(n) for block in blocks for n in ast.walk(block)}


def imports(path):
    """Yield what a file imports: ("numba", ...) or (".", "program") with names below nbrnn."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skip, package = checking_only(tree), module_of(path)
    package = package if path.name == "__init__.py" and path.parent != PACKAGE else package[:-1]
    for node in ast.walk(tree):
        if id(node) in skip:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in [None] if base else node.names:
                yield ["nbrnn", *(base or [alias.name])]


@pytest.mark.parametrize("path", FILES, ids=lambda p: "/".join(module_of(p)))
def test_imports_run_down_the_ladder(path):
    own = module_of(path)[0]
    for first, *rest in imports(path):
        if first == "nbrnn" and rest:
            below, here = RUNGS.get(rest[0], OTHERS), RUNGS.get(own, OTHERS)
            assert below <= here or rest == ["__version__"], f"{own} imports {rest[0]} from above"
        if first in OUTSIDE:
            assert own in OUTSIDE[first], f"{own} imports {first}"


def test_the_ladder_test_sees_imports_of_every_form(tmp_path):
    own = PACKAGE / "kernels" / "gemm.py"
    assert ["nbrnn", "kernels", "abi"] in list(imports(own))
    seen = list(imports(PACKAGE / "targets" / "cpu.py"))
    assert ["numba"] in seen and ["nbrnn", "program"] in seen and ["nbrnn", "targets"] in seen
    assert ["nbrnn", "saving"] in list(imports(PACKAGE / "cases.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: "/".join(module_of(p)))
def test_no_file_is_longer_than_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_importing_nbrnn_loads_neither_numba_nor_numpy(run_python):
    code = "import sys, nbrnn; print([m for m in ('numba', 'llvmlite', 'numpy', 'matplotlib') if m in sys.modules])"
    assert run_python(code) == "[]\n"


# ---------------------------------------------------------------- the public names


def test_every_public_name_exists_and_is_listed():
    assert len(set(nbrnn.__all__)) == len(nbrnn.__all__)
    for name in nbrnn.__all__:
        assert getattr(nbrnn, name).__name__ == name
    assert set(nbrnn.__all__) <= set(dir(nbrnn)) and set(nbrnn._HOME) == set(nbrnn.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", nbrnn.__version__)
    with pytest.raises(AttributeError, match="no attribute 'SimpleRnn'"):
        _ = nbrnn.SimpleRnn


def documented(doc, section):
    """Return the names that a numpydoc section lists, or None if there is no such section."""
    match = re.search(rf"^{section}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", inspect.cleandoc(doc or ""), re.S | re.M)
    if match is None:
        return None
    heads = [line for line in match[1].splitlines() if line and not line.startswith(" ")]
    return [name.strip(" *") for head in heads for name in head.split(" : ")[0].split(",")]


def parameters(thing):
    return [name for name in inspect.signature(thing).parameters if name != "self"]


@pytest.mark.parametrize("name", nbrnn.__all__)
def test_a_public_docstring_and_its_signature_agree(name):
    thing = getattr(nbrnn, name)
    doc = inspect.cleandoc(thing.__doc__ or "")
    assert re.match(r"[A-Z0-9].*[.:]", doc), f"{name} has no first sentence"
    assert not doc.startswith(f"{name}("), f"{name} has the docstring that dataclass made"
    if inspect.isclass(thing) and issubclass(thing, Exception):
        assert documented(doc, "Attributes")  # users catch it, they do not make it
        return
    listed = documented(doc, "Parameters")
    if listed is None and hasattr(thing, "__dataclass_fields__"):
        fields = list(thing.__dataclass_fields__)
        listed = [n for n in documented(doc, "Attributes") or [] if n in fields]
        assert listed, f"{name} describes none of its fields"
        return
    assert (listed or []) == parameters(thing)


METHODS = [
    (name, method)
    for name in nbrnn.__all__
    if inspect.isclass(getattr(nbrnn, name))
    for method, thing in vars(getattr(nbrnn, name)).items()
    if inspect.isfunction(thing) and not method.startswith("_")
]


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_methods_docstring_and_its_signature_agree(name, method):
    thing = getattr(getattr(nbrnn, name), method)
    assert inspect.getdoc(thing), f"{name}.{method} has no docstring"
    listed = documented(inspect.getdoc(thing), "Parameters")
    if listed is not None and method in vars(getattr(nbrnn, name)) and thing.__doc__:
        assert listed == parameters(thing)


@pytest.mark.parametrize("name", nbrnn.__all__)
def test_public_functions_are_annotated(name):
    thing = getattr(nbrnn, name)
    called = [thing] if inspect.isfunction(thing) else [v for v in vars(thing).values() if inspect.isfunction(v)]
    for function in called:
        if function.__name__.startswith("_") and function.__name__ != "__init__":
            continue
        signature = inspect.signature(function)
        missing = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name != "self"]
        assert not missing and signature.return_annotation is not signature.empty, (function.__qualname__, missing)


def test_the_readers_of_docstrings_see_what_stands_there():
    doc = "Do.\n\nParameters\n----------\nx, y : array\n    Numbers: many.\n*rest\n\nRaises\n------\nValueError\n"
    assert documented(doc, "Parameters") == ["x", "y", "rest"] and documented(doc, "Raises") == ["ValueError"]
    assert documented(doc, "Returns") is None
