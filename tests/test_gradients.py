"""Backpropagation against the complex step, central differences and published numbers; and reports that say what is
wrong where a backward pass is broken on purpose.
"""

import numpy as np
import pytest
import reference
from support import random_data, random_model

import nbrnn
from nbrnn import Dense, SimpleRNN, gradcheck


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
@pytest.mark.parametrize("sequences", [False, True])
def test_backpropagation_is_the_derivative_for_wide_layers_and_shards(activation, sequences):
    layers = [SimpleRNN(9, activation, return_sequences=sequences), Dense(11, activation)]
    model = random_model(layers, (3, 2), seed=4, scale=0.25)
    x, _ = random_data(model, 33, seed=5)  # 33 samples: three shards, the last one of a single sample
    report = nbrnn.check_gradients(model, x)
    assert report.passed, f"\n{report}"


def test_one_step_of_four_features_never_uses_the_recurrence():
    model = random_model([SimpleRNN(32, "relu"), Dense(8, "relu"), Dense(1)], (1, 4), seed=2, scale=0.2)
    model.compile("sgd", "mse")
    report = nbrnn.check_gradients(model, *random_data(model, 5, 3))
    assert report.passed
    assert (report.gradients["simple_rnn/recurrent_kernel"] == 0).all()
    assert (report.gradients["simple_rnn/kernel"] != 0).any()


MLM = [
    [[0.18662322, -1.2369459]],
    [[0.86981213, -0.49338293], [0.49338293, 0.8698122]],
    [0.0, 0.0],
    [[-0.4635998], [0.6538409]],
    [0.0],
]


def mlm(activation="linear", **settings):
    layers = [SimpleRNN(2, activation, **settings), Dense(1)]
    model = nbrnn.Sequential(layers, input_shape=(3, 1), dtype="float64")
    model.set_weights([np.array(w) for w in MLM])
    return model, np.array([[[1.0], [2.0], [3.0]]])


def test_the_published_states_and_output():
    model, x = mlm()
    assert model.predict(x)[0, 0] == pytest.approx(-3.8698122919, abs=1e-10)
    first = nbrnn.Sequential([SimpleRNN(2, "linear", return_sequences=True)], input_shape=(3, 1), dtype="float64")
    first.set_weights(model.get_weights()[:3])
    published = [(0.18662322, -1.23694587), (-0.07471441, -3.64187904), (-1.30195881, -6.84172557)]
    np.testing.assert_allclose(first.predict(x)[0], published, atol=1e-6)
    model, _ = mlm("tanh")
    assert model.predict(x)[0, 0] == pytest.approx(-0.7313942919, abs=1e-9)


def test_the_published_gradients():
    model, x = mlm()
    model.compile("sgd", "mse")
    report = nbrnn.check_gradients(model, x, np.array([4.0]))
    assert report.passed and report.loss == pytest.approx((-3.8698122919 - 4) ** 2, abs=1e-6)
    wanted = {
        "dense/kernel": [[20.4923434493], [107.6861955404]],
        "dense/bias": [2 * (-3.8698122919 - 4)],
        "simple_rnn/kernel": [[57.3168436853, -40.594126838]],
        "simple_rnn/recurrent_kernel": [[1.5868809615, -0.2297678111], [-40.7057794592, 44.0985643947]],
        "simple_rnn/bias": [31.2986419163, -14.6604453498],
    }
    for name, numbers in wanted.items():
        np.testing.assert_allclose(report.gradients[name], numbers, rtol=0, atol=1e-6, err_msg=name)


def test_metrics_are_no_part_of_the_loss():
    model = random_model([SimpleRNN(3), Dense(2)], (4, 2), seed=8)
    x, y = random_data(model, 3, 9)
    model.compile("sgd", "mse", metrics=["mae", "huber"])
    report = nbrnn.check_gradients(model, x, y)
    assert report.passed and report.loss == pytest.approx(model.evaluate(x, y)[0], rel=1e-12)
    assert nbrnn.trace(model, x[0], y[0]).loss == pytest.approx(model.evaluate(x[:1], y[:1])[0], rel=1e-12)


def test_central_differences_agree_with_the_complex_step():
    model = random_model([SimpleRNN(3, "tanh"), Dense(2, "sigmoid")], (4, 2), seed=8)
    x, y = random_data(model, 3, 9)
    model.compile("sgd", "huber")
    central = nbrnn.check_gradients(model, x, y, method="central")
    assert central.passed and central.tolerance == 1e-6 and "central differences" in str(central)
    assert central.max_relative_error > 1e-13  # half of the digits are lost: it did take differences
    assert nbrnn.check_gradients(model, x, y).max_relative_error < 1e-13


# ---------------------------------------------------------------- broken on purpose


