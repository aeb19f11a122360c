"""Learning-rate schedules: what they are called with, where they begin, and that they go on after a break."""

import json

import numpy as np
import pytest
import reference_optim
from hypothesis import given
from hypothesis import strategies as st
from reference import STEP
from support import random_data, random_model

import nbrnn
from nbrnn import SGD, Adam, Dense
from nbrnn import schedules as module
from nbrnn.kernels import KERNELS

KINDS = {kind.kernel: kind for kind in module.SCHEDULES.values()}


@pytest.mark.parametrize("kernel", sorted(KINDS))
@given(data=st.data())
def test_a_schedule_is_its_formula_and_its_description_makes_it_again(kernel, data):
    numbers = [data.draw(numbers) for numbers in reference_optim.SCHEDULED[kernel]]
    if kernel == "piecewise_constant_decay":
        boundaries = sorted(set(numbers[:3]))
        numbers = boundaries, numbers[3 : 4 + len(boundaries)]
    elif kernel == "cosine_decay":
        numbers[3:] = [None] if numbers[3] < 0 else numbers[3:]
    elif kernel != "cosine_decay_restarts":
        switches = {"polynomial_decay": 4, "exponential_decay": 3, "inverse_time_decay": 3}
        numbers[switches[kernel]] = bool(numbers[switches[kernel]])
    schedule, step = KINDS[kernel](*numbers), data.draw(st.integers(0, 200), "step")
    control = np.zeros(8, np.int64)
    control[STEP] = step
    twin = getattr(reference_optim, kernel)(schedule.numbers(), control, 0, np.zeros(1))["hyper"][0]
    assert schedule(step) == pytest.approx(twin, rel=1e-9, abs=1e-12)
    assert module.get(json.loads(json.dumps(schedule.described()))) == schedule
    assert eval(repr(schedule), vars(module)) == schedule


def rates(model, x, y, **how):
    """Return the rates of a fit of single batches, read where the step reads them."""
    seen = []
    for _ in range(how["steps"]):
        model.train_on_batch(x, y)
        seen.append(float(model._slots["hyper"][0]))
    return seen


def compiled(schedule, optimizer=SGD):
    model = random_model([Dense(1)], (3,), seed=0, dtype="float64")
    model.compile(optimizer(schedule), "mse")
    return model, *random_data(model, 4, 0)


@pytest.mark.parametrize(
    "schedule",
    [
        nbrnn.ExponentialDecay(0.1, 3, 0.5, staircase=True),
        nbrnn.InverseTimeDecay(0.1, 3, 0.5),
        nbrnn.PolynomialDecay(0.1, 3, cycle=True),
        nbrnn.PiecewiseConstantDecay([0, 2], [0.3, 0.2, 0.1]),
        nbrnn.CosineDecay(0.01, 4, 0.1, 0.1, 2),
        nbrnn.CosineDecayRestarts(0.1, 2, 1.5),
    ],
    ids=repr,
)
def test_every_step_takes_its_rate_and_compiling_begins_anew(schedule, tmp_path):
    model, x, y = compiled(schedule)
    wanted = [pytest.approx(schedule(step), rel=1e-12) for step in range(8)]
    assert rates(model, x, y, steps=4) == wanted[:4]
    model.save(tmp_path / "m")
    assert rates(model, x, y, steps=4) == wanted[4:]
    assert rates(nbrnn.load_model(tmp_path / "m"), x, y, steps=4) == wanted[4:]
    model.compile(SGD(schedule), "mse")
    assert model.steps == 8 and rates(model, x, y, steps=3) == wanted[:3]
    model.save(tmp_path / "m")
    assert rates(nbrnn.load_model(tmp_path / "m"), x, y, steps=3) == wanted[3:6]


def test_a_fit_of_many_epochs_takes_the_rates_of_its_steps():
    schedule = nbrnn.ExponentialDecay(0.2, 5, 0.6)
    model, x, y = compiled(schedule)
    model.fit(x, y, batch_size=2, epochs=5, verbose=0, shuffle=False)
    twin, *_ = compiled(0.1)
    for step in range(10):
        twin.optimizer.learning_rate = schedule(step)
        half = slice(0, 2) if step % 2 == 0 else slice(2, 4)
        twin.train_on_batch(x[half], y[half])
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def test_a_schedule_stands_where_the_learning_rate_does():
    schedule = nbrnn.CosineDecay(0.1, 10)
    optimizer = Adam(schedule)
    assert optimizer.learning_rate is schedule and optimizer.schedule is schedule
    assert "learning_rate=CosineDecay(initial_learning_rate=0.1" in repr(optimizer)
    with pytest.raises(ValueError, match="follows CosineDecay and cannot be set"):
        optimizer.learning_rate = 0.1
    with pytest.raises(ValueError, match="must be given when the optimizer is made"):
        Adam().learning_rate = schedule


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nbrnn.ExponentialDecay(0.1, 0, 0.5), "decay_steps must be a whole number of at least 1, not 0"),
        (lambda: nbrnn.ExponentialDecay(0, 1, 0.5), "initial_learning_rate must be a number above 0, not 0"),
        (lambda: nbrnn.ExponentialDecay(0.1, 1, 0.5, 1), "staircase must be True or False, not 1"),
        (lambda: nbrnn.PolynomialDecay(0.1, 5, power=0), "power must be a number above 0, not 0"),
        (lambda: nbrnn.PiecewiseConstantDecay([2, 2], [1, 2, 3]), "boundaries must increase, not [2, 2]"),
        (lambda: nbrnn.PiecewiseConstantDecay([2], [1, 2, 3]), "there are 3 values for 1 boundaries"),
        (lambda: nbrnn.PiecewiseConstantDecay(2, [1, 2]), "boundaries must be a list, not 2"),
        (lambda: nbrnn.CosineDecay(0.1, 5, warmup_steps=2), "warmup_steps need a warmup_target"),
        (lambda: nbrnn.CosineDecayRestarts(0.1, 5, t_mul=0.5), "t_mul must be a number of at least 1, not 0.5"),
        (lambda: nbrnn.CosineDecay(0.1, 5)(-1), "step must be a whole number of at least 0, not -1"),
        (lambda: SGD({"class": "CosineDecai"}), "did you mean 'CosineDecay'?"),
        (lambda: SGD({"class": "CosineDecay", "config": {"slow": 1}}), "learning_rate: CosineDecay cannot be made of"),
        (lambda: SGD("fast"), "learning_rate must be a number above 0, not 'fast'"),
    ],
)
def test_bad_settings_are_refused(make, words):
    with pytest.raises(ValueError) as caught:
        make()
    assert words in str(caught.value)


def test_every_schedule_has_a_kernel_and_a_public_name():
    assert set(KINDS) == set(reference_optim.SCHEDULED) <= set(KERNELS)
    assert all(getattr(nbrnn, name) is kind for name, kind in module.SCHEDULES.items())
