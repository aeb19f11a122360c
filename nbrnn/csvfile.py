"""CSV files to tables: numbers as float64, dates as the labels that they are, and no cell guessed or skipped."""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from .checks import nearest, one_of
from .series import first_few

PEEK = 20  # rows of data that decide whether there is a header and which column holds the dates
DATE_NAMES = {
    "date",
    "datetime",
    "timestamp",
    "time",
    "year",
    "month",
    "day",
}  # a first column of numbers is dates then
DATE = re.compile(
    r"\d+([-/:QTWM]|[- ][QW])\d|\d+\. ?\d+\. ?\d|Q\d[-/ ]?\d|(\d+[-/. ]?)?[A-Z]{3,9}[-/., ]*\d", re.IGNORECASE
)  # how one begins
MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-", "--", "."}  # in small letters
BINARY = {b"PK\x03\x04": "an Excel workbook or a zip archive", b"\xd0\xcf\x11\xe0": "an old Excel workbook"}

Columns = str | int | Sequence[str | int]


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """A series with names: `len(table)` is its rows, `table[a:b]` some of them, `np.asarray(table)` its values.

    Attributes
    ----------
    values : float64 array (rows, columns)
    columns : tuple of str
    dates : tuple of str, or None
        The label of each row, as it stood in the file.
    name : str
        What the series is called, in titles and sentences.

    Raises
    ------
    ValueError
        If values, columns and dates do not fit together.
    """

    values: NDArray[np.float64]
    columns: tuple[str, ...]
    dates: tuple[str, ...] | None = None
    name: str = "table"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.columns):
            raise ValueError(f"a table of {len(self.columns)} columns cannot hold values of shape {self.values.shape}.")
        if self.dates is not None and len(self.dates) != len(self.values):
            raise ValueError(f"a table of {len(self.values)} rows cannot have {len(self.dates)} dates.")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> Table:
        if not isinstance(rows, slice):
            raise TypeError(f"a table takes a slice of rows, such as table[:100], not {rows!r}; see Table.column.")
        dates = None if self.dates is None else self.dates[rows]
        return Table(self.values[rows], self.columns, dates, self.name)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype, copy=copy)

    def __repr__(self) -> str:
        span = f", {self.dates[0]} to {self.dates[-1]}" if self.dates else ""
        return f"<Table {self.name!r}: {len(self)} rows{span}, columns {', '.join(self.columns)}>"

    def index(self, column: str | int) -> int:
        """Return a column's index; ValueError, with the nearest name, if there is none such."""
        return _find(column, self.columns, self.name)

    def column(self, name: str | int) -> NDArray[np.float64]:
        """Return a column, a view (rows,), by its name or index; ValueError, with the nearest name, if unknown."""
        return self.values[:, self.index(name)]

    def select(self, columns: Columns) -> Table:
        """Return a table of some columns, in the order given; ValueError if one is unknown or named twice."""
        chosen = _find_all(columns, self.columns, self.name)
        return Table(self.values[:, chosen], tuple(self.columns[c] for c in chosen), self.dates, self.name)


def read_csv(
    path: str | Path,
    columns: Columns | None = None,
    header: bool | str = "auto",
    date_column: str | int | None = "auto",
    missing: str = "refuse",
    decimal: str = ".",
) -> Table:
    r"""Read numbers from a CSV file.

    Parameters
    ----------
    path : str or Path
        A file in UTF-8 with commas, semicolons or tabs between the cells. Blank lines, and lines of empty cells, may
        stand before and after the rows. Columns at the right without a name and without any cell are left out.
    columns : str, int or sequence of them, optional
        Columns to read, by name or by index from 0, in this order; if not given, all but the dates.
    header : bool or "auto"
        Whether the first row holds names. "auto": it does if it has a word where a row below has a number or a date.
        Without names the columns are column1, column2 and so on.
    date_column : str, int, "auto" or None
        The column whose cells are kept as labels. "auto": the first column that is not chosen and holds dates (1965-01,
        31.1.1965, 1/31/65, Jan 1965, 12:30 and so on); or else the first column of all if it is called date, time, year
        or the like.
    missing : "refuse" or "keep", default "refuse"
        What becomes of cells that are empty or hold NA, N/A, NaN, null, None, ?, - and the like: "refuse" names them,
        "keep" makes them NaN; `missing.fill` can then fill them.
    decimal : "." or ",", default "."
        What stands before the decimals; the other one of the two stands in no number.

    Returns
    -------
    Table
        Named as the file without its ending.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the path is a folder, or the file is empty, has no rows, is not UTF-8 or not regular CSV, has rows of
        different lengths, a blank line between rows, two columns of one name, or a cell among the numbers that is
        missing (see there), a text or infinite: the sentence names file, line (from 1) and column. If a column is
        unknown or an argument is none of those above.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "flights.csv"
    >>> _ = path.write_text("Month,Passengers\n1949-01,112\n1949-02,118\n")
    >>> table = read_csv(path)
    >>> table
    <Table 'flights': 2 rows, 1949-01 to 1949-02, columns Passengers>
    >>> table.column("Passengers").tolist()
    [112.0, 118.0]
    """
    path = Path(path)
    if header not in (True, False, "auto"):
        raise ValueError(f"header must be True, False or 'auto', not {header!r}.")
    keep = one_of("missing", missing, ("refuse", "keep")) == "keep"
    comma = one_of("decimal", decimal, (".", ",")) == ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(path, file, columns, header, date_column, keep, comma)
    except UnicodeDecodeError:
        kind = next((kind for start, kind in BINARY.items() if path.read_bytes()[:4] == start), None)
        if kind is not None:
            raise ValueError(f"{path} is {kind}; open it there and save it as CSV in UTF-8.") from None
        line = 1 + path.read_bytes().decode(errors="replace").split("\ufffd")[0].count("\n")
        raise ValueError(f"{path}, line {line}: the text is not UTF-8; save the file as CSV in UTF-8.") from None
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}.") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; give the CSV file itself.") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None


