"""A module of the user's that defines cells, as the commands' --module names it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from .cells import Cell
from .layers import LAYERS


def load_module(path: str) -> str:
    """Run a module of the user's, so that its layers are known; return its name."""
    file = Path(path).resolve()
    if file.suffix != ".py" or not file.is_file():
        raise ValueError(f"--module must be a file of Python such as cells/min_gru.py, not {path!r}.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or file.stem in sys.modules:
        raise ValueError(f"--module {path}: there is a module {file.stem} already; give the file another name.")
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))  # as for a script: its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[file.stem]
        raise ValueError(f"--module {path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(file.parent))
    return file.stem


def cells_of(path: str) -> dict[str, type[Cell]]:
    """Return the custom cells of a module of the user's, by kind."""
    name = load_module(path)
    found = {c.kind: c for c in LAYERS.values() if c.__module__ == name and issubclass(c, Cell)}
    if not found:
        raise ValueError(f"--module {path} defines no cell, a subclass of nbrnn.Cell.")
    return found