@pytest.mark.parametrize(
    ("damage", "hint"),
    [
        (lambda g: np.full_like(g, np.nan), "not finite"),
        (np.zeros_like, "gives zero"),
        (lambda g: -g, "sign is flipped"),
        (lambda g: g.T.copy(), "transposed"),
        (lambda g: 2 * g, "2 times"),
        (lambda g: g / 3, "0.3333 times"),
        (lambda g: g + np.arange(9.0).reshape(3, 3), "terms are missing or wrong"),
    ],
)
def test_a_wrong_gradient_is_reported_with_a_hint(monkeypatch, damage, hint):
    model = random_model([SimpleRNN(3), Dense(1)], (4, 2), seed=6)
    x, _ = random_data(model, 3, 7)
    name, honest = "simple_rnn/recurrent_kernel", gradcheck.run_backward
    truth = nbrnn.check_gradients(model, x).gradients[name]

    def broken(*arguments):
        loss, gradients = honest(*arguments)
        return loss, gradients | {name: damage(gradients[name])}

    monkeypatch.setattr(gradcheck, "run_backward", broken)
    report = nbrnn.check_gradients(model, x)
    row = next(row for row in report.rows if row.name == name)
    assert not report.passed and hint in row.hint and hint in str(report) and "FAILED" in str(report)
    assert [r.name for r in report.rows if r.relative_error > 1e-12] == [name]
    assert row.backward == pytest.approx(damage(truth)[row.index], nan_ok=True)
    assert row.numeric == pytest.approx(truth[row.index])
    if np.isfinite(row.backward):
        worst = np.abs(damage(truth) - truth)
        assert worst[row.index] == worst.max()
        assert row.relative_error == pytest.approx(worst.max() / max(abs(truth).max(), abs(damage(truth)).max()))
    place = ", ".join(map(str, row.index))
    line = next(line for line in str(report).splitlines() if "worst at" in line)
    assert f"[{place}]" in line and f"{row.backward:.10g}" in line and f"{row.numeric:.10g}" in line


def test_a_loss_that_differs_between_real_and_complex_is_an_error(monkeypatch):
    model = random_model([SimpleRNN(3)], (4, 2), seed=6)
    honest = gradcheck.run_backward
    monkeypatch.setattr(gradcheck, "run_backward", lambda *a: (honest(*a)[0] + 1e-9, honest(*a)[1]))
    with pytest.raises(ArithmeticError, match="treats complex numbers wrongly"):
        nbrnn.check_gradients(model, random_data(model, 3, 7)[0])


BROKEN_KERNEL = """
from dataclasses import replace
import numpy as np, nbrnn
from nbrnn.kernels import KERNELS
right = KERNELS["simple_rnn_backward"]
def forgetful(Wh, PT, h, mask, alive, activation, add, dh, da, dh0, room):
    for t in range(len(da)):  # what comes from the future is dropped
        step = dh[t : t + 1] if len(dh) == len(da) else (dh if t == len(da) - 1 else 0 * dh)
        right.function(Wh, PT, h[t : t + 2], mask, alive, activation, add, step.copy(), da[t : t + 1], dh0, room)
KERNELS["simple_rnn_backward"] = replace(right, function=forgetful)
model = nbrnn.Sequential([nbrnn.SimpleRNN(3), nbrnn.Dense(1)], input_shape=(4, 2), seed=1)
print(nbrnn.check_gradients(model, np.random.default_rng(0).normal(size=(2, 4, 2))))
"""


def test_a_kernel_that_forgets_the_future_is_found(run_python):
    report = run_python(BROKEN_KERNEL, NUMBA_DISABLE_JIT=1)
    lines = {line.split()[0]: line for line in report.splitlines() if line}
    assert lines["dense/kernel"].endswith("ok") and lines["dense/bias"].endswith("ok")
    for name in ("simple_rnn/kernel", "simple_rnn/recurrent_kernel", "simple_rnn/bias", "x"):
        assert lines[name].endswith("WRONG"), report
    assert "some terms are missing or wrong: look at what flows from the future (dh)" in report


def test_the_report_of_a_right_model_has_a_row_a_parameter():
    model = random_model([SimpleRNN(3), Dense(1)], (4, 2), seed=6)
    report = nbrnn.check_gradients(model, random_data(model, 3, 7)[0])
    text = str(report)
    assert text.splitlines()[-1] == "passed" and "WRONG" not in text and text.count(" ok") == 7
    assert report.gradients["x"].shape == (3, 4, 2)
    assert report.max_relative_error == max(row.relative_error for row in report.rows) <= 1e-12
    assert [row.shape for row in report.rows] == [(2, 3), (3, 3), (3,), (3, 1), (1,), (3, 4, 2), (3, 3)]
