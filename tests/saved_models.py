"""Model files, and series as CSV files, that several test files use."""

from pathlib import Path

import numpy as np
from click.testing import CliRunner

from nbrnn.cli import main
from nbrnn.forecastfile import load_forecaster

ALONE = ("--target", "Sales", "--features", "Sales", "--season", 12)
QUICK = ("--epochs", 3, "--window", 5, "--units", 3, "--no-plots")


def run(*arguments):
    """Run nbrnn in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


def sales(rows=72, seed=0, first=0):
    """Return months, sales, prices and promotions as lines of a CSV file."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    price, promo = 10 + np.sin(t / 5), rng.integers(0, 2, rows)
    sold = 200 + t + 40 * np.sin(2 * np.pi * t / 12) + 20 * promo - 3 * price + rng.normal(0, 4, rows)
    cells = zip(months(rows), sold, price, promo, strict=True)
    return [f"{month},{a:.6f},{b:.6f},{c}" for month, a, b, c in cells][first:]


def months(rows, first=0):
    return [f"{2015 + k // 12}-{k % 12 + 1:02d}" for k in range(first, first + rows)]


def write(path, lines, header="Month,Sales,Price,Promo"):
    Path(path).write_text("\n".join([header, *lines]) + "\n")
    return Path(path)


def trained(folder, *options, lines=None, header="Month,Sales,Price,Promo", quick=QUICK):
    """Train on a CSV file in a folder; return the model file's path, the forecaster and the notes."""
    file = write(Path(folder) / "sales.csv", sales() if lines is None else lines, header)
    out = Path(folder) / "model"
    result = run("train", file, *quick, "--out", out, *options)
    assert result.exit_code == 0, result.output
    return out / "model.safetensors", *load_forecaster(out / "model.safetensors")


def refused(*arguments):
    """Return the one sentence that a wrong command is answered with; nothing must be written."""
    before = sorted(Path().rglob("*"))
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.output.count("\n") == 1 and result.output.startswith("Error: "), result.output
    assert sorted(Path().rglob("*")) == before
    return result.output