def _read(
    path: Path,
    file: TextIO,
    columns: Columns | None,
    header: bool | str,
    date_column: str | int | None,
    keep: bool,
    comma: bool,
) -> Table:
    records = _records(path, file)
    peek = list(islice(records, 1 + PEEK))
    if not peek:
        raise ValueError(f"{path} is empty.")
    width = len(peek[0][1])
    regular = [cells for _, cells in peek if len(cells) == width]
    if len(regular) == 1 < len(peek):
        raise _uneven(path, *peek[1], width, first=True)
    titled = _has_header(regular) if header == "auto" else bool(header)
    while width > 1 and not any(cells[width - 1].strip() for cells in regular):
        width -= 1  # lines end in a delimiter
    rest = len(peek[0][1]) - width
    names = [cell.strip() or f"column{k}" for k, cell in enumerate(peek[0][1] if titled else [""] * width, start=1)]
    names = names[:width]
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise ValueError(f"{path} has two columns of the name {twice!r}; rename one of them.")
    if len(peek) == titled:
        raise ValueError(f"{path} has a header but no rows of numbers.")
    chosen = None if columns is None else _find_all(columns, names, str(path))
    if date_column == "auto":
        dates = _guess_dates(names, regular[titled:], chosen or [])
    else:
        dates = None if date_column is None else _find(date_column, names, str(path))
    if chosen is None:
        chosen = [c for c in range(width) if c != dates]
        if not chosen:
            raise ValueError(f"{path} has no column of numbers beside its dates.")

    pick = itemgetter(*chosen, chosen[0])  # one more, so that it returns a tuple for one column too
    number = _with_comma if comma else float
    numbers, lines, labels = array("d"), array("q"), []
    for line, cells in chain(peek[titled:], records):
        if len(cells) != width + rest or (rest and any(cell.strip() for cell in cells[width:])):
            raise _uneven(path, line, cells, width + rest, first=not lines)
        try:
            numbers.extend(map(number, pick(cells)[:-1]))
        except ValueError:
            del numbers[len(lines) * len(chosen) :]  # what the row had added
            texts = [cells[c].strip() for c in chosen]
            known = ["nan" if text.lower() in MISSING else text for text in texts]
            wrong = next((c for c, text in zip(chosen, known, strict=True) if not _is_number(text, number)), None)
            if wrong is not None:
                second = titled and not lines and not any(map(_is_number, known))
                raise _not_a_number(path, line, names[wrong], cells[wrong].strip(), second, comma) from None
            numbers.extend(map(number, known))
        lines.append(line)
        if dates is not None:
            labels.append(cells[dates].strip())
    values = np.frombuffer(numbers, np.float64).reshape(-1, len(chosen))
    _check_values(path, values, lines, [names[c] for c in chosen], keep)
    return Table(values, tuple(names[c] for c in chosen), None if dates is None else tuple(labels), path.stem)


def _with_comma(cell: str) -> float:
    return float(cell.translate({44: ".", 46: ","}))


def _check_values(path: Path, values: NDArray[np.float64], lines: array[int], names: list[str], keep: bool) -> None:
    """Refuse infinite values and, unless they are kept, missing ones."""
    finite = np.isfinite(values)
    if finite.all():
        return
    odd = np.argwhere(~finite)
    infinite = next(((row, c) for row, c in odd if not np.isnan(values[row, c])), None)
    if infinite is not None:
        row, c = infinite
        raise _refusal(path, lines[row], names[c], f"found {values[row, c]}")
    if not keep:
        cells = first_few(lambda cell: f"line {lines[cell[0]]}, column {names[cell[1]]!r}", odd)
        count = "a missing cell" if len(odd) == 1 else f"{len(odd)} missing cells"
        raise ValueError(
            f"{path} has {count} ({cells}); fill in what is missing, or say what becomes of it (missing=, --missing)."
        )


