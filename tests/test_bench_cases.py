"""The benchmarks' one table of cases: sizes, goals, who takes part, and where it is found."""

import tomllib
from pathlib import Path

import pytest

import nbrnn
from nbrnn.cli.bench import folder_of, part

ROOT = Path(__file__).parents[1]
cases = part("cases")


def test_the_table_of_cases_is_sound():
    assert [*cases.LAYERS] == [3, 32, 64, 128, 256, 512, 1024]
    assert all(size.H == H and min(size) >= 1 for table in (cases.LAYERS, cases.STREAMS) for H, size in table.items())
    assert set(cases.TITLES) == set(cases.CELLS) == {"simple_rnn", "lstm", "gru"}
    for (mode, threads, cell), steps in cases.LAYER_GOALS.items():
        assert mode in cases.MODES and threads in (1, 2) and cell in cases.CELLS
        assert [most for most, _ in steps] == sorted({most for most, _ in steps}) and steps[-1][0] == max(cases.LAYERS)
    for fit in cases.FITS.values():
        assert fit.cell in cases.CELLS and fit.dense and {peer for peer, _ in fit.goals} <= set(cases.PEERS)
    assert all(peer in cases.PEERS and fit in cases.FITS for peer, fit in cases.PARTS)
    assert all(cases.FITS[fit].epochs % part == 0 for (_, fit), part in cases.PARTS.items())
    assert all((folder_of(Path(nbrnn.__file__).parent) / f"with_{n}.py").is_file() for n in cases.PEERS)


@pytest.mark.parametrize(
    ("case", "threads", "wanted"),
    [
        (("layer", "lstm", 32, "train"), 1, {"best": 2.0}),
        (("layer", "lstm", 512, "train"), 1, {"best": 1.25}),
        (("layer", "lstm", 1024, "train"), 1, {"best": 1.15}),
        (("layer", "lstm", 3, "forward"), 1, {"best": 3.0}),
        (("layer", "lstm", 32, "forward"), 1, {"best": 1.0}),
        (("layer", "gru", 256, "train"), 1, {"best": 1.4}),
        (("layer", "simple_rnn", 512, "train"), 1, {"best": 1.3}),
        (("layer", "gru", 64, "train"), 2, {"best": 1.4}),
        (("layer", "gru", 32, "train"), 2, {}),
        (("layer", "gru", 64, "forward"), 2, {}),
        (("layer", "gru", 64, "train", "float64"), 1, {}),
        (("fit", "wb", 5, "fit"), 2, {"jax": 5, "keras": 1000}),
        (("stream", "lstm", 32, "rows"), 1, {"onnxruntime": 10.0}),
    ],
)
def test_goals_are_those_of_the_table(case, threads, wanted):
    assert cases.Case(*case).goals(threads) == wanted


def test_goals_of_shares_and_speedups():
    wide, small = (cases.Case("layer", "gru", H, "train") for H in (128, 32))
    assert (wide.share_goal(1), wide.share_goal(2), small.share_goal(1)) == (0.85, None, None)
    assert (wide.scaling_goal(2), wide.scaling_goal(1), small.scaling_goal(2)) == (1.85, None, None)


def test_every_peer_has_work_and_pip_knows_what_it_needs():
    every = [*cases.layer_cases(cases.CELLS, cases.LAYERS, cases.MODES, cases.DTYPES), *cases.fit_cases(cases.FITS)]
    every += cases.stream_cases()
    assert len(set(every)) == 3 * 7 * 2 * 2 + 4 + 4
    for peer in cases.PEERS:
        assert any(case.admits(peer) for case in every)
    assert not any(c.admits("onnxruntime") for c in every if c.mode == "train" or c.dtype == "float64")
    with open(ROOT / "pyproject.toml", "rb") as file:
        wanted = tomllib.load(file)["project"]["optional-dependencies"]["bench"]
    names = {line.partition(">")[0] for line in wanted}
    assert {n.replace("tensorflow", "tensorflow-cpu") for p in cases.PEERS for n in cases.DISTRIBUTIONS[p]} == names


def test_the_benchmarks_are_found_in_an_installation_and_in_a_checkout(tmp_path):
    package = tmp_path / "nbrnn"
    with pytest.raises(FileNotFoundError, match="install nbrnn anew"):
        folder_of(package)
    for folder in (tmp_path / "bench", package / "_bench"):  # an installation's come first
        folder.mkdir(parents=True)
        (folder / "cases.py").touch()
        assert folder_of(package) == folder
