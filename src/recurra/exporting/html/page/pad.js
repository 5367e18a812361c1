// A field to draw a signal in: with a finger, a pen, the mouse, or the arrow keys.
import { number, t } from "./words.js";
import { colour } from "./plots.js";

const HIGH = 200, TOP = 10, STEPS = 64, MOST_STEPS = 2000;

// The panel. columns: { names, mean, scale } of the training data. `onchange(rows)` gets the rows of numbers after each
// change, `follow(step)` the step under the cursor; `show(rows)` draws rows that come from elsewhere.
export function drawingPad({ names, mean, scale }, onchange, follow) {
  const { el, svg } = R, columns = names.length;
  const place = el("div.pad", { tabindex: 0, role: "application", "aria-roledescription": t("draw"), "aria-describedby": "pad-help" });
  const hint = el("p.hint", { id: "pad-help" }, t("drawHere"), " ", el("span.unseen", {}, t("drawHelp")));
  const feature = el("select", { id: "pad-feature", onchange: () => { state.feature = Number(feature.value); freeze(); draw(); } }, names.map((name, i) => el("option", { value: i }, name)));
  const length = el("input", { id: "pad-steps", type: "number", min: 1, max: MOST_STEPS, value: STEPS, onchange: () => resize(Math.round(Number(length.value))) });
  const flat = el("button", { type: "button", id: "flat", onclick: () => { state.rows = level(state.rows.length || Number(length.value)); freeze(); changed(); } }, t("flat"));
  const panel = el("div.draw", {}, el("div.controls", {}, el("h3", {}, t("draw")), columns > 1 ? el("span.field", {}, el("label", { for: "pad-feature" }, t("drawFeature")), feature) : null,
    el("span.field", {}, el("label", { for: "pad-steps" }, t("drawSteps")), length), flat), place, hint);
  const state = { rows: [], feature: 0, step: 0, low: 0, most: 1, last: null };

  const level = (steps) => Array.from({ length: steps }, () => mean.map((value) => Number(value.toPrecision(5))));
  // the axis: three standard deviations of the training data, more if the signal needs it; it stays while one draws
  const freeze = () => {
    const f = state.feature, size = scale[f] || Math.abs(mean[f]) / 2 || 1;
    [state.low, state.most] = [mean[f] - 3 * size, mean[f] + 3 * size];
    for (const row of state.rows) if (row[f] !== null) [state.low, state.most] = [Math.min(state.low, row[f]), Math.max(state.most, row[f])];
  };
  const round = (value) => Number(value.toFixed(Math.max(0, Math.min(12, 3 - Math.floor(Math.log10(state.most - state.low))))));
  const changed = () => { draw(); onchange(state.rows); };
  const resize = (steps) => {
    const wanted = Math.max(1, Math.min(MOST_STEPS, steps || STEPS)), last = state.rows[state.rows.length - 1];
    length.value = wanted;
    if (!last) return;
    state.rows = Array.from({ length: wanted }, (_, i) => state.rows[i] ?? [...last]);
    changed();
  };

  const left = 52, scales = (width) => {
    const wide = width - left - 12, count = state.rows.length || Number(length.value) || STEPS;
    return { wide, count, x: (step) => left + (step + 0.5) * wide / count, y: (value) => TOP + (state.most - value) / (state.most - state.low) * HIGH };
  };
  const path = (f, x, y) => {
    let d = "", pen = "M";
    state.rows.forEach((row, step) => { if (row[f] === null) pen = "M"; else { d += `${pen}${x(step).toFixed(1)} ${y(row[f]).toFixed(1)}`; pen = "L"; } });
    return d;
  };
  const draw = () => {
    const width = Math.max(280, place.clientWidth || 500), ink = R.plain(), { wide, count, x, y } = scales(width), out = [];
    for (const tick of R.ticks(state.low, state.most, 4)) out.push(svg("line", { x1: left, x2: width - 12, y1: y(tick), y2: y(tick), stroke: ink.rule }), R.text(left - 8, y(tick) + 4, number(tick), { "text-anchor": "end", fill: ink.soft, "font-size": 11 }));
    for (const tick of R.ticks(0, count - 1, Math.max(2, wide / 80)).filter(Number.isInteger)) out.push(R.text(x(tick), TOP + HIGH + 16, String(tick), { "text-anchor": "middle", fill: ink.soft, "font-size": 11 }));
    // the other columns are faint, each in its own scale
    for (let f = 0; f < Math.min(columns, 12); f++) {
      if (f === state.feature || !state.rows.length) continue;
      const values = state.rows.map((row) => row[f]).filter((v) => v !== null), low = Math.min(...values, mean[f] - 2 * scale[f]), most = Math.max(...values, mean[f] + 2 * scale[f]);
      out.push(svg("path", { d: path(f, x, (value) => TOP + (most - value) / (most - low || 1) * HIGH), fill: "none", stroke: ink.faint, "stroke-width": 1.2, opacity: 0.6 }));
    }
    const d = path(state.feature, x, y);
    if (d) out.push(svg("path", { d, fill: "none", stroke: colour(0), "stroke-width": 2.4, "stroke-linejoin": "round", "stroke-linecap": "round" }));
    else out.push(R.text(left + wide / 2, TOP + HIGH / 2, t("drawHere"), { "text-anchor": "middle", fill: ink.soft, "font-size": 15 }));
    const value = state.rows[state.step]?.[state.feature];
    if (state.rows.length) {
      out.push(svg("line", { x1: x(state.step), x2: x(state.step), y1: TOP - 6, y2: TOP + HIGH, stroke: ink.accent, "stroke-width": 1.5 }));
      if (value !== null) out.push(svg("circle", { cx: x(state.step), cy: y(value), r: 5, fill: colour(0), stroke: ink.ground, "stroke-width": 2 }));
    }
    place.replaceChildren(R.picture(width, TOP + HIGH + 24, { "aria-hidden": "true", class: "wide" }, out));
    place.setAttribute("aria-label", state.rows.length ? t("drawnAt", { name: names[state.feature], step: state.step, value: number(value, 4) }) : t("draw"));
  };

  const under = (event) => {
    const box = place.firstChild.getBoundingClientRect(), ratio = place.firstChild.viewBox.baseVal.width / box.width, { wide, count } = scales(place.firstChild.viewBox.baseVal.width);
    const step = Math.max(0, Math.min(count - 1, Math.floor(((event.clientX - box.left) * ratio - left) / wide * count)));
    const share = Math.max(0, Math.min(1, ((event.clientY - box.top) * ratio - TOP) / HIGH));
    return { step, value: round(state.most - share * (state.most - state.low)) };
  };
  const put = ({ step, value }) => {
    if (!state.rows.length) state.rows = level(scales(500).count);
    const from = state.last ?? { step, value }, count = Math.abs(step - from.step);
    for (let i = 0; i <= count; i++) {
      const share = count ? i / count : 1;
      state.rows[from.step + Math.sign(step - from.step) * i][state.feature] = round(from.value + share * (value - from.value));
    }
    Object.assign(state, { step, last: { step, value } });
    changed();
    follow(step);
  };
  place.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    event.preventDefault();
    place.focus({ preventScroll: true });
    place.setPointerCapture(event.pointerId);
    state.last = null;
    put(under(event));
  });
  place.addEventListener("pointermove", (event) => {
    if (!place.hasPointerCapture(event.pointerId)) return;
    for (const one of event.getCoalescedEvents?.() ?? []) if (one.clientX) put(under(one));
    put(under(event));
  });
  for (const name of ["pointerup", "pointercancel"]) place.addEventListener(name, () => { state.last = null; });
  place.addEventListener("keydown", (event) => {
    const across = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key], up = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !(across || up)) return;
    event.preventDefault();
    const { count } = scales(500);
    if (!state.rows.length) state.rows = level(count);
    state.step = Math.max(0, Math.min(count - 1, state.step + (across ?? 0)));
    if (up) {
      const row = state.rows[state.step], value = (row[state.feature] ?? mean[state.feature]) + up * (state.most - state.low) / 40;
      row[state.feature] = round(Math.max(state.low, Math.min(state.most, value)));
    }
    changed();
    follow(state.step);
    R.say(place.getAttribute("aria-label"));
  });

  freeze();
  return {
    panel, draw,
    // rows of numbers; each may have null. The axis changes only if the rows are others than those that were drawn.
    show(rows) {
      if (JSON.stringify(rows) === JSON.stringify(state.rows)) return;
      state.rows = rows.map((row) => [...row]);
      state.step = Math.max(0, Math.min(state.step, rows.length - 1));
      if (rows.length) length.value = rows.length;
      freeze();
      draw();
    },
    mark(step) { if (step !== state.step && step < state.rows.length) { state.step = step; draw(); } },
  };
}
