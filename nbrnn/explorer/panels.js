"use strict";
// The panels beside the cell: gradients that grow, weights and inputs to edit, changes, the badge, the prediction.
const Panels = (() => {
  const { byId, el, fmt } = Dom;
  // So many bars, and so many columns of a table, show a layer whole; of a larger one what leads to the chosen unit.
  const MOST_BARS = 18,
    MOST_COLUMNS = 8,
    MOST_ROWS = 32;
  const TERMS = 6,
    FEW_STEPS = 8; // steps whose terms stand beside a bar; whose inputs are all shown

  /** The places [r, c] of a weight that are shown, all or those of one unit; r is null for a vector. */
  function places(app, name, all) {
    const W = app.L[name],
      H = app.H,
      rows = Array.isArray(W[0]) ? W.length : 0,
      columns = (rows ? W[0] : W).length;
    const units = !rows ? [null] : name === "Wh" ? app.units() : [...new Array(rows).keys()];
    const chosen = [...new Array(columns).keys()].filter((c) => all || c % H === app.j);
    return units.flatMap((r) => chosen.map((c) => [r, c]));
  }
  const weights = (app) => ["Wx", "Wh", "b"].filter((name) => app.L[name]);
  const pick = (A, r, c) => (r === null ? A[c] : A[r][c]);

  /** Bars of dW, grown as far as the backward pass has come; the outline is the total. */
  function gradients(app) {
    const section = byId("gradients-section"),
      box = byId("gradients");
    section.hidden = app.dir !== "backward";
    if (section.hidden) return;
    afresh(box, `${app.changes} ${app.j} ${app.page}`, () => groups(app));
    for (const node of box.querySelectorAll(".bar")) grow(app, node);
    byId("gradients-note").textContent = app.t
      ? `Steps ${app.last} down to ${app.first + app.t} have added their share; the outline is the total that is still to come.`
      : "Every step has added its share: this is dW, what an optimizer uses.";
  }

  function groups(app) {
    const at = app.at(),
      all = weights(app).reduce((sum, name) => sum + Engine.flat(app.L[name]).length, 0) <= MOST_BARS;
    return weights(app).map((name) => {
      const d = `d${name}`;
      const items = places(app, name, all).map(([r, c]) => ({
        key: `${name}:${r ?? ""}:${c}`,
        title: `d${at.weightName(name, r, c)}`,
        total: pick(at.layer.totals[d], r, c),
        terms: at.layer.backward.map((_, t) => Backward.shareOf(at, name, r, c, t)),
        outside: app.L.outside ? pick(app.L.outside[d], r, c) : 0,
      }));
      const reach = ({ terms, outside, total }) =>
        terms.reduceRight(
          ([sum, most], v) => [sum + v, Math.max(most, Math.abs(sum + v))],
          [outside, Math.abs(total)],
        )[1];
      const scale = Math.max(1e-300, ...items.map(reach));
      return el(
        "div",
        { class: "bars" },
        el("h3", {}, all ? d : `${d} of unit ${Dom.unit(app.j)}`),
        items.map((one) => bar(app, one, scale)),
      );
    });
  }

  function bar(app, item, scale) {
    const side = (name, v) => (v < 0 ? `${name} less` : name);
    const fill = el("span"),
      value = el("span", { class: "bar-value" });
    const terms =
      app.T > TERMS
        ? []
        : item.terms.map((_, t) =>
            el("span", { "data-refs": `step@${t}`, title: `the share of step ${app.first + t}: ${item.terms[t]}` }),
          );
    const node = el(
      "button",
      { type: "button", class: "bar", "data-bar": item.key },
      el("span", { class: "bar-name" }, item.title),
      el(
        "span",
        { class: "track", "aria-hidden": "true" },
        el("span", { class: side("ghost", item.total), style: `--size:${(50 * Math.abs(item.total)) / scale}%` }),
        fill,
      ),
      value,
      terms.length ? el("span", { class: "terms" }, [...terms].reverse()) : null,
    );
    return Object.assign(node, { item: { ...item, fill, value, spans: terms, scale, side } });
  }

  /** Show what the steps so far have added to a bar. */
  function grow(app, node) {
    const { key, title, total, terms, outside, fill, value, spans, scale, side } = node.item;
    const far = terms.slice(app.t).reduce((sum, v) => sum + v, outside);
    fill.className = side("fill", far);
    fill.style.transform = `scaleX(${Math.abs(far) / scale})`;
    value.textContent = fmt(far);
    node.dataset.value = far;
    node.title = `${title}: ${far} so far, ${total} in all`;
    node.setAttribute(
      "aria-pressed",
      String(app.bar !== null && `${app.bar.name}:${app.bar.r ?? ""}:${app.bar.c}` === key),
    );
    spans.forEach((span, t) => {
      const ahead = t < app.t,
        v = terms[t],
        first = t + 1 === app.T;
      span.className = ahead ? "share ahead" : "share";
      span.textContent = `${first ? "" : v < 0 && !ahead ? ` ${Dom.MINUS} ` : " + "}${ahead ? "·" : fmt(first ? v : Math.abs(v))}`;
    });
  }

  // ---------------------------------------------------------------- weights and inputs

  // `refuses` says why a number cannot stand there
  function entry(app, holder, key, ref, label, refuses = () => "") {
    const v = holder[key];
    if (!app.editable) return el("span", { class: "number", "data-ref": ref, title: `${label} = ${v}` }, fmt(v));
    const input = el("input", {
      type: "number",
      step: "any",
      value: Number(v.toPrecision(5)),
      "data-ref": ref,
      "aria-label": label,
      title: `${label} = ${v}`,
    });
    const first = app.before(label);
    if (first !== undefined && first !== v) input.classList.add("changed");
    input.addEventListener("change", () => {
      const next = input.valueAsNumber;
      const why = Number.isFinite(next) ? refuses(next) : "needs a number";
      if (why) {
        input.setAttribute("aria-invalid", "true");
        app.say(`${label} ${why}.`);
        return;
      }
      app.edit(holder, key, label, next);
    });
    return input;
  }

  function weightTable(app, L, name) {
    const shown = L === app.L,
      at = app.at();
    const cells = shown
      ? places(app, name, app.L.Wx[0].length <= MOST_COLUMNS)
      : Array.isArray(L[name][0])
        ? L[name].flatMap((row, r) => row.map((_, c) => [r, c])).slice(0, MOST_ROWS)
        : L[name].map((_, c) => [null, c]).slice(0, MOST_ROWS);
    const rows = [...new Set(cells.map(([r]) => r))],
      columns = [...new Set(cells.map(([, c]) => c))];
    const H = L.H,
      gates = H ? Engine.CELLS[L.kind].gates : ["y"];
    const column = (c) => (gates.length > 1 ? `${gates[Math.floor(c / H)]} ` : "") + (H ? Dom.unit(c % H) : c + 1);
    const from = (r) =>
      r === null ? "" : name === "Wx" ? `x${r + 1}` : name === "b" ? ["b", "bh"][r] : `h${Dom.unit(r)}`;
    return el(
      "div",
      { class: "weight" },
      el("h3", {}, `${name}${shown ? "" : ` of ${L.name}`}`),
      el(
        "div",
        { class: "scroll" },
        el(
          "table",
          {},
          el(
            "thead",
            {},
            el(
              "tr",
              {},
              el("td", {}),
              columns.map((c) => el("th", { scope: "col" }, `→ ${column(c)}`)),
            ),
          ),
          el(
            "tbody",
            {},
            rows.map((r) =>
              el(
                "tr",
                {},
                el("th", { scope: "row" }, from(r)),
                columns.map((c) => {
                  const ref = `${L.name}/${name}:${r ?? ""}:${c}`;
                  return el(
                    "td",
                    {},
                    entry(
                      app,
                      r === null ? L[name] : L[name][r],
                      c,
                      ref,
                      `${shown ? "" : `${L.name} `}${shown ? at.weightName(name, r, c) : `${name}[${r === null ? "" : `${r + 1},`}${c + 1}]`}`,
                    ),
                  );
                }),
              ),
            ),
          ),
        ),
      ),
    );
  }

  /** Fields are made anew only where they show something else: whoever types in one keeps it. */
  function numbers(app) {
    const key = `${app.mode} ${app.changes}`;
    afresh(byId("weights"), `${key} ${app.j} ${app.page}`, () => weightTables(app));
    afresh(byId("inputs"), `${key} ${app.T <= FEW_STEPS || app.t}`, () => inputFields(app));
  }
  function afresh(box, key, make) {
    if (box.dataset.shows === key) return;
    box.dataset.shows = key;
    box.replaceChildren(...make());
  }

  function weightTables(app) {
    const at = app.at(),
      tables = weights(app).map((name) => weightTable(app, app.L, name));
    if (at.head)
      tables.push(...["W", "b"].filter((name) => at.head[name]).map((name) => weightTable(app, at.head, name)));
    return tables;
  }

  function inputFields(app) {
    const steps = app.T <= FEW_STEPS ? [...new Array(app.T).keys()] : [app.t],
      rows = app.rowsOfX(),
      masked = (t) => app.at(t).step.masked;
    const inputs = steps.map((t) =>
      el(
        "div",
        { class: masked(t) ? "pair masked" : "pair" },
        el("span", {}, `x${Dom.sub(t + 1)}${masked(t) ? ", masked" : ""}`),
        rows[t].map((_, d) =>
          entry(app, rows[t], d, app.model.shown ? null : `x@${t}:${d}`, `x${Dom.sub(t + 1)}[${d + 1}]`),
        ),
      ),
    );
    if (app.model.target && !app.model.partial) {
      const { loss } = app.model,
        refuses = (v) => Losses.refuses(loss, app.run.output[0].length, v),
        what = Losses.isLabel(loss) ? "class, from 0" : "target";
      inputs.push(
        ...app.model.target.slice(0, 8).map((row, k) =>
          el(
            "div",
            { class: "pair" },
            el("span", {}, `${what}${app.model.target.length > 1 ? ` ${k + 1}` : ""}`),
            row.map((_, j) => entry(app, row, j, `target:${k}:${j}`, `target ${k + 1}[${j + 1}]`, refuses)),
          ),
        ),
      );
    }
    return inputs;
  }

  /** What was changed, from what, to what: it stays on the screen until it is undone. */
  function changes(app) {
    const { edits } = app,
      list = byId("changes"),
      now = app.figures();
    byId("changes-section").hidden = !app.editable && !edits.length && !app.fault;
    byId("reset").hidden = !edits.length && !app.fault;
    if (!edits.length) {
      list.replaceChildren(
        el("li", { class: "note" }, "Nothing yet. Change a weight or an input: the page computes everything anew."),
      );
      return;
    }
    list.replaceChildren(
      ...edits.map((one, k) =>
        el(
          "li",
          {},
          el("span", {}, el("b", {}, one.label), ` ${fmt(one.from)} → ${fmt(one.to)}`),
          el("span", { class: "note" }, ` ${one.effect}`),
          k === edits.length - 1
            ? el("button", { type: "button", class: "small", onclick: () => app.undo() }, "undo")
            : null,
        ),
      ),
      el("li", { class: "sum" }, `since the start: ${app.effect(app.start, now)}`),
    );
  }

  // ---------------------------------------------------------------- the badge

  const power = (v) => (v === 0 ? "0" : v < 1e-3 ? v.toExponential(0) : v.toPrecision(2));

  function badge(app) {
    const { good, word, lines } = app.verdict();
    const node = byId("badge");
    node.dataset.state = good === null ? "waiting" : good ? "good" : "bad";
    node.querySelector("summary").textContent = `${good === null ? "…" : good ? "✓" : "✗"} ${word}`;
    node.querySelector("ul").replaceChildren(...lines.map((text) => el("li", {}, text)));
  }

  // ---------------------------------------------------------------- predict before you look

  /** What a wrong answer may have left out: a term of the sum, the activation, a sign. */
  function hint(lines, guess, right) {
    const near = (v) => Math.abs(v - guess) <= tolerance(v);
    if (near(-right)) return "The size is right, the sign is not.";
    const sums = lines.flatMap((one) => {
      const values = one.terms.map((t) => t.factors.reduce((p, f) => p * f.v, 1));
      return values.map((v, k) => ({
        name: one.terms[k].factors
          .map((f) => f.name)
          .filter(Boolean)
          .join(" · "),
        without: values.reduce((a, b) => a + b, 0) - v,
        v,
      }));
    });
    const left = sums.find((one) => one.v !== 0 && near(one.without));
    if (left) return `That is the sum without ${left.name}.`;
    const before = lines.slice(0, -1).find((one) => near(one.result.v));
    if (before) return `That is ${before.label}; one more line follows it.`;
    if (Math.sign(guess) !== Math.sign(right)) return "The sign is wrong already: look at the largest term.";
    return Math.abs(guess) > Math.abs(right)
      ? "Too large. Add the terms one by one."
      : "Too small. Add the terms one by one.";
  }
  const tolerance = (v) => Math.max(0.005, 0.01 * Math.abs(v));

  function predict(app) {
    const box = byId("predict"),
      { predict: asked } = app;
    box.hidden = !asked;
    if (!asked) return;
    byId("predict-ask").textContent = asked.solved
      ? asked.message
      : `Predict before you look: ${app.lines().at(-1).label} = ?`;
    byId("predict-form").hidden = asked.solved;
    byId("predict-say").textContent = asked.solved ? "" : asked.message;
    box.dataset.state = asked.solved ? "right" : asked.message ? "wrong" : "open";
  }

  function answer(app, text) {
    const guess = Number(text.trim().replace(",", ".").replace(Dom.MINUS, "-")),
      lines = app.lines(),
      right = lines.at(-1).result.v;
    const asked = app.predict;
    if (!text.trim() || !Number.isFinite(guess)) asked.message = "Write a number, such as -1.3.";
    else if (Math.abs(guess - right) <= tolerance(right))
      Object.assign(asked, { solved: true, message: `Right: ${lines.at(-1).label} = ${fmt(right)}.` });
    else asked.message = `Not ${text.trim()}. ${hint(lines, guess, right)}`;
  }

  function reveal(app) {
    const own = app.lines().at(-1);
    Object.assign(app.predict, {
      solved: true,
      message: `${own.label} = ${fmt(own.result.v)}. Read the terms below: each lights where it comes from.`,
    });
  }

  return { gradients, numbers, changes, badge, predict, answer, reveal, power };
})();
