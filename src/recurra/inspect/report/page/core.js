// Shared code of the page: the data, the selection, numbers as text, elements.
"use strict";
const R = { data: null, language: "en", figures: {}, parts: [] };

// Takes the data of a sequence. `R.build` draws it.
R.load = (data) => {
  Object.assign(R, { data, inputs: null, figures: {}, parts: data.parts.map((about) => new R.Part(about)) });
};

R.decode = (packed) => {
  if (packed.data instanceof Float32Array) return packed.data;
  const text = atob(packed.data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  if (packed.kind === "f32") return new Float32Array(bytes.buffer);
  const levels = new Uint16Array(bytes.buffer), values = new Float32Array(levels.length);
  for (let i = 0; i < levels.length; i++) values[i] = packed.low + packed.step * levels[i];
  return values;
};

// One recurrent layer of the model: values over the steps for each array, layer, direction and unit.
R.Part = class {
  constructor(about) {
    Object.assign(this, about);
    this.values = {};
    for (const [name, packed] of Object.entries(about.arrays)) {
      this.values[name] = { shape: packed.shape, data: R.decode(packed) };
    }
    this.names = Object.keys(about.arrays).filter((name) => !name.includes(" of "));
  }
  has(name) { return name in this.values; }
  unitsOf(name) { return this.values[name].shape[2]; }
  course(name, layer, direction, unit) {
    const { shape: [, directions, units, steps], data } = this.values[name];
    const from = ((layer * directions + direction) * units + unit) * steps;
    return data.subarray(from, from + steps);
  }
  plane(name, layer, direction) {
    const { shape: [, directions, units, steps], data } = this.values[name];
    const from = (layer * directions + direction) * units * steps;
    return data.subarray(from, from + units * steps);
  }
  backward(direction) { return this.directions[direction] === "backward"; }
  stepNumber(step) { return this.first + step * this.stride; }
  token(step) { return this.tokens ? this.tokens[step] : null; }
};

// The selection, as positions (not the numbers of units and steps).
R.state = { part: 0, layer: 0, direction: 0, unit: 0, step: 0, stage: 1, order: "index" };
R.units = []; // the unit last selected of each recurrent layer
R.listeners = [];
R.watch = (listener) => R.listeners.push(listener);
R.part = () => R.parts[R.state.part];
R.set = (change) => {
  const old = { ...R.state }, state = Object.assign(R.state, change);
  if (state.part !== old.part) Object.assign(state, { layer: 0, direction: 0, unit: R.units[state.part] ?? 0, step: R.part().steps === R.parts[old.part].steps ? old.step : 0 }, change);
  const part = R.part(), clamp = (value, count) => Math.max(0, Math.min(count - 1, value));
  state.layer = clamp(state.layer, part.layers);
  state.direction = clamp(state.direction, part.directions.length);
  state.unit = clamp(state.unit, part.units.length);
  state.step = clamp(state.step, part.steps);
  R.units[state.part] = state.unit;
  const changed = new Set(Object.keys(state).filter((key) => state[key] !== old[key]));
  if (changed.size) for (const listener of R.listeners) listener(changed);
};
// the layer, direction and unit that a figure of a part shows: those of the selection, if the part is selected
R.shown = (index = R.state.part) => {
  const part = R.parts[index], { layer, direction, unit } = R.state;
  if (index === R.state.part) return { part, layer, direction, unit };
  return { part, layer: Math.min(layer, part.layers - 1), direction: Math.min(direction, part.directions.length - 1), unit: Math.min(R.units[index] ?? 0, part.units.length - 1) };
};
R.value = (name, unit, step = R.state.step, index = R.state.part) => {
  const { part, layer, direction, unit: own } = R.shown(index), at = unit ?? own;
  if (!part.has(name) || at >= part.unitsOf(name) || step < 0 || step >= part.steps) return null;
  return part.course(name, layer, direction, at)[step];
};
// the previous step in the direction of reading; null for the first step, or if it is not on the page
R.before = (step) => {
  const part = R.part(), other = step + (part.backward(R.state.direction) ? 1 : -1);
  return part.stride === 1 && other >= 0 && other < part.steps ? other : null;
};
R.atBeginning = (step) => {
  const part = R.part(), number = part.stepNumber(step);
  return part.backward(R.state.direction) ? number === part.of - 1 : number === 0;
};

// Numbers with three decimals, or fewer for large numbers, and with a minus sign (not a hyphen).
R.number = (value) => {
  if (value === null || value === undefined) return "—";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size && size < 0.0005 ? value.toExponential(1) : size >= 1e5 ? value.toExponential(2)
    : value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : 3);
  return text.replaceAll("-", "−");
};
R.percent = (value) => `${Math.round(100 * value)} %`;
R.stepText = (part, step) => {
  const token = part.token(step), number = part.stepNumber(step);
  const time = R.data.seconds ? ` (${(number * R.data.seconds).toFixed(2)} s)` : "";
  return token === null ? `${R.t("step")} ${number}${time}` : `${R.t("step")} ${number} “${token}”`;
};
R.readingOrder = () => R.part().backward(R.state.direction) ? R.t("backward") : R.t("forward");

// Creates elements: R.el("div.name", {attributes}, ...children). Text is never parsed as markup.
R.el = (what, attributes = {}, ...children) => {
  const [tag, ...classes] = what.split("."), element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  return R.fill(element, attributes, children);
};
R.svg = (what, attributes = {}, ...children) => R.fill(document.createElementNS("http://www.w3.org/2000/svg", what), attributes, children);
R.fill = (element, attributes, children) => {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") element.style.cssText = value; // a Content-Security-Policy may forbid the attribute
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return element;
};
R.say = (text) => { document.getElementById("live").textContent = text; };
R.calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
