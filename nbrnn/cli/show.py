"""`nbrnn data` and `nbrnn info`: what is packaged, and what this machine has."""

from __future__ import annotations

import click

from .. import __version__
from .common import one_sentence

LABEL = 17  # columns of a fact's name


@click.command(epilog="Example:  nbrnn data sunspots")
@click.argument("name", required=False)
def data(name: str | None) -> None:
    """List the packaged series, or show one with its origin."""
    from ..catalogue import describe_series, list_series

    with one_sentence():
        click.echo(describe_series(name) if name else list_series())


@click.command(epilog="Example:  nbrnn info")
def info() -> None:
    """Show versions, threads, the JIT, the cache and the GPU."""
    import platform
    from importlib.metadata import version
    from textwrap import wrap

    from ..catalogue import WIDTH
    from ..targets import cpu
    from ..targets.cuda import device

    facts = {"nbrnn": __version__, "Python": platform.python_version()}
    facts |= {name: version(name) for name in ("numba", "llvmlite", "numpy", "matplotlib", "safetensors")}
    with one_sentence():
        facts |= cpu.describe() | device.describe()
    for label, text in facts.items():
        lines = wrap(text, WIDTH - LABEL, break_long_words=False, break_on_hyphens=False)
        click.echo(f"{label:<{LABEL}}" + f"\n{'':<{LABEL}}".join(lines))
