"""Fans: the paths of several seeds or of dropout, their bands, and how often what came lay within them."""

import numpy as np
import pytest
from forecast_models import fitted

import nbrnn
from nbrnn.fans import Fan, measure_coverage


def test_a_dropout_path_keeps_one_mask_and_the_seed_decides_all_of_them():
    forecaster, _ = fitted(dropout=0.5)
    one, again, other = (forecaster.fan(6, samples=20, seed=s).paths for s in (1, 1, 2))
    assert one.shape == (20, 6, 1) and one.tobytes() == again.tobytes() and one.tobytes() != other.tobytes()
    assert len(np.unique(one[:, 0, 0])) >= 5  # of 2^3 masks
    # a path is the closed loop of predictions under its own mask
    model, window = forecaster.model, forecaster.scaler.transform(forecaster.tail.values)[None]
    windows = np.repeat(window, 20, axis=0)
    for s in range(6):
        out = model.predict(windows, training=True, seed=1)
        np.testing.assert_allclose(forecaster.scaler.inverse_transform(out)[:, 0], one[:, s, 0], rtol=1e-12)
        windows = np.concatenate([windows[:, 1:], out[:, None]], axis=1)


def test_an_ensemble_with_dropout_has_the_paths_of_each_model():
    forecaster, _ = fitted(dropout=0.3, seeds=(0, 1))
    fan = forecaster.fan(4, samples=7)
    assert fan.paths.shape == (14, 4, 1) and forecaster.fan(4).paths.shape == (200, 4, 1)
    assert forecaster.fan(4, samples=0).paths.shape == (2, 4, 1)


def test_the_same_bits_for_any_number_of_threads():
    forecaster, _ = fitted(dropout=0.3)
    before = nbrnn.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            nbrnn.set_num_threads(threads)
            found.append(forecaster.fan(5, samples=300).paths.tobytes())
    finally:
        nbrnn.set_num_threads(before)
    assert found[0] == found[1]


def test_the_band_holds_the_middle_of_the_paths():
    paths = np.random.default_rng(0).permuted(np.arange(101.0)[:, None, None] * np.ones((1, 3, 2)), axis=0)
    low, high = Fan(paths, ("a", "b")).band(0.8)
    assert low == pytest.approx(10) and high == pytest.approx(90)
    low, high = Fan(paths, ("a", "b")).band(1)
    assert (low == 0).all() and (high == 100).all()
    for level in (0, 1.5, "most"):
        with pytest.raises(ValueError, match="level must be a number above 0 and at most 1"):
            Fan(paths, ("a", "b")).band(level)


def test_the_coverage_is_the_share_of_values_within_the_band():
    forecaster, table = fitted(dropout=0.4, seeds=(0, 1))
    rows = table[50:]
    found = measure_coverage(forecaster, rows, steps=3, level=0.5, samples=9, seed=4)
    origins = forecaster.origins(rows, 3)
    paths = forecaster.paths(origins, 3, 9, 4)
    hits = np.zeros((3, 1))
    for n in range(len(paths)):
        low, high = np.quantile(paths[n], [0.25, 0.75], axis=0)
        actual = rows.values[5 + n : 8 + n]
        hits += (low <= actual) & (actual <= high)
    np.testing.assert_allclose(found.by_step, hits / len(paths))
    assert found.origins == len(paths) == 23 and found.overall == pytest.approx(hits.mean() / 23)


def test_a_coverage_takes_at_most_50_origins():
    forecaster, table = fitted(seeds=(0, 1), rows=120)
    assert measure_coverage(forecaster, table, 2).origins == 50


def test_one_path_is_no_fan():
    forecaster, table = fitted()
    with pytest.raises(ValueError, match="one model without dropout gives one path and no fan"):
        measure_coverage(forecaster, table, 2)
