"""What the commands write into their folder: tables, figures in numbers, pictures."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")


class Results:
    """A folder that is written into, and what stands in it.

    Parameters
    ----------
    folder : Path
    plots : bool
        Whether pictures are drawn.
    """

    def __init__(self, folder: Path, plots: bool = True) -> None:
        self.folder, self.plots = folder, plots
        self.written: dict[str, str] = {}

    def table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]], what: str) -> None:
        """Write a CSV file; numbers that are not finite are empty cells."""
        from ..files import write_whole

        text = io.StringIO()
        out = csv.writer(text, lineterminator="\n")
        out.writerow(header)
        out.writerows([_cell(value) for value in row] for row in rows)
        write_whole(self.folder / name, text.getvalue().encode())
        self.written[name] = what

    def figures(self, name: str, content: Any, what: str) -> None:
        """Write JSON; numbers that are not finite are null."""
        from ..files import write_whole

        write_whole(self.folder / name, (json.dumps(_plain(content), indent=1) + "\n").encode())
        self.written[name] = what

    def picture(self, name: str, figure: Figure, what: str) -> None:
        """Write a picture as PNG and SVG."""
        from ..files import write_whole

        for kind in FORMATS:
            image = io.BytesIO()
            figure.savefig(image, format=kind, dpi=120, metadata={"Date": None} if kind == "svg" else None)
            write_whole(self.folder / f"{name}.{kind}", image.getvalue())
        self.written[f"{name}.png, .svg"] = what

    def tell(self) -> None:
        """Name the files, and the folder that they are in."""
        width = max(map(len, self.written), default=0) + 2
        click.echo("\nWritten:")
        for name, what in self.written.items():
            click.echo(f"  {name:<{width}}{what}")
        click.echo(f"into the folder {self.folder}")


def _cell(value: Any) -> Any:
    if isinstance(value, float) or hasattr(value, "dtype"):
        number = float(value)
        return repr(number) if math.isfinite(number) else ""
    return value


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    if hasattr(content, "item"):
        content = content.item()
    return None if isinstance(content, float) and not math.isfinite(content) else content
