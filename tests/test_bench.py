"""`nbrnn bench`: its table of cases, what a person sees, the JSON, mistakes, and contestants that die."""

import json
import stat
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import nbrnn
from nbrnn.cli import main
from nbrnn.cli.bench import folder_of, part
from nbrnn.targets import cpu

ROOT = Path(__file__).parents[1]
cases, contest, report = (part(name) for name in ("cases", "contest", "report"))
needs_jit = pytest.mark.skipif(not cpu.JIT, reason="measures compiled kernels")
SMALL = ("--sizes", "3", "--threads", "1")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def bench(*arguments):
    return CliRunner().invoke(main, ["bench", *map(str, arguments)], terminal_width=80)


FAKE = """#!{python}
import json, sys
if sys.argv[1] == "-c":  # what is missing? nothing
    sys.exit()
for line in sys.stdin:
    order = json.loads(line)
    {before}
    answers = {{
        "start": {{"torch": "0.0"}},
        "prepare": {{"first_s": 0.5, "form": "time first", "calls": 7, "part": 2.0}},
        "run": 0.25,
    }}
    print(json.dumps({{"value": answers[order["do"]]}}), flush=True)
"""


@pytest.fixture
def peer(tmp_path):
    """Return what makes an interpreter that plays a contestant; it may do something before it answers an order."""

    def make(before="pass"):
        path = tmp_path / "peer"
        path.write_text(FAKE.format(python=sys.executable, before=before))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return make


# ---------------------------------------------------------------- what is measured


