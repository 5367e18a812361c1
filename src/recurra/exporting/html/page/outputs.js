// The output of the model after each step: a line for each class or number, bars of attention, and the cursor of all figures.
import { colour } from "./plots.js";
import { number, percent, t } from "./words.js";

const HIGH = 150, TOP = 10, BAND = 44, MOST_LINES = 8, LEFT = 52, RIGHT = 12;

// task: an entry of TASKS; lines: names of the numbers
export function outputsView(task, lines) {
  const { el } = R, format = task.shares ? percent : (value) => number(value, 4);
  const body = el("div.body", { tabindex: 0, role: "group", "aria-label": t("outputs") }), legend = el("ul.legend-list"), lead = el("p.hint"), figure = el("div", { hidden: true }, body, legend);
  const root = el("div.outputs", { hidden: true }, el("h3", {}, t("outputs")), lead, figure);
  R.keys(root);
  let rows = null, attention = null, chosen = [], now = null;

  // numbers of the chosen lines at a step; null if there are none
  const at = (step) => chosen.map((i) => rows?.[step]?.[i] ?? null);
  const range = () => {
    if (task.shares) return [0, 1];
    const all = rows.flatMap((row) => chosen.map((i) => row[i])).filter(Number.isFinite), low = all.reduce((a, b) => Math.min(a, b), Infinity), most = all.reduce((a, b) => Math.max(a, b), -Infinity);
    return low < most ? [low, most] : [low - 1, low + 1];
  };
  const drawLines = (x, steps, width, out) => {
    const ink = R.plain(), [low, most] = range(), y = (value) => TOP + (most - value) / (most - low) * HIGH;
    for (const tick of R.ticks(low, most, 4)) out.push(R.svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick), stroke: ink.rule }), R.text(LEFT - 8, y(tick) + 4, task.shares ? `${Math.round(100 * tick)} %` : number(tick), { "text-anchor": "end", fill: ink.soft, "font-size": 11 }));
    chosen.forEach((i, place) => {
      let d = "", pen = "M", count = 0;
      rows.forEach((row, step) => { if (Number.isFinite(row[i])) { d += `${pen}${x(step).toFixed(1)} ${y(row[i]).toFixed(1)}`; pen = "L"; count += 1; } else pen = "M"; });
      const only = rows.findIndex((row) => Number.isFinite(row[i]));
      if (count === 1) out.push(R.svg("circle", { cx: x(only), cy: y(rows[only][i]), r: 4, fill: colour(place) }));
      else out.push(R.svg("path", { d, fill: "none", stroke: colour(place), "stroke-width": 2.2, "stroke-linejoin": "round" }));
    });
    return TOP + HIGH;
  };
  const drawAttention = (x, each, top, width, out) => {
    const ink = R.plain(), most = attention.reduce((a, b) => Math.max(a, b), 0) || 1, bottom = top + BAND;
    attention.forEach((weight, step) => out.push(R.svg("rect", { x: x(step) - 0.4 * each, width: Math.max(0.8 * each, 0.5), y: bottom - weight / most * (BAND - 8), height: weight / most * (BAND - 8), fill: ink.faint })));
    out.push(R.svg("line", { x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom, stroke: ink.rule }));
    return bottom;
  };

  const drawing = (width) => {
    const ink = R.plain(), part = R.part(), wide = width - LEFT - RIGHT, steps = (rows ?? attention).length, each = wide / steps, x = (step) => LEFT + (step + 0.5) * each, out = [];
    let bottom = TOP;
    if (rows) bottom = drawLines(x, steps, width, out);
    if (attention) bottom = drawAttention(x, each, bottom, width, out);
    const axis = R.axis(part, LEFT, bottom, wide), thick = Math.max(3, each);
    const cursor = R.svg("g", { "pointer-events": "none" }, R.svg("rect", { y: TOP - 4, height: bottom - TOP + 4, width: thick, fill: ink.accent, opacity: 0.13 }), R.svg("line", { y1: TOP - 4, y2: bottom, stroke: ink.accent, "stroke-width": 1.5 }));
    const picture = R.picture(width, bottom + axis.height + 6, { role: "img" }, out, axis.drawn, cursor);
    const mark = (step) => {
      cursor.firstChild.setAttribute("x", x(step) - thick / 2);
      for (const side of ["x1", "x2"]) cursor.lastChild.setAttribute(side, x(step));
      const shown = at(step).map((value, place) => ({ name: lines[chosen[place]], value: value === null ? "—" : format(value), swatch: colour(place) }));
      if (attention) shown.push({ name: t("attention"), value: percent(attention[step]), swatch: ink.faint });
      legend.replaceChildren(el("li", {}, el("b", {}, R.stepText(part, step))), ...shown.map(({ name, value, swatch }) => el("li", {}, el("span.swatch", { style: `background:${swatch}` }), `${name} `, el("b", {}, value))));
      picture.setAttribute("aria-label", `${t("outputs")}. ${R.stepText(part, step)}: ${shown.map(({ name, value }) => `${name} ${value}`).join(", ")}`);
    };
    return { picture, mark, steps, stepAt: (px) => Math.max(0, Math.min(steps - 1, Math.floor((px - LEFT) / each))) };
  };
  const mark = () => now?.mark(Math.min(R.state.step, now.steps - 1));
  const stepOf = (event) => { const box = now.picture.getBoundingClientRect(); return now.stepAt((event.clientX - box.left) / box.width * now.picture.viewBox.baseVal.width); };
  body.addEventListener("pointerdown", (event) => R.set({ step: stepOf(event) }));
  body.addEventListener("pointermove", (event) => { if (event.buttons) R.set({ step: stepOf(event) }); });

  const draw = () => {
    if (figure.hidden || root.hidden) return;
    now = drawing(Math.max(280, body.clientWidth || 560));
    body.replaceChildren(now.picture);
    mark();
  };
  return {
    root, draw,
    // found: what was computed of an input, after its figures were drawn; null if there is none
    show(found) {
      [rows, attention] = [found?.rows?.length ? found.rows : null, found?.attention?.length ? found.attention : null];
      const missing = found !== null && task.lines && !rows;
      root.hidden = !(rows || attention || missing);
      figure.hidden = !(rows || attention);
      lead.textContent = [missing ? t("noOutputs") : rows ? t(task.lead ?? "outputsLead") : "", attention ? t("attentionLead") : ""].join(" ").trim();
      const last = rows?.[rows.length - 1] ?? [];
      chosen = rows ? lines.map((_, i) => i).sort((a, b) => task.shares && lines.length > MOST_LINES ? last[b] - last[a] : a - b).slice(0, MOST_LINES) : [];
      draw();
      R.watch((changed) => { if (changed.has("step")) mark(); });
    },
  };
}
