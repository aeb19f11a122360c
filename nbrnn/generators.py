"""Series that are made, not measured: for lessons, tests and benchmarks; the same seed gives the same numbers."""

from __future__ import annotations

import numpy as np

from .checks import real_number, whole_number
from .csvfile import Table


def driven_series(rows: int = 1000, seed: int = 0, noise: float = 0.0) -> Table:
    r"""Return three drivers and an observable that follows them, each divided by its largest absolute value.

    The drivers' periods are 60, 40 and 24 rows, so that all comes again after 120; the seed draws their phases and the
    shares of their second harmonics, from 0.2 to 0.5:

        d_k(t) = sin(2 pi t / p_k + f_k) + a_k sin(4 pi t / p_k + g_k)
        o(t) = 0.8 o(t - 1) + 0.2 (d_1(t) + d_2(t) d_3(t)) + noise * standard normal

    The observable is no function of its own past alone, nor of the drivers' present: both must be learned.

    Parameters
    ----------
    rows : int, default 1000
    seed : int, default 0
    noise : float, default 0
        Standard deviation of what is added to the observable.

    Returns
    -------
    Table
        Columns driver1, driver2, driver3, observable.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> np.abs(driven_series(700).values).max(axis=0).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    rows, noise = whole_number("rows", rows), real_number("noise", noise)
    rng = np.random.default_rng(whole_number("seed", seed, 0))
    warm = 200  # rows that the observable takes to forget where it began
    t = np.arange(rows + warm)[:, None]
    angle = 2 * np.pi * t / np.array([60.0, 40.0, 24.0])
    phases, shares = rng.uniform(0, 2 * np.pi, (2, 3)), rng.uniform(0.2, 0.5, 3)
    drivers = np.sin(angle + phases[0]) + shares * np.sin(2 * angle + phases[1])
    pushed = 0.2 * (drivers[:, 0] + drivers[:, 1] * drivers[:, 2]) + noise * rng.normal(size=rows + warm)
    observable = np.zeros(rows + warm)
    for k in range(1, rows + warm):
        observable[k] = 0.8 * observable[k - 1] + pushed[k]
    values = np.column_stack([drivers, observable])[warm:]
    return Table(values / np.abs(values).max(axis=0), ("driver1", "driver2", "driver3", "observable"), None, "driven")
