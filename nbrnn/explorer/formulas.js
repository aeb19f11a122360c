"use strict";
// What each cell computes forward, as formulas whose every term knows where its factors come from.
const Formulas = (() => {
  const { sub, nth, unit } = Dom;
  const range = (n) => [...new Array(n).keys()];
  const GATE_WORDS = {
    i: "input gate",
    f: "forget gate",
    n: "candidate",
    o: "output gate",
    z: "update gate",
    r: "reset gate",
  };

  const TITLES = {
    dh_loss: "dh from the loss",
    dh_future: "dh from the future",
    dh_prev: "dh handed back",
    dc_here: "dc from dh",
    dc_future: "dc from the future",
  };
  const label = (name, t, j) => {
    const place = name === "x" ? j + 1 : unit(j);
    const own = name === "h_prev" ? `h${sub(t)}` : name === "c_prev" ? `c${sub(t)}` : null;
    if (TITLES[name]) return `${TITLES[name].replace(/^d[hc]/, (d) => d + sub(t + 1))} [${place}]`;
    return `${own || name.replace("_", " ") + sub(t + 1)}[${place}]`;
  };
  const ref = (name, t, j) =>
    name === "h_prev" || name === "c_prev" ? `${name[0]}@${t - 1}:${j}` : `${name}@${t}:${j}`;
  const number = (name, t, j, v) => ({ v, ref: ref(name, t, j), name: label(name, t, j) });
  const plain = (v, text, name = text) => ({ v, text, ref: null, name });
  const term = (...factors) => ({ factors });

  class At {
    constructor(model, run, t) {
      Object.assign(this, { model, run, t, L: model.layers[model.shown], above: model.layers[model.shown + 1] });
      this.layer = run.layers[model.shown];
      this.step = this.layer.steps[t];
      this.T = this.layer.steps.length;
      this.back = this.layer.backward && this.layer.backward[t];
      this.H = this.L.H;
      this.gates = Engine.CELLS[this.L.kind].gates;
    }

    weight(name, r, c, L = this.L) {
      const v = r === null ? L[name][c] : L[name][r][c];
      return { v, ref: `${L.name}/${name}:${r ?? ""}:${c}`, name: this.weightName(name, r, c, L) };
    }

    weightName(name, r, c, L = this.L) {
      const gates = L.H ? Engine.CELLS[L.kind].gates : [],
        gated = gates.length > 1;
      const gate = gated ? gates[Math.floor(c / L.H)] : "",
        j = gated ? c % L.H : c;
      const which = name === "b" && r !== null ? (r ? "bh" : "b") : name;
      const row = name === "b" ? "" : `${L.H && name === "Wx" ? r + 1 : unit(r)},`; // Wx reads features, all others units
      return `${which}${gate && " " + gate}[${row}${L.H ? unit(j) : j + 1}]`;
    }

    value(name, j, t = this.t) {
      const layer = this.layer;
      const holder = name in layer.steps[t] ? layer.steps[t] : layer.backward[t];
      const found = number(name, t, j, holder[name][j]);
      if (this.gates.length > 1 && ["a", "da", "dq"].includes(name)) {
        found.name = `${name} ${this.gates[Math.floor(j / this.H)]}${sub(t + 1)}[${unit(j % this.H)}]`;
      }
      return found;
    }

    // Which step of the layer above reads this step's h; null if none does. Flatten makes one of all.
    seenAt() {
      if (!this.above) return null;
      const count = this.L.sequences ? this.T : 1,
        k = this.t - (this.T - count);
      if (k < 0) return null;
      if (this.flat) return 0;
      return this.above.backwards ? count - 1 - k : k;
    }
    get flat() {
      return Boolean(this.above) && this.above.kind === "Flatten";
    }
    // The place of this step's unit among what the head reads
    row(j) {
      return this.flat && this.L.sequences ? this.t * this.H + j : j;
    }
    // Whether the step's state is its output; masked steps may give zeros instead
    get heard() {
      this.layer.hears = this.layer.hears || Engine.heard(this.L, this.layer.steps);
      return this.layer.hears[this.t];
    }
    given(j) {
      return this.heard ? this.value("h", j) : plain(0, null, "no output yet: 0");
    }

    // The Dense layer above, and what is pointwise above it: the output comes from there.
    get headPlace() {
      return this.model.shown + (this.flat ? 2 : 1);
    }
    get head() {
      const head = this.model.layers[this.headPlace];
      return head && head.kind === "Dense" ? head : null;
    }
    get top() {
      const next = this.model.layers[this.headPlace + 1];
      const pointwise = next && (next.kind === "Softmax" || next.kind === "Activation");
      return this.head && pointwise && this.head.act === "linear" ? next : null;
    }
    get act() {
      return (this.top || this.head).act;
    }
    get outPlace() {
      return this.headPlace + (this.top ? 1 : 0);
    }
    get ends() {
      return this.head !== null && this.outPlace + 1 === this.model.layers.length;
    }
    // Whether the output stands at this step
    get shows() {
      return this.head !== null && this.seenAt() !== null && (!this.flat || this.t + 1 === this.T);
    }

    // Whether what stands above counts here: an output of its own does not at a masked step
    get counts() {
      return !this.step.masked || !this.L.sequences || this.flat;
    }

    // The model's output by a letter of its own: probabilities are p, and an LSTM's o is a gate.
    get out() {
      const { loss } = this.model,
        shares = loss && this.ends && Losses.isShares(loss) && !loss.from_logits;
      if (shares || (this.head && this.act === "softmax")) return "p";
      return this.L.kind === "LSTM" ? "y" : "o";
    }
    get goal() {
      return this.out === "p" ? "y" : "target";
    }
    outName(k) {
      return `${this.out}${this.flat ? "" : sub(this.t + 1)}[${k + 1}]`;
    }
    outRef(k) {
      return `y@${this.flat ? this.T - 1 : this.t}:${k}`;
    }
  }

  const activation = (name) => (name === "linear" ? "" : name === "sigmoid" ? "σ" : name);

  const rest = (at, kind, j) => {
    const rows = at.L.rest && at.L.rest[kind];
    const v = rows ? rows[at.t][j] : 0;
    return v ? [term(plain(v, null, "the others"))] : [];
  };

  // ---------------------------------------------------------------- forward

  function inputs(at, c) {
    return [...range(at.step.x.length).map((d) => term(at.value("x", d), at.weight("Wx", d, c))), ...rest(at, "x", c)];
  }
  function states(at, c, name = "h_prev") {
    return [...range(at.H).map((k) => term(at.value(name, k), at.weight("Wh", k, c))), ...rest(at, "h", c)];
  }
  const biases = (at, c, row = null) => (at.L.b ? [term(at.weight("b", row, c))] : []);

  // What a GRU that resets after the product scales by r
  const inner = (at, c, j) => plain(at.step.hWh[c] + at.step.bh[c], null, `q${sub(at.t + 1)}[${unit(j)}]`);

  /** The lines of a pre-activation: column c of a = x Wx + h Wh + b. */
  function sumLines(at, g, j) {
    const c = g * at.H + j,
      gate = at.gates[g],
      gru = at.L.kind === "GRU",
      a = at.value("a", c);
    const own = { label: a.name, result: a };
    if (gru && at.L.after && gate === "n") {
      const q = inner(at, c, j);
      return [
        {
          label: q.name,
          eq: "h Wh + bh, what the memory says",
          terms: [...states(at, c), ...biases(at, c, 1)],
          result: q,
        },
        { ...own, eq: "x Wx + b + r · q", terms: [...inputs(at, c), ...biases(at, c, 0), term(at.value("r", j), q)] },
      ];
    }
    if (gru && at.L.after) {
      return [
        {
          ...own,
          eq: "x Wx + h Wh + b + bh",
          terms: [...inputs(at, c), ...states(at, c), ...biases(at, c, 0), ...biases(at, c, 1)],
        },
      ];
    }
    const reset = gru && gate === "n";
    const terms = [...inputs(at, c), ...states(at, c, reset ? "rh" : "h_prev"), ...biases(at, c)];
    return [{ ...own, eq: reset ? "x Wx + (r · h) Wh + b" : "x Wx + h Wh + b", terms }];
  }

  function gateLines(at, gate, j, name = gate) {
    const g = at.gates.indexOf(gate),
      act = ["n", "a"].includes(gate) ? at.L.act : at.L.gate;
    const a = at.value("a", g * at.H + j);
    const before =
      gate === "r" || at.L.after || at.L.kind !== "GRU" || gate !== "n"
        ? []
        : range(at.H).map((k) => ({
            label: label("rh", at.t, k),
            eq: "r · h",
            terms: [term(at.value("r", k), at.value("h_prev", k))],
            result: at.value("rh", k),
          }));
    const out = at.value(name, j),
      shown = activation(act);
    const line = {
      label: out.name,
      eq: shown ? `${shown}(a)` : "a, as it is (linear)",
      wrap: shown,
      terms: [term(a)],
      result: out,
    };
    return [...before, ...sumLines(at, g, j), line];
  }

  const line = (at, name, j, eq, terms) => ({ label: label(name, at.t, j), eq, terms, result: at.value(name, j) });

  const remainder = (z) => ({ ...z, v: 1 - z.v, text: `(1 − ${Dom.fmt(z.v)})`, name: `(1 − ${z.name})` });

  const FORWARD = {
    SimpleRNN: { a: (at, j) => sumLines(at, 0, j), h: (at, j) => gateLines(at, "a", j, "h") },
    LSTM: {
      i: (at, j) => gateLines(at, "i", j),
      f: (at, j) => gateLines(at, "f", j),
      n: (at, j) => gateLines(at, "n", j),
      o: (at, j) => gateLines(at, "o", j),
      c: (at, j) => [
        line(at, "c", j, "f · c before + i · n", [
          term(at.value("f", j), at.value("c_prev", j)),
          term(at.value("i", j), at.value("n", j)),
        ]),
      ],
      s: (at, j) => [
        {
          ...line(at, "s", j, `${activation(at.L.act) || "linear"}(c)`, [term(at.value("c", j))]),
          wrap: activation(at.L.act),
        },
      ],
      h: (at, j) => [...FORWARD.LSTM.s(at, j), line(at, "h", j, "o · s", [term(at.value("o", j), at.value("s", j))])],
    },
    GRU: {
      r: (at, j) => gateLines(at, "r", j),
      z: (at, j) => gateLines(at, "z", j),
      n: (at, j) => gateLines(at, "n", j),
      h: (at, j) => {
        const z = at.value("z", j);
        const kept = remainder(z);
        return [
          line(at, "h", j, "z · h before + (1 − z) · n", [
            term(z, at.value("h_prev", j)),
            term(kept, at.value("n", j)),
          ]),
        ];
      },
    },
  };

  // A masked step takes nothing in: its states stay.
  const stays = (name) => (at, j) => [
    line(at, name, j, "masked: it stays as it was", [term(at.value(`${name}_prev`, j))]),
  ];
  const HELD = { h: stays("h"), c: stays("c") };
  const forwardOf = (at) => (at.step.masked ? HELD : FORWARD[at.L.kind]);

  return {
    At,
    forwardOf,
    GATE_WORDS,
    label,
    ref,
    activation,
    parts: { range, number, plain, term, rest, line, inner, remainder },
  };
})();
