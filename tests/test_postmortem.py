"""What a fit that diverges can tell: the layer, the step and the gate, and norms by step as NumPy computes them."""

import numpy as np
import pytest
from support import random_model

import nbrnn
from nbrnn import GRU, LSTM, Dense, DivergedError, SimpleRNN
from nbrnn.memory import NotEnoughMemoryError

STEPS = 9


def diverge(model, x, y, **settings):
    with pytest.raises(DivergedError) as raised, np.errstate(all="ignore"):
        model.fit(x, y, verbose=0, **settings)
    return raised.value


def compiled(layers, features=2, scale=0.4, dtype="float32", optimizer="sgd"):
    model = random_model([*layers, Dense(1)], (STEPS, features), seed=1, dtype=dtype, scale=scale)
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize(
    ("kind", "gate", "column"),
    [*(("LSTM", g, k) for k, g in enumerate("ifno")), *(("GRU", g, k) for k, g in enumerate("zrn"))],
)
@pytest.mark.parametrize("step", [1, 6])
@pytest.mark.parametrize("samples", [3, 40])
def test_the_gate_and_the_step_that_fail_first_are_named(kind, gate, column, step, samples):
    model = compiled([getattr(nbrnn, kind)(3, "linear", "linear")])
    weights = model.get_weights()
    weights[0][:, 3 * column + 1] = 3e38, 0  # of the gate's second unit
    model.set_weights(weights)
    x = np.zeros((samples, STEPS, 2), "f4")
    x[samples - 1, step - 1 :] = 30
    error = diverge(model, x, np.zeros(samples), batch_size=64)
    found = (error.epoch, error.batch, error.layer, error.step, error.gate)
    assert found == (0, 0, kind.lower(), step, gate), error
    assert f"{error.buffer} (step {step}, gate {gate})" in str(error)


def linear_rnn(model):
    """Return a linear SimpleRNN's states and their gradients from NumPy, in float64."""
    Wx, Wh, b, Wy, by = (w.astype("f8") for w in model.get_weights())

    def run(x, y, h=None):
        h = np.zeros((len(x), len(Wh))) if h is None else h
        states = []
        for t in range(x.shape[1]):
            h = x[:, t] @ Wx + h @ Wh + b
            states.append(h)
        dh = 2 * (h @ Wy + by - y) / len(x) @ Wy.T
        gradients = [dh]
        for _ in range(x.shape[1] - 1):
            gradients.append(gradients[-1] @ Wh.T)
        return [np.sqrt((np.array(a) ** 2).sum(axis=(1, 2))) for a in (states, gradients[::-1])]

    return run


@pytest.mark.parametrize(("samples", "batch"), [(10, 4), (90, 50)])
def test_norms_are_those_of_the_failing_batch_at_the_last_finite_weights(samples, batch):
    model = compiled([SimpleRNN(3, "linear")], optimizer="adam", scale=0.6)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(samples, STEPS, 2)).astype("f4"), rng.normal(size=(samples, 1)).astype("f4")
    y[7] = 1e30  # its square is infinite
    error = diverge(model, x, y, batch_size=batch, epochs=2)
    (executor,) = model._executors.values()
    chosen = executor.order[error.batch * batch :][:batch]
    states, gradients = linear_rnn(model)(x[chosen].astype("f8"), y[chosen])
    model.set_weights([0 * w for w in model.get_weights()])  # what is kept does not change with the model
    np.testing.assert_allclose(error.gradient_norms["simple_rnn"], gradients, rtol=1e-9)
    np.testing.assert_allclose(error.state_norms["simple_rnn"], states, rtol=1e-9)


def test_a_gradient_that_explodes_on_its_way_back_names_its_step():
    """The states are zero and finite; dL/dh grows by 1e6 a step, and leaves float32 on its way to the first step."""
    model = compiled([SimpleRNN(2, "linear")])
    weights = model.get_weights()
    model.set_weights([weights[0], np.eye(2) * 1e6, np.zeros(2), np.full((2, 1), 0.5), np.zeros(1)])
    error = diverge(model, np.zeros((4, STEPS, 2), "f4"), np.full(4, -1.0, "f4"))
    # dL/dh at the last step is 2 * 1 / 4 * 0.5 = 0.25; 0.25e6^k exceeds 3.4e38 from k = 7 on.
    assert (error.layer, error.step, error.gate, error.buffer) == ("simple_rnn", STEPS - 7, None, "simple_rnn/da")
    assert str(error).startswith("a gradient is not finite in epoch 1, batch 1: ")
    norms = error.gradient_norms["simple_rnn"]
    np.testing.assert_allclose(norms, np.sqrt(8) * 0.25 * 1e6 ** np.arange(STEPS - 1, -1, -1.0), rtol=1e-6)
    assert not error.state_norms["simple_rnn"].any()
    back = error.report().split("dL/dh")[1].splitlines()
    assert "last step back to the first" in back[0]
    assert [int(line.split()[1]) for line in back[1 : STEPS + 1]] == list(range(STEPS, 0, -1))
    bars = [line.count("#") for line in back[1 : STEPS + 1]]
    assert bars == sorted(bars) and bars[0] == 1 and bars[-1] == 44
    assert back[STEPS + 1] == "  on average a step multiplies it by 1e+06"


