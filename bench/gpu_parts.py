"""The parts of bench/on_gpu.py: what runs, in the order of what is missed most, and how long it is expected to take.

Compiling takes most of the time, and one core a process; so a part is several processes at once where it can be. The
expected minutes are estimates for 16 cores: nobody has run them on a GPU yet.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
TESTS = str(ROOT / "tests" / "test_gpu.py")
PROBE = "import torch; raise SystemExit(0 if torch.cuda.is_available() else 3)"
DEVICE = "from nbrnn.targets.cuda import require_device, Executor; require_device()"
TOOLKIT = Path("/usr/local/cuda/bin")  # where a toolkit's programs are if they are not on the path
BENCH = ("-m", "nbrnn.cli", "bench", "--device", "cuda")
PYTEST = ("-m", "pytest", "-q", "-ra", "--tb=short", "--maxfail=12", "--durations=5", "-p", "no:cacheprovider")
HANGS = ("-o", "faulthandler_timeout=100")


@dataclass(frozen=True)
class Run:
    """A process of a part: its name, what it runs of Python, and a program that runs Python in turn."""

    name: str
    arguments: tuple[str, ...]
    tool: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """Return the whole command."""
        return [*([program(self.tool[0]), *self.tool[1:]] if self.tool else []), sys.executable, *self.arguments]


@dataclass(frozen=True)
class Part:
    """Processes that run at once, what they are for, and the minutes that they are expected to and may take."""

    name: str
    what: str
    runs: tuple[Run, ...]
    expected: float
    minutes: float
    needs: tuple[str, ...] = ()  # modules
    turns: bool = False  # whether they measure, one after the other
    lacks: str = field(default="", compare=False)  # why it cannot run

    def missing(self) -> str:
        """Return why it cannot run; nothing if it can."""
        absent = [name for name in self.needs if not find_spec(name)]
        absent += [run.tool[0] for run in self.runs if run.tool and not program(run.tool[0])]
        are = "is" if len(dict.fromkeys(absent)) == 1 else "are"
        return self.lacks or (f"{' and '.join(dict.fromkeys(absent))} {are} not installed" if absent else "")


def program(name: str) -> str:
    """Return where a program is; nothing if it is nowhere."""
    found = shutil.which(name) or shutil.which(name, path=str(TOOLKIT))
    return found or ""


def peer(rehearse: bool) -> str:
    """Return why PyTorch takes no part; nothing if it does."""
    if not find_spec("torch"):
        return "PyTorch is not installed"
    if rehearse:
        return ""
    try:
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "PyTorch does not start within two minutes"
    if done.returncode == 3:
        return "PyTorch sees no GPU"
    return "" if done.returncode == 0 else f"PyTorch cannot be imported (exit code {done.returncode})"


def no_device() -> str:
    """Return the sentence that says why nothing can run on a GPU here; nothing if it can."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-c", DEVICE], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "the driver does not answer within two minutes"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["unknown"])[-1]


def tests() -> tuple[Run, ...]:
    """Return the processes of the tests: what says most when it fails comes first, and a broken one breaks no other."""

    def run(name: str, *chosen: str, only: str = "") -> Run:
        which = [f"{TESTS}::test_{test}" for test in chosen]
        return Run(f"tests-{name}", (*PYTEST, *HANGS, "-m", "gpu", *which, *(("-k", only) if only else ())))

    cells = ("simple_rnn", "gru", "gru_before", "lstm")
    layers, designs = "states_and_gradients_are_the_cpus", "every_design_that_takes_a_size_gives_its_numbers"
    first = ("a_kernel_runs", "a_product_is_numpys", "the_smallest_layer_is_the_cpus_by_every_design")
    models = ("a_fit_gives_the_cpus_numbers_and_the_same_bits_twice", "graphs_change_no_bit")
    card = ("what_does_not_fit_is_refused_before_anything_is_taken", "an_allocation_that_fails_is_one_sentence")
    card += ("a_second_process_on_the_card_changes_nothing", "arrays_of_other_libraries_are_taken_and_given")
    return (
        run("1-first", *first),
        run("2-models", *models),
        run("3-every-kernel", "every_model_of_the_simulators_tests_runs"),
        run("3-every-option", "every_case_of_the_simulators_tests_runs"),
        *(run(f"4-layers-{cell}", layers, only=f"{cell}-") for cell in cells),
        *(run(f"5-designs-{cell}", designs, only=f"{cell}-") for cell in cells),
        *(run(f"6-large-{cell}", "large_layers_too", only=f"{cell}-") for cell in ("gru", "lstm")),
        run("7-long", "one_step_and_thousands"),
        run("8-card", *card),
    )


