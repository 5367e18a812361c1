// The live stream: steps of a simulated sensor, or letters as they are typed, go to a session of the model.
import { Session } from "./session.js";
import { Sensor } from "./sensor.js";
import { LivePlot, forecastPlot } from "./plots.js";
import { columnsOf, kindOf } from "./inputs.js";
import { forecastRows, inWords, visible } from "./answers.js";
import { explain, number, t } from "./words.js";

const WINDOW = 400, SHOWN = 120, INSPECT = 700, TABLE = 10, MOST_LINES = 8, MOST_LETTERS = 80;

// Names of the numbers that are drawn of an output, and the numbers.
const outputLabels = (about) => about.task === "classify" ? about.classes.slice(0, MOST_LINES) : ["generate", "tag"].includes(about.task) ? [t("probability")]
  : about.targets?.length > 1 ? about.targets.slice(0, MOST_LINES) : typeof about.targets === "number" && about.targets > 1 ? Array.from({ length: about.targets }, (_, i) => t("target", { n: i + 1 })) : [about.target_name || about.targets?.[0] || t("value")];

function outputNumbers(output, about) {
  if (output.probabilities) return about.classes.slice(0, MOST_LINES).map((name) => output.probabilities[name]);
  if ("value" in output) return output.value?.constructor === Object ? Object.values(output.value) : [output.value].flat();
  return [output.probability ?? output.confidence ?? null];
}

// The forecast from the newest step on, drawn at most once a frame.
class Fan {
  constructor(about) {
    Object.assign(this, { about, figure: R.el("div"), next: null, canvas: null });
    this.root = R.el("figure.figure.live", {}, R.el("h3", {}, t("outputPlot")), this.figure);
  }
  show(history, output) {
    if (this.next === null) (R.calm() ? (draw) => setTimeout(draw, 500) : requestAnimationFrame)(() => this.draw());
    this.next = [history.slice(-96), output];
  }
  draw() {
    if (this.next === null) return;
    const [history, output] = this.next, rows = forecastRows(output.forecast, this.about);
    this.figure.replaceChildren(forecastPlot(history, rows, `${t("forecast")}: ${inWords(output)}`));
    this.next = null;
  }
  clear() { this.figure.replaceChildren(); }
}

const plain = (about, lead) => R.el("section.section.stream", { "aria-labelledby": "stream-title" }, R.el("h2", { id: "stream-title" }, t("stream")), R.el("p.lead", {}, lead));

// Parts that both kinds of streams have: the status, the error and the table of the last steps.
function frame(about, lead) {
  const { el } = R, status = el("p.status", { role: "status", id: "stream-status" }), trouble = el("p.error", { role: "alert", hidden: true }), recent = [];
  const body = el("tbody"), table = el("details", { ontoggle: () => fill() }, el("summary", {}, t("lastSteps")), el("div.scroll", { tabindex: 0, role: "group", "aria-label": t("lastSteps") },
    el("table.grid", {}, el("thead", {}, el("tr", {}, [t("step"), t("inputColumn"), t("outputColumn")].map((text) => el("th", { scope: "col" }, text)))), body)));
  const fill = () => { if (table.open) body.replaceChildren(...recent.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell))))); };
  const panel = plain(about, lead);
  return {
    panel, status, trouble, table,
    say: (error) => { trouble.hidden = error === null; trouble.textContent = error === null ? "" : explain(error); },
    note: (...cells) => { recent.unshift(cells.map(String)); recent.length = Math.min(recent.length, TABLE); fill(); },
    clear: () => { recent.length = 0; fill(); },
  };
}

// The pieces of a text that are steps: letters, or for a tagger words that are complete.
const piecesOf = (about, text) => about.task === "tag" ? text.split(/\s+/).slice(0, -1).filter(Boolean) : [...text];

// The panel of a model; `given()` returns the series of the input field. Without sessions it has the reason.
export function streamPanel(about, inside, given) {
  const none = { panel: null, stop: () => {}, typed: () => {}, playing: false };
  if (!about.sessions) {
    const reason = about.no_sessions.replace(/\.$/, "");
    return { ...none, panel: plain(about, t("noSessions", { reason })) };
  }
  const kind = kindOf(about);
  if (kind === "text") return typedPanel(about);
  if (kind === "series") return sensorPanel(about, inside, given);
  return { ...none, panel: plain(about, t("tableStream", { names: [about.time, about.id].flat().filter(Boolean).join(", ") })) };
}

