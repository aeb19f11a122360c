"use strict";
// The guided tour: stops, each a text and what the page shows beside it.
const Tour = (() => {
  const { fmt, sub } = Dom;

  const GATES = {
    SimpleRNN: [],
    LSTM: [
      {
        title: "Gates",
        q: "f",
        text: (app) =>
          `A gate is a number between 0 and 1 for each unit, made as every sum here: x Wx + h Wh + b, then ${app.L.gate}. The forget gate f says how much of the cell state stays. Here it is ${fmt(app.at().step.f[0])} for unit 1.`,
      },
      {
        title: "The cell state only adds",
        q: "c",
        text: () =>
          "c = f · c before + i · n: what is kept, and what is new. No weight stands between one c and the next, only the gate f. This is the road on which the gradient travels far.",
      },
      {
        title: "What is shown",
        q: "h",
        text: (app) =>
          (app.L.act === "linear" ? "h = o · c. h is" : `h = o · ${app.L.act}(c). h is`) +
          " what the next step and the layer above see; c stays inside.",
      },
    ],
    GRU: [
      {
        title: "The reset gate",
        q: "r",
        text: (app) =>
          app.L.after
            ? "r says how much of the past the candidate n may see. In this form (reset_after) it scales the product h Wh + bh, after it was made."
            : "r says how much of the past the candidate n may see. In this form it scales h itself, before the product with Wh.",
      },
      {
        title: "The candidate",
        q: "n",
        text: () =>
          "n is what could be remembered: the input, and as much of the past as r lets through. The first line is made of the past alone.",
      },
      {
        title: "The update gate mixes",
        q: "h",
        text: (app) =>
          `h = z · h before + (1 − z) · n. With z = 1 nothing changes, with z = 0 all is new. Here z is ${fmt(app.at().step.z[0])} for unit 1. What passes by z · h passes no weight, forward and back.`,
      },
    ],
  };

  const HANDED = {
    SimpleRNN: "its da times Wh, read the other way.",
    LSTM: "its da, of all four gates, times Wh read the other way. The cell state has a road of its own beside it: dc · f.",
    GRU: "what came through Wh, read the other way, and dh · z, which passed no weight at all.",
  };
  const SLOPES = (app) =>
    app.L.kind === "SimpleRNN" && app.L.act === "linear"
      ? "The activation is linear here: its slope is 1, so da = dh. With tanh the slope is 1 − h², never above 1: gradients tend to shrink from step to step."
      : "dh is about the value after the activation, da about the sum before it. Between them stands the activation's slope, computed from its output. Where an activation is saturated the slope is near 0, and little gets through.";

  const SHARES = {
    softmax: "a number for each class. Softmax makes shares p of them, which sum to 1.",
    sigmoid: "a number, of which the sigmoid makes a probability p.",
  };

  /** The stops for a model; `at` is a step from 0, negative from the end. */
  function stops(app) {
    const L = app.L,
      T = app.T,
      H = app.model.partial ? app.model.partial.of_units : app.H,
      begins = app.first === 1,
      steps = app.model.partial ? app.model.partial.of_steps : T,
      ends = app.last === steps;
    const counted = [...new Array(T).keys()].filter((t) => !app.at(t).step.masked),
      masked = [...new Array(T).keys()].find((t) => app.at(t).step.masked);
    const first = counted[0],
      second = counted[Math.min(1, counted.length - 1)],
      end = counted.at(-1),
      many = counted.length > 1,
      used = app.model.partial ? app.model.partial.counted : counted.length;
    const goal = app.at().goal;
    const da = L.kind === "SimpleRNN" ? "da" : "da_n";
    const list = [
      {
        title: "One cell, used again and again",
        t: 0,
        dir: "forward",
        q: "h",
        text: () =>
          `This is one ${L.kind} layer of ${H} unit${H > 1 ? "s" : ""}, drawn ${T} times: once for each step${app.model.partial ? " that this page shows" : " of the sequence"}. It is not ${T} cells: the same weights Wx, Wh and b are used at every step. h is its memory, which each step reads and writes anew. “Units” are the numbers in one h; “steps” are how often it is used.`,
      },
      {
        title: begins && !first ? "Step 1: an input, and no memory yet" : `Step ${app.first + first}: an input meets the memory`,
        t: first,
        dir: "forward",
        q: L.kind === "SimpleRNN" ? "a" : "n",
        text: () =>
          `x${sub(first + 1)} is weighted by Wx. The memory h${sub(first)} is ${app.at(first).step.h_prev.every((v) => v === 0) ? "0, so its terms are 0 this once" : begins ? "given" : `what step ${app.first - 1} left`}. Point at a term of the formula: the input or memory and the weight that it is made of light up.`,
      },
      many && {
        title: `Step ${app.first + second}: the memory comes back in`,
        t: second,
        dir: "forward",
        q: L.kind === "SimpleRNN" ? "a" : "n",
        text: () =>
          `Now h${sub(second)}, the result of step ${app.first + second - 1}, is an input too: it meets Wh. That is all that “recurrent” means. Point at a term with h${sub(second)} and see it light up one step to the left.`,
      },
      masked !== undefined && {
        title: `Step ${app.first + masked} does not count`,
        t: masked,
        dir: "forward",
        q: "h",
        text: () =>
          "A grey step is masked, padding for one: sequences of different lengths are filled up to one. The cell does not take it in. Its memory stays as it was, so what stands behind the last step is the memory of the last one that counts.",
      },
      ...GATES[L.kind].map((stop) => ({ t: end, dir: "forward", ...stop })),
      {
        title: "Your turn",
        t: end,
        dir: "forward",
        q: "h",
        predict: true,
        text: () =>
          `Compute the new memory of unit ${Dom.unit(app.units()[0])} from the terms below before you look. Two digits are enough. A wrong answer is told what it may have left out.`,
      },
    ];
    if (app.at(T - 1).head) {
      list.push({
        title: "What comes out",
        t: T - 1,
        dir: "forward",
        q: "out",
        text: () =>
          `The layer above weighs ${app.at().flat ? "all h" : `h${sub(T)}`} and adds: ${SHARES[app.at().act] || "this is the model's output."}${app.run.loss === null ? "" : ` The loss compares it with the target: L = ${fmt(app.run.loss)}.`}${L.sequences ? "" : " Steps before the last one reach the output only through the memory."}`,
      });
    }
    if (!app.model.target) {
      list.push({
        title: "No target, no way back",
        t: T - 1,
        dir: "forward",
        q: "h",
        text: () =>
          "This page was made without a target, so there is no loss to go back from. Make it anew with --target to see the backward pass.",
      });
    } else {
      list.push(
        app.at().out === "p" && app.at().ends && {
          title: `p − ${goal}`,
          t: T - 1,
          dir: "backward",
          q: "head",
          text: () =>
            `On the way back the loss speaks first. Its slope by what stands before the ${app.at().act} is p − ${goal}: exponentials and a logarithm there, a subtraction back. It is near 0 where the network is sure and right, and near 1 in size where it is sure and wrong.`,
        },
        {
          title: "Turn round",
          t: T - 1,
          dir: "backward",
          q: "dh",
          text: () =>
            `Backward asks of every number: if it grew a little, how would the loss change? dh${sub(T)} is that answer for h${sub(T)}. ${ends ? "After the last step nothing follows, so all of it comes from the loss at once." : "Part of it is handed back by later steps, which are not on this page."}`,
        },
        many && {
          title: "What comes from the future",
          t: end - 1,
          dir: "backward",
          q: "dh_future",
          text: () =>
            `h${sub(end)} was used by step ${app.first + end} too, so the loss depends on it through that step. Step ${app.first + end} hands back ${HANDED[L.kind]} In code this is called dh_next. It is the total of everything later, not just of the next step.`,
        },
        many && {
          title: "Both ways together",
          t: end - 1,
          dir: "backward",
          q: "dh",
          text: () =>
            "dh = from the loss + from the future. Where only the last step has an output, the first part is 0 here; where every step has one, both count. A backward pass that leaves out either is wrong.",
        },
        masked !== undefined && {
          title: "Back through a step that does not count",
          t: masked,
          dir: "backward",
          q: "dh",
          text: () =>
            "What reaches the memory behind a masked step goes on to the step before as it is: no activation, no Wh stands between. The step adds nothing to dW, and the gradient of its input is 0.",
        },
        { title: "Through the activation", t: counted.at(many ? -2 : -1), dir: "backward", q: da, text: () => SLOPES(app) },
        many && {
          title: `Predict what step ${app.first + Math.max(0, end - 2)} receives`,
          t: Math.max(0, end - 2),
          dir: "backward",
          q: "dh_future",
          predict: true,
          text: () => "The same rule once more. The terms stand below; add them up before you look.",
        },
        {
          title: "Why dW is a sum",
          t: 0,
          dir: "backward",
          q: "dh",
          bar: [(app.L.Wh && "Wh") || "Wx", 0, 0],
          text: () =>
            `The same weight was used ${used} time${many ? "s" : ""}, so it earned ${used} share${many ? "s" : ""} of the blame: what came in at a step times the da of that step. Their sum is the gradient. Walk with ← and →: a bar is as long as the steps that have added to it, its outline is the total.`,
        },
        {
          title: "Is it right?",
          t: 0,
          dir: "backward",
          q: "dh",
          bar: ["Wh", 0, 0],
          text: () =>
            app.model.partial
              ? "The badge at the top compares every number on this page with nbrnn's own. A page that holds a whole model checks the gradients too, by moving every weight a little."
              : "The badge at the top moves every weight a little and looks at the loss alone: no formula of the backward pass is used. Open it to see how well both agree. In the sandbox you can break the backward pass and watch it turn red.",
        },
      );
    }
    list.push({
      title: "The sandbox",
      t: T - 1,
      dir: "forward",
      q: "h",
      text: () =>
        app.model.partial
          ? "Choose steps, units and numbers as you like."
          : "Now change things: any weight, input or target. The page computes everything anew and keeps a list of your changes. Make Wh larger and see dh grow on its way back; set Wh to 0 and see the memory go.",
    });
    return list.filter(Boolean);
  }

  return { stops };
})();
