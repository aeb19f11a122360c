"""Settings of the whole suite: Hypothesis, a cache folder for compiled kernels, and runs in other processes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from browsing import browser, opened, shared  # noqa: F401
from hypothesis import HealthCheck, settings

# Before nbrnn is imported; processes that tests start share the folder, pytest's parallel workers do not: each begins
# with a copy of what was compiled before the run.
FRESH = None if os.environ.get("NBRNN_CACHE_DIR") else tempfile.mkdtemp(prefix="nbrnn-tests-")
os.environ["NBRNN_CACHE_DIR"] = FRESH or os.environ["NBRNN_CACHE_DIR"]
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER:
    os.environ.setdefault("NBRNN_COMPILERS", "1")  # the cores are taken
    common = Path(os.environ["NBRNN_CACHE_DIR"])
    if common.parent.name != "workers":  # else a worker's test has started pytest
        own = common / "workers" / WORKER
        shutil.copytree(common, own, ignore=shutil.ignore_patterns("workers"), dirs_exist_ok=True)
        os.environ["NBRNN_CACHE_DIR"] = str(own)

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    import cuda_strict  # noqa: F401

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background: tests' processes would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "nbrnn",
    deadline=None,  # the first example may compile
    max_examples=20,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("nbrnn")


def pytest_collection_modifyitems(config, items):
    """Leave Numba's simulator of CUDA, which takes minutes, to those who ask for it."""
    if "cudasim" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("cudasim"):
                item.add_marker(pytest.mark.skip(reason="minutes of simulated CUDA: pytest -m cudasim"))


COMPILE = """
from test_kernels import CASES, FORWARD
from nbrnn.targets.compiling import ENTRY, PARALLEL, prepare

for names, dtype in (([ENTRY, PARALLEL, *CASES], "float32"), (CASES, "float64"), (FORWARD, "complex128")):
    prepare(names, dtype)
"""


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """Compile every kernel before a whole run: parallel workers would all do it, at the same time."""
    config = session.config
    chosen = config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.keyword
    if chosen or config.option.markexpr or config.option.collectonly or hasattr(config, "workerinput"):
        return
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", COMPILE], env=path, check=False)  # what fails here fails in its test


def pytest_sessionfinish():
    if FRESH is not None:
        shutil.rmtree(FRESH, ignore_errors=True)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Keep what a command sets, the announcement of compiling, out of the other tests."""
    from nbrnn.targets import compiling

    monkeypatch.setattr(compiling, "announce", None)


@pytest.fixture
def environment():
    """Return what makes another process's environment: this nbrnn first on its path, and the given variables."""
    import nbrnn

    root = str(Path(nbrnn.__file__).parents[1])

    def make(**variables):
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
        return {**os.environ, "PYTHONPATH": path, **{k: str(v) for k, v in variables.items()}}

    return make


@pytest.fixture
def run_python(environment):
    """Return what runs a text of Python in a new process and gives back its standard output."""

    def run(code, *arguments, **variables):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=environment(**variables),
            check=False,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"the process failed:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """A trained model file of one column, its forecaster and its notes."""
    return _trained(tmp_path_factory, "alone")


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory):
    """The same of three seeds."""
    return _trained(tmp_path_factory, "ensemble", "--seeds", 3)


def _trained(tmp_path_factory, name, *options):
    import saved_models  # not before the cache's folder is chosen

    return saved_models.trained(tmp_path_factory.mktemp(name), *saved_models.ALONE, *options)


@pytest.fixture
def passes_in_the_simulator(environment):
    """Return what asserts that a file of tests passes, none skipped, in a process in which Numba simulates CUDA."""

    def run(name, **variables):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", Path(__file__).parent / name],
            env=environment(NUMBA_ENABLE_CUDASIM=1, NUMBA_DISABLE_JIT=1, **variables),
            check=False,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0 and " passed" in done.stdout and "skipped" not in done.stdout, done.stdout

    return run