def layers(
    name: str, folder: Path, against: bool, rehearse: bool,
    cells: tuple[str, ...], sizes: tuple[str, ...], batches: str, precisions: tuple[str, ...], design: str = "",
) -> tuple[Run, ...]:  # fmt: skip
    """Return processes that share layers out by cell, sizes and precision."""
    options = (*(("--against", "cudnn") if against else ()), *(("--design", design) if design else ()))
    if rehearse:
        cells, sizes, batches = ("lstm",), ("4",), "2"
        precisions, options = ("float32",) if design else precisions, (*options, "--quick")
    made = []
    for precision in precisions:
        for size in sizes:
            for cell in cells:
                own = "-".join(filter(None, (name, design, cell, size.replace(",", "+"), precision)))
                which = ("--cells", cell, "--sizes", size, "--batches", batches, "--precisions", precision)
                made.append(Run(own, (*BENCH, *options, *which, "--out", str(folder / own))))
    return tuple(made)


def parts(folder: Path, rehearse: bool, lacking: str) -> list[Part]:
    """Return the parts in order.

    Parameters
    ----------
    folder : Path
        Where their files go.
    rehearse : bool
        Whether sizes are tiny, for Numba's simulator.
    lacking : str
        Why PyTorch takes no part; nothing if it does.
    """
    gated, exact, both = ("lstm", "gru"), ("float32",), ("float32", "bfloat16")
    tiny, beside = ("--rehearse",) if rehearse else (), not lacking

    def script(name: str, out: str, *options: str) -> tuple[str, ...]:
        return (str(HERE / name), *options, *tiny, "--out", str(folder / out))

    def grid(name: str, *what: object, design: str = "") -> tuple[Run, ...]:
        return layers(name, folder, beside and not design, rehearse, *what, design=design)  # type: ignore[arg-type]

    fits = script("gpu_fits.py", "fits/gpu-fits.json", "--what", "fits")
    crossover = script("gpu_fits.py", "crossover/gpu-fits.json", "--what", "batches")
    cudnn = (str(HERE / "cudnn_grid.py"), *(("--quick",) if rehearse else ()))
    designs = [
        run
        for design in ("steps", "persistent", "groups")
        for run in grid("designs", gated, ("64,128,256,512,1024",), "1,16,64", both, design=design)
    ]
    small = (*BENCH, "--quick", "--sizes", "4" if rehearse else "16,256")
    checks = tuple(
        Run(f"sanitizer-{check}", small, ("compute-sanitizer", "--tool", check, "--error-exitcode", "9"))
        for check in ("memcheck", "racecheck", "synccheck")
    )
    return [
        Part("info", "what there is", (Run("info", ("-m", "nbrnn.cli", "info")),), 0.2, 1),
        Part("tests", "the tests marked gpu", tests(), 4, 6, ("pytest", "hypothesis")),
        Part(
            "layers", "layers beside cuDNN, the sizes that matter most",
            grid("layers", gated, ("64", "256", "512"), "16,64", both), 3, 6, turns=True,
        ),
        Part("fits", "lessons' fits: CPU, GPU, PyTorch", (Run("fits", fits),), 1, 3),
        Part(
            "layers-more", "layers beside cuDNN, the other sizes",
            (*grid("more", gated, ("128", "1024"), "1,16,64,128", both),
             *grid("edge", gated, ("64,256,512",), "1,128", both)), 4, 8, turns=True,
        ),
        Part("cudnn", "cuDNN's own grid", (Run("cudnn", cudnn),), 2.5, 4, lacks=lacking),
        Part("crossover", "from which size on the GPU is faster", (Run("crossover", crossover),), 2, 4),
        Part("designs", "every design, to choose by", tuple(designs), 4, 6, turns=True),
        Part(
            "products", "cuBLAS or tiles of our own",
            (Run("products", script("gpu_products.py", "products/gpu-products.json")),), 1.5, 3,
        ),
        Part(
            "layers-rest", "SimpleRNN and TF32",
            (*grid("rest", ("simple_rnn",), ("64,256",), "16", exact),
             *grid("rest", gated, ("64,256,512",), "16", ("tf32",))), 1.5, 4, turns=True,
        ),
        Part("sanitizer", "errors of memory, races, barriers", checks, 1.3, 4),
    ]  # fmt: skip
