"""What bench/on_gpu.py has measured, as the file that nbrnn chooses by and as the sentence of the documentation.

python bench/gpu_measured.py gpu-figures            # writes measured.json and figures.txt there
python bench/gpu_measured.py gpu-figures --write    # adds that to the package's file and to docs/howto/gpu.md

Whatever of a run's parts is there is taken: a part that failed leaves what was known before of that GPU.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from gpu_cases import grid
from gpu_table import case_of, doubts, lines, summary

from nbrnn.files import write_whole
from nbrnn.targets.cuda import measured

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "howto" / "gpu.md"
BEGIN, END = "<!-- measured: bench/gpu_measured.py writes what follows -->", "<!-- end -->"
FIGURES = "figures.txt"
KEYS = ("cell", "H", "B", "precision", "mode", "design")


def reports(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the reports of a name in a folder and below it, the oldest first; a broken one is left out, and said."""
    found = []
    for path in sorted(folder.rglob(name), key=lambda path: path.stat().st_mtime):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            print(f"{path} is left out: {error}", file=sys.stderr)
    return found


def collected(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the reports in a folder hold, by the names of GPUs, as measured.json has it."""
    gpus: dict[str, dict[str, Any]] = {}
    for report in reports(folder, "gpu.json"):
        rows = [r for r in report["results"] if r["design"] and r["alone"]]
        if rows:
            own = gpus.setdefault(report["machine"]["gpu"], {})
            known = {tuple(r[k] for k in KEYS): r for r in own.get("layers", [])}
            made = ({k: r[k] for k in KEYS} | {"seconds": r["nbrnn"]["median_s"]} for r in rows)
            own["layers"] = list((known | {tuple(r[k] for k in KEYS): r for r in made}).values())
            own |= {"taken": report["taken"], "versions": report["machine"]["versions"]}
    for report in reports(folder, "gpu-fits.json"):
        if report["batches"]:
            about = {key: report[key] for key in ("taken", "processor", "threads")}
            gpus.setdefault(report["gpu"], {}).update(about, fits=report["batches"])
    for report in reports(folder, "gpu-products.json"):
        if report["library_from"]:
            gpus.setdefault(report["gpu"], {})["library_from"] = report["library_from"]
    return gpus


def figures(folder: Path) -> str:
    """Return all layers that were measured beside cuDNN, or without a design forced, as one table.

    Parameters
    ----------
    folder : Path
    """
    found = {case_of(r): r for report in reports(folder, "gpu.json") for r in report["results"] if not r["design"]}
    order = {case: k for k, case in enumerate(grid())}
    rows = [found[case] for case in sorted(found, key=lambda case: order.get(case, len(order)))]
    return "\n".join([*lines(rows), "", summary(rows), *doubts(rows)]) + "\n" if rows else ""


def merged(known: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of all GPUs when new figures replace older ones."""
    return known | {name: known.get(name, {}) | found for name, found in new.items()}


def as_file(gpus: dict[str, Any]) -> bytes:
    """Return measured.json, a row a line."""
    text = json.dumps({"format": measured.FORMAT, "gpus": gpus}, indent=1, sort_keys=True)
    joined = lambda row: "{" + " ".join(row[1].split()) + "}"  # noqa: E731
    return re.sub(r"\{([^{}\[\]]+)\}", joined, text).encode() + b"\n"


def with_paragraph(page: str, gpus: dict[str, Any]) -> str:
    """Return a page of the documentation with what is measured now."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the page has no {BEGIN} ... {END}.")
    return f"{before}{BEGIN}\n{wrapped(measured.paragraph(gpus))}\n{END}{after}"


def wrapped(text: str, width: int = 120) -> str:
    """Return a paragraph in lines."""
    from textwrap import wrap

    return "\n".join(wrap(text, width, break_long_words=False, break_on_hyphens=False))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what bench/on_gpu.py was given as --out")
    parser.add_argument("--write", action="store_true", help="change the package's file and the documentation")
    options = parser.parse_args()
    new = collected(options.folder)
    write_whole(options.folder / FIGURES, figures(options.folder).encode())
    write_whole(options.folder / "measured.json", as_file(new))
    for name, found in new.items():
        parts = ", ".join(f"{len(found[key])} {key}" for key in ("layers", "fits", "library_from") if key in found)
        print(f"{name}: {parts}; {measured.crossover(found) or 'no fits on both sides'}")
    real = {name: found for name, found in new.items() if "simulator" not in name}
    if options.write and not real:
        print("nothing was measured on a GPU, so nothing is written", file=sys.stderr)
        return 2
    if options.write:
        gpus = merged(measured.read(measured.FILE), real)
        write_whole(measured.FILE, as_file(gpus))
        write_whole(PAGE, with_paragraph(PAGE.read_text(encoding="utf-8"), gpus).encode())
        print(f"written: {measured.FILE} and {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