def test_carried_states_are_those_before_the_batch_and_enter_the_norms():
    model = compiled([SimpleRNN(3, "linear", stateful=True)], scale=0.5)
    x, y = np.random.default_rng(0).normal(size=(20, STEPS, 2)).astype("f4"), np.zeros((20, 1), "f4")
    y[11] = 3e38  # in the third batch
    twin = compiled([SimpleRNN(3, "linear", stateful=True)], scale=0.5)
    twin.fit(x[:10], y[:10], batch_size=5, shuffle=False, verbose=0)
    error = diverge(model, x, y, batch_size=5, shuffle=False)
    assert error.batch == 2
    assert [h.tobytes() for h in model.states.values()] == [h.tobytes() for h in twin.states.values()]
    before = twin.states["simple_rnn/h"].astype("f8")
    wanted = linear_rnn(twin)(x[10:15].astype("f8"), y[10:15].astype("f8"), before)
    np.testing.assert_allclose(error.state_norms["simple_rnn"], wanted[0], rtol=1e-9)
    np.testing.assert_allclose(error.gradient_norms["simple_rnn"], wanted[1], rtol=1e-9)


@pytest.mark.parametrize("layer", [SimpleRNN(3, "relu"), LSTM(3, "relu"), GRU(3, "relu", reset_after=False)])
def test_a_report_fits_into_80_columns(layer):
    steps = 60
    layers = [type(layer)(**layer.config() | {"name": "first", "return_sequences": True}), layer, Dense(1)]
    model = random_model(layers, (steps, 1), seed=1, dtype="float32", scale=3.0)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(6, steps, 1))
    error = diverge(model, x, 1e30 * x[:, 0])
    text = error.report()
    assert max(map(len, text.splitlines())) <= 80 and "\t" not in text
    assert list(error.gradient_norms) == list(error.state_norms) == ["first", layer.name]
    assert text.count("norm of dL/dh") == text.count("norm of the state h") == 2
    assert all(len(norms) == steps for norms in error.gradient_norms.values())
    assert "step 60" in text and "step  1" in text


def test_without_memory_for_the_batch_once_more_the_report_says_so(monkeypatch):
    model = compiled([SimpleRNN(2, "linear")])
    error = diverge(model, np.ones((4, STEPS, 2)), np.full(4, 3e38))

    def refuse(*arguments):
        raise NotEnoughMemoryError("1 GB of memory could not be had.", 10**9)

    monkeypatch.setattr("nbrnn.postmortem.cpu.Executor", refuse)
    assert error.report().endswith("The batch was not run again:\n1 GB of memory could not be had.")


def test_a_loss_that_alone_overflows_is_told_as_the_loss():
    targets = np.full((4, 1), 1e20, "f4")  # finite, but their squares are not
    error = diverge(compiled([SimpleRNN(2, "tanh")]), np.ones((4, STEPS, 2)), targets)
    assert (error.buffer, error.layer, error.step) == ("stats", "", None)
    assert "the first such number stands in the loss itself (what the network put out is finite, but it" in str(error)
    assert "stats" not in str(error) + error.report() and max(map(len, error.report().splitlines())) <= 80


def test_a_model_without_recurrent_layers_has_a_short_report():
    model = nbrnn.Sequential([Dense(1)], input_shape=(2,), seed=0)
    model.compile(nbrnn.SGD(3e38), "mse")
    error = diverge(model, np.ones((4, 2)), np.full(4, 50.0))
    assert (error.layer, error.step, error.gate) == ("", None, None) and error.gradient_norms == {}
    assert len(error.report().splitlines()) < 4


def test_one_batch_that_diverges_tells_as_much():
    model = compiled([SimpleRNN(2, "linear")])
    with pytest.raises(DivergedError) as raised, np.errstate(all="ignore"):
        model.train_on_batch(np.ones((4, STEPS, 2)), np.full(4, 3e38))
    assert len(raised.value.gradient_norms["simple_rnn"]) == STEPS
