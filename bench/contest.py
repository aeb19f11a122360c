"""A contest: a process a contestant, rounds in turns after a warm one, medians; the results as plain data for JSON."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cases import DISTRIBUTIONS, Case, threads_text

HERE = Path(__file__).parent
FORMAT = 1  # of the JSON
PAUSE = 0.005  # seconds between two contestants: threads of the one before stop spinning
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NBRNN_NUM_THREADS", "NPROC")
CPU_ONLY = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
XLA = "--xla_cpu_multi_thread_eigen="
PROBE = "import sys, importlib.util as u; print(*[n for n in sys.argv[1:] if not u.find_spec(n)])"


class Died(Exception):
    """A contestant that cannot go on; the message is one sentence."""


def missing(python: str, peers: list[str]) -> list[str]:
    """Return the modules of these peers that an interpreter cannot find.

    Raises
    ------
    ValueError
        If there is no such interpreter.
    """
    modules = [name for peer in peers for name in DISTRIBUTIONS[peer]]
    try:
        done = subprocess.run([python, "-c", PROBE, *modules], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"--peer-python must be a Python interpreter, not {python!r}.") from error
    return done.stdout.split()


def environment(name: str, threads: int, root: Path, module: str | None = None) -> dict[str, str]:
    """Return the variables of a contestant's process: as many threads as it may use, and no GPU."""
    own = dict(os.environ) | CPU_ONLY | {variable: str(threads) for variable in POOLS}
    own["XLA_FLAGS"] = f"{own.get('XLA_FLAGS', '')} {XLA}{str(threads > 1).lower()}".strip()
    if name == "nbrnn":  # the one that is running; peers keep their own path
        own["NBRNN_BENCH_MODULE"] = module or ""
        own["PYTHONPATH"] = os.pathsep.join(p for p in (str(root), own.get("PYTHONPATH")) if p)
    return own


class Contestant:
    """A process that answers orders."""

    def __init__(self, name: str, threads: int, python: str, root: Path, module: str | None = None) -> None:
        self.name, self.errors = name, tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [python, str(HERE / "contestant.py"), name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment(name, threads, root, module),
        )
        try:
            self.versions: dict[str, str] = self.ask("start")
        except Died:
            self.close()
            raise

    def ask(self, do: str, **order: Any) -> Any:
        """Give an order and return the answer.

        Raises
        ------
        Died
            If the process ended, or could not do it.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do} | order) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Died(f"{self.name} stopped with exit code {self.process.wait()}{self.last_words()}.")
        answer = json.loads(line)
        if "error" in answer:
            raise Died(f"{self.name} failed: {' '.join(answer['error'].split()).rstrip('.')}.")
        return answer["value"]

    def last_words(self) -> str:
        """Return the last line that the process wrote to its standard error."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1].strip().rstrip('.')}" if lines else ""

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()


@dataclass(frozen=True)
class Settings:
    """How a contest is held."""

    threads: tuple[int, ...]
    against: tuple[str, ...]
    peer_python: str
    rounds: int
    seconds: float  # that a round lasts at least
    memory: bool  # whether the copy from memory to memory is measured too
    root: Path  # of the nbrnn that takes part
    module: str | None = None  # a file of Python that defines custom cells


