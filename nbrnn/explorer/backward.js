"use strict";
// What flows back, as formulas: what each step receives, what it makes of it, and its share of every weight's gradient.
const Backward = (() => {
  const { sub, nth } = Dom;
  const { At, label } = Formulas;
  const { range, plain, term, rest, line, inner, remainder } = Formulas.parts;

  const NO_OUTPUT = "masked: no output of this step is read";
  const FEW = 3; // outputs whose own gradients are made in the lines before

  // act'(a) as it is written with y = act(a)
  function slopeFactor(at, act, name, j) {
    const y = at.value(name, j);
    if (at.run.fault === "slope") return plain(1, "1", "slope forgotten");
    const v = Engine.SLOPE[act](y.v),
      s = Dom.inner(y.v);
    const text = { linear: "1", tanh: `(1 − ${s}²)`, sigmoid: `${s}·(1 − ${s})` }[act] || Dom.inner(v);
    const written = { tanh: `(1 − ${y.name}²)`, sigmoid: `${y.name}·(1 − ${y.name})` }[act] || `slope of ${act}`;
    return { v, text, ref: y.ref, name: written };
  }

  function fromLoss(at, j) {
    const own = line(at, "dh_loss", j, "", []);
    if (at.model.partial) return [{ ...own, eq: "handed down by what stands above (not on this page)" }];
    if (!at.above) {
      const seen = at.t >= at.T - at.run.output.length;
      if (!seen) return [{ ...own, eq: "the loss does not see this step" }];
      if (!at.heard) return [{ ...own, eq: NO_OUTPUT }];
      return [{ ...Head.lossSlope(at, j), label: own.label, result: own.result }];
    }
    const t = at.seenAt();
    if (t === null) return [{ ...own, eq: "the loss does not see this step: only what comes later does" }];
    if (!at.heard) return [{ ...own, eq: NO_OUTPUT }];
    const name = at.above.name;
    if (!at.head && !at.above.H) {
      const { dx } = at.run.layers[at.model.shown + 1].backward[t];
      const d = Array.isArray(dx[0]) ? dx[at.t][j] : dx[j];
      return [{ ...own, eq: `what ${name} hands down`, terms: [term({ ...plain(d), name: `dx of ${name}` })] }];
    }
    if (!at.head) {
      const { da } = at.run.layers[at.model.shown + 1].backward[t];
      const terms = da.map((d, k) => term({ ...plain(d), name: `da of ${name}` }, at.weight("Wx", j, k, at.above)));
      return [{ ...own, eq: `what ${name} hands down: da Wxᵀ`, terms }];
    }
    const da = Head.slopes(at),
      lines = at.ends && da.length <= FEW ? range(da.length).flatMap((k) => Head.slopeLines(at, k)) : [];
    const terms = da.map((_, k) => term(Head.slope(at, k), at.weight("W", at.row(j), k, at.head)));
    return [...lines, { ...own, eq: `what ${at.head.name} hands down: da Wᵀ`, terms }];
  }

  // dh that step t + 1 computed and hands to step t, taken apart
  function fromFuture(at, j) {
    const own = line(at, "dh_future", j, "", []);
    if (at.t + 1 === at.T) {
      return [
        {
          ...own,
          eq:
            at.model.partial && at.L.dh_end
              ? "handed back by the steps that are not shown"
              : "0: there is no later step",
        },
      ];
    }
    if (at.run.fault === "future") return [{ ...own, eq: "left out: the backward pass is broken" }];
    const next = new At(at.model, at.run, at.t + 1),
      H = at.H,
      L = at.L;
    if (next.step.masked)
      return [{ ...own, eq: `dh of step ${nth(at.t + 1)}, which is masked: it goes on as it is`, terms: [term(next.value("dh", j))] }];
    const through = (name, from, to) =>
      range(to - from).map((k) => term(next.value(name, from + k), at.weight("Wh", j, from + k)));
    const others = rest(next, "future", j);
    const step = `step ${nth(at.t + 1)}`;
    if (L.kind !== "GRU")
      return [
        { ...own, eq: `da of ${step}, back through Whᵀ`, terms: [...through("da", 0, at.gates.length * H), ...others] },
      ];
    const straight = term(next.value("dh", j), next.value("z", j));
    if (L.after)
      return [{ ...own, eq: `dh · z of ${step} + dq Whᵀ`, terms: [straight, ...through("dq", 0, 3 * H), ...others] }];
    const m = {
      label: label("dm", at.t + 1, j),
      eq: "da n Whᵀ: what reaches r · h",
      terms: [...through("da", 2 * H, 3 * H), ...rest(next, "m", j)],
      result: next.value("dm", j),
    };
    return [
      m,
      {
        ...own,
        eq: `dh · z + dm · r of ${step} + da Whᵀ`,
        terms: [straight, term(next.value("dm", j), next.value("r", j)), ...through("da", 0, 2 * H), ...others],
      },
    ];
  }

  const bothWays = (at, j) => [
    line(at, "dh", j, "from the loss + from the future", [
      term(at.value("dh_loss", j)),
      term(at.value("dh_future", j)),
    ]),
  ];

  function gateBack(at, gate, j, factors, eq, before = []) {
    const g = at.gates.indexOf(gate),
      act = gate === "n" ? at.L.act : at.L.gate,
      c = g * at.H + j;
    const d = `d${gate}`,
      a = at.value("da", c);
    return [
      ...before,
      line(at, d, j, eq, [term(...factors)]),
      {
        label: a.name,
        eq: `d${gate} · slope of ${act}`,
        terms: [term(at.value(d, j), slopeFactor(at, act, gate, j))],
        result: a,
      },
    ];
  }

  // What a step hands back is what the one before it receives from the future.
  const handedBack = (at, j) =>
    fromFuture(new At(at.model, at.run, at.t - 1), j).map((one) => ({
      ...one,
      label: one.label.replace(/^dh\S* from the future/, `dh handed back to step ${nth(at.t - 1)}`),
    }));
  const COMMON_BACK = { dh_loss: fromLoss, dh_future: fromFuture, dh: bothWays, dh_prev: handedBack };
  const ROWS = {
    SimpleRNN: {
      ...COMMON_BACK,
      da: (at, j) => [
        ...bothWays(at, j),
        line(at, "da", j, `dh · slope of ${at.L.act}`, [term(at.value("dh", j), slopeFactor(at, at.L.act, "h", j))]),
      ],
    },
    LSTM: {
      ...COMMON_BACK,
      dc_here: (at, j) => [
        line(at, "ds", j, "dh · o", [term(at.value("dh", j), at.value("o", j))]),
        line(at, "dc_here", j, `ds · slope of ${at.L.act}`, [
          term(at.value("ds", j), slopeFactor(at, at.L.act, "s", j)),
        ]),
      ],
      dc_future: (at, j) => {
        const own = line(at, "dc_future", j, "0: there is no later step", []);
        if (at.t + 1 === at.T) return [own];
        const next = new At(at.model, at.run, at.t + 1);
        if (next.step.masked)
          return [{ ...own, eq: `dc of step ${nth(at.t + 1)}, which is masked: it goes on as it is`, terms: [term(next.value("dc", j))] }];
        return [
          {
            ...own,
            eq: `dc · f of step ${nth(at.t + 1)}: no product of weights in between`,
            terms: [term(next.value("dc", j), next.value("f", j))],
          },
        ];
      },
      dc: (at, j) => [
        line(at, "dc", j, "from dh + from the future", [term(at.value("dc_here", j)), term(at.value("dc_future", j))]),
      ],
      da_i: (at, j) => gateBack(at, "i", j, [at.value("dc", j), at.value("n", j)], "dc · n"),
      da_f: (at, j) => gateBack(at, "f", j, [at.value("dc", j), at.value("c_prev", j)], "dc · c before"),
      da_n: (at, j) => gateBack(at, "n", j, [at.value("dc", j), at.value("i", j)], "dc · i"),
      da_o: (at, j) => gateBack(at, "o", j, [at.value("dh", j), at.value("s", j)], "dh · s"),
    },
    GRU: {
      ...COMMON_BACK,
      da_z: (at, j) => {
        const h = at.value("h_prev", j),
          n = at.value("n", j);
        const gap = {
          ...h,
          v: h.v - n.v,
          text: `(${Dom.fmt(h.v)} − ${Dom.inner(n.v)})`,
          name: `(${h.name} − ${n.name})`,
        };
        return gateBack(at, "z", j, [at.value("dh", j), gap], "dh · (h before − n)");
      },
      da_n: (at, j) => {
        const z = at.value("z", j);
        return gateBack(at, "n", j, [at.value("dh", j), remainder(z)], "dh · (1 − z)");
      },
      da_r: (at, j) => {
        const c = 2 * at.H + j;
        if (at.L.after) return gateBack(at, "r", j, [at.value("da", c), inner(at, c, j)], "da n · q");
        const m = {
          label: label("dm", at.t, j),
          eq: "da n Whᵀ",
          terms: [
            ...range(at.H).map((k) => term(at.value("da", 2 * at.H + k), at.weight("Wh", j, 2 * at.H + k))),
            ...rest(at, "m", j),
          ],
          result: at.value("dm", j),
        };
        return gateBack(at, "r", j, [at.value("dm", j), at.value("h_prev", j)], "dm · h before", [m]);
      },
    },
  };

  const HELD = { ...COMMON_BACK, dc_future: ROWS.LSTM.dc_future };
  const rowsOf = (at) => (at.step.masked ? HELD : ROWS[at.L.kind]);

  /** What step t adds to the gradient of a weight, in a broken pass too. */
  function shareOf(at, name, r, c, t) {
    const A = at.layer.backward[t][`d${name}`],
      v = r === null ? A[c] : A[r][c],
      fault = at.run.fault;
    return fault === "last" && t + 1 < at.T ? 0 : fault === "twice" ? 2 * v : v;
  }

  /** One step's share of a weight's gradient, and the sum of the shares so far. */
  function shareLines(at, name, r, c) {
    const L = at.L,
      gru = L.kind === "GRU",
      d = `d${name}`;
    const late = gru && L.after && (name === "Wh" || (name === "b" && r === 1)) ? "dq" : "da";
    const masked = at.step.masked;
    const seen =
      masked || name === "b" ? null : name === "Wx"
        ? at.value("x", r)
          : at.value(gru && !L.after && c >= 2 * at.H ? "rh" : "h_prev", r);
    const back = at.value(late, c),
      of = (t) => shareOf(at, name, r, c, t);
    const title = at.weightName(name, r, c),
      shown = range(at.T - at.t).map((k) => at.T - 1 - k);
    const share = {
      label: `step ${nth(at.t)}'s share of d${title}`,
      eq: masked ? "the step is masked and adds nothing" : seen ? "what came in · da" : "da",
      terms: masked ? [] : [term(...(seen ? [seen] : []), back)],
      result: plain(of(at.t)),
    };
    const terms = shown.map((t) => term({ ...plain(of(t)), ref: `step@${t}`, name: `step ${nth(t)}` }));
    const out = L.outside && L.outside[d] ? (r === null ? L.outside[d][c] : L.outside[d][r][c]) : 0;
    if (out) terms.unshift(term(plain(out, null, "other steps")));
    return [
      share,
      {
        label: `d${title}${at.t ? " so far" : ", the total"}`,
        eq: at.t
          ? `a term a step, from ${nth(at.T - 1)} down to ${nth(at.t)}`
          : "a term a step: the same weight was used in every step",
        terms,
        result: plain(terms.reduce((sum, one) => sum + one.factors[0].v, 0)),
      },
    ];
  }

  return { rowsOf, shareOf, shareLines };
})();
