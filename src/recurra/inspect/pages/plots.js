// Small plots: a forecast with its band as SVG, and lines that grow as steps arrive on a canvas.
import { number, percent, t } from "./words.js";

const LIGHT = ["#0b5ea8", "#b3470c", "#0a7a5c", "#8a2f86", "#7a6000", "#b01d4f", "#3b6fb5", "#5f6772"];
const DARK = ["#7cc0ff", "#ffab66", "#5fd3ac", "#e39be0", "#e6cf5a", "#ff8fb0", "#a9c7f7", "#b9c0ca"];
export const colour = (i) => (R.theme() === "dark" ? DARK : LIGHT)[i % LIGHT.length];

const range = (values) => {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  const low = Math.min(...known), high = Math.max(...known), more = 0.05 * (high - low || 1);
  return known.length ? [low - more, high + more] : [0, 1];
};

// The end of a history and its forecasts. rows: { middle, lower, upper }
export function forecastPlot(history, rows, label) {
  const width = 640, high = 220, left = 56, top = 12, ink = R.plain(), past = history.slice(-Math.max(48, 2 * rows.length));
  const count = past.length + rows.length, [low, most] = range([...past, ...rows.flatMap((row) => [row.middle, row.lower, row.upper])].filter((v) => v !== undefined));
  const x = (i) => left + (i + 0.5) * (width - left - 12) / count, y = (value) => top + (most - value) / (most - low) * high;
  const line = (values, from) => values.map((value, i) => value === null || value === undefined ? "" : `${i && values[i - 1] !== null ? "L" : "M"}${x(from + i).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const begin = past.length, out = [];
  for (const tick of R.ticks(low, most, 4)) out.push(R.svg("line", { x1: left, x2: width - 12, y1: y(tick), y2: y(tick), stroke: ink.rule }), R.text(left - 8, y(tick) + 4, number(tick), { "text-anchor": "end", fill: ink.soft, "font-size": 11 }));
  if (rows.some((row) => row.lower !== undefined)) {
    const up = rows.map((row, i) => `${i ? "L" : "M"}${x(begin + i).toFixed(1)} ${y(row.upper).toFixed(1)}`).join("");
    const down = rows.map((row, i) => `L${x(begin + i).toFixed(1)} ${y(row.lower).toFixed(1)}`).reverse().join("");
    out.push(R.svg("path", { d: `${up}${down}Z`, fill: colour(0), opacity: 0.2 }));
  }
  out.push(R.svg("path", { d: line(past, 0), fill: "none", stroke: ink.soft, "stroke-width": 1.6 }));
  const joined = past.length ? [past[past.length - 1], ...rows.map((row) => row.middle)] : rows.map((row) => row.middle);
  out.push(R.svg("path", { d: line(joined, past.length ? begin - 1 : 0), fill: "none", stroke: colour(0), "stroke-width": 2.4 }));
  out.push(R.svg("line", { x1: x(begin - 0.5), x2: x(begin - 0.5), y1: top, y2: top + high, stroke: ink.faint, "stroke-dasharray": "3 3" }));
  const keys = [[t("history"), ink.soft], [t("forecast"), colour(0)]];
  keys.forEach(([text, stroke], i) => out.push(R.svg("line", { x1: left + 150 * i, x2: left + 24 + 150 * i, y1: top + high + 18, y2: top + high + 18, stroke, "stroke-width": 2.5 }), R.text(left + 32 + 150 * i, top + high + 22, text)));
  return R.picture(width, top + high + 30, { role: "img", "aria-label": label, class: "wide" }, out);
}

// Lines over the last steps.
// labels: names of the lines. Options: `shares` if the values are probabilities, `most` steps that are drawn, the meaning
// of `flagged` steps, and `named` if each step has a name, which is written below it.
export class LivePlot {
  constructor(title, labels, { shares = false, most = 240, flagged = null, named = false } = {}) {
    const { el } = R;
    Object.assign(this, { labels, shares, most, named, rows: [], flags: [], names: [], waiting: false, format: shares ? percent : (value) => number(value, 3) });
    this.canvas = el("canvas.live-plot", { role: "img", "aria-label": title });
    this.values = labels.map(() => el("b"));
    this.legend = el("ul.legend-list", {}, labels.map((label, i) => el("li", {}, el("span.swatch", { style: `background:${colour(i)}` }), `${label} `, this.values[i])), flagged ? el("li", {}, el("span.swatch.flagged"), flagged) : null);
    this.root = el("figure.figure.live", {}, el("h3", {}, title), this.canvas, this.legend);
    this.title = title;
  }

  push(row, flag = false, name = "") {
    const lists = [[this.rows, row], [this.flags, flag], [this.names, name]];
    for (const [list, value] of lists) {
      list.push(value);
      if (list.length > this.most) list.shift();
    }
    this.later();
  }

  clear() {
    for (const list of [this.rows, this.flags, this.names]) list.length = 0;
    this.later();
  }

  // draws at most once a frame, or twice a second if the reader prefers less motion
  later() {
    if (this.waiting) return;
    this.waiting = true;
    const draw = () => { this.waiting = false; this.draw(); };
    if (R.calm()) setTimeout(draw, 500); else requestAnimationFrame(draw);
  }

  draw() {
    const { canvas, rows } = this, density = Math.min(2, devicePixelRatio || 1), width = canvas.clientWidth, height = canvas.clientHeight, ink = R.plain();
    if (!width) return;
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
    const context = canvas.getContext("2d");
    context.scale(density, density);
    context.font = `11px ${R.FONT}`;
    const [least, most] = this.shares ? [0, 1] : range(rows.flat());
    // steps with names begin at the left, others come in from the right
    const count = this.named ? Math.max(16, rows.length) : this.most, begin = this.named ? 0.5 : count - rows.length;
    const left = 50, right = width - 8, top = 8, bottom = height - (this.named ? 24 : 8), each = (right - left) / (this.named ? count : count - 1), x = (i) => left + each * (i + begin), y = (value) => bottom - (value - least) / (most - least || 1) * (bottom - top);
    context.fillStyle = ink.accent;
    context.globalAlpha = 0.14;
    this.flags.forEach((flag, i) => { if (flag) context.fillRect(x(i - 0.5), top, each + 0.5, bottom - top); });
    context.globalAlpha = 1;
    context.textAlign = "right";
    for (const tick of R.ticks(least, most, 4)) {
      context.strokeStyle = ink.rule;
      context.beginPath();
      context.moveTo(left, y(tick));
      context.lineTo(right, y(tick));
      context.stroke();
      context.fillStyle = ink.soft;
      context.fillText(number(tick), left - 6, y(tick) + 4);
    }
    if (this.named && each >= 9) {
      context.font = `14px ${R.FONT}`;
      context.textAlign = "center";
      context.fillStyle = ink.ink;
      this.names.forEach((name, i) => context.fillText(name, x(i), height - 6));
    }
    context.lineWidth = 2;
    context.lineJoin = "round";
    this.labels.forEach((_, line) => {
      context.strokeStyle = colour(line);
      context.beginPath();
      let pen = "moveTo";
      rows.forEach((row, i) => {
        const value = row[line];
        if (value === null || value === undefined) { pen = "moveTo"; return; }
        context[pen](x(i), y(value));
        pen = "lineTo";
      });
      context.stroke();
    });
    const last = rows[rows.length - 1] ?? [];
    this.values.forEach((cell, i) => { cell.textContent = last[i] === undefined || last[i] === null ? "—" : this.format(last[i]); });
    canvas.setAttribute("aria-label", `${this.title}: ${this.labels.map((label, i) => `${label} ${this.values[i].textContent}`).join(", ")}`);
    canvas.dataset.drawn = String(rows.length);
  }
}