class Contest:
    """Holds a contest and gathers its report.

    Parameters
    ----------
    cases : list of Case
    settings : Settings
    """

    def __init__(self, cases: list[Case], settings: Settings) -> None:
        self.cases, self.settings = cases, settings
        self.players: dict[str, Contestant] = {}
        self.status: Callable[[str], None] = lambda text: None
        self.report: dict[str, Any] = {
            "format": FORMAT,
            "taken": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"processor": processor(), "cores": cores(), "system": platform.platform(), "load": load()},
            "rounds": settings.rounds,
            "round_s": settings.seconds,
            "versions": {"python": platform.python_version()},
            "peaks": [],
            "results": [],
            "failures": [],
        }

    def hold(self, peaks: Callable[[dict[str, Any]], None], status: Callable[[str], None]) -> Iterator[dict[str, Any]]:
        """Yield the cases' results one after the other.

        `peaks` is told what the machine can do, ahead of them; `status` what is going on.
        """
        self.status = status
        try:
            for threads in self.settings.threads:
                own = [case for case in self.cases if case.group != "stream" or threads == 1]
                for dtype in dict.fromkeys(case.dtype for case in own):
                    status(f"the machine's peak, {dtype}, {threads_text(threads)}")
                    peak = self.peak(dtype, threads)
                    if peak:
                        peaks(peak)
                    for case in own:
                        if case.dtype == dtype:
                            yield self.result(case, threads, peak)
                self.end()
        finally:
            self.end()

    def end(self) -> None:
        """End all processes."""
        for player in self.players.values():
            player.close()
        self.players.clear()

    def player(self, name: str, threads: int) -> Contestant:
        """Return a contestant, started if it is not there."""
        if name not in self.players:
            python = sys.executable if name == "nbrnn" else self.settings.peer_python
            self.players[name] = Contestant(name, threads, python, self.settings.root, self.settings.module)
            self.report["versions"] |= self.players[name].versions
        return self.players[name]

    def failed(self, name: str, case: str, error: Died) -> None:
        """Keep what happened; the contestant begins anew with the next case."""
        self.report["failures"].append({"contestant": name, "case": case, "error": str(error)})
        if name in self.players:
            self.players.pop(name).close()

    def peak(self, dtype: str, threads: int) -> dict[str, Any]:
        """Return what the machine can do, measured by our own process; nothing if that failed."""
        try:
            measured = self.player("nbrnn", threads).ask("peaks", dtype=dtype, memory=self.settings.memory)
        except Died as error:
            self.failed("nbrnn", f"the peak in {dtype}", error)
            return {}
        peak = {"dtype": dtype, "threads": threads, **measured}
        self.report["peaks"].append(peak)
        return peak

    def result(self, case: Case, threads: int, peak: dict[str, Any]) -> dict[str, Any]:
        """Measure a case and return all that is known of it."""
        times: dict[str, list[float]] = {}
        known: dict[str, dict[str, Any]] = {}
        what = f"{case.label}, {threads_text(threads)}"
        for name in ("nbrnn", *self.settings.against):
            if case.admits(name):
                self.status(f"{what}: {name} loads or compiles what it needs")
                order = {"case": asdict(case), "seconds": self.settings.seconds}
                self.attempt(name, case, threads, known, lambda player, order=order: player.ask("prepare", **order))
        for k in range(self.settings.rounds + 1):
            self.status(f"{what}: round {k} of {self.settings.rounds}" if k else f"{what}: a warm round")
            for name in list(known):
                taken: dict[str, Any] = {}
                if len(known) > 1:
                    time.sleep(PAUSE)
                self.attempt(name, case, threads, taken, lambda player: player.ask("run"))
                if not taken:
                    del known[name]
                elif k:  # the first round is the warm one
                    times.setdefault(name, []).append(taken[name])
        result = self.judged(case, threads, peak, known, times)
        self.report["results"].append(result)
        return result

    def attempt(self, name: str, case: Case, threads: int, into: dict[str, Any], work: Callable[..., Any]) -> None:
        """Let a contestant do something and keep its answer; if it dies, its death."""
        try:
            into[name] = work(self.player(name, threads))
        except Died as error:
            self.failed(name, f"{case.label}, {threads_text(threads)}", error)

    def judged(
        self,
        case: Case,
        threads: int,
        peak: dict[str, Any],
        known: dict[str, dict[str, Any]],
        times: dict[str, list[float]],
    ) -> dict[str, Any]:
        """Return the case with medians, rates, ratios and goals."""
        result: dict[str, Any] = asdict(case) | {"threads": threads, "goals": case.goals(threads)}
        if case.group != "fit":
            result |= case.sizes._asdict()
        ours = statistics.median(times["nbrnn"]) if "nbrnn" in times else None
        entries: dict[str, Any] = {}
        for name, seconds in times.items():
            entry = {k: v for k, v in known[name].items() if k not in ("flops", "bytes")}
            median = statistics.median(seconds)
            entry |= {"median_s": median, "best_s": min(seconds), "seconds": seconds}
            if name != "nbrnn" and ours is not None:
                entry["ratio"] = median / ours
            entries[name] = entry
        result["contestants"] = entries
        if ours is not None:
            result |= {"flops": known["nbrnn"]["flops"], "bytes": known["nbrnn"]["bytes"]}
            result["gflops"] = result["flops"] / ours / 1e9
            result["share"] = result["gflops"] / peak["gflops"] if peak else None
            result["share_goal"], result["scaling_goal"] = case.share_goal(threads), case.scaling_goal(threads)
            result["ratio"] = min((e["ratio"] for e in entries.values() if "ratio" in e), default=None)
            result["scaling"] = self.scaling(result, ours)
        return result

    def scaling(self, result: dict[str, Any], ours: float) -> float | None:
        """Return how many times faster the case runs than it did with one thread."""
        if result["threads"] == 1:
            return None
        same = ("group", "name", "size", "mode", "dtype")
        for other in self.report["results"]:
            if other["threads"] == 1 and all(other[k] == result[k] for k in same) and "nbrnn" in other["contestants"]:
                return other["contestants"]["nbrnn"]["median_s"] / ours
        return None


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """Return how many processes wanted to run in the last minute, on average; 0 where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
