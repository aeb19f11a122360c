"""CSV files of all kinds that people have, and what is said of those that cannot be read."""

import csv
import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrnn.csvfile import Table, read_csv
from nbrnn.dates import parse_dates

MONTHS = "Month,Passengers\n1949-01,112\n1949-02,118\n1949-03,132\n"


@pytest.fixture
def write(tmp_path):
    def _write(content, name="sales.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def as_read(table):
    return table.columns, table.dates, table.values.tolist()


@pytest.mark.parametrize(
    "content",
    [
        MONTHS,
        MONTHS.rstrip("\n"),
        MONTHS.replace("\n", "\r\n"),
        MONTHS.replace("\n", "\r"),
        "\n\n" + MONTHS + "\n  \n",
        "\ufeff" + MONTHS,
        MONTHS.replace(",", ";"),
        MONTHS.replace(",", "\t"),
        MONTHS.replace(",", " , "),
        MONTHS.replace("\n", ",\n"),
        MONTHS.replace("\n", ",,\r\n") + ",,,\r\n,,,\r\n",
        "sep=;\n" + MONTHS.replace(",", ";"),
        '\ufeff"sep=,"\r\n' + MONTHS,
        MONTHS.replace("Month", '"Month"').replace("1949-01", '"1949-01"').replace("118", '"118"'),
        MONTHS.replace("112", " 1.12e2 ").replace("118", "+118."),
    ],
)
def test_one_series_written_in_many_ways(write, content):
    table = read_csv(write(content))
    assert table.values.dtype == np.float64 and table.name == "sales"
    assert as_read(table) == (("Passengers",), ("1949-01", "1949-02", "1949-03"), [[112.0], [118.0], [132.0]])


@pytest.mark.parametrize(
    ("content", "columns", "dates", "first"),
    [
        ("1\n2\n3\n", ("column1",), None, [1.0]),
        ("value\n1\n2\n", ("value",), None, [1.0]),
        ("1949-01,112\n1949-02,118\n", ("column2",), ("1949-01", "1949-02"), [112.0]),
        ("1949-01,112\n", ("column2",), ("1949-01",), [112.0]),
        ("Jan-49,112\nFeb-49,118\n", ("column2",), ("Jan-49", "Feb-49"), [112.0]),
        ("a,b\n1,2\n", ("a", "b"), None, [1.0, 2.0]),
        ("1,2\n3,4\n", ("column1", "column2"), None, [1.0, 2.0]),
        ("Year,Spots\n1700,5\n1701,11\n", ("Spots",), ("1700", "1701"), [5.0]),
        ("year\n1700\n1701\n", ("year",), None, [1700.0]),
        ("a,year\n1,1700\n2,1701\n", ("a", "year"), None, [1.0, 1700.0]),
        (",a\n0,5\n1,6\n", ("column1", "a"), None, [0.0, 5.0]),
        ("date,2010,2011\n2020-01,5,6\n", ("2010", "2011"), ("2020-01",), [5.0, 6.0]),
        ("a,when\n1,2020-01\n2,2020-02\n", ("a",), ("2020-01", "2020-02"), [1.0]),
        ('"a;b",c\n1,2\n', ("a;b", "c"), None, [1.0, 2.0]),
    ],
)
def test_headers_and_dates_are_found(write, content, columns, dates, first):
    table = read_csv(write(content))
    assert (table.columns, table.dates, table.values[0].tolist()) == (columns, dates, first)


def test_chosen_columns_header_and_dates(write):
    path = write("town,date,a,b,c\nOslo,2020-01,1,2,3\nOslo,2020-02,4,5,6\n")
    assert as_read(read_csv(path, columns=["c", 2])) == (("c", "a"), ("2020-01", "2020-02"), [[3.0, 1.0], [6.0, 4.0]])
    assert as_read(read_csv(path, columns="b", date_column=None)) == (("b",), None, [[2.0], [5.0]])
    assert read_csv(path, columns="b", date_column="a").dates == ("1", "4")
    assert read_csv(path, columns=4, date_column=0).dates == ("Oslo", "Oslo")
    numbers = write("2010,2011\n1,2\n")
    assert read_csv(numbers).values.shape == (2, 2)
    assert as_read(read_csv(numbers, header=True)) == (("2010", "2011"), None, [[1.0, 2.0]])
    years = write("year,spots\n1700,5\n1701,11\n")
    assert as_read(read_csv(years, columns=["spots", "year"])) == (("spots", "year"), None, [[5, 1700], [11, 1701]])


@pytest.mark.parametrize("text", ["", "NA", "n/a", "NaN", " null ", "None", "?", "-", "#N/A", "."])
def test_missing_cells_are_kept_as_nan(write, text):
    path = write(f"date,a,b\n2020-01,1,2\n2020-02,{text},4\n2020-03,5,{text}\n")
    table = read_csv(path, missing="keep")
    assert table.dates == ("2020-01", "2020-02", "2020-03")
    np.testing.assert_array_equal(table.values, [[1, 2], [np.nan, 4], [5, np.nan]])
    np.testing.assert_array_equal(read_csv(path, "b", missing="keep").values, [[2], [4], [np.nan]])
    with pytest.raises(ValueError, match=r"2 missing cells \(line 3, column 'a'; line 4, column 'b'\)"):
        read_csv(path)
    with pytest.raises(ValueError, match="line 5, column 'a': found 'x'"):
        read_csv(write(path.read_text() + "2020-04,x,1\n"), missing="keep")
    with pytest.raises(ValueError, match="line 5, column 'b': found inf"):
        read_csv(write("date,a,b\n1,1,1\n2,1,NA\n3,1,1\n4,1,inf\n"), missing="keep")


def test_decimal_commas(write):
    path = write("Datum;Wert;b\n31.1.2020;1,5;-2\n1.2.2020;1e3;,5\n2.2.2020;?;7\n")
    table = read_csv(path, decimal=",", missing="keep")
    np.testing.assert_array_equal(table.values, [[1.5, -2], [1000, 0.5], [np.nan, 7]])
    assert table.dates == ("31.1.2020", "1.2.2020", "2.2.2020")
    table = read_csv(write("31.1.2020;-1,5\n1.2.2020;2,5\n"), decimal=",")
    assert as_read(table) == (("column2",), ("31.1.2020", "1.2.2020"), [[-1.5], [2.5]])  # and no header
    with pytest.raises(ValueError, match=r"line 2, column 'a': found '1.234,5'"):
        read_csv(write("a;b\n1.234,5;1\n"), decimal=",")
    with pytest.raises(ValueError, match=r"line 2, column 'a': found '1.234'"):
        read_csv(write("a;b\n1.234;1\n"), decimal=",")


cells = st.floats(allow_nan=False, allow_infinity=False)


@given(
    rows=st.integers(1, 60),
    columns=st.integers(1, 4),
    dated=st.booleans(),
    delimiter=st.sampled_from(",;"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    data=st.data(),
)
def test_what_is_written_is_read_bit_for_bit(tmp_path_factory, rows, columns, dated, delimiter, quoting, data):
    values = data.draw(st.lists(st.lists(cells, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    names = [f"name {k}" for k in range(columns)]
    dates = [f"{1900 + k}-07" for k in range(rows)]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting)
    writer.writerow(["when"] * dated + names)
    writer.writerows([[date] * dated + row for date, row in zip(dates, values, strict=True)])
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_text(text.getvalue(), newline="")
    table = read_csv(path)
    assert as_read(table) == (tuple(names), tuple(dates) if dated else None, values)


def test_a_long_file_takes_little_memory(tmp_path):
    path = tmp_path / "long.csv"
    values = np.random.default_rng(0).normal(size=(20_000, 2)).round(4)
    path.write_text("date,a,b\n" + "".join(f"{100_000 + k},{a},{b}\n" for k, (a, b) in enumerate(values)))
    tracemalloc.start()
    try:
        table = read_csv(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000 * 200  # bytes a row: two numbers, a line, a label of some 60, and room for lists to grow
    np.testing.assert_array_equal(table.values, values)


@pytest.mark.parametrize(
    "date",
    [
        "2020-01",
        "2020-01-31 12:30",
        "2020-01-31T12:30Z",
        "2020-W05",
        "2020-Q1",
        "2020Q1",
        "1749M01",
        "31.1.2020",
        "1/31/20",
        "2020/01",
        "12:30",
        "Jan 2020",
        "31-Jan-20",
        "31 January 2020",
        "Jan 31, 2020",
        "January2020",
        "31. 1. 2020",
        "Q1 2020",
    ],
)
def test_dates_are_known_by_their_look(write, date):
    assert read_csv(write(f'value,when\n1,"{date}"\n2,"{date}"\n')).dates == (date, date)
    assert parse_dates([date]).shape == (1,)


# ---------------------------------------------------------------- tables


def test_tables():
    values = np.random.default_rng(1).normal(size=(5, 3))
    table = Table(values, ("a", "b", "c"), ("1", "2", "3", "4", "5"), "letters")
    assert len(table) == 5 and np.asarray(table) is values and np.array(table) is not values
    assert np.asarray(table, dtype="f4").dtype == np.float32
    assert np.shares_memory(table.column("b"), values)
    np.testing.assert_array_equal(table.column(1), values[:, 1])
    part = table[3:]
    assert part.dates == ("4", "5") and np.shares_memory(part.values, values) and part.name == "letters"
    picked = table.select(["c", "a"])
    assert picked.columns == ("c", "a") and picked.dates == table.dates
    np.testing.assert_array_equal(picked.values, values[:, [2, 0]])
    assert repr(table) == "<Table 'letters': 5 rows, 1 to 5, columns a, b, c>"
    with pytest.raises(ValueError, match=r"letters has no column 'bb' \(did you mean 'b'\?\); it has a, b, c"):
        table.column("bb")
    with pytest.raises(ValueError, match="letters has columns 0 to 2, but column 3"):
        table.index(3)
    with pytest.raises(ValueError, match="none twice"):
        table.select(["a", 0])
    with pytest.raises(TypeError, match="slice of rows"):
        table["a"]
    with pytest.raises(ValueError, match="2 columns cannot hold"):
        Table(values, ("a", "b"))
    with pytest.raises(ValueError, match="5 rows cannot have 1 dates"):
        Table(values, ("a", "b", "c"), ("1",))


# ---------------------------------------------------------------- what cannot be read

LONG = "".join(f"2010-01-{d:02d},{d}\n" for d in range(1, 32))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "sales.csv is empty"),
        ("\n \n\n", "sales.csv is empty"),
        ("\ufeff", "sales.csv is empty"),
        ("Month,Passengers\n", "has a header but no rows"),
        ("Month,Passengers\n\n\n", "has a header but no rows"),
        (MONTHS + "1949-04,many\n", "line 5, column 'Passengers': found 'many', but a finite number such as 12.5"),
        ("v\nabc\n1\n2\n", "line 2, column 'v': found 'abc'"),
        (LONG + "2010-02-01,NA\n", r"has a missing cell \(line 32, column 'column2'\); fill in what is missing"),
        (LONG + "2010-02-01,\n" + LONG, r"has a missing cell \(line 32, column 'column2'\)"),
        (LONG + "2010-02-01,nan\n", r"has a missing cell \(line 32, column 'column2'\)"),
        (LONG + "2010-02-01,-inf\n", "line 32, column 'column2': found -inf"),
        (LONG + "2010-02-01,1e999\n", "line 32, column 'column2': found inf"),
        ("\n\n" + MONTHS + "1949-04,NaN\n", r"has a missing cell \(line 7, column 'Passengers'\)"),
        (
            "a,b\n1,2\nNA,2\n?,\n1,2\n,null\n",
            r"has 5 missing cells \(line 3, column 'a'; line 4, column 'a'; line 4, column 'b'; and 2 more\)",
        ),
        (LONG.replace("2010-01-15,15", "2010-01-15,many") + "2010-02-01,NA\n", "line 15, .* found 'many'"),
        (LONG.replace("2010-01-15,15", "2010-01-15,NA") + "2010-02-01,inf\n", "line 32, .* found inf"),
        ("a;b\n1,5;2,5\n", r"line 2, column 'a': found '1,5', but .*; decimals are read after '.' .or after ','"),
        ('a,b\n3,"1,234.5"\n', r"line 2, column 'b': found '1,234.5', but .* nothing between thousands\."),
        ("price,share\n3,12 %\n", "found '12 %', but .*; write the number alone, without a sign of currency"),
        ('price,share\n"$1,234.50",3\n', "found '.1,234.50', but .*; write the number alone"),
        ("a,b\n3,1 234\n", r"found '1 234', but .* nothing between thousands\."),
        ("a,b\n3,1,234\n", r"line 2: found 3 cells where the first row has 2; a cell that holds the delimiter"),
        (
            "a,b\n1,2,\n3,4,\n",
            "line 2: found 3 cells where the first row has 2; remove the delimiter at the line's end",
        ),
        (
            "a,b,\n" + "1,2,\n" * 30 + "1,2,3\n",
            "line 32: found '3' in a column that has neither a name nor cells above",
        ),
        ("Sales of 2020\nMonth,Passengers\n1949-01,112\n", "line 2: found 2 cells .* the lines above are a title"),
        ("day,t,p\n,deg C,hPa\n2020-01-01,3,990\n", "found 'deg C', .*; if line 2 holds units or is a second header"),
        ("day,t,t\nday,min,max\n2020-01-01,3,9\n", "two columns of the name 't'"),
        ("a,b\nmin,max\n3,9\n", "line 2, column 'a': found 'min', .* second header, remove it"),
        (b"PK\x03\x04\x14\x00\x06\xff", "is an Excel workbook or a zip archive; open it there and save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1", "is an old Excel workbook"),
        ("price,sold\n$5.20,3\n", r"line 2, column 'price': found '\$5.20'"),
        ("share,sold\n1.5%,3\n", "line 2, column 'share': found '1.5%'"),
        (MONTHS + "1949-04,1,2\n", "line 5: found 3 cells where the first row has 2"),
        (MONTHS + "1949-04\n" + MONTHS, "line 5: found 1 cells"),
        (MONTHS + "\n1949-04,129\n", "line 5: the line is blank, but rows follow"),
        ("1\n2\n\n4\n", "line 3: the line is blank"),
        ("a,b,a\n1,2,3\n", "two columns of the name 'a'"),
        ("split,a\ntrain,1\ntest,2\n", "line 2, column 'split': found 'train'"),
        ("date\n2010-01\n2010-02\n", "no column of numbers beside its dates"),
        (MONTHS.encode() + b"1949-04,\xe9\n", "line 5: the text is not UTF-8"),
        (MONTHS.encode("utf-16"), "line 1: the text is not UTF-8"),
        ('a,b\n1,"2\n3,4\n', "line 2: a quote is opened and not closed"),
        ('a,b\n1,2\n1,"2"3\n', "line 3: this is not regular CSV: ',' expected after '\"'"),
        ("a,b\n1,2\n,\n3,4\n", "line 3: the line is blank, but rows follow"),
    ],
)
def test_files_that_are_refused(write, content, words):
    with pytest.raises(ValueError, match=words) as caught:
        read_csv(write(content))
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    assert "sales.csv" in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^there is no file .*none.csv\.$"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="is a folder"):
        read_csv(tmp_path)
    with pytest.raises(ValueError, match="cannot be read: File name too long"):
        read_csv(tmp_path / ("x" * 5000))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"columns": "passenger"},
            r"has no column 'passenger' \(did you mean 'Passengers'\?\); it has Month, Passengers",
        ),
        ({"columns": ["Passengers", 2]}, "has columns 0 to 1, but column 2"),
        ({"columns": -1}, "but column -1"),
        ({"columns": []}, "at least one column"),
        ({"columns": ["Passengers", 1]}, "none twice"),
        ({"columns": "Month"}, "line 2, column 'Month': found '1949-01'"),
        ({"date_column": "Moth"}, "did you mean 'Month'"),
        ({"missing": "drop"}, "missing 'drop' is unknown.*; known are refuse, keep"),
        ({"decimal": ";"}, "decimal ';' is unknown"),
        ({"header": "yes"}, "header must be True, False or 'auto', not 'yes'"),
        ({"header": False}, "line 1, column 'column1': found 'Month'"),
        ({"date_column": None}, "line 2, column 'Month': found '1949-01'"),
    ],
)
def test_arguments_that_are_refused(write, arguments, words):
    with pytest.raises(ValueError, match=words):
        read_csv(write(MONTHS), **arguments)
