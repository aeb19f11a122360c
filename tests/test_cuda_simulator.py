"""The CUDA target in Numba's simulator, which needs a process of its own, against the CPU's numbers."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cuda_cases import CASES, numbers
from support import assert_close

import nbrnn
from nbrnn.targets import cpu

HERE = Path(__file__).parent
SIMULATOR = {"NUMBA_ENABLE_CUDASIM": 1, "NUMBA_DISABLE_JIT": 1}
TOLERANCES = {"float32": 1e-6, "float64": 1e-12}  # of the largest number
REFUSED = "import nbrnn.targets.cuda as t\ntry:\n t.require_device()\nexcept ValueError as error:\n print(error)"


@pytest.fixture(scope="module")
def results():
    """Keep what the simulator's one run found."""
    return {}


@pytest.fixture
def simulated(results, environment, tmp_path):
    """Return every number of every case, as the simulator found it."""
    if not results:
        path = tmp_path / "simulated.npz"
        command = [sys.executable, HERE / "cuda_cases.py", path]
        subprocess.run(command, env=environment(**SIMULATOR), check=True, timeout=300)
        with np.load(path) as file:
            results.update(file)
    return results


@pytest.mark.parametrize(("stack", "dtype"), CASES)
def test_the_simulator_gives_the_cpus_numbers(simulated, stack, dtype):
    prefix = f"{stack}|{dtype}|"
    expected = numbers(cpu.Executor, stack, dtype)
    assert {key for key in simulated if key.startswith(prefix)} == {prefix + name for name in expected}
    for name, array in expected.items():
        assert_close(simulated[prefix + name], array, TOLERANCES[dtype], name)


def test_forms_and_executor_in_the_simulator(environment):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "cuda_simulated.py"],
        env=environment(**SIMULATOR),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and " passed" in done.stdout and "skipped" not in done.stdout, done.stdout


def test_the_target_asks_for_what_is_missing(run_python):
    import numba.cuda

    if not numba.cuda.is_available():
        assert "Numba finds no CUDA GPU" in run_python(REFUSED, NUMBA_ENABLE_CUDASIM=0, NUMBA_DISABLE_JIT=0)
    for one in SIMULATOR:
        said = run_python(REFUSED, **{**dict.fromkeys(SIMULATOR, 0), one: 1})
        assert said.startswith("the CUDA target needs NUMBA_ENABLE_CUDASIM=1 and NUMBA_DISABLE_JIT=1 together")


def test_training_on_the_cpu_does_not_load_cuda(run_python):
    code = "import sys, nbrnn, nbrnn.model; print([name for name in sys.modules if 'cuda' in name])"
    assert run_python(code) == "[]\n"


def test_the_target_alone_imports_numba_cuda():
    imported = re.compile(r"from numba import .*\bcuda\b|(from|import) numba\.cuda")
    files = Path(nbrnn.__file__).parent.rglob("*.py")
    found = [p for p in files if imported.search(p.read_text(encoding="utf-8"))]
    assert found and all(p.parent.name == "cuda" for p in found)
