"""`nbrnn bench`: how fast the kernels and whole fits are, beside the machine's peak and beside other libraries."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from .common import UserError, live_line, one_sentence, writable, writing

FAILED = 1  # exit code
INSTALL = 'pip install "nbrnn[bench]"'
BUSY = 0.7  # load
ROUND, QUICK_ROUND = 0.05, 0.005  # seconds
FEWEST = 5  # rounds


@click.command(
    epilog="""\b
Examples:
  nbrnn bench
  nbrnn bench --quick
  nbrnn bench --cells lstm --sizes 256 --modes train --out nbrnn-out/bench
  nbrnn bench --against torch,jax --sizes 64,256 --threads 1
  nbrnn bench --fits mlm,dtn --against jax,keras
  nbrnn bench --module min_gru.py --cells gru,min_gru --sizes 64
  nbrnn bench --device cuda --against cudnn --sizes 256 --batches 16
"""
)
@click.option("--cells", metavar="A,B,...", help="simple_rnn, lstm, gru, and those of --module.  [default: all]")
@click.option("--module", metavar="FILE", help="A file of Python that defines custom cells: measure these.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]), help="What runs it.")
@click.option("--sizes", metavar="H,...", help="Hidden sizes: 3,32,64,128,256,512,1024.  [default: up to 256]")
@click.option("--modes", metavar="A,B", help="train, forward.  [default: both]")
@click.option("--dtypes", metavar="A,B", help="float32, float64.  [default: float32]")
@click.option("--threads", metavar="1,2", help="Numbers of threads.  [default: 1,2 where there are 2 cores]")
@click.option("--fits", metavar="A,B,...", help="Measure whole fits: mlm, dtn, wl, wb, or all.")
@click.option("--streaming", is_flag=True, help="Measure an LSTM that is given a row at a time.")
@click.option("--batches", metavar="B,...", help="On a GPU: batch sizes.  [default: 1,16,64,128]")
@click.option("--precisions", metavar="A,B", help="On a GPU: float32, tf32, bfloat16.  [default: float32]")
@click.option("--design", metavar="NAME", default="", help="On a GPU: steps, persistent or groups.  [default: by size]")
@click.option("--against", metavar="A,B,...", help="Peers: torch, jax, keras, onnxruntime; on a GPU cudnn.")
@click.option("--peer-python", metavar="FILE", help="The interpreter that has the peers.  [default: this one]")
@click.option("--rounds", type=int, help="Rounds of each case.  [default: 5, on a GPU 15; no fewer]")
@click.option("--quick", is_flag=True, help="A few small cases: two seconds once kernels are compiled.")
@click.option("--out", metavar="DIR", help="Write benchmarks.json and pictures (PNG, SVG) here.")
@click.pass_context
def bench(
    ctx: click.Context,
    device: str,
    peer_python: str | None,
    rounds: int | None,
    quick: bool,
    streaming: bool,
    out: str | None,
    module: str | None,
    **given: Any,
) -> None:
    """Measure speed: kernels, fits, peers.

    Times layers by cell, size, mode, dtype and threads, with their share of the machine's measured peak; --fits and
    --streaming measure these instead, or, with --cells, --sizes or --modes, as well. The exit code is 1 if a
    contestant failed.
    """
    if device == "cuda":
        from .bench_gpu import hold_on_gpu

        hold_on_gpu(ctx, given, rounds, quick, out)
        return
    rounds = FEWEST if rounds is None else rounds
    engine, table = part("contest"), part("report")
    with one_sentence():
        only_with("cpu", ctx, ("batches", "precisions", "design"))
        cases = _cases(
            given,
            streaming,
            quick,
            () if module is None else tuple(importlib.import_module("nbrnn.usermodule").cells_of(module)),
        )
        threads = _threads(given["threads"], engine.cores(), quick)
        against = names("--against", given["against"], part("cases").PEERS) or ()
        if streaming and 1 not in threads:
            raise UserError(
                f"--streaming is work for one thread; --threads must hold 1, not {given['threads']!r} alone."
            )
        enough(rounds, FEWEST)
        python = peer_python or sys.executable
        _takespart(against, cases)
        if against:
            installed(python, engine.missing(python, list(against)), against)
        if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            raise UserError("nbrnn bench measures compiled kernels; unset NUMBA_DISABLE_JIT.")
    folder = None if out is None else writable(Path(out))
    seconds, root = QUICK_ROUND if quick else ROUND, Path(__file__).parents[2]
    settings = engine.Settings(threads, against, python, rounds, seconds, folder is not None, root, module)
    contest, rows = engine.Contest(cases, settings), table.Table(against)
    machine = contest.report["machine"]
    click.echo(f"{machine['processor']}, {machine['cores']} core{'s' * (machine['cores'] > 1)}")
    if machine["load"] > BUSY:
        click.echo(wrapped(f"The load of the last minute is {machine['load']:.1f}: what else runs makes times longer."))

    def say(text: str) -> None:
        status("")
        click.echo(text)

    for result in contest.hold(lambda peak: say(table.peak_text(peak)), status):
        for line in rows.lines(result):
            say(line)
    say("")
    for sentence in table.notes(contest.report, against):
        click.echo(wrapped(sentence))
    if folder is not None:
        _write(contest.report, folder)
    for sentence in table.failures_text(contest.report["failures"]):
        click.echo(wrapped(sentence), err=True)
    if contest.report["failures"]:
        ctx.exit(FAILED)


def only_with(device: str, ctx: click.Context, names: Iterable[str]) -> None:
    """Refuse options that are for the other device."""
    given = [name for name in names if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
    if given:
        raise UserError(f"--{given[0].replace('_', '-')} has no meaning with --device {device}; leave it out.")


def enough(rounds: int, fewest: int) -> None:
    """Refuse too few rounds."""
    if rounds < fewest:
        raise UserError(f"--rounds must be at least {fewest}, not {rounds}.")


def folder_of(package: Path) -> Path:
    """Return where the benchmarks are: an installation's or a checkout's.

    Parameters
    ----------
    package : Path
        The folder of the package nbrnn.

    Raises
    ------
    FileNotFoundError
        If they are in neither place.
    """
    for folder in (package / "_bench", package.parent / "bench"):
        if (folder / "cases.py").is_file():
            return folder
    raise FileNotFoundError(f"there are no benchmarks in {package / '_bench'}: install nbrnn anew.")


def part(name: str) -> Any:
    """Import a module of the benchmarks, which their own processes import as scripts do."""
    with one_sentence():
        folder = str(folder_of(Path(__file__).parents[1]))
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def _cases(given: dict[str, Any], streaming: bool, quick: bool, custom: tuple[str, ...]) -> list[Any]:
    """Return the chosen cases; `custom` are the cells of a module."""
    known = part("cases")
    fits = names("--fits", given["fits"], known.FITS, everything=True) or ()
    dtypes = names("--dtypes", given["dtypes"], known.DTYPES) or ("float32",)
    cells = names("--cells", given["cells"], [*known.CELLS, *custom]) or custom
    modes = names("--modes", given["modes"], known.MODES)
    sizes = names("--sizes", given["sizes"], map(str, known.LAYERS))
    found: list[Any] = []
    if cells or modes or sizes or not (fits or streaming):
        usual = [h for h in known.LAYERS if h <= (32 if quick else 256)]
        chosen = [int(h) for h in sizes] if sizes else usual
        found += known.layer_cases(cells or known.CELLS, chosen, modes or known.MODES, dtypes)
    found += known.fit_cases(fits)
    return found + (known.stream_cases() if streaming else [])


def names(option: str, text: str | None, known: Iterable[str], everything: bool = False) -> tuple[str, ...] | None:
    """Return the names of a list, each once; None if the option was not given."""
    if text is None:
        return None
    names, choices = tuple(dict.fromkeys(name.strip() for name in text.split(","))), list(known)
    if everything and names == ("all",):
        return tuple(choices)
    for name in names:
        if name not in choices:
            raise UserError(f"{option} takes {', '.join(choices)}{', or all' * everything}; not {name!r}.")
    return names


def _threads(text: str | None, cores: int, quick: bool) -> tuple[int, ...]:
    """Return the numbers of threads, rising, so that one thread is there to compare with."""
    if text is None:
        return (1,) if quick or cores < 2 else (1, 2)
    numbers = {int(part) if part.strip().isdecimal() else 0 for part in text.split(",")}
    if not all(1 <= n <= cores for n in numbers):
        raise UserError(f"--threads must be whole numbers from 1 to {cores}, this machine's cores, not {text!r}.")
    return tuple(sorted(numbers))


def _takespart(against: tuple[str, ...], cases: list[Any]) -> None:
    """Refuse peers that no chosen case is for."""
    for name in against:
        if not any(case.admits(name) for case in cases):
            raise UserError(
                f"{name} takes no part in the chosen cases: torch and jax run layers, onnxruntime layers forward in "
                "float32, torch and onnxruntime --streaming, torch, jax and keras --fits."
            )


def installed(python: str, missing: list[str], against: tuple[str, ...]) -> None:
    """Refuse peers that an interpreter does not have."""
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise UserError(
            f"{' and '.join(missing)} {are} not installed for {python}, so --against {','.join(against)} cannot run; "
            f"type: {INSTALL}"
        )


def status(text: str) -> None:
    """Show in a terminal what is going on, on a line that the next one replaces."""
    if sys.stderr.isatty():
        line = live_line(text)
        click.echo(f"\r{line}\r{line.rstrip()}", nl=False, err=True)


def wrapped(text: str) -> str:
    from ..catalogue import WIDTH

    return click.wrap_text(text, WIDTH)


def _write(report: dict[str, Any], folder: Path) -> None:
    """Write the report and its pictures, and say which."""
    from ..plots.benchmarks import plot_ratios, plot_roofline
    from ..plots.style import DPI

    figures: dict[str, Any] = {}
    if any(r["group"] == "layer" and "gflops" in r for r in report["results"]):
        figures["roofline"] = plot_roofline(report)
    if any(r["group"] == "layer" and r.get("ratio") for r in report["results"]):
        figures["ratios"] = plot_ratios(report)
    with writing(folder):
        (folder / "benchmarks.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        for name, figure in figures.items():
            for ending in ("png", "svg"):
                figure.savefig(folder / f"{name}.{ending}", dpi=DPI)
    click.echo("\nWritten:")
    click.echo(f"  {'benchmarks.json':<20}every time, rate, ratio and goal")
    for name, what in (("roofline", "rates under the machine's roof"), ("ratios", "peers' times over ours, by size")):
        if name in figures:
            click.echo(f"  {name + '.png, .svg':<20}{what}")
    click.echo(f"into the folder {folder}")
