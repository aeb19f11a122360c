"""From figures, made-up ones, of bench/on_gpu.py to what nbrnn chooses, `nbrnn info` and the documentation."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nbrnn.cli.bench import part
from nbrnn.targets.cuda import designs, measured
from nbrnn.targets.cuda.device import CHIPS

ROOT = Path(__file__).parents[1]
writer = part("gpu_measured")


def layer_row(cell, H, B, mode, design, seconds):
    sizes = {"cell": cell, "H": H, "B": B, "T": 512, "precision": "float32", "mode": mode}
    times = {"median_s": seconds, "us_per_step": seconds / 512 * 1e6}
    return sizes | {"goal": None, "design": design, "designs": ["steps"], "alone": True, "nbrnn": times}


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """Return a folder of made-up reports of a GPU, and let the package read what is made of them."""
    write = lambda name, content: (tmp_path / name).write_text(json.dumps(content))
    rows = [layer_row("lstm", 64, 16, *r) for r in (
        ("forward", "steps", 3e-3), ("forward", "persistent", 1e-3), ("forward", "groups", 2e-3),
        ("train", "steps", 5e-3), ("train", "persistent", 6e-3),
    )]  # fmt: skip
    rows += [layer_row("gru", 256, 16, "forward", "groups", 1.0)]
    beside = {"goal": 1.0, "cudnn": {"median_s": 18.0}, "ratio": 2.0, "agrees": False, "difference": 0.5}
    rows += [layer_row("gru", 256, 16, "forward", "", 9.0) | beside]
    about = {"taken": "2030-01-01T00:00:00+00:00", "machine": {"gpu": "NVIDIA H200", "versions": {"nbrnn": "9"}}}
    write("gpu.json", about | {"results": rows})
    simulated = {"gpu": "Numba's simulator", "versions": {}}
    for name, gpu in (("real", "NVIDIA H200"), ("simulated", "Numba's simulator")):
        (tmp_path / name).mkdir()
        fits = [{"H": H, "B": B, "T": 50, "cpu": H * B * 1e-5, "cuda": 4e-3} for H in (8, 64, 512) for B in (1, 16)]
        write(f"{name}/gpu-fits.json", about | {"gpu": gpu, "processor": "Some CPU", "threads": 16, "batches": fits})
    (tmp_path / "simulated" / "gpu.json").write_text(json.dumps(about | {"machine": simulated, "results": rows}))
    write("gpu-products.json", {"gpu": "NVIDIA H200", "library_from": {"float32": 1000}})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "gpu.json").write_text("{")
    monkeypatch.setattr(measured, "FILE", tmp_path / "package.json")
    (tmp_path / "package.json").write_text(json.dumps({"format": 1, "gpus": {"Another": {"library_from": {}}}}))
    page = tmp_path / "gpu.md"
    page.write_text(f"before\n\n{writer.BEGIN}\nold\n{writer.END}\n\nafter\n")
    monkeypatch.setattr(writer, "PAGE", page)
    forget()
    yield tmp_path
    forget()


def forget():
    measured.on.cache_clear()
    measured.fastest.cache_clear()


def test_figures_become_the_packages_file_its_choices_and_the_page(figures, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_measured.py", str(figures), "--write"])
    assert writer.main() == 0
    forget()
    said = capsys.readouterr()
    assert "NVIDIA H200: 6 layers, 6 fits, 1 library_from" in said.out and "broken" in said.err
    assert set(measured.read(measured.FILE)) == {"Another", "NVIDIA H200"}
    assert set(measured.read(figures / "measured.json")) == {"Numba's simulator", "NVIDIA H200"}
    assert max(map(len, measured.FILE.read_text().splitlines())) > 60  # a row a line
    told = (figures / "figures.txt").read_text()
    assert re.search(r"GRU +256 +16 +9.00 s +18.0 s +2.00 +1.00 +17578.12  steps\n", told) and "LSTM" not in told
    assert "0 of 1 goals are met" in told and "outputs are 0.5 apart, more than 0.0001: one is wrong." in told
    fastest = lambda kernel, H, B: measured.fastest("NVIDIA H200", kernel, "float32", H, B)
    assert fastest("lstm_forward", 64, 16) == fastest("lstm_forward", 100, 16) == "persistent"
    assert fastest("lstm_backward", 64, 16) == "steps"  # 2 ms, not 5
    assert fastest("lstm_forward", 256, 16) == fastest("lstm_forward", 90, 40) == ""  # far from what was measured
    assert fastest("gru_after_forward", 256, 16) == ""  # one design alone
    assert measured.fastest("Another", "lstm_forward", "float32", 64, 16) == ""
    assert measured.library_from("NVIDIA H200", "float32", 7) == 1000
    assert measured.library_from("NVIDIA H200", "tf32", 7) == measured.library_from("Nobody's", "float32", 7) == 7
    sentence = (
        "an LSTM over 50 steps is fitted faster on the GPU than on Some CPU with 16 threads from 512 units on with a "
        "batch of 1, from 64 units on with batches of 16; smaller ones are faster on the CPU"
    )
    assert measured.describe("NVIDIA H200") == sentence and "was not measured" not in measured.describe("NVIDIA H200")
    assert measured.describe("Another") == measured.NOTHING
    page = (figures / "gpu.md").read_text()
    assert " ".join(page.split()) == f"before {writer.BEGIN} On an NVIDIA H200, {sentence}. {writer.END} after"
    assert max(map(len, page.splitlines())) <= 120


def test_a_measured_design_is_chosen_where_it_fits(figures, monkeypatch):
    made = [designs.Design("persistent", lambda site: "", None), designs.Design("groups", lambda site: "", None)]
    monkeypatch.setattr(designs, "DESIGNS", {"lstm_backward": made, "lstm_forward": [replace(made[0], refuses=str)]})
    monkeypatch.setitem(designs.FORMS, "lstm_backward", None)
    site = designs.Site("lstm_backward", {"H": 64, "B": 16}, frozenset(), "float32", CHIPS["H200"])
    assert designs.choose(site).name == "persistent"
    monkeypatch.setattr(sys, "argv", ["gpu_measured.py", str(figures), "--write"])
    assert writer.main() == 0
    forget()
    assert designs.choose(site).name == "steps" and designs.choose(site, "groups").name == "groups"
    assert designs.choose(replace(site, kernel="lstm_forward")).name == "steps"  # the fastest does not fit
    assert designs.choose(replace(site, chip=CHIPS["A100"])).name == "persistent"


def test_nothing_is_written_of_what_the_simulator_took(figures, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_measured.py", str(figures / "simulated"), "--write"])
    before = measured.FILE.read_text()
    assert writer.main() == 2 and "nothing was measured on a GPU" in capsys.readouterr().err
    assert measured.FILE.read_text() == before


def test_a_size_from_which_on_the_gpu_wins_holds_for_all_larger_ones():
    rows = lambda *pairs: [{"H": H, "B": 4, "cpu": cpu, "cuda": 1.0} for H, cpu in pairs]
    assert measured.wins_from(rows((8, 0.5), (64, 2.0), (256, 3.0))) == {4: 64}
    assert measured.wins_from(rows((8, 2.0), (64, 0.9), (256, 3.0))) == {4: 256}
    assert measured.wins_from(rows((8, 2.0), (64, 2.0), (256, 1.0))) == {4: None}
    found = {"fits": [r | {"T": 50} for r in rows((8, 0.5))], "processor": "P", "threads": 1}
    assert "on P with 1 thread not up to 8 units with batches of 4;" in measured.crossover(found)
    made = [{"precision": "tf32", "rows": n, "columns": 1, "depth": 1, "tiles": t, "cublas": 1.0} for n, t in
            ((1, 2.0), (2, 0.5), (4, 2.0), (8, 3.0))]  # fmt: skip
    faster = part("gpu_products").faster_from
    assert dict(faster(made)) == {"tf32": 4} and dict(faster(made[:2])) == {"tf32": 2**62}
    assert dict(faster([{"precision": "float32", "tiles": 1.0}])) == {}


def test_the_package_and_the_page_say_the_same():
    assert measured.read(measured.FILE) is not None
    page = (ROOT / "docs" / "howto" / "gpu.md").read_text()
    assert writer.with_paragraph(page, measured.read(measured.FILE)) == page
    with pytest.raises(ValueError, match="the page has no"):
        writer.with_paragraph("nothing", {})


def test_a_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "measured.json"
    path.write_text('{"format": 2, "gpus": {}}')
    with pytest.raises(ValueError, match="must hold measured figures of format 1"):
        measured.read(path)
