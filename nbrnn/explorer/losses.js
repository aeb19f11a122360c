"use strict";
// The losses of the engine: of one row of outputs its value and slope, of all rows that count their mean.
const Losses = (() => {
  const LEAST = 1e-7; // what probabilities are held from 0 and 1
  const zip = (u, v, f) => u.map((a, k) => f(a, v[k]));
  const total = (v) => v.reduce((a, b) => a + b, 0);
  const hold = (p) => Math.min(1 - LEAST, Math.max(LEAST, p));
  const inside = (p) => p >= LEAST && p <= 1 - LEAST;
  const sigmoid = (z) => 1 / (1 + Math.exp(-z));

  function softmax(a) {
    const top = Math.max(...a),
      e = a.map((v) => Math.exp(v - top)),
      sum = total(e);
    return e.map((v) => v / sum);
  }
  /** The gradient of softmax' inputs from its outputs. */
  function softmaxBack(y, dy) {
    const pulled = total(zip(y, dy, (p, d) => p * d));
    return zip(y, dy, (p, d) => p * (d - pulled));
  }

  // The targets of a row as shares, smoothed.
  function shares(loss, targets, classes) {
    const s = loss.label_smoothing || 0;
    if (loss.name === "binary_crossentropy") return targets.map((t) => t * (1 - s) + s / 2);
    const t = isLabel(loss) ? oneHot(classes, targets[0]) : targets;
    return t.map((v) => v * (1 - s) + s / classes);
  }
  const oneHot = (classes, c) => [...new Array(classes).keys()].map((k) => (k === c ? 1 : 0));
  const isLabel = (loss) => loss.name === "sparse_categorical_crossentropy";
  const isClasses = (loss) => loss.name.endsWith("categorical_crossentropy");
  const isShares = (loss) => loss.name.endsWith("crossentropy");

  const each = (value, slope) => (y, t, loss) => ({
    value: total(zip(y, t, (a, b) => value(a - b, loss.delta))) / y.length,
    slope: zip(y, t, (a, b) => slope(a - b, loss.delta) / y.length),
  });

  function binary(y, targets, loss) {
    const t = shares(loss, targets),
      n = y.length;
    if (loss.from_logits) {
      const one = (z, b) => Math.max(z, 0) - z * b + Math.log1p(Math.exp(-Math.abs(z)));
      return { value: total(zip(y, t, one)) / n, slope: zip(y, t, (z, b) => (sigmoid(z) - b) / n) };
    }
    return {
      value: -total(zip(y.map(hold), t, (p, b) => b * Math.log(p) + (1 - b) * Math.log(1 - p))) / n,
      slope: zip(y, t, (p, b) => (inside(p) ? (p - b) / (p * (1 - p)) / n : 0)),
    };
  }

  function classes(y, targets, loss) {
    const t = shares(loss, targets, y.length);
    if (loss.from_logits) {
      const top = Math.max(...y),
        log = Math.log(total(y.map((z) => Math.exp(z - top)))),
        q = softmax(y),
        sum = total(t);
      return {
        value: total(zip(y, t, (z, b) => -b * (z - top))) + sum * log,
        slope: zip(q, t, (p, b) => p * sum - b),
      };
    }
    const sum = total(y),
      q = y.map((p) => p / sum),
      pulled = total(zip(q, t, (p, b) => (inside(p) ? -b : 0)));
    return {
      value: total(zip(q, t, (p, b) => (b === 0 ? 0 : -b * Math.log(hold(p))))),
      slope: zip(q, t, (p, b) => ((inside(p) ? -b / p : 0) - pulled) / sum),
    };
  }

  const ROW = {
    mse: each(
      (e) => e * e,
      (e) => 2 * e,
    ),
    mae: each(Math.abs, Math.sign),
    huber: each(
      (e, d) => (Math.abs(e) <= d ? (e * e) / 2 : d * (Math.abs(e) - d / 2)),
      (e, d) => Math.max(-d, Math.min(d, e)),
    ),
    binary_crossentropy: binary,
    categorical_crossentropy: classes,
    sparse_categorical_crossentropy: classes,
  };

  const countOf = (output, mask) => (mask ? mask.filter(Boolean).length : output.length);

  /** The loss of all rows that count, and its slope by every output. */
  function of(output, target, loss, mask) {
    const count = Math.max(1, countOf(output, mask)),
      rows = output.map((y, k) => ROW[loss.name](y, target[k], loss));
    const counts = (k) => !mask || mask[k];
    return {
      value: total(rows.map((row, k) => (counts(k) ? row.value : 0))) / count,
      slope: rows.map((row, k) => row.slope.map((v) => (counts(k) ? v / count : 0))),
    };
  }

  /** Why a number cannot be a target, or an empty text. */
  function refuses(loss, outputs, v) {
    if (isLabel(loss) && (!Number.isInteger(v) || v < 0 || v >= outputs))
      return `needs a class, a whole number from 0 to ${outputs - 1}`;
    return isShares(loss) && (v < 0 || v > 1) && !isLabel(loss) ? "needs a number from 0 to 1" : "";
  }

  return { of, countOf, shares, softmax, softmaxBack, sigmoid, isLabel, isClasses, isShares, refuses };
})();
