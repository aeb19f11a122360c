"use strict";
// The page begins: its controls, its keys, its first stop.
const explorer = (() => {
  const { byId, el } = Dom;
  const FAULTS = {
    "": "no, leave it right",
    future: "leave out what comes from the future",
    slope: "forget the activation's slope",
    last: "take dW from the last step only",
    twice: "add a second backward to the first",
  };
  const app = new App(),
    { partial } = app.model;

  function listen() {
    const on = (id, event, what) => byId(id).addEventListener(event, what);
    on("slider", "input", (event) => app.go(event.target.valueAsNumber - 1));
    on("earlier", "click", () => app.go(app.t - 1));
    on("later", "click", () => app.go(app.t + 1));
    on("forward", "click", () => app.turn("forward"));
    on("backward", "click", () => app.turn("backward"));
    on("tour-mode", "click", () => app.enter("tour"));
    on("sandbox-mode", "click", () => app.enter("sandbox"));
    on("guide-back", "click", () => app.visit(app.stop - 1));
    on("guide-next", "click", () => (app.stop + 1 < app.stops.length ? app.visit(app.stop + 1) : app.enter("sandbox")));
    on("theme", "change", (event) => {
      document.documentElement.dataset.theme = event.target.value;
    });
    on("units", "change", (event) => {
      app.page = Number(event.target.value);
      app.j = app.units()[0];
      app.bar = null;
      app.question();
      app.draw();
    });
    on("ask", "change", () => {
      app.predict = null;
      app.question();
      app.show();
    });
    on("fault", "change", (event) => app.break(event.target.value));
    on("reset", "click", () => app.reset());
    on("predict-form", "submit", (event) => {
      event.preventDefault();
      Panels.answer(app, byId("predict-guess").value);
      app.settle();
    });
    on("predict-reveal", "click", () => {
      Panels.reveal(app);
      app.settle();
    });
    document.addEventListener("click", ({ target }) => {
      const { q, unit, bar, step } = (target.closest("button") || target).dataset;
      if (q) app.select(q, Number(unit));
      else if (bar) {
        const [name, r, c] = bar.split(":");
        app.selectBar(name, r === "" ? null : Number(r), Number(c));
      } else if (step) app.go(Number(step));
    });
    Dom.listen();
    document.addEventListener("keydown", (event) => {
      const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
      if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
      const to = { ArrowLeft: app.t - 1, ArrowRight: app.t + 1, Home: 0, End: app.T - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      app.go(to);
    });
  }

  /** What a page of a part leaves out of the model. */
  function beside() {
    const { below, above } = partial,
      loss = app.model.value.loss === null ? "" : " and the loss";
    return (
      (below.length ? ` Its input x is what ${below.join(", then ")} made of the sequence.` : "") +
      (above.length ? ` How the output is made from h (${above.join(", ")}) is not on this page; the output${loss} stand${loss ? "" : "s"} here as numbers.` : "")
    );
  }

  function begin() {
    const { L, T } = app,
      form = L.kind === "GRU" ? (L.after ? ", reset after the product" : ", reset before the product") : "";
    const H = partial ? partial.of_units : app.H,
      all = partial ? partial.of_steps : T,
      several = (n, what) => `${n} ${what}${n > 1 ? "s" : ""}`;
    byId("title").textContent = `${L.kind}: ${several(H, "unit")}, ${several(all, "step")}`;
    byId("subtitle").textContent = `layer ${L.name} of model ${app.model.model}${form}`;
    if (partial) {
      const list = partial.units.length > 12 ? `${partial.units.slice(0, 12).join(", ")} …` : partial.units.join(", ");
      byId("partial").hidden = false;
      byId("partial").textContent =
        `This page shows a part: units ${list} of ${partial.of_units}, steps ${app.first} to ${app.last} of ${partial.of_steps}` +
        `${partial.features < partial.of_features ? `, inputs 1 to ${partial.features} of ${partial.of_features}` : ""}. What the others add stands in the formulas as one number; weights cannot be changed here.${beside()}`;
    }
    byId("slider").max = T;
    byId("backward").disabled = !app.model.target;
    byId("fault").replaceChildren(...Object.entries(FAULTS).map(([value, text]) => el("option", { value }, text)));
    byId("fault-box").hidden = !app.model.target || Boolean(partial);
    byId("units").replaceChildren(
      ...[...new Array(Math.ceil(app.H / app.PAGE)).keys()].map((k) =>
        el("option", { value: k }, `${k * app.PAGE + 1} to ${Math.min(app.H, (k + 1) * app.PAGE)}`),
      ),
    );
    listen();
    app.enter("tour");
  }

  begin();
  return app;
})();
