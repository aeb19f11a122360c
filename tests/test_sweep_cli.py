"""`nbrnn sweep` as a person meets it, and a cluster that loses a worker."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import nbrnn
from nbrnn.cli import main
from nbrnn.problems import make_problem
from nbrnn.recipes import Recipe
from nbrnn.targets import cpu

needs_jit = pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals as POSIX has them")
QUICK = ("--cells", "rnn,gru", "--units", "1,2+2", "--windows", "4", "--epochs", "2", "--seeds", "2")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Run every command in an empty folder."""
    monkeypatch.chdir(tmp_path)


def swept(*arguments):
    return CliRunner().invoke(main, ["sweep", *map(str, arguments)])


def rows(folder):
    with (Path(folder) / "results.csv").open() as file:
        return list(csv.DictReader(file))


@needs_jit
def test_the_main_job_and_the_command_that_it_ends_with():
    done = swept("airline", *QUICK, "--learning-rates", "0.01,0.001", "--split", "0.6/0.2/0.2", "--seed", 3)
    assert done.exit_code == 0, done.output
    assert "8 settings x 2 seeds: 16 trainings" in done.output and "16 of 16 trained" in done.output
    out = Path("nbrnn-out/airline-sweep")
    assert {path.name for path in out.iterdir()} == {
        *("results.csv", "settings.csv", "sweep.json", "sweep.png", "sweep.svg")
    }
    assert max(map(len, done.output.split("Train it:")[0].splitlines())) < 80
    # the command trains the chosen setting: its first seed has the error that the sweep found
    command = shlex.split(done.output.strip().splitlines()[-1])
    assert command[:3] == ["nbrnn", "train", "airline"] and command[command.index("--split") + 1] == "0.6/0.2/0.2"
    trained = CliRunner().invoke(main, [*command[1:], "--no-plots", "--out", "one"])
    assert trained.exit_code == 0, trained.output
    found = next(
        record["rmse"]
        for record in json.loads(Path("one/metrics.json").read_text())
        if record["part"] == "validation" and record["forecast"] == "network"
    )
    with (out / "settings.csv").open() as file:
        settings = list(csv.DictReader(file))
    chosen = dict(zip(command[3::2], command[4::2], strict=False))
    names = {"--cell": "cell", "--window": "window", "--learning-rate": "learning_rate"}
    own = {name: chosen[option] for option, name in names.items()} | {"units": chosen["--units"].replace(",", "+")}
    assert chosen["--seed"] == "3" and len(settings) == 8
    row = next(r for r in rows(out) if r["seed"] == "3" and own.items() <= r.items())
    assert float(row["rmse"]) == pytest.approx(found, rel=1e-6)
    assert len([r for r in settings if own.items() <= r.items()]) == 1
    # once more, there is nothing left to do
    again = swept("airline", *QUICK, "--learning-rates", "0.01,0.001", "--split", "0.6/0.2/0.2", "--seed", 3)
    assert "16 of them done already" in again.output.replace("\n", " ") and len(rows(out)) == 16
    assert again.output[again.output.index("validation RMSE") :] == done.output[done.output.index("validation RMSE") :]


@needs_jit
def test_a_random_search_draws_from_ranges():
    done = swept(
        *("airline", "--random", 5, "--cells", "rnn", "--units", "1..8", "--windows", "3..6", "--no-plots"),
        *("--learning-rates", "0.001..0.1", "--dropouts", "0,0.1..0.3", "--epochs", 1, "--seeds", 1, "--out", "r"),
    )
    assert done.exit_code == 0, done.output
    assert len(rows("r")) == 5 and all(0.001 <= float(row["learning_rate"]) <= 0.1 for row in rows("r"))
    assert len({row["window"] for row in rows("r")}) > 1 and "sweep.png" not in os.listdir("r")
    assert "One seed tells no standard error" in done.output.replace("\n", " ")


