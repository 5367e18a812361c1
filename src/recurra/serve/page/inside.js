// Gates, states and measures: the figures of the inspection report, for the input or for the live stream.
import { modelPath, request } from "./api.js";
import { explain, number, t } from "./words.js";

const DELAY = 250;
const STREAM = ["input", "gates", "unit"];
let shownModel = null;

// The panel. `update(input)` shows an input after a short pause; `stream(window)` shows steps of a live stream.
export function insidePanel(about) {
  const { el } = R, lead = el("p.lead", { id: "inside-lead" }, t("insideEmpty")), trouble = el("p.error", { role: "alert", hidden: true });
  const bar = el("div.bar", { id: "inside-bar", hidden: true }), figures = el("div.figures", { id: "inside-figures", "aria-busy": "false" });
  const more = el("input", { type: "checkbox", id: "more", onchange: () => { if (last) send(last); } });
  const table = el("div.scroll", { tabindex: 0, role: "group", "aria-label": t("insideTable") }), values = el("details", { hidden: true, ontoggle: () => fillTable() }, el("summary", {}, t("insideTable")), table);
  const notes = el("ul.notes", { hidden: true });
  const panel = el("section.section.inside", { "aria-labelledby": "inside-title" }, el("h2", { id: "inside-title" }, t("inside")), lead,
    el("p.choice", {}, el("label.option", { for: "more" }, more, " ", t("more"))), trouble, bar, figures, values, notes);
  R.keys(panel);
  let timer = 0, controller = null, last = null, kept = null, following = false;

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
    if (same && chosen === STREAM) R.refresh();
    else {
      R.build({ bar, main: figures, figures: chosen });
      R.watch(() => fillTable());
    }
    kept = shape(data) + chosen;
    if (focused >= 0) fields()[focused]?.focus({ preventScroll: true }); // the figures were built again
    notes.replaceChildren(...data.notes.map(({ say, ...numbers }) => el("li", {}, t(`note ${say}`, numbers))), ...data.remarks.map((text) => el("li", {}, text)));
    notes.hidden = !notes.childElementCount;
    fillTable();
  };

  const ask = async (body) => {
    controller?.abort();
    const mine = controller = new AbortController();
    figures.setAttribute("aria-busy", "true");
    try {
      const data = await request(modelPath(about.name, "/inspect"), { body, signal: mine.signal });
      if (mine !== controller) return null; // a newer input was sent meanwhile
      trouble.hidden = true;
      return data;
    } catch (error) {
      if (error.name === "AbortError" || mine !== controller) return null;
      if (error.status === 429) { // earlier inspections are still computed
        await new Promise((done) => setTimeout(done, 1000 * Number(error.retryAfter ?? 1)));
        return mine === controller ? ask(body) : null;
      }
      trouble.textContent = explain(error);
      trouble.hidden = false;
      return null;
    } finally {
      if (mine === controller) { controller = null; figures.setAttribute("aria-busy", "false"); }
    }
  };

  const send = async (input) => {
    last = input;
    const data = await ask({ inputs: [input], measures: more.checked ? null : ["attribution"] });
    if (data === null) return;
    lead.textContent = t("insideLead");
    draw(data, undefined);
  };

  return {
    panel,
    update(input) {
      if (following) return;
      clearTimeout(timer);
      if (input === null) { controller?.abort(); last = null; return; }
      timer = setTimeout(() => send(input), DELAY);
    },
    get busy() { return controller !== null; },
    // the last steps of a stream; `first` is the number of the first one
    async stream(window, first, count) {
      following = true;
      clearTimeout(timer);
      const data = await ask({ inputs: [window], last: count });
      if (data === null || !following) return;
      const [{ of, steps }] = data.parts, direct = of === window.length; // else the layers read patches of the window
      if (direct) for (const part of data.parts) Object.assign(part, { first: part.first + first, of: part.of + first });
      const to = first + window.length - 1;
      lead.textContent = t("insideStream", { from: direct ? to - steps + 1 : first, to, window: window.length });
      draw(data, STREAM);
    },
    release() { following = false; },
    redraw() { if (R.data && shownModel === about.name && kept) { const { data } = R; kept = null; draw(data, following ? STREAM : undefined); } },
    stop() { clearTimeout(timer); controller?.abort(); R.stop?.(); },
  };
}

export const forget = () => { shownModel = null; };
