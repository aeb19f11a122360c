"""A CSV file of 1,000,000 rows: what `nbrnn train` takes of time and memory.

python bench/million.py
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS = 1_000_000
TRAIN = ("--window", "50", "--units", "16", "--epochs", "1", "--batch-size", "64")


def write(path: Path) -> None:
    """Write minutes and a noisy wave."""
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(size=ROWS)) * 0.01 + np.sin(np.arange(ROWS) / 50)
    minutes = (np.datetime64("2000-01-01T00:00") + np.arange(ROWS)).astype(str)
    path.write_text("time,level\n" + "".join(f"{t},{v:.4f}\n" for t, v in zip(minutes, values, strict=True)))


def main() -> None:
    """Print the peak of the resident memory, and the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "level.csv")
        begun = time.perf_counter()
        command = [sys.executable, "-m", "nbrnn.cli", "train", "level.csv", *TRAIN]
        subprocess.run(command, check=True, cwd=folder, env=os.environ, stdout=subprocess.DEVNULL)
        taken = time.perf_counter() - begun
        size = (Path(folder) / "level.csv").stat().st_size
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)
    windows = 50 * 4 * 700_000 / 2**20
    print(f"{ROWS:,} rows, {size / 2**20:.0f} MiB of CSV: {taken:.0f} s, at most {peak:.0f} MiB of memory")
    print(f"the training windows alone, laid out in float32, would be {windows:.0f} MiB")


if __name__ == "__main__":
    main()
