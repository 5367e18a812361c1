// The page: input, answer, output after each step, and the inside of the model. Everything is computed here.
import { inWords, shown } from "./answers.js";
import { facts } from "./facts.js";
import { begin as beginFrame, frame } from "./frame.js";
import { forget, insideView } from "./inside.js";
import { inputPanel, kindOf, seriesIn } from "./inputs.js";
import { start } from "./model.js";
import { outputsView } from "./outputs.js";
import { drawingPad } from "./pad.js";
import { Sensor } from "./sensor.js";
import { TASKS } from "./tasks.js";
import { t } from "./words.js";
import { writer } from "./writer.js";
import "./texts.js";

const PAUSE = 500; // milliseconds after which a screen reader hears the answer
const SIMULATED = 64; // steps
const app = { running: null, about: null, entry: { text: "", sound: null, chosen: undefined, condition: null }, begun: false, redraw: () => {} };

function header() {
  document.getElementById("top").replaceChildren(...frame(build));
  document.getElementById("foot").replaceChildren(R.el("p", {}, t("offlineNote")), R.el("p", {}, t("madeWith", { v: app.about.version })));
}

function title() {
  const { el } = R, { about } = app;
  return el("div.model", {}, el("h2.model-name", {}, about.name), el("p.model-facts", {}, [R.term(about.title), ...facts(about)].join(" · ")));
}

// The answer, the output after each step below it, and for language models the form that continues the text.
function answerPanel(task, outputs) {
  const { el } = R, { about, entry, running } = app, says = el("p.unseen", { "aria-live": "polite" }), body = el("div.answer-body", {}, el("p.hint", {}, t("waiting"))), trouble = el("p.error", { id: "answer-error", role: "alert", hidden: true });
  const write = about.generates ? writer(() => entry.text, (...given) => running.generate(...given, entry.condition)) : null;
  let timer = 0;
  return {
    panel: el("section.panel.answer-panel", { "aria-labelledby": "answer-title" }, el("h2", { id: "answer-title" }, t("answer")), says, trouble, body, write?.root ?? null, outputs.root),
    show(answer, input) {
      trouble.hidden = true;
      body.replaceChildren(...(answer ? shown(answer, about, task.shown?.(input) ?? input) : [el("p.hint", {}, t("waiting"))]));
      clearTimeout(timer);
      timer = setTimeout(() => { says.textContent = answer ? `${t("answer")}: ${inWords(answer)}` : ""; }, PAUSE);
    },
    fail(text) { trouble.textContent = text; trouble.hidden = false; body.replaceChildren(); },
  };
}

// A choice of one of several series in a table, or of the label of a text.
function choice(id, label, names, onchange) {
  const { el } = R, field = el("select", { id, onchange: () => onchange(field.value) }), root = el("p.choice", { hidden: true }, el("label", { for: id }, label), " ", field);
  let known = null;
  const show = (list, chosen) => {
    root.hidden = !list.length;
    if (known !== list.join("\n")) field.replaceChildren(...list.map(([value, text]) => el("option", { value }, text)));
    known = list.join("\n");
    if (list.length) field.value = chosen;
  };
  show(names, "");
  return { root, show };
}

const asText = (rows) => rows.map((row) => row.map((value) => value ?? "").join(", ")).join("\n");

function work() {
  const { el } = R, { about, entry, running } = app, task = TASKS[about.task], columns = task.pad(about, running.config), isText = kindOf(about) === "text";
  const outputs = outputsView(task, task.lines?.(about) ?? []), answer = answerPanel(task, outputs), inside = insideView(about), chosen = isText ? ["input", "gates", "unit", "cell"] : ["gates", "unit", "cell"];
  const follows = columns !== null && task.lines !== undefined; // the steps of the input are those of the layers
  const simulated = columns && (() => { const sensor = new Sensor(columns.mean, columns.scale); return Array.from({ length: SIMULATED }, () => sensor.next().row); });
  let waiting = 0;
  const field = inputPanel(about, entry, () => { waiting ||= requestAnimationFrame(update); }, simulated);
  const pad = columns && drawingPad(columns, (rows) => field.set(asText(rows)), (step) => { if (follows && R.data) R.set({ step }); });
  const series = choice("series", t("seriesOf"), [], (id) => { entry.chosen = id; update(); });
  const labels = choice("condition", t("condition"), (task.choices?.(about) ?? []).length ? ["", ...about.labels].map((name) => [name, name || t("none")]) : [], (label) => { entry.condition = label || null; update(); });
  const empty = () => { inside.panel.hidden = true; outputs.show(null); };

  const read = () => {
    const { ids, chosen: id } = entry.text.trim() ? seriesIn(about, entry.text, entry.chosen) : { ids: [] };
    series.show(ids.map((one) => [one, one]), id);
    return running.read(entry.text, entry);
  };
  function update() {
    waiting = 0;
    let input = null;
    try {
      input = read();
      field.say(null);
    } catch (error) {
      field.say(error.message);
    }
    pad?.show(input === null ? [] : task.rows(input));
    if (input === null) { answer.show(null); empty(); return; }
    try {
      const found = running.compute(input);
      answer.show(found.answer, input);
      inside.panel.hidden = found.data === null;
      if (found.data === null) { outputs.show(null); return; }
      inside.lead.textContent = t("insideLead");
      inside.draw(found.data, chosen);
      outputs.show(found);
      if (!follows) return;
      pad.mark(R.state.step);
      R.watch((keys) => { if (keys.has("step")) pad.mark(R.state.step); });
    } catch (error) {
      answer.fail(error.message);
      empty();
    }
  }
  app.redraw = () => { pad?.draw(); inside.redraw(); outputs.draw(); };
  if (pad) field.panel.querySelector("h2").after(pad.panel);
  field.panel.querySelector(".tools").before(series.root, labels.root);
  forget();
  empty();
  document.getElementById("main").replaceChildren(title(), el("div.pair.work", {}, field.panel, answer.panel), inside.panel);
  pad?.draw();
  if (!entry.text && !app.begun) {
    if (about.examples.length) field.example();
    else if (simulated) field.set(asText(simulated()));
  }
  app.begun = true;
  update();
}

function build(focus) {
  header();
  work();
  if (focus) document.getElementById(focus)?.focus();
}

async function begin() {
  const data = JSON.parse(document.getElementById("data").textContent), main = document.getElementById("main");
  app.about = data.about;
  beginFrame(() => { header(); app.redraw(); });
  header();
  main.replaceChildren(R.el("p.lead", { role: "status" }, t("starting")));
  try {
    app.running = globalThis.recurra = await start(data); // for the console: recurra.model, recurra.last, recurra.answer
  } catch (error) {
    const supported = typeof WebAssembly === "object" && typeof DecompressionStream === "function";
    main.replaceChildren(R.el("p.error", { role: "alert" }, supported ? t("failed", { text: error.message }) : t("noEngine")));
    return;
  }
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; app.redraw(); } });
  build();
}

begin();
