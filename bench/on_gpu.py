"""Everything that only a GPU can show, in one go: tests, layers beside cuDNN, whole fits, what choices go by.

python bench/on_gpu.py --out gpu-figures [--minutes 25] [--pack gpu-figures.tar.gz]
python bench/on_gpu.py --out gpu-figures --only tests,layers     # these parts, again
python bench/on_gpu.py --out gpu-figures --resume                # those that are not done
NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python bench/on_gpu.py --out rehearsal --rehearse

Each part is a few processes of their own with a limit of time, in the order of what is missed most; the next part runs
whatever became of one. Everything is written at once: what the processes print and their reports, report.txt, which
holds it all, measured.json (see gpu_measured.py), and the packed folder. Exit code 1 if a part failed, 2 if there is
no GPU.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu_parts import ROOT, Part, Run, no_device, parts, peer

POLL, PATIENCE = 0.1, 10.0  # seconds between two looks; until a process that was killed is left alone
LEAST = 0.3  # minutes that a part must have left
STATE, REPORT = "parts.json", "report.txt"
SHARE = 0.6  # of a part's time, after which a process that measures no longer waits for the others
ENDS = 25  # lines of a process' errors that the report shows, and
SHOWN = 120  # of what it printed


class Going:
    """A process that runs, its output in files of the folder."""

    def __init__(self, run: Run, folder: Path, environment: dict[str, str]) -> None:
        self.run, self.folder, self.begun, self.ended = run, folder, time.monotonic(), 0.0
        with (folder / f"{run.name}.txt").open("w") as out, (folder / f"{run.name}.err").open("w") as errors:
            self.process = subprocess.Popen(
                run.command(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=environment,
                **({"process_group": 0} if os.name == "posix" else {}),
            )  # fmt: skip

    def over(self) -> bool:
        """Return whether it has ended."""
        if self.process.poll() is None:
            return False
        self.ended = self.ended or time.monotonic()
        return True

    def how(self) -> str:
        """Return how it has ended."""
        code, taken = self.process.returncode, f", {self.ended - self.begun:.0f} s"
        if code == 0:
            return f"done{taken}"
        return (f"ended by signal {-code}" if code < 0 else f"failed with exit code {code}") + taken

    def kill(self) -> str:
        """End it and what it has started; return how that went: who waits for a driver cannot be ended."""
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL) if os.name == "posix" else self.process.kill()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return f"stopped after {time.monotonic() - self.begun:.0f} s, but does not end"
        return f"stopped after {time.monotonic() - self.begun:.0f} s"


def carry_out(part: Part, folder: Path, minutes: float, at_once: int) -> dict[str, str]:
    """Run a part's processes, some at once, and return how each ended."""
    own = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.getenv("PYTHONPATH"))))}
    if part.turns:
        own |= {"NBRNN_BENCH_TURNS": str(folder / "turns.lock"), "NBRNN_BENCH_PATIENCE": str(minutes * 60 * SHARE)}
    waiting, going, ended = list(part.runs), [], {}
    until = time.monotonic() + minutes * 60
    try:
        while (waiting or going) and time.monotonic() < until:
            while waiting and len(going) < at_once:
                run = waiting.pop(0)
                try:
                    going.append(Going(run, folder, os.environ | own))
                except OSError as error:
                    ended[run.name] = f"could not be started: {error}"
            ended |= {one.run.name: one.how() for one in going if one.over()}
            going = [one for one in going if not one.over()]
            time.sleep(POLL)
    finally:
        ended |= {one.run.name: one.how() if one.over() else one.kill() for one in going}
    return {run.name: ended.get(run.name, "left out: the part's time was over") for run in part.runs}


def told(folder: Path, name: str) -> Iterator[str]:
    """Yield the lines of a process that a reader wants."""
    for ending, most in ((".txt", SHOWN), (".err", ENDS)):
        path = folder / (name + ending)
        lines = path.read_text(encoding="utf-8", errors="replace").rstrip().splitlines() if path.is_file() else []
        if len(lines) > most:
            yield f"    ... {len(lines) - most} lines of {path.name} before"
        yield from (f"    {line}".rstrip() for line in lines[-most:])


