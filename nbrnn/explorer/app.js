"use strict";
// The page's state and what a reader can do; every change draws the sections that show it.
const App = (() => {
  const { byId, fmt } = Dom;
  const data = JSON.parse(byId("data").textContent);
  const AGREE = 1e-10; // of this page's numbers and the engine's
  class App {
    constructor() {
      Object.assign(this, {
        model: data,
        trace: data.trace,
        PAGE: 8,
        page: 0,
        t: 0,
        dir: "forward",
        q: "h",
        j: 0,
        bar: null,
        mode: "tour",
        stop: 0,
        fault: "",
        predict: null,
        solved: new Set(),
        edits: [],
        changes: 0,
        checked: null,
        agreement: null,
      });
      const partial = data.partial;
      this.L = data.layers[data.shown];
      this.H = this.L.H;
      this.first = Dom.numbering.first = partial ? partial.first : 1;
      Dom.numbering.units = partial && partial.units;
      this.compute();
      this.T = this.run.layers[data.shown].steps.length;
      this.last = this.first + this.T - 1;
      this.run.outputs = this.at(this.T - 1).head !== null;
      this.start = this.figures();
      this.stops = Tour.stops(this);
    }

    get editable() {
      return this.mode === "sandbox" && !this.model.partial;
    }
    get untouched() {
      return !this.edits.length && !this.fault;
    }
    at(t = this.t) {
      return new Formulas.At(this.model, this.run, t);
    }
    units() {
      return [...new Array(this.H).keys()].slice(this.page * this.PAGE, (this.page + 1) * this.PAGE);
    }
    rowsOfX() {
      return this.model.shown === 0 && this.L.backwards ? [...this.model.x].reverse() : this.model.x;
    }
    say(text) {
      byId("said").textContent = text;
    }

    // ---------------------------------------------------------------- numbers

    compute() {
      this.run = Engine.run(this.model, this.fault);
      this.scales = {};
      this.changes += 1;
      this.run.outputs = this.T ? this.at(this.T - 1).head !== null : false;
      this.agreement = this.untouched || this.fault ? Engine.compare(this.run, this.trace) : null;
      if (this.stops) this.stops = Tour.stops(this); // other steps may be masked now
      this.recheck();
    }

    /** Check the gradients by differences of the loss, in slices, so that the page answers meanwhile. */
    recheck() {
      clearTimeout(this.timer);
      this.checked = null;
      if (!this.model.target || this.model.partial) return;
      const steps = Engine.check(
        this.model,
        this.run.layers.map((layer) => layer.totals),
      );
      const slice = () => {
        const until = performance.now() + 6;
        let next;
        do next = steps.next();
        while (!next.done && performance.now() < until);
        if (next.done) {
          this.checked = next.value;
          Panels.badge(this);
        } else this.timer = setTimeout(slice, 4);
      };
      this.timer = setTimeout(slice, 30);
    }

    verdict() {
      if (![this.run.loss ?? 0, ...Engine.flat(this.run.output)].every(Number.isFinite)) {
        return {
          good: false,
          word: "the numbers overflow",
          lines: ["A number is no longer finite: undo the last change."],
        };
      }
      const { power } = Panels,
        lines = [],
        marks = [],
        numeric = this.model.numeric;
      if (this.agreement) {
        const { error, where } = this.agreement;
        marks.push(error <= AGREE);
        lines.push(
          error <= AGREE
            ? `This page and nbrnn agree on every number: to ${power(error)}.`
            : `This page and nbrnn differ by ${power(error)} in ${where}.`,
        );
      }
      if (numeric && this.untouched) {
        const rows = Object.entries(numeric.rows),
          worst = Math.max(...rows.map(([, row]) => row.rel_err)),
          bad = rows.find(([, row]) => !row.passed);
        marks.push(!bad);
        lines.push(
          bad
            ? `nbrnn's ${numeric.method} step contradicts ${bad[0]}.`
            : `nbrnn's gradients against the ${numeric.method} step: ${power(worst)}.`,
        );
      }
      if (this.checked) {
        const worst =
          this.checked.find((row) => !row.passed) || this.checked.reduce((a, b) => (b.error > a.error ? b : a));
        marks.push(worst.passed);
        const sum = (key) => this.checked.reduce((count, row) => count + row[key], 0),
          sample = sum("checked") < sum("of") && `${sum("checked")} of ${sum("of")} weights`;
        lines.push(
          worst.passed
            ? `The gradients on this page against differences of the loss: ${power(worst.error)}, ${sample || `all ${this.checked.length} arrays`}.`
            : `${worst.name} is wrong: differences of the loss give another gradient (relative error ${power(worst.error)}).`,
        );
      } else if (this.model.target && !this.model.partial) {
        marks.push(null);
        lines.push("The gradients on this page are being checked.");
      }
      if (!numeric && this.model.target && this.untouched)
        lines.push("The model has many weights: nbrnn left the complex step out.");
      const good = marks.includes(false) ? false : marks.includes(null) ? null : true;
      const what = this.checked || (numeric && this.untouched) ? "gradients" : "numbers";
      return {
        good,
        lines,
        word: good === false ? `${what}: check failed` : good === null ? "checking" : `${what} checked`,
      };
    }

    /** The largest number of a kind in all steps, for colours. */
    scale(name) {
      if (!(name in this.scales)) {
        const layer = this.run.layers[this.model.shown],
          { outPlace, headPlace } = this.at();
        const own = name.replace("_prev", ""),
          kind = name.startsWith("d") ? name.slice(0, 2) : own; // dh and its parts alike
        const rows =
          name === "out"
            ? this.run.layers[outPlace].steps.map((s) => s.y)
            : name === "head"
              ? this.run.layers[headPlace].backward.map((b) => b.da)
              : layer.steps.map((s, t) => {
                  const b = (layer.backward && layer.backward[t]) || {};
                  return s[kind] || s[own] || b[kind] || b[own] || []; // a masked step has its states alone
                });
        this.scales[name] = Engine.flat(rows).reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      }
      return this.scales[name];
    }
    figures() {
      return { loss: this.run.loss, output: Engine.flat(this.run.output)[0] };
    }
    effect(from, to) {
      const shift = (name, a, b) => `${name} ${fmt(a)} → ${fmt(b)}`;
      return [
        shift("output", from.output, to.output),
        ...(from.loss === null ? [] : [shift("loss", from.loss, to.loss)]),
      ].join(", ");
    }
    before(label) {
      const first = this.edits.find((one) => one.label === label);
      return first && first.from;
    }

    edit(holder, key, label, to) {
      const from = holder[key],
        was = this.figures();
      if (from === to) return;
      holder[key] = to;
      if (Engine.forward(this.model).layers[this.model.shown].steps.every((step) => step.masked)) {
        holder[key] = from;
        this.say(`${label} stays ${fmt(from)}: no step would count.`);
        this.draw();
        return;
      }
      const one = { holder, key, label, from, to, effect: "" };
      this.edits.push(one);
      this.compute();
      one.effect = this.effect(was, this.figures());
      this.draw();
      this.say(`${label} is ${fmt(to)} now: ${one.effect}`);
    }
    undo() {
      const { holder, key, from } = this.edits.pop();
      holder[key] = from;
      this.compute();
      this.draw();
    }
    reset() {
      while (this.edits.length) {
        const { holder, key, from } = this.edits.pop();
        holder[key] = from;
      }
      this.fault = byId("fault").value = "";
      this.compute();
      this.draw();
    }
    break(fault) {
      this.fault = fault;
      this.compute();
      this.draw();
    }

    // ---------------------------------------------------------------- where the reader is

    lines() {
      const at = this.at();
      if (this.bar) return Backward.shareLines(at, this.bar.name, this.bar.r, this.bar.c);
      if (this.q === "out") return Head.outputLines(at, this.j);
      if (this.q === "head") return Head.slopeLines(at, this.j);
      return (this.dir === "forward" ? Formulas.forwardOf(at) : Backward.rowsOf(at))[this.q](at, this.j);
    }
    hides(q, j) {
      const asked = this.predict;
      if (!asked || asked.solved || asked.t !== this.t) return false;
      if (q === "out") return true;
      if (q === "head") return false;
      const rows = Views.rowsOf(this.at(), this.dir),
        from = asked.q === "h" && rows.includes("a") ? "a" : asked.q;
      return j === asked.j && rows.indexOf(q) >= rows.indexOf(from);
    }
    question() {
      const key = `${this.dir} ${this.t} ${this.q} ${this.j}`,
        asks = this.mode === "tour" ? this.stops[this.stop].predict : byId("ask").checked;
      if (!asks || this.bar || this.solved.has(key) || !this.lines().at(-1).terms.length) this.predict = null;
      else if (!this.predict || this.predict.key !== key)
        this.predict = { key, t: this.t, q: this.q, j: this.j, solved: false, message: "" };
    }
    settle() {
      if (this.predict && this.predict.solved) this.solved.add(this.predict.key);
      this.show();
      byId(this.predict.solved ? "predict-ask" : "predict-guess").focus();
    }

    go(t) {
      this.t = Math.max(0, Math.min(this.T - 1, t));
      this.keep();
      this.question();
      this.show();
      const { step, back } = this.at(),
        list = (v) =>
          this.units()
            .map((j) => fmt(v[j]))
            .join(", ");
      this.say(
        `${byId("where").textContent}: ${this.predict ? "a question is open" : this.dir === "forward" ? `h = ${list(step.h)}` : `dh = ${list(back.dh)}`}`,
      );
    }
    turn(dir) {
      if (dir === "backward" && !this.model.target) {
        this.say("Without a target there is no backward pass.");
        return;
      }
      if (dir !== this.dir) {
        this.dir = dir;
        this.bar = null;
        this.q = dir === "forward" ? "h" : "dh";
        this.t = dir === "forward" ? 0 : this.T - 1;
      }
      this.go(this.t);
    }
    /** Keep what is chosen if it exists here, else choose the cell's result. */
    keep() {
      const at = this.at(),
        rows = this.dir === "forward" ? Formulas.forwardOf(at) : Backward.rowsOf(at);
      const above = { out: this.dir === "forward" && at.shows, head: this.dir === "backward" && at.ends && at.seenAt() !== null };
      const known = this.q === "dh_prev" && !this.t ? false : this.q in above ? above[this.q] : this.q in rows && Views.rowsOf(at, this.dir).includes(this.q);
      if (!known) {
        this.q = this.dir === "forward" ? "h" : "dh";
        this.j = this.units()[0];
      }
      if (this.dir === "forward") this.bar = null;
    }
    select(q, j) {
      Object.assign(this, { q, j, bar: null });
      this.question();
      this.show();
    }
    selectBar(name, r, c) {
      this.bar = { name, r, c };
      this.question();
      this.show();
    }

    visit(stop) {
      this.stop = Math.max(0, Math.min(this.stops.length - 1, stop));
      const { t, dir, q, bar } = this.stops[this.stop],
        j = q === "out" ? 0 : this.units()[0];
      Object.assign(this, { t, dir, q, j, bar: bar ? { name: bar[0], r: bar[1], c: bar[2] } : null });
      this.go(this.t);
    }
    enter(mode) {
      this.mode = mode;
      document.body.dataset.mode = mode;
      byId("tour-mode").setAttribute("aria-pressed", String(mode === "tour"));
      byId("sandbox-mode").setAttribute("aria-pressed", String(mode === "sandbox"));
      this.draw();
      if (mode === "tour") this.visit(this.stop);
      else {
        this.question();
        this.show();
      }
    }

    // ---------------------------------------------------------------- drawing

    draw() {
      Strip.strip(this);
      this.show();
      Panels.changes(this);
      Panels.badge(this);
    }
    show() {
      Strip.walk(this);
      Views.cell(this);
      Views.formula(this);
      Views.result(this);
      Panels.gradients(this);
      Panels.numbers(this);
      Panels.predict(this);
      this.guide();
      Dom.relight();
    }
    guide() {
      byId("guide").hidden = this.mode !== "tour";
      if (this.mode !== "tour") return;
      const stop = this.stops[this.stop];
      byId("guide-title").textContent = stop.title;
      byId("guide-count").textContent = `${this.stop + 1} of ${this.stops.length}`;
      byId("guide-text").textContent = stop.text(this);
      byId("guide-back").disabled = this.stop === 0;
      byId("guide-next").textContent = this.stop + 1 === this.stops.length ? "To the sandbox" : "Next";
    }
  }

  return App;
})();
