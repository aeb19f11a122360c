"""`nbrnn bench --device cuda`: its cases and table, mistakes, PyTorch's side, and a run in Numba's simulator."""

import json
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import nbrnn
from nbrnn.cli import main
from nbrnn.cli.bench import part
from nbrnn.lowering import TRAIN, Feed, make_plan
from nbrnn.program import Options

ROOT = Path(__file__).parents[1]
SIMULATOR = {"NUMBA_ENABLE_CUDASIM": 1, "NUMBA_DISABLE_JIT": 1}
table, on_gpu, parts_of = (part(name) for name in ("gpu_cases", "on_gpu", "gpu_parts"))


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


@pytest.mark.parametrize(("cell", "H", "B"), [("lstm", 64, 16), ("gru", 256, 64), ("simple_rnn", 512, 1)])
def test_a_layer_on_a_gpu_goes_back_in_one_pass(cell, H, B):
    layer = {"lstm": nbrnn.LSTM, "gru": nbrnn.GRU, "simple_rnn": nbrnn.SimpleRNN}[cell]
    own = layer(H, return_sequences=True, recurrent_initializer="glorot_uniform")
    model = nbrnn.Sequential([own], input_shape=(40, 3), seed=0)
    model.compile("sgd", "mse")
    feeds = Feed.contiguous(B, (40, 3)), Feed.contiguous(B, (40, H))
    calls = make_plan(model, TRAIN, *feeds, B, Options(device="cuda")).programs[B].calls
    assert sum(call.kernel.endswith("_backward") and call.kernel.startswith(cell) for call in calls) == 1


@pytest.mark.cudasim
def test_the_tests_for_a_gpu_pass_in_the_simulator(passes_in_the_simulator):
    passes_in_the_simulator("test_gpu.py", NBRNN_GPU_TESTS="small")


def test_processes_compile_together_and_measure_alone(tmp_path, monkeypatch):
    turns = part("gpu_turns")
    monkeypatch.delenv(turns.FILE, raising=False)
    with turns.turn(alone=True) as one, turns.turn(alone=True) as other:
        assert one and other  # nobody shares
    monkeypatch.setenv(turns.FILE, str(tmp_path / "turns"))
    monkeypatch.setenv(turns.SECONDS, "0")
    with turns.turn(alone=False) as one, turns.turn(alone=False) as other:
        assert one and other
        with turns.turn(alone=True) as third:
            assert not third
    with turns.turn(alone=True) as one, turns.turn(alone=False) as other:
        assert one and not other


# ---------------------------------------------------------------- all parts in one go

HANGS = """
import subprocess
child = subprocess.Popen(["sleep", "600"])
print("begun", child.pid, flush=True)
child.wait()
"""


def python(name, code, **more):
    return parts_of.Run(name, ("-c", code), **more)


def made_up():
    broken = "import os, signal; print('last words', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    bad = [python(f"bad-{k}", code) for k, code in enumerate(("print('one')", "1/0", broken), start=1)]
    return [
        parts_of.Part("good", "what works", (python("good", "print('here')"),), 1, 5),
        parts_of.Part("bad", "", tuple(bad), 1, 5),
        parts_of.Part("slow", "", (python("slow", HANGS), python("late", "print('late')")), 1, 0.1),
        parts_of.Part("absent", "", (python("absent", ""),), 1, 1, needs=("no_such_module",)),
        parts_of.Part("toolless", "", (python("toolless", "", tool=("no-such-tool",)),), 1, 1),
        parts_of.Part("peerless", "", (python("peerless", ""),), 1, 1, lacks="PyTorch is not installed"),
        parts_of.Part("last", "", (python("last", "print('after all that')"),), 1, 5),
    ]