def _records(path: Path, file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) for each row; blank lines may stand before and after the rows."""
    lead: list[str] = []
    for text in file:
        lead.append(text)
        if text.strip():
            break
    stated = re.fullmatch(r'"?sep=([,;\t|])"?\s*', lead[-1]) if lead else None  # what Excel writes, and obeys
    if stated:
        lead[-1] = "\n"
        delimiter = stated[1]
    else:
        unquoted = re.sub(r'"[^"]*"', "", lead[-1]) if lead else ""
        delimiter = next((mark for mark in ";\t" if mark in unquoted), ",")
    reader = csv.reader(chain(lead, file), delimiter=delimiter, skipinitialspace=True, strict=True)
    seen = blank = begun = 0
    try:
        for cells in reader:
            begun = reader.line_num
            if not any(map(str.strip, cells)):
                blank = blank or reader.line_num
                continue
            if seen and blank:
                raise ValueError(f"{path}, line {blank}: the line is blank, but rows follow; fill it in or remove it.")
            seen, blank = 1, 0
            yield reader.line_num, cells
    except csv.Error as error:
        told = (
            "a quote is opened and not closed" if "end of data" in str(error) else f"this is not regular CSV: {error}"
        )
        raise ValueError(f"{path}, line {begun + 1}: {told}.") from None


def _is_number(cell: str, number: Callable[[str], float] = float) -> bool:
    try:
        number(cell)
    except ValueError:
        return False
    return True


def _has_header(rows: list[list[str]]) -> bool:
    """Return whether the first row has a word where one below has a number or a date (or a word, if it is alone)."""

    def word(cell: str) -> bool:
        return cell.strip().lower() not in MISSING and not _is_number(cell) and not re.match(r"\s*[-+.,]*\d", cell)

    def datum(cell: str) -> bool:
        return _is_number(cell) or cell.strip()[:1].isdigit()

    below = rows[1:]
    return any(word(cell) and (not below or any(datum(row[c]) for row in below)) for c, cell in enumerate(rows[0]))


def _guess_dates(names: list[str], rows: list[list[str]], chosen: list[int]) -> int | None:
    free = [c for c in range(len(names)) if c not in chosen]
    for c in free:
        if all(DATE.match(row[c].strip()) for row in rows):
            return c
    return 0 if 0 in free and len(names) > 1 and names[0].lower() in DATE_NAMES else None


def _find(column: str | int, names: Sequence[str], where: str) -> int:
    if isinstance(column, (int, np.integer)) and not isinstance(column, bool):
        if not 0 <= column < len(names):
            raise ValueError(f"{where} has columns 0 to {len(names) - 1}, but column {column} is asked for.")
        return int(column)
    if column not in names:
        raise ValueError(f"{where} has no column {column!r}{nearest(column, names)}; it has {', '.join(names)}.")
    return list(names).index(str(column))


def _find_all(columns: Columns, names: Sequence[str], where: str) -> list[int]:
    chosen = [_find(c, names, where) for c in ([columns] if isinstance(columns, (str, int)) else columns)]
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"columns must name at least one column of {where} and none twice, not {columns!r}.")
    return chosen


def _uneven(path: Path, line: int, cells: list[str], width: int, first: bool) -> ValueError:
    """Return the refusal of a row whose cells are not those of the first row."""
    told = f"{path}, line {line}: found {len(cells)} cells where the first row has {width}"
    if len(cells) == width:
        told = (
            f"{path}, line {line}: found {cells[-1].strip()[:40]!r} in a column that has neither a name nor cells above"
        )
    elif first and width == 1:
        told += "; if the lines above are a title, remove them"
    elif len(cells) > width and not any(map(str.strip, cells[width:])):
        told += "; remove the delimiter at the line's end, or add one to the first row"
    elif len(cells) > width:
        told += "; a cell that holds the delimiter, as 1,234 does, needs quotes"
    return ValueError(told + ".")


def _not_a_number(path: Path, line: int, name: str, text: str, second: bool, comma: bool) -> ValueError:
    more = ""
    if _is_number(re.sub(r"[\s,.']", "", text)):
        mark, other = (",", ".") if comma else (".", ",")
        more = f"; decimals are read after {mark!r} (or after {other!r}: decimal=, --decimal), with nothing between "
        more += "thousands"
    elif re.search(r"\d", text) and _is_number(re.sub(r"[^\d.,]|[.,](?=.*[.,])", "", text).replace(",", ".")):
        more = "; write the number alone, without a sign of currency, a percent sign or a unit"
    elif second and not text[:1].isdigit():
        more = f"; if line {line} holds units or is a second header, remove it"
    return _refusal(path, line, name, f"found {text[:40]!r}", more)


def _refusal(path: Path, line: int, name: str, found: str, more: str = "") -> ValueError:
    return ValueError(
        f"{path}, line {line}, column {name!r}: {found}, but a finite number such as 12.5 is wanted{more}."
    )
