"""`nbrnn bench --device cuda`: layers on a GPU, beside PyTorch's, which run by cuDNN."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .bench import enough, installed, names, only_with, part, status, wrapped
from .common import UserError, one_sentence, writable, writing

FOR_CPU = ("threads", "dtypes", "fits", "streaming", "module", "peer_python")


def hold_on_gpu(ctx: click.Context, given: dict[str, Any], rounds: int | None, quick: bool, out: str | None) -> None:
    """Measure layers on the GPU, print a line a case, and write the report if `--out` is given.

    Parameters
    ----------
    ctx : click.Context
    given : dict
        The options that name cells, sizes, batches, precisions, modes, peers and a design.
    rounds : int or None
    quick : bool
    out : str or None
    """
    with one_sentence():
        only_with("cuda", ctx, FOR_CPU)
        from ..targets.cuda import require_device

        require_device()
        cases = chosen(given, quick)
        against = bool(names("--against", given["against"], ("cudnn",)))
        engine, text = part("gpu"), part("gpu_table")
        enough(engine.LEAST if rounds is None else rounds, engine.LEAST)
        if against:
            missing = [] if _has("torch") else ["torch"]
            installed("this Python", missing, ("cudnn",))
        peer = part("gpu_torch") if against else None
        if peer is not None and not (peer.DEVICE == "cuda" or engine.simulating()):
            raise UserError("PyTorch sees no GPU (torch.cuda.is_available() is False); leave --against cudnn out.")
        settings = engine.Settings(peer, rounds or engine.LEAST, engine.ROUND, given["design"])
        known = (*engine.designs(), "")
        if given["design"] not in known:
            raise UserError(f"--design takes {', '.join(n for n in known if n)}; not {given['design']!r}.")
    folder = None if out is None else writable(Path(out))
    found = engine.begin(settings)
    own = found["machine"]
    click.echo(f"{own['gpu']}, compute capability {'.'.join(map(str, own['capability']))}")
    click.echo(wrapped(", ".join(f"{name} {number}" for name, number in own["versions"].items())))
    if folder is not None:
        _write(folder, found)

    def results() -> Iterator[dict[str, Any]]:
        for result in engine.hold(cases, settings, found, status):
            if folder is not None:
                _write(folder, found)  # a run that is stopped leaves what it has
            yield result

    for line in text.lines(results()):
        click.echo(line)
    click.echo("")
    click.echo(wrapped(text.summary(found["results"])))
    for doubt in text.doubts(found["results"]):
        click.echo(wrapped(doubt))
    if found["refused"]:
        click.echo(wrapped(f"Left out: {len(found['refused'])} cases that the design cannot run."))
    if folder is not None:
        _write(folder, found)
        click.echo(f"\nWritten: gpu.json, every time and ratio, into the folder {folder}")
    for failure in found["failures"]:
        click.echo(wrapped(f"{failure['case']} failed: {failure['error']}"), err=True)
    if found["failures"]:
        ctx.exit(1)


def _write(folder: Path, found: dict[str, Any]) -> None:
    from ..files import write_whole

    with writing(folder):
        write_whole(folder / "gpu.json", json.dumps(found, indent=1).encode() + b"\n")


def chosen(given: dict[str, Any], quick: bool) -> list[Any]:
    """Return the chosen cases."""
    table = part("gpu_cases")
    pick = {
        "cells": names("--cells", given["cells"], table.CELLS) or table.CELLS,
        "sizes": numbers("--sizes", given["sizes"], (16,) if quick else table.SIZES),
        "batches": numbers("--batches", given["batches"], (2,) if quick else table.BATCHES),
        "precisions": names("--precisions", given["precisions"], table.PRECISIONS) or ("float32",),
        "modes": names("--modes", given["modes"], table.MODES) or table.MODES,
    }
    return list(table.grid(**pick, steps=8 if quick else table.STEPS))


def numbers(option: str, text: str | None, usual: tuple[int, ...]) -> tuple[int, ...]:
    """Return whole numbers from 1 on of a list."""
    if text is None:
        return usual
    found = [int(one) if one.strip().isdecimal() else 0 for one in text.split(",")]
    if not all(1 <= n <= 65536 for n in found):
        raise UserError(f"{option} must be whole numbers from 1 to 65536, with commas between, not {text!r}.")
    return tuple(dict.fromkeys(found))


def _has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None