@pytest.fixture
def carried_out(monkeypatch, tmp_path, capsys):
    """Return what runs the made-up parts with some options: the exit code, and what was said by part."""
    monkeypatch.setattr(on_gpu, "parts", lambda *given: made_up())
    monkeypatch.setattr(on_gpu, "no_device", lambda: "")
    monkeypatch.setattr(signal, "signal", lambda *given: None)
    monkeypatch.setenv("NBRNN_GPU_TESTS", "small")

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["on_gpu.py", "--out", str(tmp_path / "out"), "--rehearse", *options])
        code = on_gpu.main()
        said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
        return code, said

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="ends processes by signals")
def test_what_fails_hangs_or_is_missing_is_named_and_costs_the_others_nothing(carried_out, tmp_path):
    code, said = carried_out("--at-once", "1", "--pack", str(tmp_path / "all.tar.gz"))
    out = tmp_path / "out"
    assert code == 1
    assert said["good"].startswith("done, ") and (out / "good.txt").read_text() == "here\n"
    assert re.match(r"1 of 3 done; bad-2 failed with exit code 1, \d+ s; bad-3 ended by signal 9", said["bad"])
    assert re.match(r"0 of 2 done; slow stopped after \d+ s; late left out: the part's time was over", said["slow"])
    child = int((out / "slow.txt").read_text().split()[1])
    status = Path(f"/proc/{child}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] in "ZX"
    assert said["absent"] == "left out: no_such_module is not installed"
    assert said["toolless"] == "left out: no-such-tool is not installed"
    assert said["peerless"] == "left out: PyTorch is not installed"
    assert said["last"].startswith("done")
    told = (out / "report.txt").read_text()
    assert "ZeroDivisionError" in told and "last words" in told and "after all that" in told
    with tarfile.open(tmp_path / "all.tar.gz") as archive:
        assert {"out/report.txt", "out/parts.json", "out/measured.json", "out/last.txt"} <= set(archive.getnames())


def test_without_a_gpu_a_sentence_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["on_gpu.py", "--out", str(tmp_path / "out")])
    monkeypatch.setattr(parts_of, "DEVICE", "raise ValueError('there is no GPU')")
    assert on_gpu.main() == 2
    assert capsys.readouterr().out.endswith("nothing can be measured: ValueError: there is no GPU\n")
    monkeypatch.setattr(parts_of, "DEVICE", "")
    assert parts_of.no_device() == ""


def test_a_part_runs_again_alone_and_what_is_done_is_left_out(carried_out, tmp_path):
    assert carried_out("--only", "good")[0] == 0
    code, said = carried_out("--only", "good, last", "--resume")
    assert code == 0 and set(said) == {"last"}
    assert set(json.loads((tmp_path / "out" / "parts.json").read_text())) == {"good", "last"}
    code, said = carried_out("--only", "last", "--minutes", "0")
    assert code == 0 and said == {"last": "left out: the time is over"}
    assert json.loads((tmp_path / "out" / "parts.json").read_text())["last"]["well"]  # as it was
    with pytest.raises(SystemExit, match="2"):
        carried_out("--only", "first")


@pytest.mark.parametrize("rehearse", [False, True])
@pytest.mark.parametrize("lacking", ["", "PyTorch sees no GPU"])
def test_the_parts_name_what_there_is(tmp_path, rehearse, lacking):
    own = parts_of.parts(tmp_path, rehearse, lacking)
    names = [run.name for p in own for run in p.runs]
    assert len({p.name for p in own}) == len(own) and len(set(names)) == len(names)
    assert sum(p.expected for p in own) <= 25 and all(p.expected < p.minutes for p in own)
    assert [p.name for p in own][:4] == ["info", "tests", "layers", "fits"] and own[-1].name == "sanitizer"
    text = (ROOT / "tests" / "test_gpu.py").read_text()
    chosen = {a.rpartition("::")[2] for p in own for run in p.runs for a in run.arguments if "::" in a}
    assert chosen == set(re.findall(r"^def (test_\w+)", text, re.M))  # every test, once
    for run in (run for p in own for run in p.runs):
        assert all(Path(a).is_file() for a in run.arguments if a.endswith(".py"))
        assert lacking == "" or "--against" not in run.arguments
    assert next(p for p in own if p.name == "cudnn").missing() == lacking
