"""`nbrnn bench --device cuda`: its cases and table, mistakes, PyTorch's side, and a run in Numba's simulator."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import nbrnn
from nbrnn.cli import main
from nbrnn.cli.bench import part

ROOT = Path(__file__).parents[1]
SIMULATOR = {"NUMBA_ENABLE_CUDASIM": 1, "NUMBA_DISABLE_JIT": 1}
table, on_gpu = part("gpu_cases"), part("on_gpu")


def test_the_goals_are_those_of_the_sizes_that_they_are_for():
    goals = {(c.cell, c.H, c.B, c.precision, c.mode): c.goal for c in table.grid()}
    assert len(goals) == 3 * 3 * 2 * 5 * 4
    assert goals["lstm", 64, 128, "float32", "forward"] == goals["gru", 128, 1, "tf32", "forward"] == 0.8
    assert goals["lstm", 256, 64, "float32", "train"] == goals["gru", 512, 1, "bfloat16", "forward"] == 1.0
    for nothing in (("simple_rnn", 256, 16), ("lstm", 256, 128), ("gru", 1024, 16)):
        assert goals[(*nothing, "float32", "train")] is None
    assert goals["lstm", 64, 16, "float32", "train"] is None and goals["gru", 256, 16, "tf32", "train"] is None
    assert all(case.goal is None for case in table.grid(steps=100))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--device", "cuda", "--threads", "2"), "--threads has no meaning with --device cuda; leave it out"),
        (("--device", "cuda", "--peer-python", "p"), "--peer-python has no meaning with --device cuda"),
        (("--batches", "3"), "--batches has no meaning with --device cpu; leave it out"),
        (("--precisions", "tf32"), "--precisions has no meaning with --device cpu"),
        (("--rounds", "4"), "--rounds must be at least 5, not 4"),
        (("--device", "gpu"), "'gpu' is not one of 'cpu', 'cuda'"),
    ],
)
def test_a_mistake_is_one_sentence(options, words):
    result = CliRunner().invoke(main, ["bench", *options], terminal_width=80)
    assert result.exit_code == 2 and words in " ".join(result.stderr.split()) and result.stdout == ""


@pytest.fixture
def simulated(run_command):
    """Return what runs the command in a process in which Numba simulates CUDA."""
    return lambda *options: run_command("bench", "--device", "cuda", *options, **SIMULATOR)


@pytest.fixture
def run_command(environment, tmp_path):
    def run(*arguments, **variables):
        command = [sys.executable, "-m", "nbrnn.cli", *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


@pytest.mark.cudasim
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sizes", "8,0"), "--sizes must be whole numbers from 1 to 65536, with commas between, not '8,0'"),
        (("--against", "torch"), "--against takes cudnn; not 'torch'"),
        (("--design", "best"), "--design takes"),
        (("--precisions", "float64"), "--precisions takes float32, tf32, bfloat16; not 'float64'"),
        (("--rounds", "1"), "--rounds must be at least"),
    ],
)
def test_a_mistake_on_a_gpu_is_one_sentence(simulated, options, words):
    done = simulated(*options)
    assert done.returncode == 2 and words in " ".join(done.stderr.split()) and done.stdout == ""


def test_without_a_gpu_the_command_says_what_is_missing(run_command):
    from nbrnn.targets.cuda import require_device

    try:
        require_device()
    except ValueError:
        done = run_command("bench", "--device", "cuda")
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "pip install" in done.stderr
    else:
        pytest.skip("there is a GPU")


@pytest.mark.cudasim
def test_a_layer_is_measured_in_the_simulator(simulated, tmp_path):
    done = simulated("--quick", "--cells", "simple_rnn", "--sizes", "2", "--batches", "1", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    found = json.loads((tmp_path / "run" / "gpu.json").read_text())
    assert found["machine"]["gpu"] == "Numba's simulator" and found["failures"] == []
    assert [(r["mode"], len(r["designs"])) for r in found["results"]] == [("forward", 1), ("train", 2)]
    assert all(r["nbrnn"]["median_s"] > 0 and r["goal"] is None for r in found["results"])
    assert "No case here has a goal" in done.stdout


@pytest.mark.parity
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_pytorchs_layer_computes_what_ours_does(cell):
    pytest.importorskip("torch")
    peer, H, B, T = part("gpu_torch"), 5, 2, 7
    rng = np.random.default_rng(0)
    layer = {"lstm": nbrnn.LSTM, "gru": nbrnn.GRU, "simple_rnn": nbrnn.SimpleRNN}[cell](H, return_sequences=True)
    model = nbrnn.Sequential([layer], input_shape=(T, H), seed=0)
    model.set_weights([rng.normal(0.0, 0.5, w.shape) for w in model.get_weights()])
    arrays = dict(zip(("Wx", "Wh", "b"), model.get_weights(), strict=True))
    arrays["x"], arrays["y"] = rng.standard_normal((2, B, T, H), dtype=np.float32)
    other = peer.Layer(table.Case(cell, H, B, T, "float32", "train"), arrays)
    np.testing.assert_allclose(other.outputs(), model.predict(arrays["x"]), atol=1e-6)
    other.run()
    assert abs(other.net.weight_hh_l0.grad).max() > 0


# ---------------------------------------------------------------- all parts in one go


def test_every_part_is_run_and_what_fails_or_is_missing_is_named(tmp_path, capsys, monkeypatch):
    parts = [
        on_gpu.Part("good", ("-c", "print('here')"), 5),
        on_gpu.Part("bad", ("-c", "raise SystemExit(3)"), 5),
        on_gpu.Part("slow", ("-c", "import time; time.sleep(300)"), 0.01),
        on_gpu.Part("absent", ("-c", ""), 1, needs="no_such_module"),
        on_gpu.Part("toolless", ("-c", ""), 1, tool="no-such-tool"),
    ]
    monkeypatch.setattr(on_gpu, "parts", lambda *given: parts)
    monkeypatch.setattr(sys, "argv", ["on_gpu.py", "--out", str(tmp_path / "out"), "--rehearse"])
    assert on_gpu.main() == 1
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert said["good"].startswith("done") and said["bad"].startswith("failed with exit code 3")
    assert said["slow"].startswith("stopped after 0.0 minutes")
    assert said["absent"] == "left out: no_such_module is not installed"
    assert said["toolless"] == "left out: no-such-tool is not installed"
    assert (tmp_path / "out" / "good.txt").read_text() == "here\n"


def test_the_parts_name_what_there_is(tmp_path):
    for rehearse in (False, True):
        own = on_gpu.parts(tmp_path, rehearse, True)
        assert len({p.name for p in own}) == len(own) and sum(p.minutes for p in own) < 40
        for one in own:
            scripts = [Path(a) for a in one.arguments if a.endswith(".py")]
            assert all(path.is_file() for path in scripts)
