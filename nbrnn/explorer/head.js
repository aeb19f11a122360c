"use strict";
// What stands above the cell: the output, the loss' slope by it, and what a Dense layer there hands down.
const Head = (() => {
  const { fmt, inner } = Dom;
  const { activation } = Formulas;
  const { range, number, plain, term } = Formulas.parts;
  const total = (v) => v.reduce((a, b) => a + b, 0);
  const LARGE = 300; // logits beyond it would overflow as powers of e; all are shown less the largest then

  const logits = (at) => at.run.layers[at.headPlace].steps[at.seenAt()].a;
  const outputs = (at) => at.run.layers[at.outPlace].steps[at.seenAt()].y;
  const slopes = (at) => at.run.layers[at.headPlace].backward[at.seenAt()].da;
  const out = (at, k) => ({ v: outputs(at)[k], ref: at.outRef(k), name: at.outName(k) });
  const slope = (at, k) => ({ v: slopes(at)[k], ref: `dy@${at.t}:${k}`, name: `da of ${at.outName(k)}` });
  const logit = (at, k) => ({ v: logits(at)[k], ref: `ay@${at.t}:${k}`, name: `a of ${at.outName(k)}` });

  // ---------------------------------------------------------------- forward

  function softmaxLines(at, k, first) {
    const a = logits(at),
      top = Math.max(...a),
      shift = top > LARGE ? top : 0;
    const power = (j) => ({
      v: Math.exp(a[j] - shift),
      text: `e^${inner(a[j] - shift)}`,
      ref: `ay@${at.t}:${j}`,
      name: `e^a[${j + 1}]`,
    });
    const sum = total(a.map((v) => Math.exp(v - shift)));
    const all = { ...plain(sum), name: "Σ e^a" };
    return [
      first,
      {
        label: "Σ e^a",
        eq: shift ? `over all outputs, each a less the largest, ${fmt(top)}` : "over all outputs",
        terms: range(a.length).map((j) => term(power(j))),
        result: all,
      },
      {
        label: at.outName(k),
        eq: "softmax: e^a / Σ e^a",
        terms: [term(power(k), { v: 1 / sum, text: `1/${inner(sum)}`, ref: null, name: "1/Σ e^a" })],
        result: out(at, k),
      },
    ];
  }

  function outputLines(at, k) {
    const L = at.head,
      s = at.run.layers[at.headPlace].steps[at.seenAt()],
      act = activation(at.act);
    const terms = range(at.H).map((j) => term(at.given(j), at.weight("W", at.row(j), k, L)));
    if (at.flat && at.T > 1 && at.L.sequences) {
      const own = total(terms.map(({ factors: [h, w] }) => h.v * w.v));
      terms.push(term(plain(s.xW[k] - own, null, "the other steps")));
    }
    if (L.b) terms.push(term(at.weight("b", null, k, L)));
    const first = {
      label: act ? logit(at, k).name : at.outName(k),
      eq: at.flat ? "all h, side by side, W + b" : "h W + b",
      terms,
      result: act ? logit(at, k) : out(at, k),
    };
    if (at.act === "softmax") return softmaxLines(at, k, first);
    const last = { label: at.outName(k), eq: `${act}(a)`, wrap: act, terms: [term(logit(at, k))], result: out(at, k) };
    return act ? [first, last] : [first];
  }

  // ---------------------------------------------------------------- backward

  /** What the loss compares at this step: output, target, and by how many numbers it divides. */
  function compared(at) {
    const { output, mask } = at.run,
      row = at.above ? at.seenAt() : output.length - (at.T - at.t);
    const { loss } = at.model,
      y = output[row],
      given = at.model.target[row];
    return {
      row,
      y,
      loss,
      counts: !mask || mask[row],
      target: Losses.isShares(loss) ? Losses.shares(loss, given, y.length) : given,
      count: Losses.countOf(output, mask) * (Losses.isClasses(loss) ? 1 : y.length),
    };
  }
  const goal = (at, k, v) => ({ v, ref: `target:${at.seenAt() ?? 0}:${k}`, name: `${at.goal}[${k + 1}]` });
  const divided = (count) => (count > 1 ? [plain(1 / count, `1/${count}`)] : []);
  const minus = (f) => ({ ...f, v: -f.v, name: `−${f.name}` });

  /** The terms p − y, where p may be softmax or σ of what is compared. */
  function difference(at, k, p) {
    const { target, count, loss } = compared(at),
      sum = Losses.isClasses(loss) ? total(target) : 1;
    const more = Math.abs(sum - 1) > 1e-15 ? [{ ...plain(sum), name: `Σ ${at.goal}` }] : [];
    return [term(p, ...more, ...divided(count)), term(minus(goal(at, k, target[k])), ...divided(count))];
  }

  function lossTerms(at, k, v) {
    const { y, target, loss, count } = compared(at),
      { name, delta } = loss;
    if (loss.from_logits) {
      const classes = Losses.isClasses(loss),
        p = classes ? Losses.softmax(y)[k] : Losses.sigmoid(y[k]),
        of = classes ? `softmax(${at.out})[${k + 1}]` : `σ(${at.outName(k)})`;
      return difference(at, k, { v: p, ref: at.outRef(k), name: of });
    }
    const e = {
      v: y[k] - target[k],
      text: `(${fmt(y[k])} − ${inner(target[k])})`,
      ref: at.outRef(k),
      name: `(${at.out} − ${at.goal})`,
    };
    if (name === "mse") return [term(plain(2, "2"), e, ...divided(count))];
    if (name === "mae") return [term({ ...e, v: Math.sign(e.v), text: `sign${e.text}` }, ...divided(count))];
    if (name === "huber")
      return [
        term({ ...e, v: v * count, text: `${fmt(v * count)}, from −${delta} to ${delta}` }, ...divided(count)),
      ];
    if (v === 0 && e.v !== 0) return [];
    if (name === "binary_crossentropy")
      return [term(e, { ...plain(1 / (y[k] * (1 - y[k]))), name: `1/(p (1 − p))` }, ...divided(count))];
    return [term({ ...plain(v), name: `slope of −Σ ${at.goal} ln p` })];
  }

  function lossSlope(at, k) {
    const { row, counts, loss } = compared(at),
      v = at.run.dout[row][k];
    const own = { label: `dL/d${at.outName(k)}`, result: number("dy", at.t, k, v) };
    if (!counts) return { ...own, eq: "masked: the loss leaves this row out", terms: [] };
    const terms = lossTerms(at, k, v);
    const eq = loss.from_logits ? `p − ${at.goal}, p made by the loss` : `the slope of ${loss.name}`;
    return { ...own, eq: terms.length ? eq : "0: the probability is held at the loss' limit", terms };
  }

  /** Where loss and activation together hand back p − y. */
  function fused(at, k) {
    const { loss, counts, y } = compared(at);
    if (!counts || !Losses.isShares(loss) || loss.from_logits || at.run.fault === "slope") return null;
    if (at.act !== (Losses.isClasses(loss) ? "softmax" : "sigmoid")) return null;
    const terms = difference(at, k, { v: y[k], ref: at.outRef(k), name: at.outName(k) });
    const v = total(terms.map(({ factors }) => factors.reduce((a, f) => a * f.v, 1)));
    return Math.abs(v - slopes(at)[k]) <= 1e-12 ? terms : null; // not where a probability is held
  }

  /** The gradient before the head's activation, output k. */
  function slopeLines(at, k) {
    const own = { label: slope(at, k).name, result: slope(at, k) },
      both = fused(at, k);
    if (both) {
      const what = at.act === "softmax" ? "softmax" : "sigmoid";
      return [{ ...own, eq: `p − y: ${what} and cross-entropy together`, terms: both }];
    }
    const first = lossSlope(at, k),
      y = outputs(at),
      dy = at.run.layers[at.outPlace].backward[at.seenAt()].dy;
    if (at.act === "linear") return [{ ...first, ...own, terms: first.terms }];
    if (!compared(at).counts) return [{ ...own, eq: first.eq, terms: [] }];
    const of = number("dy", at.t, k, dy[k]);
    of.name = `dL/d${at.outName(k)}`;
    if (at.run.fault === "slope") return [first, { ...own, eq: "the activation's slope is forgotten", terms: [term(of)] }];
    if (at.act !== "softmax") {
      const s = { v: Engine.SLOPE[at.act](y[k]), ref: at.outRef(k), name: `slope of ${at.act}` };
      return [first, { ...own, eq: `${of.name} · slope of ${at.act}`, terms: [term(of, s)] }];
    }
    const pulled = y.map((p, m) =>
      term(minus(out(at, k)), out(at, m), { ...plain(dy[m]), name: `dL/d${at.outName(m)}` }),
    );
    return [first, { ...own, eq: "p (dL/dp − Σ p dL/dp), softmax' slope", terms: [term(out(at, k), of), ...pulled] }];
  }

  /** The loss of one number, or of one row of classes, with its numbers. */
  function lossInNumbers({ loss, target }, output) {
    const [y, t] = [output[0], target[0]];
    if (output.length === 1 && y.length === 1 && loss.name === "mse") return `(${fmt(y[0])} − ${inner(t[0])})² = `;
    if (output.length > 1 || !Losses.isClasses(loss) || loss.from_logits) return "";
    const right = Losses.shares(loss, t, y.length).indexOf(1); // none of smoothed targets
    return right < 0 ? "" : `−ln ${fmt(y[right])} = `;
  }

  return { lossInNumbers, outputLines, lossSlope, slopeLines, compared, logits, outputs, slopes, out, slope, logit };
})();