def checked(path, against=()):
    """Return a report that has been looked through, number by number."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    assert found["format"] == 1 and found["rounds"] >= 5 and found["machine"]["cores"] >= 1 and found["taken"]
    assert found["versions"]["nbrnn"] == nbrnn.__version__ and "numba" in found["versions"]
    for peak in found["peaks"]:
        assert min(peak[key] for key in ("gflops", "numpy_gflops", "gigabytes_per_s")) > 0
    for r in found["results"]:
        assert r["contestants"]["nbrnn"].keys() >= {"first_s", "form", "calls", "part", "median_s", "best_s", "seconds"}
        ours = r["contestants"]["nbrnn"]["median_s"]
        (peak,) = (p for p in found["peaks"] if (p["dtype"], p["threads"]) == (r["dtype"], r["threads"]))
        assert r["gflops"] == pytest.approx(r["flops"] / ours / 1e9) and r["bytes"] > 0
        assert r["share"] == pytest.approx(r["gflops"] / peak["gflops"])
        ratios = []
        for name, entry in r["contestants"].items():
            assert name == "nbrnn" or name in against
            assert entry["median_s"] == np.median(entry["seconds"]) and entry["best_s"] == min(entry["seconds"])
            assert len(entry["seconds"]) == found["rounds"] and entry["calls"] >= 1
            if name != "nbrnn":
                assert entry["ratio"] == pytest.approx(entry["median_s"] / ours)
                ratios.append(entry["ratio"])
        assert r["ratio"] == min(ratios, default=None)
    return found


@needs_jit
def test_every_cell_is_measured_written_and_drawn():
    result = bench(*SMALL, "--quick", "--out", "run")
    assert result.exit_code == 0, result.output + result.stderr
    found = checked("run/benchmarks.json")
    keys = [(r["mode"], r["name"], r["size"], r["threads"], r["dtype"]) for r in found["results"]]
    assert keys == [(mode, cell, 3, 1, "float32") for mode in ("train", "forward") for cell in cases.CELLS]
    files = ["benchmarks.json", "roofline.png", "roofline.svg"]
    assert sorted(p.name for p in Path("run").iterdir()) == files and found["failures"] == []
    assert Path("run/roofline.png").read_bytes().startswith(b"\x89PNG")
    for line in ("LSTM         3", "GRU          3", "SimpleRNN    3"):
        assert result.output.count(line) == 2
    assert max(map(len, result.output.splitlines())) <= 80 and result.output.endswith("into the folder run\n")


@needs_jit
def test_the_operations_are_those_of_the_sizes():
    assert bench("--cells", "simple_rnn", "--sizes", "3,32", "--threads", 1, "--quick", "--out", "run").exit_code == 0
    flops = {(r["size"], r["mode"]): r["flops"] for r in checked("run/benchmarks.json")["results"]}
    for H, B, T, F in (cases.LAYERS[3], cases.LAYERS[32]):
        assert flops[H, "forward"] == T * B * 2 * H * (F + H)
        products = T * B * 2 * H * (2 * F + 3 * H)  # forward, back through time, weight gradients
        assert products <= flops[H, "train"] < 1.5 * products + 20 * T * B * H


@needs_jit
def test_two_threads_and_both_dtypes():
    if contest.cores() < 2:
        pytest.skip("one core")
    options = ("--cells", "gru", "--sizes", 3, "--modes", "train", "--dtypes", "float32,float64", "--threads", "2,1")
    result = bench(*options, "--quick", "--out", "run")
    assert result.exit_code == 0, result.output + result.stderr
    found = checked("run/benchmarks.json")["results"]
    assert [(r["threads"], r["dtype"]) for r in found] == [(t, d) for t in (1, 2) for d in cases.DTYPES]
    one, two = (r["contestants"]["nbrnn"]["median_s"] for r in found[::2])
    assert found[0]["scaling"] is None and found[2]["scaling"] == pytest.approx(one / two)
    assert "speedup" in result.output


@needs_jit
def test_a_fit_is_measured():
    result = bench("--fits", "mlm", "--threads", 1, "--quick", "--out", "run")
    assert result.exit_code == 0, result.output + result.stderr
    (fit,) = checked("run/benchmarks.json")["results"]
    assert (fit["group"], fit["name"], fit["goals"]) == ("fit", "mlm", {"jax": 6, "keras": 2500})
    assert [p.name for p in Path("run").iterdir()] == ["benchmarks.json"]  # there is no layer to draw
    assert "whole fits, float32, 1 thread" in result.output and "layer " not in result.output


@needs_jit
def test_a_peer_stands_beside_with_its_ratio_its_goal_and_its_part(peer):
    options = ("--cells", "lstm", *SMALL, "--quick", "--against", "torch", "--peer-python", peer(), "--out", "run")
    result = bench(*options)
    assert result.exit_code == 0, result.output + result.stderr
    found = checked("run/benchmarks.json", ("torch",))
    assert [r["goals"] for r in found["results"]] == [{"best": 2.0}, {"best": 3.0}]
    assert all(r["contestants"]["torch"]["median_s"] == 0.25 and r["ratio"] > 1 for r in found["results"])
    assert "torch runs 1/2 of lstm's epochs; its time is multiplied." in result.output
    assert "torch: time first. First call: up to 500 ms." in " ".join(result.output.split())
    assert "Goals met: 2 of 2 ratios." in result.output and Path("run/ratios.svg").is_file()
    row = next(line for line in result.output.splitlines() if line.startswith("LSTM"))
    assert row.split()[6:8] == ["250", "ms"] and row.split()[-1] == "2"


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--cells", "LSTM"), "--cells takes simple_rnn, lstm, gru; not 'LSTM'."),
        (("--sizes", "5"), "--sizes takes 3, 32, 64, 128, 256, 512, 1024; not '5'."),
        (("--modes", "train,back"), "--modes takes train, forward; not 'back'."),
        (("--dtypes", "float16"), "--dtypes takes float32, float64; not 'float16'."),
        (("--fits", "mml"), "--fits takes mlm, dtn, wl, wb, or all; not 'mml'."),
        (("--against", "theano"), "--against takes torch, jax, keras, onnxruntime; not 'theano'."),
        (("--against", ""), "--against takes torch, jax, keras, onnxruntime; not ''."),
        (("--threads", "0"), "--threads must be whole numbers from 1 to"),
        (("--threads", "10000"), "--threads must be whole numbers from 1 to"),
        (("--threads", "two"), "not 'two'."),
        pytest.param(
            ("--streaming", "--threads", "2"),
            "--streaming is work for one thread; --threads must hold 1, not '2' alone.",
            marks=pytest.mark.skipif(contest.cores() < 2, reason="one core"),
        ),
        (("--rounds", "4"), "--rounds must be at least 5, not 4."),
        (("--against", "keras", "--cells", "gru"), "keras takes no part in the chosen cases"),
        (("--against", "jax", "--peer-python", "none"), "--peer-python must be a Python interpreter, not 'none'."),
    ],
)
def test_a_mistake_is_told_in_one_sentence_before_anything_runs(options, sentence, monkeypatch):
    monkeypatch.setattr(contest, "Contest", None)
    result = bench(*options)
    assert result.exit_code == 2 and result.stdout == "" and sentence in result.stderr


def test_a_peer_that_is_not_installed_is_named_with_what_to_type(peer, monkeypatch):
    monkeypatch.setattr(contest, "DISTRIBUTIONS", {"torch": ("no_torch",), "keras": ("no_keras", "no_tf")})
    result = bench("--against", "torch", "--peer-python", sys.executable)
    assert result.exit_code == 2 and "no_torch is not installed for" in result.stderr
    assert 'type: pip install "nbrnn[bench]"' in result.stderr and result.stdout == ""
    result = bench("--fits", "mlm", "--against", "torch,keras")
    assert "no_torch and no_keras and no_tf are not installed" in result.stderr


def test_plain_python_is_not_measured(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    result = bench("--quick")
    assert result.exit_code == 2 and "unset NUMBA_DISABLE_JIT" in result.stderr


def test_a_file_in_the_place_of_the_folder_is_refused(monkeypatch):
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    Path("taken").touch()
    result = bench("--quick", "--out", "taken")
    assert result.exit_code == 2 and "taken is a file" in result.stderr and result.stdout == ""


# ---------------------------------------------------------------- contestants


@needs_jit
@pytest.mark.parametrize("when", ["start", "prepare", "run"])
def test_a_peer_that_dies_is_told_in_one_sentence_and_the_rest_goes_on(peer, when):
    python = peer(f"order['do'] == '{when}' and sys.exit('out of\\nmemory')")
    result = bench("--cells", "lstm", *SMALL, "--quick", "--against", "torch", "--peer-python", python, "--out", "run")
    assert result.exit_code == 1
    told = "LSTM 3, train, float32, 1 thread and 1 more: torch stopped with exit code 1: memory."
    assert " ".join(result.stderr.split()) == told
    found = checked("run/benchmarks.json")
    assert [f["contestant"] for f in found["failures"]] == ["torch"] * 2
    assert [r["ratio"] for r in found["results"]] == [None, None] and "Goals met" not in result.output


def test_our_own_contestant_that_cannot_begin_is_told(tmp_path):
    with pytest.raises(contest.Died, match=r"^nobody stopped with exit code 1: .*No module named 'with_nobody'\.$"):
        contest.Contestant("nobody", 1, sys.executable, ROOT)


@needs_jit
def test_an_order_that_fails_is_answered_and_the_process_lives_on():
    player = contest.Contestant("nbrnn", 1, sys.executable, Path(nbrnn.__file__).parents[1])
    try:
        with pytest.raises(contest.Died, match=r"^nbrnn failed: KeyError: 'no_cell'\.$"):
            player.ask("prepare", case=dict(group="layer", name="no_cell", size=3, mode="train"), seconds=0.001)
        found = player.ask("prepare", case=dict(group="layer", name="gru", size=3, mode="train"), seconds=0.001)
        assert found["calls"] > 1 and player.ask("run") > 0
    finally:
        player.close()
    assert player.process.returncode is not None


def test_the_environment_holds_the_threads_and_only_ours_gets_our_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    ours, theirs = (contest.environment(name, 2, Path("root")) for name in ("nbrnn", "jax"))
    assert ours["PYTHONPATH"].startswith("root") and theirs["PYTHONPATH"] == "mine"
    assert ours["NBRNN_NUM_THREADS"] == theirs["OMP_NUM_THREADS"] == theirs["NPROC"] == "2"
    assert "--xla_cpu_multi_thread_eigen=true" in theirs["XLA_FLAGS"]
    assert "--xla_cpu_multi_thread_eigen=false" in contest.environment("jax", 1, Path("root"))["XLA_FLAGS"]


class Clock:
    """Forms whose calls take what they say."""

    def __init__(self, **seconds):
        self.seconds = seconds

    def layer(self, case, arrays):
        from inputs import Form

        return {name: lambda name=name: Form(lambda: name, 1) for name in self.seconds}


@pytest.fixture
def clocked(monkeypatch):
    """Return what makes a contestant whose forms take given seconds a call."""
    module = part("contestant")
    monkeypatch.syspath_prepend(str(folder_of(Path(nbrnn.__file__).parent)))

    def make(**seconds):
        player = object.__new__(module.Contestant)
        player.name, player.threads, player.module = "torch", 1, Clock(**seconds)
        monkeypatch.setattr(player, "elapsed", lambda form, calls: seconds[form.run()], raising=False)
        return player

    return make


def test_small_work_is_repeated_until_it_lasts_long_enough(clocked):
    order = {"case": dict(group="layer", name="gru", size=3, mode="train"), "seconds": 0.05}
    for each in (1e-6, 3e-4, 0.049, 0.05, 2.0):
        answer = clocked(only=each).prepare(**order)
        assert answer["calls"] * each >= 0.05 and (answer["calls"] == 1 or answer["calls"] * each < 0.6)


def test_the_fastest_form_of_a_library_takes_part(clocked):
    player = clocked(slow=3e-3, quick=1e-3, slower=4e-3)
    answer = player.prepare(case=dict(group="layer", name="gru", size=3, mode="train"), seconds=0.05)
    assert answer["form"] == "quick" and player.run() == 1e-3
    assert answer["tried_s"] == {"slow": 3e-3, "quick": 1e-3, "slower": 4e-3}


@needs_jit
@pytest.mark.parametrize(
    ("arguments", "names"),
    [(("lstm", "3", "train"), ["lstm_forward", "lstm_backward", "mse"]), (("gru", "3", "forward"), ["scatter"])],
)
def test_the_calls_of_a_layer_are_timed_one_by_one(arguments, names):
    script = folder_of(Path(nbrnn.__file__).parent) / "calls.py"
    environment = contest.environment("nbrnn", 1, Path(nbrnn.__file__).parents[1])
    words = [sys.executable, str(script), *arguments]
    done = subprocess.run(words, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in [*names, "runner and gaps", "whole batch"])


@needs_jit
@pytest.mark.skipif(not hasattr(nbrnn.Sequential, "stream"), reason="models cannot be streamed yet")
def test_streaming_is_measured_by_row():
    result = bench("--streaming", "--quick", "--threads", 1, "--out", "run")
    assert result.exit_code == 0, result.output + result.stderr
    found = {(r["size"], r["mode"]): r for r in checked("run/benchmarks.json")["results"]}
    assert found.keys() == {(H, mode) for H in cases.STREAMS for mode in cases.STREAM_MODES}
    for (H, _), r in found.items():
        F = cases.STREAMS[H].F
        assert 8 * H * (F + H) <= r["flops"] <= 8 * H * (F + H) + 10 * H


@pytest.mark.parity
@pytest.mark.parametrize("name", cases.PEERS)
def test_a_peer_that_is_installed_does_its_small_cases(name):
    if contest.missing(sys.executable, [name]):
        pytest.skip(f"{name} is not installed")
    small = [*cases.layer_cases(cases.CELLS, [3], cases.MODES, cases.DTYPES), *cases.fit_cases(["mlm"])]
    player = contest.Contestant(name, 1, sys.executable, ROOT)
    try:
        for case in [case for case in [*small, *cases.stream_cases()] if case.admits(name)]:
            found = player.ask("prepare", case=asdict(case), seconds=0.001)
            assert found["calls"] >= 1 and found["part"] == case.part(name) and player.ask("run") > 0
            assert found["form"] == min(found.get("tried_s", {found["form"]: 0}), key=found.get("tried_s", {}).get)
    finally:
        player.close()
