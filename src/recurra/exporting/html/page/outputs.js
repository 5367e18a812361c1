// The output of the model after each step: a line for each class or number, with the cursor of all figures.
import { colour } from "./plots.js";
import { number, percent, t } from "./words.js";

const HIGH = 170, TOP = 10, MOST_LINES = 8;

export function outputsPanel(lines, shares) {
  const { el } = R, format = shares ? percent : (value) => number(value, 4);
  const body = el("div.body", { tabindex: 0, role: "group", "aria-label": t("outputs") }), legend = el("ul.legend-list"), reason = el("p.hint", { hidden: true }, t("noOutputs"));
  const figure = el("figure.figure", { hidden: true }, body, legend);
  const panel = el("section.section.outputs", { "aria-labelledby": "outputs-title" }, el("h2", { id: "outputs-title" }, t("outputs")), el("p.lead", {}, t("outputsLead")), reason, figure);
  R.keys(panel);
  let rows = [], chosen = [], mark = () => {};

  const drawing = (width) => {
    const ink = R.plain(), part = R.part(), left = 52, wide = width - left - 12, steps = rows.length, all = rows.flatMap((row) => chosen.map((i) => row[i]));
    let [low, most] = shares ? [0, 1] : [Infinity, -Infinity];
    if (!shares) for (const value of all) [low, most] = [Math.min(low, value), Math.max(most, value)];
    if (low === most) [low, most] = [low - 1, most + 1];
    const x = (step) => left + (step + 0.5) * wide / steps, y = (value) => TOP + (most - value) / (most - low) * HIGH, out = [];
    for (const tick of R.ticks(low, most, 4)) out.push(R.svg("line", { x1: left, x2: width - 12, y1: y(tick), y2: y(tick), stroke: ink.rule }), R.text(left - 8, y(tick) + 4, shares ? `${Math.round(100 * tick)} %` : number(tick), { "text-anchor": "end", fill: ink.soft, "font-size": 11 }));
    chosen.forEach((i, place) => {
      const d = rows.map((row, step) => `${step ? "L" : "M"}${x(step).toFixed(1)} ${y(row[i]).toFixed(1)}`).join("");
      out.push(steps > 1 ? R.svg("path", { d, fill: "none", stroke: colour(place), "stroke-width": 2.2, "stroke-linejoin": "round" }) : R.svg("circle", { cx: x(0), cy: y(rows[0][i]), r: 4, fill: colour(place) }));
    });
    const axis = R.axis(part, left, TOP + HIGH, wide), thick = Math.max(3, wide / steps);
    const cursor = R.svg("g", { "pointer-events": "none" }, R.svg("rect", { y: TOP - 4, height: HIGH + 4, width: thick, fill: ink.accent, opacity: 0.13 }), R.svg("line", { y1: TOP - 4, y2: TOP + HIGH, stroke: ink.accent, "stroke-width": 1.5 }));
    const picture = R.picture(width, TOP + HIGH + axis.height + 8, { role: "img" }, out, axis.drawn, cursor);
    return { picture, stepAt: (px) => Math.max(0, Math.min(steps - 1, Math.floor((px - left) / wide * steps))), move: (step) => {
      cursor.firstChild.setAttribute("x", x(step) - thick / 2);
      for (const side of ["x1", "x2"]) cursor.lastChild.setAttribute(side, x(step));
      const shown = rows[Math.min(step, steps - 1)], values = chosen.map((i) => format(shown[i]));
      legend.replaceChildren(el("li", {}, el("b", {}, R.stepText(part, step))), ...chosen.map((i, place) => el("li", {}, el("span.swatch", { style: `background:${colour(place)}` }), `${lines[i]} `, el("b", {}, values[place]))));
      picture.setAttribute("aria-label", `${t("outputs")}. ${R.stepText(part, step)}: ${chosen.map((i, place) => `${lines[i]} ${values[place]}`).join(", ")}`);
    } };
  };
  let now = null;
  const at = (event) => { const box = now.picture.getBoundingClientRect(); return now.stepAt((event.clientX - box.left) / box.width * now.picture.viewBox.baseVal.width); };
  body.addEventListener("pointerdown", (event) => R.set({ step: at(event) }));
  body.addEventListener("pointermove", (event) => { if (event.buttons) R.set({ step: at(event) }); });

  const draw = () => {
    if (!rows.length) return;
    now = drawing(Math.max(300, body.clientWidth || 900));
    body.replaceChildren(now.picture);
    mark = () => now.move(Math.min(R.state.step, rows.length - 1));
    mark();
  };
  return {
    panel, draw,
    // rows: the numbers after each step; null if the model has none. The figures of the report are drawn before.
    show(found) {
      reason.hidden = found !== null;
      figure.hidden = !found?.length;
      rows = found ?? [];
      const last = rows[rows.length - 1] ?? [];
      chosen = lines.map((_, i) => i).sort((a, b) => shares && lines.length > MOST_LINES ? last[b] - last[a] : a - b).slice(0, MOST_LINES);
      draw();
      R.watch((changed) => { if (changed.has("step")) mark(); });
    },
  };
}
