"""Everything that only a GPU can show, in one go: tests, cuDNN's grid, layers beside cuDNN, whole fits.

python bench/on_gpu.py --out gpu-figures [--minutes 25]
NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python bench/on_gpu.py --out rehearsal --rehearse

Each part is a process of its own with a limit of time; what it prints stands in the folder, and the next part runs
whatever became of it. The parts come in the order of what is missed most. Exit code 1 if one failed.
"""

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
NBRNN = ("-m", "nbrnn.cli")


@dataclass(frozen=True)
class Part:
    """A process: what it is called, what it runs (of Python unless `tool` is given), and minutes that it may take."""

    name: str
    arguments: tuple[str, ...]
    minutes: float
    needs: str = ""  # a module
    tool: str = ""  # a program that runs Python, where it is installed

    def missing(self) -> str:
        """Return what is not installed."""
        if self.needs and not find_spec(self.needs):
            return self.needs
        return self.tool if self.tool and not shutil.which(self.tool) else ""

    def run(self, folder: Path, minutes: float) -> str:
        """Run it, and return how it ended."""
        command = [sys.executable, *self.arguments]
        if self.tool:
            command = [self.tool, "--error-exitcode", "9", *command]
        with (folder / f"{self.name}.txt").open("w") as out, (folder / f"{self.name}.err").open("w") as errors:
            try:
                done = subprocess.run(command, cwd=ROOT, stdout=out, stderr=errors, timeout=minutes * 60, check=False)
            except subprocess.TimeoutExpired:
                return f"stopped after {minutes:.1f} minutes"
        return "done" if done.returncode == 0 else f"failed with exit code {done.returncode}"


def parts(folder: Path, rehearse: bool, against: bool) -> list[Part]:
    """Return the parts in order."""
    bench = (*NBRNN, "bench", "--device", "cuda")
    peer = ("--against", "cudnn") if against else ()
    quick = ("--quick", "--cells", "lstm") if rehearse else ()
    grid, fits = (str(HERE / name) for name in ("cudnn_grid.py", "gpu_fits.py"))
    pytest = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(ROOT / "tests"))

    def layers(name: str, *options: str) -> tuple[str, ...]:
        return (*bench, *peer, *quick, "--out", str(folder / name), *options)

    few = () if rehearse else ("--sizes", "64,256,512", "--batches", "16,64", "--cells", "lstm,gru")
    both = ("--precisions", "float32,bfloat16")
    return [
        Part("info", (*NBRNN, "info"), 1),
        Part("tests", pytest, 6),
        Part("layers-few", layers("layers-few", *few, *both), 4),
        Part("fits", (fits, *(("--rehearse",) if rehearse else ())), 3),
        Part("steps-few", layers("steps-few", *few, "--design", "steps"), 2),
        Part("memory-errors", (*bench, "--quick"), 3, tool="compute-sanitizer"),
        Part("cudnn", (grid, *(("--quick",) if rehearse else ())), 5, needs="torch"),
        Part("layers", layers("layers", *both), 8),
        Part("layers-tf32", layers("layers-tf32", "--precisions", "tf32"), 4),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="the folder for everything that is printed")
    parser.add_argument("--minutes", type=float, default=25.0, help="in all; what does not fit is left out")
    parser.add_argument("--only", default="", help="parts, with commas between")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, for Numba's simulator")
    options = parser.parse_args()
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    began, failed = time.monotonic(), False
    wanted = options.only.split(",") if options.only else []
    for part in parts(folder, options.rehearse, find_spec("torch") is not None):
        left = options.minutes - (time.monotonic() - began) / 60
        if wanted and part.name not in wanted:
            continue
        if part.missing():
            how = f"left out: {part.missing()} is not installed"
        elif left < 0.2:
            how = "left out: the time is over"
        else:
            begun = time.monotonic()
            how = part.run(folder, min(part.minutes, left))
            failed |= how != "done"
            how += f", {time.monotonic() - begun:.0f} s"
        print(f"{part.name:<14}{how}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
