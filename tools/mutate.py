"""Changes the kernels and the lowering of layers, one place at a time, and looks whether a test then fails.

A mutant is one small mistake (mutants.py makes them): a flipped sign, a swapped gate, a dropped term or call, an index
beside the right one, a comparison with another border. It is written into a private copy of the repository, where quick
tests run in plain Python (NUMBA_DISABLE_JIT=1) until one fails. A mutant that no test notices has survived: a test is
missing, or the change changes no result. Those of the second kind are named in mutants.EQUIVALENT, with the reason, and
are not run.

    python tools/mutate.py --files nbrnn/kernels/lstm.py --only backward
    python tools/mutate.py --sample 50 --seed 3
    python tools/mutate.py --list

It needs fork (Linux, macOS). The exit code is 1 if there are survivors.
"""

import argparse
import ast
import contextlib
import math
import multiprocessing
import os
import random
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[1]
FILES = [
    *(f"nbrnn/kernels/{name}.py" for name in ("simple_rnn", "lstm", "gru", "dense", "gemm", "activations")),
    *(f"nbrnn/kernels/{name}.py" for name in ("losses", "crossentropy", "metrics")),
    *(f"nbrnn/kernels/{name}.py" for name in ("joins", "masking", "dropout", "feedback")),
    *(f"nbrnn/kernels/{name}.py" for name in ("lanes", "optimizers", "moves", "random", "elementary", "abi")),
    *(f"nbrnn/{name}.py" for name in ("recurrent", "gated", "layers", "lowering")),
]
MEMORY = 3 << 30  # bytes of address space that a mutant may take

# ---------------------------------------------------------------- the tests

SLOW = (
    "float32_gradients_are_near", "as_many_as_the_lessons_say", "very_long", "wide_layers_and_shards", "same_bits",
    "learns_a_sum", "batch_size_does_not_change",
)  # fmt: skip
FIRST = {  # where mutants of a file die soonest, by the beginning of its path
    "nbrnn/kernels/lanes.py": ["tests/test_lanes.py"],
    "nbrnn/kernels/elementary.py": ["tests/test_elementary.py", "tests/test_logarithms.py"],
    "nbrnn/kernels/random.py": ["tests/test_kernels.py", "-k", "philox or permut"],
    "nbrnn/kernels/": ["tests/test_kernels.py"],
    "": ["tests/test_states.py", "tests/test_program.py", "tests/test_model.py"],
}
REST = [f"tests/test_{name}.py" for name in ("mutants", "states", "program", "model", "gated", "gradients", "training")]
LAYERS = [f"tests/test_{name}.py" for name in ("bad_input", "saving", "tracing")]  # what kernels have no part in


def kernels_through(root: Path) -> dict[str, set[str]]:
    """Return, for every function of the kernels' files, the kernels that call it, themselves or through others."""
    calls, kernels = {}, set()
    for path in sorted((root / "nbrnn" / "kernels").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                calls[node.name] = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                if any(ast.unparse(d).startswith("kernel(") for d in node.decorator_list):
                    kernels.add(node.name)
    found: dict[str, set[str]] = {name: set() for name in calls}
    for kernel in kernels:
        seen, new = set(), {kernel}
        while new:
            seen |= new
            new = set().union(*(calls[name] & calls.keys() for name in new)) - seen
        for name in seen:
            found[name].add(kernel)
    return found


def stages(root: Path, path: str, names: set[str]) -> list[list[str]]:
    """Return the arguments of pytest, a list a run: the tests nearest to a file, or to kernels of it, then the rest."""
    kernels, near = "nbrnn/kernels/", next(tests for start, tests in FIRST.items() if path.startswith(start))
    narrow = ["-k", " or ".join(sorted(names))] if names and near == FIRST[kernels] else []
    more = REST if path.startswith(kernels) else REST + LAYERS
    rest = [test for test in more if test not in near and (root / test).exists()]
    quick = [rest[:1]] if path.startswith(kernels) and not names else []  # no twin tests it: a test made for it may
    return [*quick, [*near, *narrow], [*rest, "-k", f"not ({' or '.join(SLOW)})"]]


# ---------------------------------------------------------------- the run


def in_fork(folder: str, arguments: list[str], log: str, seconds: float, keep_bytecode: bool) -> None:
    """Run pytest in a folder and end the process with its exit code; without shrinking, the first failure is enough."""
    os.setsid()
    os.chdir(folder)
    with open(log, "w", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), resource.RLIM_INFINITY))
    sys.path[:] = [folder, *(p for p in sys.path if p and Path(p).resolve() not in (ROOT, ROOT / "tools"))]
    os.environ["PYTHONPATH"] = folder
    sys.dont_write_bytecode = not keep_bytecode
    if not keep_bytecode:
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # for processes that tests start
    import hypothesis
    import pytest

    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", phases=phases, database=None)  # the suite's profile builds on it
    hypothesis.settings.load_profile("mutants")
    code = pytest.main(["-x", "-q", "--tb=no", "-p", "no:cacheprovider", *arguments])
    sys.stdout.flush()
    os._exit(int(code))


