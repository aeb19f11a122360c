"use strict";
// The cell, the formula and the result. Each draws one section from the page's state.
const Views = (() => {
  const { byId, el, fmt, inner, sub, nth, tint, redraw } = Dom;
  const SOURCES = 16; // so many numbers of the next step are shown beside the cell

  const ROWS = {
    SimpleRNN: { forward: ["x", "h_prev", "a", "h"], backward: ["dh_loss", "dh_future", "dh", "da", "dh_prev"] },
    LSTM: {
      forward: ["x", "h_prev", "c_prev", "f", "i", "n", "c", "o", "h"],
      backward: ["dh_loss", "dh_future", "dh", "dc_here", "dc_future", "dc", "da_o", "da_f", "da_i", "da_n", "dh_prev"],
    },
    GRU: {
      forward: ["x", "h_prev", "r", "z", "n", "h"],
      backward: ["dh_loss", "dh_future", "dh", "da_z", "da_n", "da_r", "dh_prev"],
    },
  };

  const HELD = {
    forward: ["x", "h_prev", "c_prev", "c", "h"],
    backward: ["dh_loss", "dh_future", "dh", "dc_future", "dh_prev"],
  };
  /** The rows of a step; a masked one has its states alone. */
  function rowsOf(at, dir) {
    const own = (q) => q[0] !== "c" && q !== "dc_future";
    return at.step.masked ? HELD[dir].filter((q) => at.L.kind === "LSTM" || own(q)) : ROWS[at.L.kind][dir];
  }

  // What a row says in words and as an equation, t counted from 1 as people read
  function words(at, q) {
    const t = at.t + 1,
      begins = nth(at.t) === 1,
      now = sub(t),
      before = sub(t - 1),
      L = at.L,
      act = (name) => Formulas.activation(name);
    const gates = Formulas.GATE_WORDS,
      sum = `x${now} Wx + h${before} Wh + b`;
    const wrap = (name, text) => (act(name) ? `${act(name)}(${text})` : text);
    const candidate =
      L.kind !== "GRU"
        ? sum
        : L.after
          ? `x${now} Wx + b + r · (h${before} Wh + bh)`
          : `x${now} Wx + (r · h${before}) Wh + b`;
    const later = `step ${nth(t)}`,
      last = t === at.T;
    const texts = {
      x: ["the input of this step", `x${now}`],
      h_prev: [begins ? "the memory before the first step" : `the memory that step ${nth(t - 2)} left`, `h${before}`],
      c_prev: [
        begins ? "the cell state before the first step" : `the cell state that step ${nth(t - 2)} left`,
        `c${before}`,
      ],
      a: ["input and memory, weighted and added", `a${now} = ${sum}`],
      f: [`${gates.f}: how much of c${before} stays`, `f${now} = ${wrap(L.gate, sum)}`],
      i: [`${gates.i}: how much of n goes in`, `i${now} = ${wrap(L.gate, sum)}`],
      o: [`${gates.o}: how much of c is shown`, `o${now} = ${wrap(L.gate, sum)}`],
      r: [`${gates.r}: how much of h${before} the candidate sees`, `r${now} = ${wrap(L.gate, sum)}`],
      z: [`${gates.z}: how much of h${before} stays`, `z${now} = ${wrap(L.gate, sum)}`],
      n: [`${gates.n}: what could be remembered`, `n${now} = ${wrap(L.act, candidate)}`],
      c: ["the cell state: what is kept + what is new", `c${now} = f · c${before} + i · n`],
      h: [
        "the new memory, which goes to the next step",
        {
          SimpleRNN: `h${now} = ${wrap(L.act, `a${now}`)}`,
          LSTM: `h${now} = o · ${wrap(L.act, `c${now}`)}`,
          GRU: `h${now} = z · h${before} + (1 − z) · n`,
        }[L.kind],
      ],
      dh_loss: ["how the loss changes with h, by this step's own output", `dh${now} from the loss`],
      dh_future: [
        last ? "there is no later step" : `how the loss changes with h by ${later} and all after it`,
        `dh${now} from the future`,
      ],
      dh: ["both ways together: the total", `dh${now} = from the loss + from the future`],
      dh_prev: [
        begins
          ? "the gradient of the memory before the first step"
          : `what step ${nth(at.t - 1)} receives from the future (dh_next in code)`,
        `handed back${begins ? "" : ` to step ${nth(at.t - 1)}`}`,
      ],
      da: ["through the activation", `da${now} = dh${now} · slope`],
      dc_here: ["the cell state's gradient by this step's h", `dc${now} from dh${now}`],
      dc_future: [
        last ? "there is no later step" : `handed back by ${later}, scaled by its forget gate`,
        `dc${now} from the future`,
      ],
      dc: ["both together", `dc${now} = from dh + from the future`],
    };
    for (const gate of at.gates)
      texts[`da_${gate}`] = [`${gates[gate]}, before its activation`, `da ${gate}${now} = d${gate} · slope`];
    const held = {
      x: ["masked: this input is not taken in", `x${now}`],
      c: ["masked: the cell state stays", `c${now} = c${before}`],
      h: ["masked: the memory stays", `h${now} = h${before}`],
    };
    return (at.step.masked && held[q]) || texts[q];
  }

  const ABOVE = { out: Head.out, head: Head.slope }; // rows of what stands above the cell

  function chip(app, at, q, j) {
    const [name, c] = q.startsWith("da_") ? ["da", at.gates.indexOf(q.slice(3)) * at.H + j] : [q, j];
    const { v, ref, name: label } = q in ABOVE ? ABOVE[q](at, j) : at.value(name, c);
    const formula = q in ABOVE || q in (app.dir === "forward" ? Formulas.forwardOf(at) : Backward.rowsOf(at));
    const hidden = app.hides(q, j),
      text = hidden ? "?" : fmt(v);
    const own = {
      class: q in ABOVE && at.counts ? "chip counts" : "chip",
      "data-q": q,
      "data-unit": j,
      "data-key": `${q}:${j}`,
      "data-ref": ref,
      style: hidden ? "" : tint(v, app.scale(name)),
      title: hidden ? label : `${label} = ${v}`,
      "data-value": hidden ? null : v,
      "aria-label": `${label} = ${text}`,
    };
    if (!formula || (q === "dh_prev" && !at.t)) return el("span", own, text);
    const chosen = app.q === q && app.j === j && !app.bar;
    return el("button", { ...own, type: "button", "aria-pressed": String(chosen) }, text);
  }

  const plainChip = ({ v, ref, name }, scale, counts = false) =>
    el("span", { class: counts ? "chip counts" : "chip", "data-ref": ref, style: tint(v, scale), title: `${name} = ${v}` }, fmt(v));

  /** The rows of the layer above: the output, or the gradient that it begins with on the way back. */
  function above(app, at, add) {
    const back = app.dir === "backward";
    if (!at.head || !(back ? at.ends && at.seenAt() !== null : at.shows)) return;
    const places = Head.outputs(at).map((_, k) => k),
      softmax = at.act === "softmax",
      act = Formulas.activation(at.act),
      chips = (q) => places.map((k) => chip(app, at, q, k));
    const many = places.length,
      name = at.head.name,
      now = at.flat ? "" : sub(at.t + 1);
    if (back) {
      const through = at.act === "linear" ? "" : `, back through ${at.act}`;
      add(`da of ${at.out}${now}`, `what the loss hands to ${name}${through}`, chips("head"), many);
      return;
    }
    const sum = softmax ? "a" : "h W + b";
    if (softmax && !app.hides("out", 0)) {
      const largest = Math.max(...Head.logits(at).map(Math.abs)),
        shown = places.map((k) => plainChip(Head.logit(at, k), largest, at.counts));
      add("a = h W + b", `${name}: how much speaks for each`, shown, many);
    }
    const made = act ? `${act}(${sum})` : sum;
    add(`${at.out}${now} = ${made}`, `the output, by ${(at.top || at.head).name}`, chips("out"), many);
  }

  /** The cell at one step: a row a quantity, a chip a unit. */
  function cell(app) {
    const at = app.at(),
      rows = [];
    const add = (eq, note, chips, columns = app.units().length) =>
      rows.push(
        el(
          "div",
          { class: "row" },
          el("div", { class: "row-head" }, el("span", { class: "eq" }, eq), el("span", { class: "note" }, note)),
          el("div", { class: "chips", style: `--columns:${Math.min(4, chips.length, columns)}` }, chips),
        ),
      );
    const follows = app.dir === "backward" && at.t + 1 < at.T && !app.at(at.t + 1).step.masked;
    if (follows && at.gates.length * app.units().length <= SOURCES) {
      const next = app.at(at.t + 1),
        name = at.L.kind === "GRU" && at.L.after ? "dq" : "da";
      const columns = at.gates.flatMap((_, g) => app.units().map((j) => g * at.H + j));
      add(
        `${name}${sub(at.t + 2)}`,
        `what step ${nth(at.t + 1)} found at its own ${at.gates.length > 1 ? `sums, for ${at.gates.join(", ")}` : "sum"}`,
        columns.map((c) => plainChip(next.value(name, c), app.scale(name))),
      );
    }
    if (app.dir === "backward") above(app, at, add);
    for (const q of rowsOf(at, app.dir)) {
      const [note, eq] = words(at, q);
      add(
        eq,
        note,
        (q === "x" ? at.step.x.map((_, d) => d) : app.units()).map((j) => chip(app, at, q, j)),
      );
    }
    if (app.dir === "forward") above(app, at, add);
    byId("cell-title").textContent =
      `Inside the cell at step ${nth(at.t)}${app.dir === "backward" ? ", backward" : ""}${at.step.masked ? ", masked" : ""}`;
    byId("cell").classList.toggle("masked", Boolean(at.step.masked));
    redraw(byId("cell"), rows);
  }

  // `open`: numbers that are not shown yet, since the reader is asked for them
  function termNode(one, place, first, open) {
    const [head, ...others] = one.factors,
      refs = one.factors.map((f) => f.ref).filter(Boolean);
    const negative = head.v < 0 && !head.text && !first;
    const write = (f, number) => (open.includes(f.v) ? "?" : f.text || number(f.v));
    const shown = [write(head, negative ? (v) => fmt(-v) : fmt), ...others.map((f) => write(f, inner))].join(" · ");
    const symbols = one.factors.map((f) => f.name || fmt(f.v)).join(" · ");
    const value = one.factors.reduce((product, f) => product * f.v, 1);
    const said = one.factors.map((f) => f.name || fmt(f.v)).join(" times ");
    const whole = open.some((v) => one.factors.some((f) => f.v === v)) ? "?" : fmt(value);
    const sign = first ? null : el("span", { class: "sign" }, negative ? ` ${Dom.MINUS} ` : " + ");
    const node = el(
      "span",
      {
        class: "term",
        "data-key": place,
        tabindex: "0",
        role: "group",
        "data-value": value,
        title: `${said} = ${whole}`,
        "aria-label": `${said}: ${shown} = ${whole}`,
        "data-refs": refs.join("|"),
      },
      el("span", { class: "symbols", "aria-hidden": "true" }, symbols),
      el("span", {}, shown),
    );
    return [el("span", { class: "signed" }, sign, node)];
  }

  /** The formula of what is chosen, with its numbers; hovering or focusing a term lights where it comes from. */
  function formula(app) {
    const lines = app.lines(),
      hidden = app.hides(app.q, app.j) && !app.bar;
    const nodes = lines.map((one, k) => {
      const open = hidden ? lines.slice(0, k).map((line) => line.result.v) : [];
      const terms = one.terms.flatMap((t, m) => termNode(t, `${k}.${m}`, m === 0, open));
      const equals = () => el("span", {}, "=");
      const body = one.wrap ? [el("span", { class: "wrapped" }, `${one.wrap}(`, ...terms, ")")] : terms;
      const result = el(
        "output",
        {
          class: "result",
          "data-ref": one.result.ref || null,
          "data-value": hidden ? null : one.result.v,
          title: hidden ? "" : String(one.result.v),
        },
        hidden ? "?" : fmt(one.result.v),
      );
      return el(
        "div",
        { class: "line", "data-line": k },
        el("div", { class: "line-head" }, el("b", {}, one.label), one.eq ? ` = ${one.eq}` : ""),
        el("div", { class: "line-body" }, equals(), terms.length ? [...body, equals()] : null, result),
      );
    });
    byId("formula-title").textContent = `The formula with its numbers: ${lines.at(-1).label}`;
    redraw(byId("formula"), nodes);
  }

  function result(app) {
    const { run, model } = app,
      parts = [];
    const early = app.mode === "tour" && app.dir === "forward" && app.t + 1 < app.T,
      asked = app.predict && !app.predict.solved;
    const flatOut = Engine.flat(run.output),
      first = (v) => v.slice(0, 3).map(fmt).join(", ") + (v.length > 3 ? ", …" : "");
    if (early) {
      parts.push(`The output comes after step ${app.last}.`);
    } else if (model.partial) {
      parts.push(`output ${first(Engine.flat(model.value.output))}`);
      if (model.value.loss !== null) parts.push(`loss L = ${fmt(model.value.loss)}`);
    } else {
      parts.push(`output ${app.at().out} = ${asked ? "?" : first(flatOut)}`);
      const what = model.target && Losses.isLabel(model.loss) ? "class, from 0:" : "target";
      if (model.target) parts.push(`${what} ${first(Engine.flat(model.target))}`);
      if (run.loss !== null) {
        const e = Head.lossInNumbers(model, run.output);
        parts.push(asked ? "L = ?" : `${model.loss.name}: L = ${e}${fmt(run.loss)}`);
      }
    }
    byId("result").replaceChildren(...parts.map((text) => el("span", {}, text)));
  }

  return { cell, formula, result, rowsOf };
})();
