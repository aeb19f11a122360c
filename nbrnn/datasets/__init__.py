"""The packaged series; DATA.md beside this file holds their full origins, checks and licences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import as_file, files

import numpy as np

from ..checks import one_of
from ..csvfile import Table, read_csv


@dataclass(frozen=True)
class Dataset:
    """What is known of a packaged series.

    Attributes
    ----------
    file : str
        The CSV file beside this module.
    description : str
        One line.
    rows : int
    step : str
        From one row to the next: "month", "day" or "hour"; "frame" where a row is a step of one of many sequences.
    units : dict of str to str
        The unit of each column of numbers that has one, the columns in the file's order.
    target : str
        The column to predict.
    columns : tuple of str
        The columns that a model sees by default.
    season : int or None
        Rows in the strongest season, for a seasonal baseline.
    origin, citation, licence : str
        In short; the licence as its source states it.
    task : str
        "forecast", or "classify" where each sequence has a label.
    """

    file: str
    description: str
    rows: int
    step: str
    units: dict[str, str]
    target: str
    columns: tuple[str, ...]
    season: int | None
    origin: str
    citation: str
    licence: str
    task: str = "forecast"


BROWNLEE = "github.com/jbrownlee/Datasets"
CEPSTRUM = tuple(f"c{k}" for k in range(1, 13))
HOURS = tuple(f"h{k:02d}" for k in range(24))
WEATHER = {
    "pm25": "ug/m3",
    "dewp": "deg C",
    "temp": "deg C",
    "pres": "hPa",
    "wind": "m/s, cumulated",
    "snow_hours": "hours",
    "rain_hours": "hours",
    "pm25_hours": "hours",
}

DATASETS = {
    "sunspots": Dataset(
        file="monthly-sunspots.csv",
        description="Zürich monthly mean relative sunspot number, 1749-01 to 1983-12",
        rows=2820,
        step="month",
        units={"Sunspots": "relative sunspot number"},
        target="Sunspots",
        columns=("Sunspots",),
        season=134,
        origin=BROWNLEE,
        citation="Time Series Data Library; Andrews & Herzberg (1985), Data, Springer",
        licence="none stated by the source; the same numbers are in R's datasets::sunspots (GPL-2 | GPL-3)",
    ),
    "airline": Dataset(
        file="airline-passengers.csv",
        description="International airline passengers by month, 1949-01 to 1960-12",
        rows=144,
        step="month",
        units={"Passengers": "thousands"},
        target="Passengers",
        columns=("Passengers",),
        season=12,
        origin=BROWNLEE,
        citation="Box & Jenkins (1976), Time Series Analysis: Forecasting and Control, Series G",
        licence="none stated by the source; the same numbers are in R's datasets::AirPassengers (GPL-2 | GPL-3)",
    ),
    "temperatures": Dataset(
        file="daily-min-temperatures.csv",
        description="Daily minimum temperature in Melbourne, 1981-01-01 to 1990-12-31, no 31 December in leap years",
        rows=3650,
        step="day",
        units={"Temp": "deg C"},
        target="Temp",
        columns=("Temp",),
        season=365,
        origin=BROWNLEE,
        citation="Time Series Data Library, citing the Australian Bureau of Meteorology",
        licence="none stated by the source",
    ),
    "beijing": Dataset(
        file="beijing-pm25-daily.csv",
        description="Fine dust and weather in Beijing, daily means, 2010-01-02 to 2014-12-31; 36 days interpolated",
        rows=1825,
        step="day",
        units=WEATHER,
        target="pm25",
        columns=tuple(WEATHER),
        season=7,
        origin=f"UCI Beijing PM2.5 by way of {BROWNLEE}; averaged to days",
        citation="Chen (2015), Beijing PM2.5, UCI, doi:10.24432/C5JS49; Liang et al. (2015), Proc. R. Soc. A 471",
        licence="CC BY 4.0, as recorded for UCI data set 381",
    ),
    "italy-power": Dataset(
        file="italy-power-demand.csv",
        description="Hourly electrical demand of single days in Italy, October-March (1) against April-September (2)",
        rows=1096,
        step="hour",
        units=dict.fromkeys(HOURS, "standard deviations of the day"),
        target="label",
        columns=HOURS,
        season=None,
        origin="ItalyPowerDemand in aeon and sktime",
        citation="Keogh et al. (2006), ICDM; Dau et al. (2019), The UCR Time Series Archive, arXiv:1810.07758",
        licence="none stated for the data; the packages are BSD-3-Clause",
        task="classify",
    ),
    "japanese-vowels": Dataset(
        file="japanese-vowels.csv",
        description="270 utterances of a vowel by nine speakers, 7 to 26 frames of 12 cepstrum coefficients each",
        rows=4274,
        step="frame",
        units={},
        target="speaker",
        columns=CEPSTRUM,
        season=None,
        origin="JapaneseVowels in aeon and sktime: UCI's training part, split here anew",
        citation="Kudo, Toyama, Shimbo (1999), Pattern Recognition Letters 20; UCI, doi:10.24432/C5NS47",
        licence="CC BY 4.0, as recorded for UCI data set 128",
        task="classify",
    ),
}
SPLITS = {"train": 0.0, "test": 1.0}


def load_dataset(name: str) -> Table:
    """Return a packaged series, with all its columns.

    Parameters
    ----------
    name : str
        A key of DATASETS: "sunspots", "airline", "temperatures", "beijing", or, of labelled sequences, "italy-power"
        (a row a day: label, then 24 hours) and "japanese-vowels" (a row a frame: utterance, speaker, frame t, then 12
        features).

    Returns
    -------
    Table
        The two sets of labelled sequences have no dates; their last column, split, is 0 for the training part and 1
        for the test part.

    Raises
    ------
    ValueError
        If the name is unknown (the nearest is suggested), or the file does not hold the rows that it should.

    Examples
    --------
    >>> load_dataset("airline")
    <Table 'airline': 144 rows, 1949-01 to 1960-12, columns Passengers>
    """
    known = DATASETS[one_of("dataset", name, DATASETS)]
    with as_file(files(__name__) / known.file) as path:
        table = read_csv(path, header=True, date_column="split" if known.task == "classify" else 0)
    if len(table) != known.rows:
        raise ValueError(
            f"the packaged file {known.file} holds {len(table)} rows instead of {known.rows}; install nbrnn again."
        )
    if known.task == "forecast":
        return replace(table, name=name)
    split = np.array([SPLITS[label] for label in table.dates or ()])
    return Table(np.column_stack([table.values, split]), (*table.columns, "split"), None, name)
