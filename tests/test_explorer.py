"""The explorer's file: what stands in it, how large it is, what it refuses. The page itself: test_explorer_page.py."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from support import random_model, seeds
from test_tracing import CELLS, MLM

import nbrnn
from nbrnn import GRU, LSTM, Bidirectional, Dense, Dropout, Masking, SimpleRNN
from nbrnn.cli import main
from nbrnn.explorer import MOST, SCRIPTS, STYLES
from nbrnn.losses import NUMBERS
from nbrnn.saving import read_model

FOLDER = Path(nbrnn.explorer.__file__).parent


def nbrnn_run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def data_of(page):
    """Return what the page holds, as its script reads it."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def made(layers, steps, features=1, seed=0, loss="mse"):
    """Return a model with random weights, an input and a target."""
    model = random_model(layers, (steps, features), seed % 1000)
    model.compile("sgd", loss)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(steps, features))
    y, kind = model.predict(x[None])[0], model.loss.targets
    return model, x, rng.normal(size=y.shape) if kind == NUMBERS else model.loss.example(y.shape, rng)


# ---------------------------------------------------------------- the file


def test_the_page_of_the_lessons_cell_holds_its_trace():
    page = nbrnn.explore(read_model(MLM), [1, 2, 3], 4)
    data, found = data_of(page), nbrnn.trace(read_model(MLM), [1, 2, 3], 4)
    assert len(page.encode()) < 150_000
    assert data["trace"]["layers"][0]["steps"][2]["h"] == found.steps[2].h.tolist()
    assert data["trace"]["layers"][0]["backward"][0]["dWh"] == found.backward[0].dWh.tolist()
    assert data["value"]["loss"] == found.loss and data["target"] == [[4.0]]
    assert data["numeric"]["rows"] and all(row["passed"] for row in data["numeric"]["rows"].values())


def test_the_page_asks_for_no_other_file():
    page = nbrnn.explore(read_model(MLM), [1, 2, 3], 4)
    assert "default-src 'none'" in page
    assert not re.search(r"""https?:|\bsrc=|\bhref=|url\(|@import|fetch\(|XMLHttpRequest|WebSocket|import\(""", page)


