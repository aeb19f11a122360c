"""The page for people with a series of their own shows what is printed; and what they hear when something is wrong."""

import re
from pathlib import Path

import numpy as np
import pytest

from nbrnn.baselines import last_value
from nbrnn.csvfile import read_csv
from nbrnn.data import chronological_split, sliding_windows
from nbrnn.dates import calendar

PAGE = Path(__file__).parents[1] / "docs" / "series.md"


def test_the_page_shows_what_is_printed(run_python, tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    code, shown = (re.findall(rf"^```{kind}\n(.*?)^```", text, re.S | re.M) for kind in ("python", "text"))
    assert len(code) == len(shown) == 6
    assert run_python(f"import os\nos.chdir({str(tmp_path)!r})\n" + "\n".join(code)) == "".join(shown)


@pytest.fixture
def read(tmp_path):
    def _read(text, **options):
        path = tmp_path / "mine.csv"
        path.write_text(text)
        return read_csv(path, **options)

    return _read


def test_a_file_with_one_row_too_few(read):
    table = read("date,v\n" + "".join(f"2020-01-{k:02d},{k}\n" for k in range(1, 13)))
    assert len(sliding_windows(table, 11)[0]) == 1
    for call in (sliding_windows, last_value):
        with pytest.raises(ValueError, match="holds 12 rows, but a window of 12 with horizon 1 needs at least 13"):
            call(table, 12)
    with pytest.raises(ValueError, match="leaves the test part without rows"):
        chronological_split(table, share=1.0)


def test_a_file_whose_rows_are_not_in_order(read):
    table = read("date,v\n03.01.2020,3\n01.01.2020,1\n02.01.2020,2\n13.01.2020,13\n")
    assert calendar(table.dates).problems()[0] == "1 row is out of order: row 1 (01.01.2020) comes after 03.01.2020."
    with pytest.raises(ValueError, match=r"row 1 \(counted from 0\) holds '01.01.2020' after '03.01.2020'"):
        chronological_split(table, train_until="02.01.2020")


def test_what_is_missing_is_refused_where_it_cannot_be_used(read):
    table = read("date,v\n2020-01,1\n2020-02,\n2020-03,3\n", missing="keep")
    for call in (sliding_windows, last_value):
        with pytest.raises(ValueError, match=r"finite numbers only, but row 1, column 0 \(counted from 0\) holds nan"):
            call(table, 1)
    assert np.isnan(table.values).sum() == 1