class Runner:
    """Runs tests in copies of a repository, a process a run."""

    def __init__(self, root: Path, scratch: Path, jobs: int) -> None:
        self.copies: SimpleQueue[Path] = SimpleQueue()
        for k in range(jobs):
            ignore = shutil.ignore_patterns(".*", "__pycache__", "nbrnn-out")
            self.copies.put(Path(shutil.copytree(root, scratch / f"copy {k}", symlinks=True, ignore=ignore)))
        os.environ |= {"NUMBA_DISABLE_JIT": "1", "CI": "1", "NBRNN_CACHE_DIR": str(scratch / "cache")}
        os.environ |= {f"{name}_NUM_THREADS": "1" for name in ("NUMBA", "OPENBLAS", "OMP")}
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["numba", "pytest", "hypothesis.extra.numpy"])  # loaded once, then forked
        self.limits: dict[tuple[str, ...], float] = {}  # seconds, by pytest's arguments

    def attempt(self, copy: Path, arguments: list[str], limit: float, keep: bool = False) -> tuple[str, str]:
        """Run tests: "passed", "failed" or "timed out", and the test that failed."""
        log = copy.with_name(f"{copy.name}.log")
        process = self.context.Process(target=in_fork, args=(str(copy), arguments, str(log), limit, keep))
        process.start()
        process.join(5 * limit)  # the limit is of the processor's time: others may use it too
        late = process.is_alive() or process.exitcode == -signal.SIGXCPU
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what its tests may have started too
        process.join()
        if process.exitcode in (4, 5) and not late:
            raise RuntimeError(f"pytest finds no tests by {shlex.join(arguments)}: {log.read_text()}")
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", log.read_text(errors="replace"), re.M)
        outcome = "timed out" if late else "failed" if process.exitcode else "passed"
        return outcome, failed[1] if failed else log.read_text(errors="replace")[-300:].strip()

    def baseline(self, stages: list[list[str]], limit: float | None) -> None:
        """Run the unchanged copy, which must pass, and measure how long a mutant may take."""
        copy = self.copies.get()
        for stage in stages:
            start = time.perf_counter()
            outcome, what = self.attempt(copy, stage, 900, keep=True)
            seconds = time.perf_counter() - start
            if outcome != "passed":
                raise SystemExit(f"the unchanged tree must pass, but {shlex.join(stage)} {outcome}: {what}")
            self.limits[tuple(stage)] = limit or 10 + 5 * seconds
            print(f"unchanged: {seconds:5.1f} s  {shlex.join(stage)}", flush=True)
        self.copies.put(copy)

    def judge(self, mutant: Mutant, stages: list[list[str]]) -> tuple[str, str]:
        """Write a mutant into a copy, run its tests until one fails, and put the original back."""
        copy = self.copies.get()
        path = copy / mutant.path
        original = path.read_bytes()
        path.write_text(mutant.source, encoding="utf-8")
        for old in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):  # valid for a source of that second and length
            old.unlink()
        try:
            for stage in stages:
                outcome, what = self.attempt(copy, stage, self.limits[tuple(stage)])
                if outcome != "passed":
                    return ("killed" if outcome == "failed" else outcome), what
            return "survived", ""
        finally:
            path.write_bytes(original)
            self.copies.put(copy)