@pytest.mark.parametrize("name", ["page.html", *STYLES, *SCRIPTS])
def test_the_pages_sources_are_short(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert 0 < len(lines) <= 400


def test_every_source_beside_the_package_is_in_the_page():
    assert {path.name for path in FOLDER.iterdir() if path.suffix in (".js", ".css", ".html")} == {
        "page.html", *STYLES, *SCRIPTS,
    }  # fmt: skip


HOSTILE = "</script><script>alert('x')</script><!--"


def test_names_that_look_like_html_stay_text():
    model = nbrnn.Sequential([SimpleRNN(2, name=HOSTILE), Dense(1)], input_shape=(3, 1), seed=0, name=HOSTILE)
    model.compile(loss="mse")
    page = nbrnn.explore(model, [1, 2, 3], 4)
    assert data_of(page)["model"] == HOSTILE and data_of(page)["layers"][0]["name"] == HOSTILE
    assert page.count("</script>") == 2 and page.count("<script") == 2 and "<!--" not in page
    assert html.escape(HOSTILE) in re.search("<title>(.*?)</title>", page)[1]


def test_the_page_is_written_whole(tmp_path):
    path = tmp_path / "page.html"
    page = nbrnn.explore(read_model(MLM), [1, 2, 3], path=path)
    assert path.read_text(encoding="utf-8") == page and data_of(page)["target"] is None
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(OSError, match="no-folder"):
        nbrnn.explore(read_model(MLM), [1, 2, 3], path=tmp_path / "no-folder" / "page.html")


# ---------------------------------------------------------------- parts of large models


def test_fifty_steps_of_eight_units_are_shown_whole():
    for make in CELLS.values():
        page = nbrnn.explore(*made([make(8), Dense(1)], 50))
        assert len(page.encode()) <= MOST and data_of(page)["partial"] is None


def test_a_large_model_is_shown_in_part_and_says_so():
    page = nbrnn.explore(*made([GRU(80), Dense(1)], 90, 20))
    part = data_of(page)["partial"]
    assert len(page.encode()) <= MOST
    shown = {"units": [1, 2, 3, 4, 5, 6, 7, 8], "first": 41, "features": 8, "below": [], "above": ["dense"]}
    assert part == shown | {"of_units": 80, "of_steps": 90, "of_features": 20, "counted": 90}


def test_a_long_sequence_shows_its_end_and_a_model_with_many_weights_is_not_checked():
    data = data_of(nbrnn.explore(*made([SimpleRNN(50), Dense(1)], 250)))
    assert data["partial"]["first"] == 201 and len(data["x"]) == 50 and data["numeric"] is None


def test_what_cannot_be_held_is_refused():
    model, x, y = made([LSTM(120), Dense(1)], 9)
    with pytest.raises(ValueError, match="1 MB does not hold 120 units in 9 steps"):
        nbrnn.explore(model, x, y, units=range(120), steps=[0, 8])


@settings(max_examples=12)
@given(st.sampled_from(sorted(CELLS)), st.booleans(), seeds)
def test_what_is_left_out_stands_in_the_rest(cell, bias, seed):
    rng = np.random.default_rng(seed)
    model, x, y = made([CELLS[cell](5, use_bias=bias, return_sequences=True), Dense(2)], 6, 10, seed)
    units = sorted(rng.permutation(5)[: rng.integers(1, 5)].tolist())
    first, last = sorted(rng.integers(0, 6, 2).tolist())
    data = data_of(nbrnn.explore(model, x, y, units=units, steps=[first, last]))
    layer, numbers = data["layers"][0], data["trace"]["layers"][0]
    for t, step in enumerate(numbers["steps"]):
        own = np.array(step["x"]) @ np.array(layer["Wx"]) + layer["rest"]["x"][t]
        assert np.allclose(own, step["xWx"], rtol=0, atol=1e-12)
        if "rh" not in step:
            own = np.array(step["h_prev"]) @ np.array(layer["Wh"]) + layer["rest"]["h"][t]
            assert np.allclose(own, step["hWh"], rtol=0, atol=1e-12)
    for name, total in numbers["totals"].items():
        shares = sum(np.array(back[name]) for back in numbers["backward"])
        assert np.allclose(shares + layer["outside"][name], total, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- what is refused


def graph():
    x = nbrnn.Input((4, 1))
    return nbrnn.Model(x, nbrnn.Concatenate()([SimpleRNN(2)(x), LSTM(2)(x)]))


REFUSED = {
    "Bidirectional": lambda: nbrnn.Sequential([Bidirectional(LSTM(2)), Dense(1)], input_shape=(4, 1)),
    "chain": graph,
    "masks computed numbers": lambda: nbrnn.Sequential([Dense(2), Masking(), LSTM(2)], input_shape=(4, 1)),
    "Reshape": lambda: nbrnn.Sequential([nbrnn.Reshape((2, 2)), LSTM(2)], input_shape=(4, 1)),
    "Dropout": lambda: nbrnn.Sequential([LSTM(2), Dropout(0.5)], input_shape=(4, 1)),
    "dropout": lambda: nbrnn.Sequential([LSTM(2, recurrent_dropout=0.5)], input_shape=(4, 1)),
    "only dense": lambda: nbrnn.Sequential([Dense(2, name="dense")], input_shape=(4, 1)),
}


@pytest.mark.parametrize("why", REFUSED)
def test_models_that_the_page_does_not_know_are_refused(why):
    with pytest.raises(ValueError, match="explorer takes a chain of SimpleRNN, GRU, LSTM, Dense, Flatten") as error:
        nbrnn.explore(REFUSED[why](), [1, 2, 3, 4])
    assert why in str(error.value) and "\n" not in str(error.value)


def test_a_loss_that_the_page_does_not_know_is_refused_with_a_target_only():
    model, x, _ = made([LSTM(2), Dense(1)], 4, loss=nbrnn.Quantile(0.5))
    with pytest.raises(ValueError, match=r"mse, mae, huber, .*crossentropy, not from quantile: leave the target out"):
        nbrnn.explore(model, x, 1)
    assert data_of(nbrnn.explore(model, x))["target"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"layer": "dense"}, "layer must be a recurrent layer of the model, 0 .gru., 1 .lstm., not 'dense'"),
        ({"layer": 2}, "not 2"),
        ({"units": [2]}, "the layer has 2 units, so there is no number 3"),
        ({"units": []}, r"units must be a list of whole numbers from 0 on, not \[\]"),
        ({"units": [0.5]}, "units must be a list"),
        ({"steps": "1-2"}, "steps must be a list of whole numbers"),
        ({"steps": [0, 4]}, "the layer has 4 steps, so there is no number 5"),
        ({"path": ""}, "path must name a file"),
    ],
)
def test_wrong_arguments_are_named(arguments, sentence):
    model, x, y = made([GRU(2, return_sequences=True, name="gru"), LSTM(2, name="lstm"), Dense(1, name="dense")], 4)
    with pytest.raises(ValueError, match=sentence):
        nbrnn.explore(model, x, y, **arguments)


def test_the_layer_of_a_stack_is_chosen():
    model, x, y = made([GRU(2, return_sequences=True, name="gru"), LSTM(3, name="lstm"), Dense(1)], 4)
    for layer, shown in ((None, 0), ("lstm", 1), (1, 1)):
        assert data_of(nbrnn.explore(model, x, y, layer=layer))["shown"] == shown


