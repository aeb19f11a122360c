"""The packaged series as text for people: `nbrnn data`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from .checks import one_of
from .datasets import DATASETS, load_dataset

WIDTH = 79  # columns of a line for people


def list_series() -> str:
    """Return a few lines for each packaged series."""
    lines = []
    for name, known in DATASETS.items():
        if known.task == "forecast":
            what = f"{known.rows} rows, one each {known.step}; predicts {known.target}"
        else:
            what = f"{known.rows} rows; labelled sequences, not for nbrnn train"
        lines += [f"{name:<17}{what}", textwrap.indent(textwrap.fill(known.description, WIDTH - 17), " " * 17)]
    return "\n".join(lines)


def describe_series(name: str) -> str:
    """Return what is known of a packaged series: origin, citation, licence, columns, statistics.

    Raises
    ------
    ValueError
        If the name is unknown; the nearest is suggested.
    """
    known = DATASETS[one_of("data set", name, DATASETS)]
    table = load_dataset(name)
    span = f", one each {known.step}, {table.dates[0]} to {table.dates[-1]}" if table.dates else ""
    facts = {
        "what": known.description,
        "rows": f"{len(table)}{span}",
        "target": known.target + ("" if known.task == "forecast" else " (a class for each sequence)"),
        "season": f"{known.season} rows" if known.season else "none",
        "units": _units(known.units) or "none",
        "origin": known.origin,
        "citation": known.citation,
        "licence": known.licence,
        "file": known.file,
    }
    lines = [name]
    for label, text in facts.items():
        lines.append(textwrap.fill(text, WIDTH, initial_indent=f"  {label:<10}", subsequent_indent=" " * 12))
    figures = ("first", "last", "min", "mean", "max", "sd")
    lines += ["", f"{'column':<14}" + "".join(f"{figure:>10}" for figure in figures)]
    for column in table.columns:
        v = table.column(column)
        numbers = (v[0], v[-1], v.min(), v.mean(), v.max(), v.std(ddof=1))
        lines.append(f"{column:<14}" + "".join(f"{number:>10.5g}" for number in numbers))
    attribution = Path(__file__).with_name("datasets") / "DATA.md"
    return "\n".join([*lines, "", "Full origin, checks and licences:", str(attribution)])


def _units(units: dict[str, str]) -> str:
    """Return the columns' units, said once where they agree."""
    if len(units) > 1 and len(set(units.values())) == 1:
        return f"{next(iter(units.values()))}, for {next(iter(units))} to {list(units)[-1]}"
    return "; ".join(f"{column}: {unit}" for column, unit in units.items())
