"""The CUDA target in Numba's simulator, which needs a process of its own, against the CPU's numbers."""

import re
import subprocess
import sys
from pathlib import Path

import cuda_models
import numpy as np
import pytest
from cuda_cases import CASES, numbers
from support import assert_close

import nbrnn
from nbrnn.targets import cpu

HERE = Path(__file__).parent
SIMULATOR = {"NUMBA_ENABLE_CUDASIM": 1, "NUMBA_DISABLE_JIT": 1}
STEPS = SIMULATOR | {"NBRNN_CUDA_DESIGN": "steps"}  # the other designs have tests of their own
TOLERANCES = {"float32": 1e-6, "float64": 1e-12}  # of the largest number
REFUSED = "import nbrnn.targets.cuda as t\ntry:\n t.require_device()\nexcept ValueError as error:\n print(error)"


@pytest.fixture(scope="module")
def results():
    """Keep what the simulator's runs found, by script."""
    return {}


@pytest.fixture
def found(results, environment, tmp_path):
    """Return what gives every number of a script's run in the simulator."""

    def of(script):
        if script not in results:
            path = tmp_path / "simulated.npz"
            subprocess.run([sys.executable, HERE / script, path], env=environment(**STEPS), check=True, timeout=900)
            with np.load(path) as file:
                results[script] = dict(file)
        return results[script]

    return of


def compare(simulated, prefix, expected, tolerance):
    """Compare all numbers of a case with the CPU's."""
    assert {key for key in simulated if key.startswith(prefix)} == {prefix + name for name in expected}
    for name, array in expected.items():
        assert_close(simulated[prefix + name], array, tolerance, name)


@pytest.mark.cudasim
@pytest.mark.parametrize(("stack", "dtype"), CASES)
def test_the_simulator_gives_the_cpus_numbers(found, stack, dtype):
    compare(found("cuda_cases.py"), f"{stack}|{dtype}|", numbers(cpu.Executor, stack, dtype), TOLERANCES[dtype])


@pytest.mark.cudasim
@pytest.mark.parametrize(("case", "dtype"), cuda_models.RUNS)
def test_models_learn_what_they_learn_on_the_cpu(found, case, dtype):
    expected = cuda_models.CASES[case].numbers("cpu", dtype)
    assert all(abs(array).max() > 1e-3 for name, array in expected.items() if name != "precision of the fit")
    compare(found("cuda_models.py"), f"{case}|{dtype}|", expected, TOLERANCES[dtype])


@pytest.mark.cudasim
@pytest.mark.parametrize("cell", cuda_models.CELLS)
def test_gradients_on_the_device_are_the_losses_differences(found, cell):
    by_gradient, by_differences = found("cuda_models.py")[f"slope|{cell}"]
    assert abs(by_differences) > 1e-2
    assert abs(by_gradient - by_differences) < 1e-7 * abs(by_differences)


@pytest.mark.cudasim
def test_forms_and_executor_in_the_simulator(passes_in_the_simulator):
    passes_in_the_simulator("cuda_simulated.py", NBRNN_CUDA_DESIGN="steps")


def test_the_target_asks_for_what_is_missing(run_python):
    import numba.cuda

    if not numba.cuda.is_available():
        said = run_python(REFUSED, NUMBA_ENABLE_CUDASIM=0, NUMBA_DISABLE_JIT=0)
        assert said.endswith('or stay on the CPU: model.to("cpu").\n')
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
