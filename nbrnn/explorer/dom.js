"use strict";
// Small helpers: elements, numbers as people read them, and lighting what belongs together.
const Dom = (() => {
  const byId = (id) => document.getElementById(id);

  // Text goes in as text: nothing that the data hold is read as HTML.
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false)
        node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }

  const MINUS = "\u2212";
  function fmt(v) {
    if (!Number.isFinite(v)) return String(v);
    const size = Math.abs(v);
    if (size === 0) return "0";
    let text = size >= 1e-3 && size < 1e5 ? size.toFixed(4) : size.toExponential(2);
    if (text.includes(".") && !text.includes("e")) text = text.replace(/\.?0+$/, "");
    return (v < 0 ? MINUS : "") + text;
  }
  const inner = (v) => (v < 0 ? `(${fmt(v)})` : fmt(v));
  // A page of some units and steps counts as the whole model does.
  const numbering = { first: 1, units: null };
  const nth = (t) => t + numbering.first;
  const unit = (j) => (numbering.units ? numbering.units[j] : j + 1);
  const sub = (n) => String(nth(n - 1)).replace(/\d/g, (d) => String.fromCharCode(0x2080 + Number(d)));

  // A tile's colour: orange above zero, blue below, stronger the nearer to the largest of its kind.
  function tint(v, scale) {
    const share = v && scale ? Math.round(8 + 54 * Math.sqrt(Math.min(1, Math.abs(v) / scale))) : 0;
    return `--share:${share}%;--tint:var(${v < 0 ? "--negative" : "--positive"})`;
  }

  function light(refs) {
    for (const node of document.querySelectorAll(".lit")) node.classList.remove("lit");
    if (!refs || !refs.length) return;
    const mark = (wanted) => {
      const missing = new Set(wanted);
      for (const node of document.querySelectorAll("[data-ref]")) {
        if (!wanted.has(node.dataset.ref)) continue;
        node.classList.add("lit");
        missing.delete(node.dataset.ref);
      }
      return missing;
    };
    // What is not on the screen is a number of another step: its step lights up.
    const missing = mark(new Set(refs));
    mark(new Set([...missing].map((ref) => ref.replace(/^\w+@(-?\d+):.*$/, "step@$1"))));
  }

  // Terms name what they are made of in data-refs; pointing at one, or going to it, lights that.
  const refsOf = (node) =>
    ((node && node.closest && node.closest("[data-refs]")) || { dataset: { refs: "" } }).dataset.refs;
  const relight = (node = document.activeElement) => light(refsOf(node).split("|").filter(Boolean));
  const listen = () => {
    document.addEventListener("mouseover", (event) => relight(event.target));
    document.addEventListener("focusin", (event) => relight(event.target));
    document.addEventListener("focusout", () => light([]));
  };

  /** Draw a box anew; the focus goes to what has the same key as what had it. */
  function redraw(box, nodes) {
    const { activeElement: active } = document,
      key = box.contains(active) ? active.dataset.key : undefined;
    box.replaceChildren(...nodes);
    const again =
      key === undefined ? null : [...box.querySelectorAll("[data-key]")].find((node) => node.dataset.key === key);
    if (again) again.focus({ preventScroll: true });
  }

  return { byId, el, fmt, inner, numbering, nth, unit, sub, tint, listen, relight, redraw, MINUS };
})();