def report(results: list[tuple[Mutant, str, str]]) -> None:
    """Print how many mutants of each file came to which end, and who survived."""
    ends = ("killed", "timed out", "equivalent", "survived")
    files = list(dict.fromkeys(mutant.path for mutant, *_ in results))
    print(f"\n{'file':<32}{'mutants':>10}" + "".join(f"{end:>12}" for end in ends))
    for file in [*files, "all"]:
        counts = Counter(end for mutant, end, _ in results if file in (mutant.path, "all"))
        print(f"{file:<32}{counts.total():>10}" + "".join(f"{counts[end]:>12}" for end in ends))
    for end in ("timed out", "survived"):
        for mutant, how, _ in results:
            if how == end:
                print(f"{end}: {mutant}")


def chosen(arguments: argparse.Namespace) -> list[Mutant]:
    """Return the mutants that the options choose, by file and line."""
    found = [m for path in arguments.files for m in mutants(path, (arguments.root / path).read_text(encoding="utf-8"))]
    found = [m for m in found if re.search(arguments.only, m.function)]
    if arguments.sample is not None and arguments.sample < len(found):
        places = sorted(random.Random(arguments.seed).sample(range(len(found)), arguments.sample))
        found = [found[k] for k in places]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="+", default=FILES, metavar="FILE", help="to change; default: %(default)s")
    parser.add_argument("--only", default="", metavar="REGEX", help="of functions' names, such as 'lstm|GRU._before'")
    parser.add_argument("--sample", type=int, metavar="N", help="take N of the mutants by chance")
    parser.add_argument("--seed", type=int, default=0, help="of the sample; default 0")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time; default 1")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument("--tests", metavar="ARGUMENTS", help="pytest's arguments instead of the tests chosen by file")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="default 10 and 5 times the original's")
    parser.add_argument("--root", type=Path, default=ROOT, help="of the repository; default: the one of this file")
    arguments = parser.parse_args()
    todo = chosen(arguments)
    if arguments.list:
        print(*todo, f"{len(todo)} mutants", sep="\n")
        return 0
    root, through = arguments.root.resolve(), kernels_through(arguments.root)

    def plan(mutant: Mutant) -> list[list[str]]:
        names = through.get(mutant.function.split(".")[0], set())
        return [shlex.split(arguments.tests)] if arguments.tests else stages(root, mutant.path, names)

    results = [(mutant, "equivalent", mutant.reason) for mutant in todo if mutant.reason]
    todo = [mutant for mutant in todo if not mutant.reason]
    with tempfile.TemporaryDirectory(prefix="nbrnn-mutants-") as scratch:
        runner, pool = Runner(root, Path(scratch), arguments.jobs), ThreadPoolExecutor(arguments.jobs)
        planned = {tuple(stage): stage for mutant in todo for stage in plan(mutant)}
        runner.baseline(list(planned.values()), arguments.timeout)
        begun = time.perf_counter()
        runs = {pool.submit(runner.judge, mutant, plan(mutant)): mutant for mutant in todo}
        for stop in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stop, signal.default_int_handler)
        try:
            for k, run in enumerate(as_completed(runs), 1):
                end, what = run.result()
                results.append((runs[run], end, what))
                rest = (time.perf_counter() - begun) / k * (len(todo) - k) / 60
                test = what.partition("\n")[0]
                print(f"[{k}/{len(todo)}, {rest:.0f} min left] {end:<9} {runs[run]}  ({test})", flush=True)
        except KeyboardInterrupt:
            print("stopped; what was done:")
        finally:
            pool.shutdown(cancel_futures=True)
    report(sorted(results, key=lambda one: (arguments.files.index(one[0].path), one[0].line)))
    return int(any(end == "survived" for _, end, _ in results))


if __name__ == "__main__":
    sys.exit(main())