def report(state: dict[str, Any], folder: Path) -> str:
    """Return everything that was seen so far as a text."""
    lines = [f"{name:<13}{part['how']}" for name, part in state.items()]
    figures = folder / "figures.txt"
    lines += figures.read_text(encoding="utf-8").splitlines() if figures.is_file() else []
    for name, part in state.items():
        lines += ["", f"===== {name}: {part['what']}; expected {part['expected']:g} minutes; {part['how']}"]
        for run, how in part["runs"].items():
            lines += ["", f"--- {run}: {how}", *told(folder, run)]
    return "\n".join(lines) + "\n"


def write_all(state: dict[str, Any], folder: Path, pack: Path | None) -> None:
    """Write the state, the report, the figures and the packed folder; what cannot be written is said."""
    sys.path.insert(0, str(ROOT))
    from nbrnn.files import write_whole

    write_whole(folder / STATE, json.dumps(state, indent=1).encode() + b"\n")
    try:
        command = [sys.executable, str(Path(__file__).with_name("gpu_measured.py")), str(folder)]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=60,
                       capture_output=True, text=True)  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        print(f"measured.json is not written: {error} {getattr(error, 'stderr', '')}", flush=True)
    write_whole(folder / REPORT, report(state, folder).encode())
    if pack is not None:
        beside = pack.with_name(f".{pack.name}.partial")
        with tarfile.open(beside, "w:gz") as archive:
            archive.add(folder, folder.name)
        beside.replace(pack)


def summed(ended: dict[str, str]) -> str:
    """Return how a part ended: as its processes did, or how many of them did not end well."""
    bad = [f"{name} {how}" for name, how in ended.items() if not how.startswith("done")]
    if len(ended) == 1:
        return next(iter(ended.values()))
    return f"{len(ended) - len(bad)} of {len(ended)} done" + "".join(f"; {one}" for one in bad)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="the folder for everything that is printed")
    parser.add_argument("--minutes", type=float, default=25.0, help="in all; what does not fit is left out")
    parser.add_argument("--only", default="", help="parts, with commas between")
    parser.add_argument("--resume", action="store_true", help="leave out what is done in the folder")
    parser.add_argument("--pack", type=Path, help="write the folder as one .tar.gz, too, after every part")
    parser.add_argument("--at-once", type=int, default=max(1, (os.cpu_count() or 1) - 2), help="processes")
    parser.add_argument("--list", action="store_true", help="say what would run, and no more")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, for Numba's simulator")
    options = parser.parse_args()
    folder, began = options.out.resolve(), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    if options.rehearse:
        os.environ["NBRNN_GPU_TESTS"] = "small"
    lacking = peer(options.rehearse)
    every = parts(folder, options.rehearse, lacking)
    wanted = [name.strip() for name in options.only.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in {part.name for part in every}]
    if unknown:
        parser.error(f"--only takes {', '.join(part.name for part in every)}; not {', '.join(unknown)}.")
    state = json.loads((folder / STATE).read_text()) if (folder / STATE).is_file() else {}
    chosen = [part for part in every if not wanted or part.name in wanted]
    if options.resume:
        chosen = [part for part in chosen if not state.get(part.name, {}).get("well")]
    minutes = sum(part.expected for part in chosen)
    print(f"{len(chosen)} parts, some {minutes:.0f} minutes; {lacking or 'PyTorch is there'}", flush=True)
    for part in chosen if options.list else ():
        print(f"{part.name:<13}{part.expected:>4} to {part.minutes} minutes, {len(part.runs)} processes: {part.what}")
    absent = "" if options.list else no_device()
    if absent:
        print(f"nothing can be measured: {absent}")
        return 2
    failed = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no process is left behind
    for part in () if options.list else chosen:
        left, begun = options.minutes - (time.monotonic() - began) / 60, time.monotonic()
        ended, why = {}, part.missing() or ("the time is over" if left < LEAST else "")
        how = f"left out: {why}"
        if not why:
            ended = carry_out(part, folder, min(part.minutes, left), options.at_once)
            how = f"{summed(ended)}; {time.monotonic() - begun:.0f} s in all"
        well = bool(ended) and all(one.startswith("done") for one in ended.values())
        failed |= bool(ended) and not well
        about = {"what": part.what, "expected": part.expected, "how": how, "well": well, "runs": ended}
        if ended or part.name not in state:  # what an earlier call has found stays
            state[part.name] = about
        print(f"{part.name:<13}{how}", flush=True)
        write_all({p.name: state[p.name] for p in every if p.name in state}, folder, options.pack)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
