"use strict";
// The page's own arithmetic: the equations of the kernels, in doubles, with the names of the trace.
// Vectors are rows: a = x Wx + h Wh + b. A step is an object of vectors; a layer is a list of steps.
const Engine = (() => {
  const ACT = {
    linear: (a) => a,
    tanh: Math.tanh,
    sigmoid: (a) => 1 / (1 + Math.exp(-a)),
    relu: (a) => (a > 0 ? a : 0),
    softsign: (a) => a / (1 + Math.abs(a)),
    elu: (a) => (a > 0 ? a : Math.expm1(a)),
    hard_sigmoid: (a) => Math.min(1, Math.max(0, a / 6 + 0.5)),
  };
  // act'(a) from y = act(a)
  const SLOPE = {
    linear: () => 1,
    tanh: (y) => 1 - y * y,
    sigmoid: (y) => y * (1 - y),
    relu: (y) => (y > 0 ? 1 : 0),
    softsign: (y) => (1 - Math.abs(y)) ** 2,
    elu: (y) => (y > 0 ? 1 : y + 1),
    hard_sigmoid: (y) => (y > 0 && y < 1 ? 1 / 6 : 0),
  };
  const zeros = (n) => new Array(n).fill(0);
  const zip = (u, v, f) => u.map((a, k) => f(a, v[k]));
  const times = (u, v) => zip(u, v, (a, b) => a * b);
  const plus = (u, v) => (v ? zip(u, v, (a, b) => a + b) : u);
  const outer = (u, v) => u.map((a) => v.map((b) => a * b));
  const add = (A, B) => (Array.isArray(A) ? A.map((a, k) => add(a, B[k])) : A + B);
  const nothing = (A) => (Array.isArray(A) ? A.map(nothing) : 0);
  const flat = (A) => (Array.isArray(A) ? A.flat(Infinity) : [A]);

  // v W, from row `first` on, over some columns
  function product(v, W, from = 0, to = W[0].length) {
    const sum = zeros(to - from);
    for (let k = 0; k < v.length; k++) for (let c = from; c < to; c++) sum[c - from] += v[k] * W[k][c];
    return sum;
  }
  // v W^T, where v belongs to the columns from `from` on
  const productBack = (v, W, from = 0) => W.map((row) => v.reduce((sum, a, c) => sum + a * row[from + c], 0));

  const CELLS = {
    SimpleRNN: {
      gates: ["a"],
      forward(L, x, h_prev, _, rest) {
        const xWx = plus(product(x, L.Wx), rest.x),
          hWh = plus(product(h_prev, L.Wh), rest.h),
          b = bias(L);
        const a = plus(plus(xWx, hWh), b);
        return { x, h_prev, xWx, hWh, b, a, h: a.map(ACT[L.act]) };
      },
      backward(L, s, back, rest, slope) {
        const da = times(back.dh, slope(s.h, L.act));
        return { da, dh_prev: plus(productBack(da, L.Wh), rest.future), ...shares(s, da, da, outer(s.h_prev, da)) };
      },
    },
    LSTM: {
      gates: ["i", "f", "n", "o"],
      forward(L, x, h_prev, c_prev, rest) {
        const xWx = plus(product(x, L.Wx), rest.x),
          hWh = plus(product(h_prev, L.Wh), rest.h),
          b = bias(L);
        const a = plus(plus(xWx, hWh), b),
          [ai, af, an, ao] = split(a, 4);
        const i = ai.map(ACT[L.gate]),
          f = af.map(ACT[L.gate]),
          n = an.map(ACT[L.act]),
          o = ao.map(ACT[L.gate]);
        const c = plus(times(f, c_prev), times(i, n)),
          s = c.map(ACT[L.act]);
        return { x, h_prev, c_prev, xWx, hWh, b, a, i, f, n, o, c, s, h: times(o, s) };
      },
      backward(L, s, back, rest, slope) {
        const ds = times(back.dh, s.o),
          dc_here = times(ds, slope(s.s, L.act));
        const dc = plus(dc_here, back.dc_future);
        const di = times(dc, s.n),
          df = times(dc, s.c_prev),
          dn = times(dc, s.i),
          dO = times(back.dh, s.s);
        const da = [
          ...times(di, slope(s.i, L.gate)),
          ...times(df, slope(s.f, L.gate)),
          ...times(dn, slope(s.n, L.act)),
          ...times(dO, slope(s.o, L.gate)),
        ];
        const dh_prev = plus(productBack(da, L.Wh), rest.future);
        return {
          ds,
          dc_here,
          dc,
          di,
          df,
          dn,
          do: dO,
          da,
          dh_prev,
          dc_prev: times(dc, s.f),
          ...shares(s, da, da, outer(s.h_prev, da)),
        };
      },
    },
    GRU: {
      gates: ["z", "r", "n"],
      forward(L, x, h_prev, _, rest) {
        const H = L.H,
          xWx = plus(product(x, L.Wx), rest.x);
        const zr = plus(product(h_prev, L.Wh, 0, 2 * H), rest.h && rest.h.slice(0, 2 * H));
        const open = (v) => split(v, 2).map((part) => part.map(ACT[L.gate]));
        let own, a, z, r;
        if (L.after) {
          const [b, bh] = L.b || [zeros(3 * H), zeros(3 * H)];
          const hWh = [...zr, ...plus(product(h_prev, L.Wh, 2 * H), rest.h && rest.h.slice(2 * H))];
          const p = plus(xWx, b),
            q = plus(hWh, bh);
          const a_zr = plus(p.slice(0, 2 * H), q.slice(0, 2 * H));
          [z, r] = open(a_zr);
          a = [...a_zr, ...plus(p.slice(2 * H), times(r, q.slice(2 * H)))];
          own = { xWx, b, hWh, bh };
        } else {
          const b = bias(L),
            a_zr = plus(plus(xWx.slice(0, 2 * H), b.slice(0, 2 * H)), zr);
          [z, r] = open(a_zr);
          const rh = times(r, h_prev),
            hWn = plus(product(rh, L.Wh, 2 * H), rest.h && rest.h.slice(2 * H));
          a = [...a_zr, ...plus(plus(xWx.slice(2 * H), b.slice(2 * H)), hWn)];
          own = { xWx, b, rh, hWh: [...zr, ...hWn] };
        }
        const n = a.slice(2 * H).map(ACT[L.act]);
        const h = z.map((zj, j) => zj * h_prev[j] + (1 - zj) * n[j]);
        return { x, h_prev, ...own, a, z, r, n, h };
      },
      backward(L, s, back, rest, slope) {
        const H = L.H,
          dh = back.dh;
        const dz = times(
            dh,
            zip(s.h_prev, s.n, (h, n) => h - n),
          ),
          dn = times(
            dh,
            s.z.map((z) => 1 - z),
          );
        const da_n = times(dn, slope(s.n, L.act)),
          da_z = times(dz, slope(s.z, L.gate));
        const straight = times(dh, s.z);
        if (L.after) {
          const inner = plus(s.hWh, s.bh).slice(2 * H),
            dr = times(da_n, inner);
          const da_r = times(dr, slope(s.r, L.gate));
          const da = [...da_z, ...da_r, ...da_n],
            dq = [...da_z, ...da_r, ...times(da_n, s.r)];
          const dh_prev = plus(plus(straight, productBack(dq, L.Wh)), rest.future);
          return { dz, dr, dn, da, dq, dh_prev, ...shares(s, da, [da, dq], outer(s.h_prev, dq)) };
        }
        const dm = plus(productBack(da_n, L.Wh, 2 * H), rest.m),
          dr = times(dm, s.h_prev);
        const da_r = times(dr, slope(s.r, L.gate)),
          da_zr = [...da_z, ...da_r],
          da = [...da_zr, ...da_n];
        const through = plus(times(dm, s.r), productBack(da_zr, L.Wh));
        const dWh = s.h_prev.map((h, k) => [...da_zr.map((d) => h * d), ...da_n.map((d) => s.rh[k] * d)]);
        return { dz, dr, dn, dm, da, dh_prev: plus(plus(straight, through), rest.future), ...shares(s, da, da, dWh) };
      },
    },
  };
  const bias = (L) => L.b || zeros(L.Wx[0].length);
  const split = (v, n) => [...new Array(n).keys()].map((k) => v.slice((k * v.length) / n, ((k + 1) * v.length) / n));
  const shares = (s, da, db, dWh) => ({ dWx: outer(s.x, da), dWh, db });

  // What units that the page does not hold add to step t: constants of the run
  const restOf = (L, t) => Object.fromEntries(Object.entries(L.rest || {}).map(([name, rows]) => [name, rows[t]]));

  const activate = (a, act) => (act === "softmax" ? Losses.softmax(a) : a.map(ACT[act]));
  const nested = (x) => Array.isArray(x[0]);
  // Layers without a state: a step from what it reads, and the gradients from dy; `s` is the step.
  const PLAIN = {
    Dense: {
      forward(L, x) {
        const xW = product(x, L.W),
          b = L.b || zeros(xW.length),
          a = plus(xW, b);
        return { x, xW, b, a, y: activate(a, L.act) };
      },
      backward(L, s, dy, fault) {
        const da = descend(s.y, dy, L.act, fault);
        return { dy, da, dW: outer(s.x, da), db: da, dx: productBack(da, L.W) };
      },
    },
    Activation: {
      forward: (L, x) => ({ x, y: activate(x, L.act) }),
      backward: (L, s, dy, fault) => ({ dy, dx: descend(s.y, dy, L.act, fault) }),
    },
    Masking: {
      forward: (L, x, counts) => ({ x, y: counts ? x : zeros(x.length), masked: !counts }),
      backward: (L, s, dy) => ({ dy, dx: s.masked ? zeros(dy.length) : dy }),
    },
    Flatten: {
      forward: (L, x) => ({ x, y: flat(x) }),
      backward: (L, s, dy) => ({ dy, dx: nested(s.x) ? split(dy, s.x.length) : dy }),
    },
  };
  PLAIN.Softmax = PLAIN.Activation;
  const slopes = (y, act, fault) => y.map(fault === "slope" ? () => 1 : SLOPE[act]);
  function descend(y, dy, act, fault) {
    if (act === "softmax") return fault === "slope" ? dy : Losses.softmaxBack(y, dy);
    return times(dy, slopes(y, act, fault));
  }

  /** What a layer makes of a sequence: its steps, what it hands on, and the mask that goes with it. */
  function forwardLayer(L, xs, mask) {
    if (!L.H) {
      const counts = xs.map((x, t) => (!mask || mask[t]) && (L.kind !== "Masking" || x.some((v) => v !== L.value)));
      const ins = L.kind === "Flatten" && xs.length > 1 ? [xs] : xs;
      const steps = ins.map((x, t) => PLAIN[L.kind].forward(L, x, counts[t]));
      const after = { Flatten: null, Masking: counts }[L.kind];
      return { steps, values: steps.map((s) => s.y), mask: after === undefined ? mask : after };
    }
    const steps = [],
      turn = (v) => (L.backwards ? [...v].reverse() : v),
      taken = mask && turn(mask);
    let h = L.h0 || zeros(L.H),
      c = L.c0 || zeros(L.H);
    turn(xs).forEach((x, t) => {
      const held = L.kind === "LSTM" ? { x, h_prev: h, c_prev: c, h, c } : { x, h_prev: h, h };
      const step =
        taken && !taken[t] ? { ...held, masked: true } : CELLS[L.kind].forward(L, x, h, c, restOf(L, t));
      steps.push(step);
      h = step.h;
      c = step.c;
    });
    const hears = heard(L, steps),
      ys = steps.map((s, t) => (hears[t] ? s.h : zeros(L.H)));
    return { steps, values: L.sequences ? ys : ys.slice(-1), mask: L.sequences ? mask : null };
  }
  /** Which steps have their state as output: none before the first that counts, nor a masked one set to zero. */
  function heard(L, steps) {
    let begun = Boolean(L.begun);
    return steps.map((s) => {
      begun = begun || !s.masked;
      return L.zero ? !s.masked : begun;
    });
  }

  // `fault` breaks the backward pass on purpose, for the learner: see FAULTS in start.js
  function backwardLayer(L, steps, dys, fault) {
    if (!L.H) return steps.map((s, t) => PLAIN[L.kind].backward(L, s, dys[t], fault));
    const T = steps.length,
      hears = heard(L, steps),
      backs = new Array(T);
    for (let t = T - 1; t >= 0; t--) {
      const k = t - (T - dys.length),
        later = backs[t + 1];
      const dh_loss = k >= 0 && hears[t] ? dys[k] : zeros(L.H);
      const handed = later ? later.dh_prev : L.dh_end || zeros(L.H);
      const back = { dh_loss, dh_future: fault === "future" ? zeros(L.H) : handed };
      back.dh = plus(dh_loss, back.dh_future);
      if (L.kind === "LSTM") back.dc_future = later ? later.dc_prev : L.dc_end || zeros(L.H);
      if (steps[t].masked) {
        back.dh_prev = back.dh;
        if (L.kind === "LSTM") back.dc = back.dc_prev = back.dc_future;
      } else {
        Object.assign(back, CELLS[L.kind].backward(L, steps[t], back, restOf(L, t), (y, act) => slopes(y, act, fault)));
        back.dx = productBack(back.da, L.Wx);
      }
      backs[t] = back;
    }
    const full = backs[steps.findIndex((s) => !s.masked)];
    for (const back of backs)
      for (const name of Object.keys(full)) back[name] = back[name] || nothing(full[name]); // of a masked step
    return backs;
  }

  function totalsOf(L, backs, fault) {
    const names = L.kind === "Dense" ? ["dW", "db"] : ["dWx", "dWh", "db"],
      totals = {};
    for (const name of names) {
      if (!L[name.slice(1)]) continue;
      const parts = fault === "last" ? backs.slice(-1) : backs;
      totals[name] = parts.map((b) => b[name]).reduce(add);
      if (L.outside) totals[name] = add(totals[name], L.outside[name]);
      if (fault === "twice") totals[name] = add(totals[name], totals[name]);
    }
    return totals;
  }

  /** Run all layers forward, and the loss where there is a target. */
  function forward(model) {
    let values = model.x,
      mask = model.mask;
    const layers = model.layers.map((L) => {
      const { steps, ...handed } = forwardLayer(L, values, mask);
      ({ values, mask } = handed);
      return { steps };
    });
    const run = { layers, output: values, mask, loss: null };
    if (model.target && !model.partial) {
      const { value, slope } = Losses.of(values, model.target, model.loss, mask);
      Object.assign(run, { loss: value, dout: slope });
    }
    return run;
  }

  /** Run all layers forward and, where there is a target, backward. */
  function run(model, fault = "") {
    const done = Object.assign(forward(model), { fault });
    if (!model.target) return done;
    let dys = model.partial ? model.dys : done.dout;
    for (let k = model.layers.length - 1; k >= 0; k--) {
      const L = model.layers[k],
        layer = done.layers[k];
      layer.backward = backwardLayer(L, layer.steps, dys, fault);
      layer.totals = totalsOf(L, layer.backward, fault);
      dys = layer.backward.map((b) => b.dx);
      if (nested(dys[0])) [dys] = dys; // Flatten is one step
      if (L.backwards) dys.reverse();
    }
    return done;
  }

  /** Compare a run with the trace: the largest difference, relative to each quantity's largest number (at least 1). */
  function compare(done, trace) {
    let worst = { error: 0, where: "" };
    const look = (mine, theirs, where) => {
      const a = flat(mine),
        b = flat(theirs);
      const scale = b.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
      const error =
        a.length === b.length
          ? a.reduce((most, v, k) => Math.max(most, Number.isFinite(v) ? Math.abs(v - b[k]) / scale : Infinity), 0)
          : Infinity;
      if (!(error <= worst.error)) worst = { error, where };
    };
    trace.layers.forEach((layer, k) => {
      for (const pass of ["steps", "backward"]) {
        layer[pass].forEach((step, t) => {
          for (const name of Object.keys(step)) {
            look(done.layers[k][pass][t][name] ?? [], step[name], `${layer.name}: ${name} at step ${t + 1}`);
          }
        });
      }
      for (const name of Object.keys(layer.totals)) {
        look(done.layers[k].totals[name] ?? [], layer.totals[name], `${layer.name}: ${name}, the total`);
      }
    });
    if (trace.loss !== null && done.loss !== null) look([done.loss], [trace.loss], "the loss");
    return worst;
  }

  const STEP = 1e-4; // of the four-point difference: its error goes with the fourth power
  const TOLERANCE = 1e-6; // of a weight's largest gradient; `floor` is what rounding of the loss alone can do
  const MOST = 200; // weights of an array that are checked; of more, so many that lie spread over all
  const spread = (n) => [...new Array(Math.min(n, MOST)).keys()].map((k) => (n > MOST ? golden(k, n) : k));
  const golden = (k, n) => Math.floor(((k * (Math.sqrt(5) - 1)) / 2 % 1) * n);
  /** Check the weights' gradients by the loss alone; yields now and then, so that the page stays alive. */
  function* check(model, totals) {
    const rows = [],
      floor = 1e-9 * Math.max(1, Math.abs(forward(model).loss));
    for (const [k, L] of model.layers.entries()) {
      for (const d of Object.keys(totals[k])) {
        const name = d.slice(1),
          found = flat(totals[k][d]);
        const holders = nested(L[name]) ? L[name] : [L[name]],
          width = holders[0].length;
        let worst = 0,
          passed = true;
        const scale = found.reduce((most, v) => Math.max(most, Math.abs(v)), 0),
          places = spread(found.length);
        for (const place of places) {
          const row = holders[Math.floor(place / width)],
            c = place % width,
            w = row[c],
            step = STEP * Math.max(1, Math.abs(w));
          const at = (by) => {
            row[c] = w + by;
            const loss = forward(model).loss;
            row[c] = w;
            return loss;
          };
          const slope = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
          const error = Math.abs(slope - found[place]);
          worst = Math.max(worst, error / Math.max(scale, floor));
          passed = passed && error <= Math.max(floor, TOLERANCE * scale);
          yield null;
        }
        rows.push({ name: `${L.name}: ${d}`, error: worst, passed, checked: places.length, of: found.length });
      }
    }
    return rows;
  }

  return { ACT, SLOPE, CELLS, run, forward, heard, compare, check, flat };
})();