# ---------------------------------------------------------------- masks


def test_the_page_says_which_steps_count_in_the_order_of_the_sequence():
    for backwards in (False, True):
        model, x, y = made([GRU(3, go_backwards=backwards), Dense(1)], 5)
        data = data_of(nbrnn.explore(model, x, y, mask=[1, 1, 0, 1, 0]))
        assert data["mask"] == [True, True, False, True, False]
        assert data_of(nbrnn.explore(model, x, y, lengths=2))["mask"] == [True, True, False, False, False]
        assert data_of(nbrnn.explore(model, x, y, lengths=5))["mask"] is None


def test_a_long_sequence_shows_its_last_steps_that_count():
    data = data_of(nbrnn.explore(*made([SimpleRNN(2), Dense(1)], 250), lengths=120))
    assert data["partial"]["first"] == 71 and data["partial"]["counted"] == 120 and data["mask"] is None


def test_steps_that_are_all_masked_are_refused():
    model, x, y = made([LSTM(2), Dense(1)], 5)
    with pytest.raises(ValueError, match="steps 1 to 5 are masked, so there is nothing to step through"):
        nbrnn.explore(model, x, y, mask=[False] * 5)
    with pytest.raises(ValueError, match="steps 4 to 5 are masked"):
        nbrnn.explore(model, x, y, lengths=3, steps=[3, 4])


# ---------------------------------------------------------------- the command


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_command_opens_on_the_lessons_cell():
    done = nbrnn_run("explore")
    assert done.exit_code == 0 and "Written: explore.html" in done.output
    data = data_of(Path("explore.html").read_text(encoding="utf-8"))
    assert data["model"] == "mlm" and data["x"] == [[1], [2], [3]] and data["target"] == [[4]]


def test_the_command_takes_a_model_a_sequence_and_a_part():
    model, x, _ = made([LSTM(4, name="lstm"), Dense(1)], 6, 2)
    model.save("m.safetensors")
    np.savetxt("rows.csv", x, delimiter=",", header="a,b", comments="")
    done = nbrnn_run("explore", "m.safetensors", "--sequence", "rows.csv", "--target", "0.5", "--layer", "lstm",
                     "--units", "2,4", "--steps", "3-5", "--out", "new/page.html")  # fmt: skip
    assert done.exit_code == 0, done.output
    data = data_of(Path("new/page.html").read_text(encoding="utf-8"))
    assert data["partial"]["units"] == [2, 4] and data["partial"]["first"] == 3 and len(data["x"]) == 3
    assert np.allclose(data["x"], x[2:5], rtol=0, atol=1e-6)


def test_the_command_takes_a_mask_and_a_class():
    model, x, _ = made([GRU(2), Dense(3), nbrnn.Softmax()], 4, loss="sparse_categorical_crossentropy")
    model.save("m.safetensors")
    sequence = ",".join(map(str, x[:, 0]))
    done = nbrnn_run("explore", "m.safetensors", "--sequence", sequence, "--target", "2", "--mask", "1,1,1,0")
    assert done.exit_code == 0, done.output
    data = data_of(Path("explore.html").read_text(encoding="utf-8"))
    assert data["mask"] == [True, True, True, False] and data["target"] == [[2.0]]


def test_a_file_of_any_length_goes_through_the_lessons_cell():
    Path("rows.csv").write_text("v\n1\n2\n3\n4\n5\n")
    assert nbrnn_run("explore", "--sequence", "rows.csv").exit_code == 0
    assert len(data_of(Path("explore.html").read_text(encoding="utf-8"))["x"]) == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("none.json",), "none.json"),
        (("--sequence", "1,b"), "--sequence must be numbers"),
        (("--units", "0"), "--units must be whole numbers from 1 on, such as 1,2, not '0'"),
        (("--units", "9"), "the layer has 2 units, so there is no number 9"),
        (("--steps", "1,2"), "--steps must be whole numbers from 1 on, such as 3-7, not '1,2'"),
        (("--steps", "2-4"), "the layer has 3 steps, so there is no number 4"),
        (("--mask", "1,0"), "mask"),
        (("--mask", "1,x,1"), "--mask must be numbers"),
        (("--target", "1,2"), "y has shape"),
        (("--layer", "dense"), "layer must be a recurrent layer"),
        (("--out", "."), "--out must name a file, but . is a folder"),
        (("--out", "file/page.html"), "cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, sentence):
    Path("file").write_text("no folder")
    done = nbrnn_run("explore", *arguments)
    assert done.exit_code == 2 and sentence in done.output and done.output.count("\n") == 1, done.output
    assert "Traceback" not in done.output and not Path("explore.html").exists()
