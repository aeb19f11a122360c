"""Build the site: python tools/site.py [FOLDER], by default docs/_build/site. A warning fails."""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from sphinx.cmd.build import main as sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import nbrnn  # noqa: E402
from nbrnn.saving import read_model  # noqa: E402
from nbrnn.tutorial.lessons import find_lessons, read_lesson  # noqa: E402
from nbrnn.tutorial.writing import notebook_text  # noqa: E402

BUILD = ROOT / "docs" / "_build"
ENTRY = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>nbrnn</title>
<meta http-equiv="refresh" content="0; url=docs/index.html"></head>
<body><p><a href="docs/index.html">nbrnn</a></p></body></html>
"""


def explorers(folder: Path) -> None:
    """Write the explorer's pages: the tutorial's cell, and a layer of each gated kind."""
    folder.mkdir(parents=True)
    cell = read_model(Path(nbrnn.__file__).parent / "tracing" / "mlm.json")
    nbrnn.explore(cell, [1, 2, 3], 4, path=folder / "simple_rnn.html")
    for layer in (nbrnn.LSTM, nbrnn.GRU):
        model = nbrnn.Sequential([layer(3), nbrnn.Dense(1)], input_shape=(4, 2), seed=0)
        model.compile(loss="mse")
        x = [[0.5, -1.0], [1.0, 0.2], [-0.3, 0.8], [0.7, 0.1]]
        nbrnn.explore(model, x, 0.5, path=folder / f"{layer.__name__.lower()}.html")


def build(site: Path, jobs: str) -> int:
    """Build everything anew and return Sphinx's exit code."""
    for folder in (BUILD / "extra", BUILD / "notebooks", site):
        shutil.rmtree(folder, ignore_errors=True)
    explorers(BUILD / "extra" / "explorer")
    (BUILD / "extra" / "index.html").write_text(ENTRY, encoding="utf-8")
    (BUILD / "notebooks").mkdir()
    for path in find_lessons().values():
        text = notebook_text(read_lesson(path))
        (BUILD / "notebooks" / f"{path.stem}.ipynb").write_text(text, encoding="utf-8")
    quiet = BUILD / "ipython" / "profile_default"
    quiet.mkdir(parents=True, exist_ok=True)
    (quiet / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 50\n", encoding="utf-8")
    os.environ["IPYTHONDIR"] = str(quiet.parent)  # and nothing of the reader's own settings
    strict = ["-E", "-a", "-W", "--keep-going", "-q", "-j", jobs]
    return sphinx([*strict, "-c", str(ROOT / "docs"), "-d", str(BUILD / "doctrees"), str(ROOT), str(site)])


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("folder", nargs="?", type=Path, default=BUILD / "site", help="where the pages go")
    reader.add_argument("--jobs", default="auto", help="processes; as many as cores if not given")
    given = reader.parse_args()
    start = time.monotonic()
    code = build(given.folder.resolve(), given.jobs)
    if not code:
        pages = sum(1 for _ in given.folder.rglob("*.html"))
        print(f"{pages} pages in {time.monotonic() - start:.0f} s; open {given.folder / 'index.html'} in a browser")
    return code


if __name__ == "__main__":
    sys.exit(main())
