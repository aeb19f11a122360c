"""The packaged series: the files are those that DATA.md describes, and load as they should."""

import hashlib
import re
from importlib.resources import files

import numpy as np
import pytest

from nbrnn import datasets
from nbrnn.datasets import DATASETS, load_dataset

FOLDER = files("nbrnn.datasets")
LISTED = {
    file: (int(rows), int(size), sha)
    for file, rows, size, sha in re.findall(
        r"^\| (\S+\.csv) \| (\d+) \| (\d+) \| (\w{64}) \|$", (FOLDER / "DATA.md").read_text("utf-8"), re.MULTILINE
    )
}


def test_every_file_is_known_and_described():
    assert {d.file for d in DATASETS.values()} == set(LISTED)
    assert {f.name for f in FOLDER.iterdir() if f.name.endswith(".csv")} == set(LISTED)


@pytest.mark.parametrize("name", DATASETS)
def test_files_are_what_data_md_says(name):
    known = DATASETS[name]
    rows, size, sha = LISTED[known.file]
    content = (FOLDER / known.file).read_bytes()
    assert (known.rows, len(content), hashlib.sha256(content).hexdigest()) == (rows, size, sha)
    table = load_dataset(name)
    assert len(table) == rows and table.name == name and np.isfinite(table.values).all()
    assert {known.target, *known.columns, *known.units} <= set(table.columns)
    assert all((known.description, known.origin, known.citation, known.licence, known.step))
    if known.task == "forecast":
        assert tuple(known.units) == table.columns == known.columns
        assert list(table.dates) == sorted(set(table.dates))


@pytest.mark.parametrize(
    ("name", "first", "last", "low", "high", "mean", "start", "end"),
    [
        ("sunspots", 58.0, 33.4, 0.0, 253.8, 51.265957, "1749-01", "1983-12"),
        ("airline", 112.0, 432.0, 104.0, 622.0, 280.298611, "1949-01", "1960-12"),
        ("temperatures", 20.7, 13.0, 0.0, 26.3, 11.177753, "1981-01-01", "1990-12-31"),
    ],
)
def test_series_hold_the_numbers_of_data_md(name, first, last, low, high, mean, start, end):
    table = load_dataset(name)
    values = table.column(DATASETS[name].target)
    assert (values[0], values[-1], values.min(), values.max()) == (first, last, low, high)
    assert values.mean() == pytest.approx(mean, abs=1e-6)
    assert (table.dates[0], table.dates[-1]) == (start, end)


def test_deviations_quartiles_and_calendars():
    sunspots, temperatures = (load_dataset(n) for n in ("sunspots", "temperatures"))
    assert sunspots.values.std(ddof=1) == pytest.approx(43.448971, abs=1e-6)
    np.testing.assert_allclose(np.percentile(sunspots.values, [25, 50, 75]), [15.7, 42.0, 74.925])
    assert temperatures.values.std(ddof=1) == pytest.approx(4.071837, abs=1e-6)
    np.testing.assert_allclose(np.percentile(temperatures.values, [25, 50, 75]), [8.3, 11.0, 14.0])
    months = np.array(sunspots.dates, dtype="M8[M]")
    assert (np.diff(months) == np.timedelta64(1, "M")).all()
    days = np.arange("1981-01-01", "1991-01-01", dtype="M8[D]")
    absent = set(days.astype(str)) - set(temperatures.dates)
    assert absent == {"1984-12-31", "1988-12-31"}


def test_the_strongest_period_of_the_sunspots_is_their_season():
    spots = load_dataset("sunspots").column("Sunspots")
    power = abs(np.fft.rfft(spots - spots.mean())) ** 2
    period = len(spots) / (1 + power[1:].argmax())
    assert period == pytest.approx(DATASETS["sunspots"].season, abs=1)


def test_beijing():
    table = load_dataset("beijing")
    assert (table.dates[0], table.dates[-1]) == ("2010-01-02", "2014-12-31")
    assert table.values[-1].tolist() == [10.04, -21.79, -1.92, 1032.12, 167.46, 0.0, 0.0, 24.0]
    assert (table.column("pm25_hours") == 0).sum() == 36
    pairs = [("temp", "dewp", 0.906), ("temp", "pres", -0.865), ("dewp", "pres", -0.802), ("pm25", "wind", -0.281)]
    for a, b, r in pairs:
        assert np.corrcoef(table.column(a), table.column(b))[0, 1] == pytest.approx(r, abs=5e-4)


def test_italy_power():
    table = load_dataset("italy-power")
    days, label, split = (
        table.select(DATASETS["italy-power"].columns).values,
        table.column("label"),
        table.column("split"),
    )
    assert days.shape == (1096, 24) and table.dates is None
    np.testing.assert_allclose([days.mean(1), days.std(1, ddof=1)], [[0.0] * 1096, [1.0] * 1096], atol=1e-5)
    counts = [[((split == s) & (label == k)).sum() for k in (1, 2)] for s in (0, 1)]
    assert counts == [[34, 33], [513, 516]]
    train, test = days[split == 0], days[split == 1]
    nearest = ((test[:, None] - train) ** 2).sum(2).argmin(1)
    assert (label[split == 0][nearest] != label[split == 1]).mean() == pytest.approx(0.044704, abs=1e-6)


def test_japanese_vowels():
    table = load_dataset("japanese-vowels")
    utterance, speaker, t, split = (table.column(n) for n in ("utterance", "speaker", "t", "split"))
    _, first, lengths = np.unique(utterance, return_index=True, return_counts=True)
    assert len(first) == 270 and (lengths.min(), lengths.max()) == (7, 26)
    assert np.bincount(speaker[first].astype(int))[1:].tolist() == [30] * 9
    assert np.bincount(speaker[first][split[first] == 0].astype(int))[1:].tolist() == [20] * 9
    np.testing.assert_array_equal(t, np.concatenate([np.arange(n) for n in lengths]))
    frame = table.select(DATASETS["japanese-vowels"].columns).values[0]
    assert frame.shape == (12,)
    np.testing.assert_allclose(frame[[0, 1, 2, 3, -1]], [1.860936, -0.207383, 0.261557, -0.214562, 0.088728], atol=5e-5)


def test_unknown_names_and_damaged_files_are_refused(monkeypatch):
    with pytest.raises(
        ValueError, match=r"dataset 'sunspot' is unknown \(did you mean 'sunspots'\?\); known are sunspots"
    ):
        load_dataset("sunspot")
    short = datasets.replace(DATASETS["airline"], rows=145)
    monkeypatch.setitem(DATASETS, "airline", short)
    with pytest.raises(ValueError, match="holds 144 rows instead of 145"):
        load_dataset("airline")
