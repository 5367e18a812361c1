// Gates, states and measures of an input: the figures of the inspection report.
import { number, t } from "./words.js";

export const STEPS = ["input", "gates", "unit"]; // the sections that change at each step of a stream
let shownModel = null;

// The panel. `draw(data, chosen)` draws the data of a report, or only the chosen sections; `choice` is put above it.
export function insideView(about, choice = null) {
  const { el } = R, lead = el("p.lead", { id: "inside-lead" }, t("insideEmpty")), trouble = el("p.error", { role: "alert", hidden: true });
  const bar = el("div.bar", { id: "inside-bar", hidden: true }), figures = el("div.figures", { id: "inside-figures", "aria-busy": "false" });
  const table = el("div.scroll", { tabindex: 0, role: "group", "aria-label": t("insideTable") }), values = el("details", { hidden: true, ontoggle: () => fillTable() }, el("summary", {}, t("insideTable")), table);
  const notes = el("ul.notes", { hidden: true });
  const panel = el("section.section.inside", { "aria-labelledby": "inside-title" }, el("h2", { id: "inside-title" }, t("inside")), lead, choice, trouble, bar, figures, values, notes);
  R.keys(panel);
  let kept = null, sections;

  const fillTable = () => {
    if (!values.open || !R.data) return;
    const part = R.part(), { unit, step, layer, direction } = R.state, measured = R.data.measured.attribution;
    const row = (name) => {
      const all = [...part.plane(name, layer, direction)].filter(Number.isFinite), sum = all.reduce((a, b) => a + b, 0);
      return [R.name(name), R.value(name, unit, step), sum / all.length, Math.min(...all), Math.max(...all)];
    };
    const head = [t("gate"), t("atStep", { unit: part.units[unit], step: part.stepNumber(step) }), t("mean"), t("least"), t("greatest")];
    const makeTable = (titles, rows) => el("table.grid", {}, el("thead", {}, el("tr", {}, titles.map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell, i) => el(i ? "td.number" : "th", i ? {} : { scope: "row" }, typeof cell === "number" ? number(cell) : cell ?? "—"))))));
    const names = R.storyOrder(part.names).filter((name) => unit < part.unitsOf(name));
    table.replaceChildren(makeTable(head, names.map(row)), measured?.values && measured.part === part.name
      ? makeTable([t("step"), t("contribution")], measured.values.map((value, i) => [R.stepText(part, i), value])) : "");
  };

  const shape = (data) => JSON.stringify(data.parts.map((part) => [part.name, part.steps, part.units, Object.keys(part.arrays), !part.tokens]));
  const draw = (data, chosen) => {
    const again = shownModel === about.name && R.data, same = kept === shape(data) + chosen && bar.childElementCount;
    const atEnd = again && R.state.step >= R.part().steps - 1;
    const fields = () => [...panel.querySelectorAll("a, button, input, select, summary, [tabindex]")], focused = fields().indexOf(document.activeElement);
    R.load(data);
    const explained = R.parts.findIndex(({ name }) => name === data.measured.attribution?.part); // the layer that reads the input
    if (!again) {
      Object.assign(R.state, { part: Math.max(0, explained), layer: 0, direction: 0 });
      R.begin();
    }
    R.state.part = Math.min(R.state.part, R.parts.length - 1);
    const part = R.part(), clamp = (value, count) => Math.max(0, Math.min(count - 1, value));
    Object.assign(R.state, { layer: clamp(R.state.layer, part.layers), direction: clamp(R.state.direction, part.directions.length), unit: clamp(R.state.unit, part.units.length), step: clamp(atEnd ? Infinity : R.state.step, part.steps) });
    shownModel = about.name;
    bar.hidden = values.hidden = false;
    if (same && chosen && !part.tokens) R.refresh();
    else {
      R.build({ bar, main: figures, figures: chosen });
      R.watch(() => fillTable());
    }
    [kept, sections] = [shape(data) + chosen, chosen];
    if (focused >= 0) fields()[focused]?.focus({ preventScroll: true }); // the figures were built again
    notes.replaceChildren(...data.notes.map(({ say, ...numbers }) => el("li", {}, t(`note ${say}`, numbers))), ...data.remarks.map((text) => el("li", {}, R.term(text))));
    notes.hidden = !notes.childElementCount;
    fillTable();
  };

  return {
    panel, lead, figures, draw,
    // shows an error in words, or hides it
    say(text) { trouble.textContent = text ?? ""; trouble.hidden = !text; },
    // draws the same data again, in other colours or another language
    redraw() { if (R.data && shownModel === about.name && kept) { const { data } = R; kept = null; draw(data, sections); } },
  };
}

export const forget = () => { shownModel = null; };
