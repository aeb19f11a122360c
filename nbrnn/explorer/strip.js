"use strict";
// The overview: the cell once a step, time to the right, and how far the walk has come.
const Strip = (() => {
  const { byId, el, fmt, sub, nth, tint } = Dom;
  const NUMBERS = 4; // a box shows as many units as numbers; more are tiles of colour

  function tiles(name, t, values, units, scale) {
    const many = units.length > NUMBERS;
    return el(
      "span",
      { class: many ? "tiles" : "numbers" },
      units.map((j) =>
        el(
          "span",
          {
            class: "tile",
            "data-ref": Formulas.ref(name, t, j),
            "data-strip": name,
            "data-unit": j,
            style: tint(values[j], scale),
            title: `${Formulas.label(name, t, j)} = ${values[j]}`,
          },
          many ? "" : fmt(values[j]),
        ),
      ),
    );
  }

  /** The unrolled strip: built anew when numbers change; a step that is taken only changes classes. */
  function strip(app) {
    const units = app.units(),
      layer = app.run.layers[app.model.shown],
      columns = [];
    for (let t = 0; t < app.T; t++) {
      const at = app.at(t),
        seen = at.shows,
        s = layer.steps[t];
      const rank = (label, cls, body) =>
        el("span", { class: `rank ${cls}` }, el("span", { class: "rank-name" }, label), body);
      const outs =
        !seen
          ? []
          : Head.outputs(at)
              .slice(0, NUMBERS)
              .map((v, k) =>
                el(
                  "span",
                  {
                    class: at.counts ? "tile counts" : "tile",
                    "data-ref": `y@${t}:${k}`,
                    style: tint(v, app.scale("out")),
                    title: `${at.outName(k)} = ${v}`,
                  },
                  fmt(v),
                ),
              );
      columns.push(
        el(
          "button",
          {
            type: "button",
            class: s.masked ? "step masked" : "step",
            tabindex: "-1",
            "data-step": t,
            "data-ref": `step@${t}`,
            "aria-label": `step ${nth(t)}${s.masked ? ", masked" : ""}`,
          },
          el("span", { class: "step-name" }, `t = ${app.first + t}${s.masked ? ", masked" : ""}`),
          app.run.outputs
            ? rank(seen ? `${at.out}${at.flat ? "" : sub(t + 1)}` : "", "fwd out", el("span", { class: "numbers" }, outs))
            : null,
          rank(`h${sub(t + 1)}`, "fwd state", tiles("h", t, s.h, units, app.scale("h"))),
          rank(
            `x${sub(t + 1)}`,
            "input",
            el(
              "span",
              { class: s.x.length > NUMBERS ? "tiles" : "numbers" },
              s.x
                .slice(0, 8)
                .map((v, d) =>
                  el(
                    "span",
                    { class: "tile", "data-ref": `x@${t}:${d}`, style: tint(v, app.scale("x")), title: `x = ${v}` },
                    s.x.length > NUMBERS ? "" : fmt(v),
                  ),
                ),
            ),
          ),
          layer.backward
            ? rank(`dh${sub(t + 1)}`, "bwd", tiles("dh", t, layer.backward[t].dh, units, app.scale("dh")))
            : null,
        ),
      );
      if (t + 1 < app.T) columns.push(el("span", { class: "arrow", "aria-hidden": "true" }));
    }
    byId("strip").replaceChildren(...columns);
    byId("units-box").hidden = app.H <= app.PAGE;
  }

  /** What has been computed so far stays on the strip; what has not is blank. */
  function walk(app) {
    const backward = app.dir === "backward";
    for (const node of byId("strip").querySelectorAll(".step")) {
      const t = Number(node.dataset.step);
      node.classList.toggle("now", t === app.t);
      node.classList.toggle("ahead", !backward && t > app.t);
      node.classList.toggle("unreached", !backward || t < app.t);
      if (t === app.t) node.setAttribute("aria-current", "step");
      else node.removeAttribute("aria-current");
      node.classList.toggle("guess", app.predict !== null && !app.predict.solved && t === app.predict.t);
    }
    byId("strip").dataset.dir = app.dir;
    const now = byId("strip").querySelector(".now"),
      box = byId("strip-box");
    box.scrollLeft = now.offsetLeft - (box.clientWidth - now.offsetWidth) / 2;
    const slider = byId("slider");
    slider.value = app.t + 1;
    slider.style.setProperty("--at", `${(100 * app.t) / Math.max(1, app.T - 1)}%`);
    const where = `step ${app.first + app.t} of ${app.last}, ${app.dir}${app.at().step.masked ? ", masked" : ""}`;
    slider.setAttribute("aria-valuetext", where);
    byId("where").textContent = where;
    for (const dir of ["forward", "backward"]) byId(dir).setAttribute("aria-pressed", String(app.dir === dir));
  }

  return { strip, walk };
})();