function sensorPanel(about, inside, given) {
  const { el } = R, columns = columnsOf(about), shown = frame(about, t("streamLead")), { panel, status, trouble, table } = shown;
  const names = about.feature_names ?? (Array.isArray(about.targets) ? about.targets : null), features = Array.from({ length: columns }, (_, i) => names?.[i] ?? (columns === 1 ? t("inputColumn") : t("feature", { n: i + 1 })));
  const flat = [about.example].flat(2).filter((v) => typeof v === "number"), mean = about.mean ?? Array.from({ length: columns }, (_, i) => flat[i] ?? 0), sensor = new Sensor(mean, about.scale ?? mean.map((value) => Math.abs(value) / 2 || 1));
  const input = new LivePlot(t("sensorPlot"), features.slice(0, MOST_LINES), { flagged: t("fault") });
  const output = about.horizon ? new Fan(about) : new LivePlot(t("outputPlot"), outputLabels(about), { shares: Boolean(about.classes) });
  const now = el("output.big", { "aria-live": "off", id: "stream-output" });
  let session = null, timer = 0, playing = false, answered = 0, window = [], first = 0, replay = 0, inspected = 0;

  const slider = (id, label, attributes, change) => {
    const field = el("input", { id, type: "range", ...attributes, oninput: () => { shownValue.textContent = field.value; change(Number(field.value)); } }), shownValue = el("output", { for: id }, String(attributes.value));
    return el("span.field", {}, el("label", { for: id }, label), field, shownValue);
  };
  let rate = 10;
  const source = el("select", { id: "stream-source" }, el("option", { value: "sensor" }, t("sensor")), el("option", { value: "given" }, t("given")));
  const button = el("button.primary", { type: "button", id: "stream-start", onclick: () => playing ? pause() : start() }, t("start"));

  const next = () => {
    const rows = source.value === "given" ? given() : null;
    if (!Array.isArray(rows) || !rows.length) return sensor.next();
    const row = rows[replay++ % rows.length];
    return { row: [row].flat(), fault: false };
  };
  const tick = () => {
    timer = setTimeout(tick, 1000 / rate);
    if (!session.idle) return; // the server is slower than the sensor: no queue
    const step = next();
    session.step(columns === 1 ? step.row : [step.row], step);
  };
  const answer = (message, { row, fault }) => {
    shown.say(null);
    answered = message.steps;
    window.push(row);
    if (window.length > WINDOW) { window.shift(); first += 1; }
    input.push(row.slice(0, MOST_LINES), fault);
    if (about.horizon) output.show(window.map((one) => one[0]), message.output);
    else output.push(outputNumbers(message.output, about), fault);
    now.textContent = inWords(message.output);
    shown.note(answered, row.map((value) => number(value)).join(", "), inWords(message.output));
    status.textContent = t(playing ? "state sending" : "state paused", { n: answered });
    panel.dataset.steps = String(answered);
    if (playing && performance.now() - inspected > INSPECT && !inside.busy) {
      inspected = performance.now();
      inside.stream(columns === 1 ? window.map((one) => one[0]) : window.slice(), first, Math.min(SHOWN, window.length));
    }
  };
  const state = (name) => {
    if (name === "new" && (answered || window.length)) { window = []; first = 0; answered = 0; }
    if (name !== "open" || !playing) status.textContent = name === "closed" && answered ? t("state paused", { n: answered }) : t(`state ${name}`);
  };
  const start = () => {
    session ??= new Session(about.name, { answer, state, error: (error) => { shown.say(error); if (error.status === 422) pause(); } });
    playing = true;
    button.textContent = t("pause");
    tick();
  };
  const pause = () => {
    clearTimeout(timer);
    playing = false;
    button.textContent = t("start");
    status.textContent = t("state paused", { n: answered });
    inside.release();
  };
  const restart = () => {
    session?.close();
    session = null;
    Object.assign(sensor, { step: 0, fault: null });
    [window, first, replay, answered] = [[], 0, 0, 0];
    for (const plot of [input, output]) plot.clear();
    shown.clear();
    now.textContent = "";
    if (playing) { clearTimeout(timer); start(); }
  };
  panel.append(el("div.controls", {}, el("span.field", {}, el("label", { for: "stream-source" }, t("source")), source), button,
    el("button", { type: "button", onclick: restart }, t("restart")), el("button", { type: "button", id: "fault", onclick: () => sensor.fail() }, t("faultNow")),
    slider("rate", t("rate"), { min: 1, max: 50, value: rate }, (value) => { rate = value; }),
    slider("noise", t("noise"), { min: 0, max: 1, step: 0.05, value: sensor.noise }, (value) => { sensor.noise = value; }),
    slider("faults", t("faults"), { min: 0, max: 10, step: 0.5, value: sensor.faults }, (value) => { sensor.faults = value; })),
  status, trouble, now, el("div.pair", {}, input.root, output.root), table);
  return { panel, get playing() { return playing; }, typed: () => {}, draw: () => { input.draw(); output.draw(); }, simulated: () => { const copy = new Sensor(sensor.mean, sensor.scale); return Array.from({ length: 96 }, () => copy.next().row); },
    stop: () => { clearTimeout(timer); playing = false; session?.close(); inside.release(); } };
}

function typedPanel(about) {
  const { el } = R, shown = frame(about, t(about.task === "tag" ? "wordsLead" : "typedLead")), { panel, status, trouble, table } = shown;
  const plot = new LivePlot(t(about.task === "tag" ? "outputPlot" : "lettersPlot"), outputLabels(about), { shares: ["classify", "generate", "tag"].includes(about.task), most: MOST_LETTERS, named: true }), now = el("output.big", { "aria-live": "off", id: "stream-output" });
  panel.append(status, trouble, now, plot.root, table);
  let session = null, sent = [];
  const answer = (message, pieces) => {
    shown.say(null);
    plot.push(outputNumbers(message.output, about), false, visible(pieces[pieces.length - 1]));
    now.textContent = inWords(message.output);
    shown.note(message.steps, pieces.join(""), inWords(message.output));
    panel.dataset.steps = String(message.steps);
  };
  const open = () => {
    session = new Session(about.name, { answer, error: shown.say, state: (name) => { status.textContent = t(`state ${name}`); } });
    sent = [];
    plot.clear();
    shown.clear();
  };
  return {
    panel, playing: false, draw: () => plot.draw(),
    // new pieces at the end are steps; any other change begins a new session
    typed(text) {
      const pieces = piecesOf(about, text);
      if (!pieces.length && session === null) return;
      if (session === null || sent.some((piece, i) => piece !== pieces[i])) { session?.close(); open(); }
      const more = pieces.slice(sent.length), before = more.slice(0, -MOST_LETTERS);
      sent = pieces;
      if (before.length) session.step(before, before);
      for (const piece of more.slice(before.length)) session.step([piece], [piece]);
    },
    stop: () => session?.close(),
  };
}
