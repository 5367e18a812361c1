// The page: input, answer, output after each step, and the inside of the model. Everything is computed here.
import { inWords, shown } from "./answers.js";
import { facts } from "./facts.js";
import { begin as beginFrame, frame } from "./frame.js";
import { forget, insideView } from "./inside.js";
import { inputPanel, kindOf, parse, seriesIn } from "./inputs.js";
import { start } from "./model.js";
import { outputsPanel } from "./outputs.js";
import { drawingPad } from "./pad.js";
import { TASKS } from "./tasks.js";
import { t } from "./words.js";
import "./texts.js";

const PAUSE = 500; // milliseconds after which a screen reader hears the answer
const app = { running: null, about: null, entry: { text: "", sound: null, chosen: undefined }, redraw: () => {} };

function header() {
  document.getElementById("top").replaceChildren(...frame(build));
  document.getElementById("foot").replaceChildren(R.el("p", {}, t("offlineNote")), R.el("p", {}, t("madeWith", { v: app.about.version })));
}

function title() {
  const { el } = R, { about } = app;
  return el("div.model", {}, el("h2.model-name", {}, about.name), el("p.model-facts", {}, [R.term(about.title), ...facts(about)].join(" · ")));
}

function answerPanel() {
  const { el } = R, says = el("p.unseen", { "aria-live": "polite" }), body = el("div.answer-body", {}, el("p.hint", {}, t("waiting"))), trouble = el("p.error", { id: "answer-error", role: "alert", hidden: true });
  let timer = 0;
  return {
    panel: el("section.panel.answer-panel", { "aria-labelledby": "answer-title" }, el("h2", { id: "answer-title" }, t("answer")), says, trouble, body),
    show(answer, input) {
      trouble.hidden = true;
      body.replaceChildren(...(answer ? shown(answer, app.about, input) : [el("p.hint", {}, t("waiting"))]));
      clearTimeout(timer);
      timer = setTimeout(() => { says.textContent = answer ? `${t("answer")}: ${inWords(answer)}` : ""; }, PAUSE);
    },
    fail(text) { trouble.textContent = text; trouble.hidden = false; body.replaceChildren(); },
  };
}

// A choice of one of several series in a table.
function seriesChoice(onchange) {
  const { el } = R, field = el("select", { id: "series", onchange: () => { app.entry.chosen = field.value; onchange(); } }), root = el("p.choice", { hidden: true }, el("label", { for: "series" }, t("seriesOf")), " ", field);
  let known = "";
  return { root, show({ ids, chosen }) {
    root.hidden = !ids.length;
    if (known !== ids.join("\n")) field.replaceChildren(...ids.map((id) => el("option", { value: id }, id)));
    known = ids.join("\n");
    if (ids.length) field.value = chosen;
  } };
}

function work() {
  const { el } = R, { about, entry, running } = app, isText = kindOf(about) === "text", task = TASKS[about.task];
  const answer = answerPanel(), inside = insideView(about), outputs = outputsPanel(task.lines(about), task.shares), chosen = isText ? ["input", "gates", "unit", "cell"] : ["gates", "unit", "cell"];
  let waiting = 0;
  const field = inputPanel(about, entry, () => { waiting ||= requestAnimationFrame(update); });
  const pad = isText ? null : drawingPad(about, (rows) => field.set(rows.map((row) => row.map((value) => value ?? "").join(", ")).join("\n")));
  const choice = seriesChoice(() => update());
  const empty = () => { for (const part of [outputs.panel, inside.panel]) part.hidden = true; };

  function update() {
    waiting = 0;
    let input = null;
    try {
      choice.show(seriesIn(about, entry.text, entry.chosen));
      input = parse(about, entry.text, null, entry.chosen);
      field.say(null);
    } catch (error) {
      field.say(error.message);
    }
    if (input === null) { pad?.show([]); answer.show(null); empty(); return; }
    try {
      const found = running.compute(input);
      pad?.show(input.map((row) => [row].flat()));
      answer.show(found.answer, input);
      for (const part of [outputs.panel, inside.panel]) part.hidden = !found.data;
      if (!found.data) return;
      inside.lead.textContent = t("insideLead");
      inside.draw(found.data, chosen);
      outputs.show(found.rows);
      if (pad) R.watch((keys) => { if (keys.has("step")) pad.mark(R.state.step); });
    } catch (error) {
      answer.fail(error.message);
      empty();
    }
  }
  app.redraw = () => { pad?.draw(); inside.redraw(); outputs.draw(); };
  if (pad) field.panel.querySelector("h2").after(pad.panel);
  field.panel.querySelector(".tools").before(choice.root);
  empty();
  forget();
  document.getElementById("main").replaceChildren(title(), el("div.pair.work", {}, field.panel, answer.panel), outputs.panel, inside.panel);
  pad?.draw();
  if (!entry.text && about.examples.length && !app.begun) field.example();
  app.begun = true;
  if (entry.text) update();
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
    app.running = globalThis.recurra = await start(data); // for the console: recurra.model, recurra.last
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