@needs_jit
def test_a_sweep_of_which_all_fails_says_so():
    done = swept("airline", "--optimizer", "sgd", "--learning-rates", "1e30", *QUICK)
    assert done.exit_code == 1 and "Train it" not in done.output
    assert "No setting was trained without a failure" in done.output and "and 5 more that failed" in done.output
    assert all("not finite" in row["failure"] and not row["rmse"] for row in rows("nbrnn-out/airline-sweep"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["airlin"], "did you mean 'airline'"),
        (["airline", "--units", "1/2"], "--units takes whole numbers with commas between them, and \\+"),
        (["airline", "--units", "0"], "units must be a whole number"),
        (["airline", "--units", "2+"], "--units takes"),
        (["airline", "--units", "4..2", "--random", "3"], "a range goes from a smaller"),
        (["airline", "--units", "2..4"], "--units 2..4 is a range .* --random 20"),
        (["airline", "--windows", "12;24"], "--windows takes whole numbers with commas between them; not '12;24'"),
        (["airline", "--windows", "1000"], "window of 1000"),
        (["airline", "--cells", "rnn,gruu"], "did you mean 'gru'"),
        (["airline", "--learning-rates", "fast"], "--learning-rates takes numbers"),
        (["airline", "--dropouts", "1.5"], "dropout must be"),
        (["airline", "--split", "0.8"], "--split 0.7/0.15/0.15"),
        (["airline", "--seeds", "0"], "seeds must be"),
        (["airline", "--random", "0"], "random must be"),
        (["airline", "--jobs", "0"], "jobs must be"),
        (["airline", "--metric", "r2"], "metric 'r2' is unknown"),
        (["airline", "--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"], "give one of them"),
        (["airline", "--out", "here.txt"], "is a file"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, words):
    Path("here.txt").write_text("")
    done = swept(*arguments)
    assert done.exit_code == 2 and re.search(words, done.output) and "Traceback" not in done.output
    assert done.output.count("\n") == 1 or "Usage" in done.output or "trainings on" in done.output


@needs_jit
def test_another_sweeps_folder_is_refused():
    assert swept("airline", *QUICK, "--out", "s").exit_code == 0
    before = Path("s/results.csv").read_bytes()
    for other in (["sunspots", *QUICK], ["airline", *QUICK, "--batch-size", "4"]):
        done = swept(*other, "--out", "s")
        assert done.exit_code == 2 and "another kind" in done.output and "--out" not in done.output
    assert Path("s/results.csv").read_bytes() == before


@needs_jit
@posix
def test_ctrl_c_keeps_what_has_ended(environment):
    command = ["sweep", "airline", *QUICK[:-1], "500", "--out", "c", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nbrnn.cli", *command],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    path, until = Path("c/results.csv"), time.monotonic() + 240
    while not (path.exists() and path.read_bytes().count(b"\n") > 20) and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 130, output
    kept = rows("c")
    assert re.search(rf"Stopped after {len(kept)} of 2000", output) and "Traceback" not in output
    assert all(float(row["rmse"]) > 0 for row in kept) and "Train it" in output


# ---------------------------------------------------------------- a cluster


def test_without_dask_the_scheduler_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = swept("airline", *QUICK, "--scheduler", "tcp://127.0.0.1:1")
    assert done.exit_code == 2 and 'pip install "nbrnn[dask]"' in done.output


def test_a_scheduler_that_does_not_answer_is_refused_within_seconds():
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    started = time.monotonic()
    for address in ("tcp://127.0.0.1:1", "nonsense", "far://away:8786"):
        done = swept("airline", *QUICK, "--scheduler", address)
        assert done.exit_code == 2 and f"no Dask scheduler answers at {address}" in done.output.replace("\n", " ")
    assert time.monotonic() - started < 300


@needs_jit
def test_a_cluster_that_loses_a_worker_loses_no_training(tmp_path):
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    problem = make_problem("airline")
    recipes = nbrnn.recipe_grid(Recipe(window=12, epochs=300, patience=300), cell=["rnn", "gru"], units=[2, 4, 8])
    killed, ended = [], []
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        workers = [worker.pid for worker in cluster.workers.values()]

        def kill(trial, done, total):
            ended.append(trial.recipe)
            if done == 3:
                os.kill(workers[0], getattr(signal, "SIGKILL", signal.SIGTERM))
                killed.append(workers[0])

        address = cluster.scheduler_address
        found = nbrnn.sweep(problem, recipes, 4, folder=tmp_path / "d", scheduler=address, progress=kill)
    assert killed and len(ended) == len(set(ended)) == 24 == len(rows(tmp_path / "d"))
    here = nbrnn.sweep(problem, recipes, 4)
    assert {t.recipe: t.error for t in found.trials} == {t.recipe: t.error for t in here.trials}
