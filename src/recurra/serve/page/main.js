// The page: models, input, answer, live stream and the inside of the model.
import { connection, events, key, modelPath, open, request } from "./api.js";
import { inWords, shown } from "./answers.js";
import { facts } from "./facts.js";
import { begin as beginFrame, frame } from "./frame.js";
import { forget } from "./inside.js";
import { inputPanel, kindOf, parse } from "./inputs.js";
import { insidePanel } from "./inspection.js";
import { streamPanel } from "./stream.js";
import { explain, t } from "./words.js";
import { writer } from "./writer.js";
import "./texts.js";

const DELAY = 200;

// Options of the request for a prediction.
const optionsOf = (task) => ({ classify: { proba: true }, tag: { proba: true }, translate: { n_best: 3 }, generate: { top: 8 } })[task] ?? {};
const app = { models: [], model: null, abouts: new Map(), entries: new Map(), parts: [], version: null };

// ---- header and footer ----

function header() {
  document.getElementById("top").replaceChildren(...frame(build));
  document.getElementById("foot").replaceChildren(R.el("p", {}, app.version ? t("footer", { v: app.version }) : "Recurra", " · ", description()));
}

// Link to the description of the interface. A link sends no key: with one, the description is fetched and shown from memory.
function description() {
  const link = R.el("a", { href: "openapi.json", onclick: async (event) => {
    if (key() === null) return;
    event.preventDefault();
    try {
      location.assign(URL.createObjectURL(await (await open("openapi.json")).blob()));
    } catch (error) {
      link.after(" ", R.el("span.error", { role: "alert" }, explain(error)));
    }
  } }, t("api"));
  return link;
}

// ---- models ----

function cards() {
  const { el } = R;
  return el("fieldset.cards", {}, el("legend", {}, el("h2", {}, t("models"))), app.models.map((about) => el("label.card", {},
    el("input", { type: "radio", name: "model", value: about.name, checked: about.name === app.model, onchange: () => choose(about.name) }),
    el("span.card-name", {}, about.name), el("span.card-task", {}, R.term(about.title)), el("span.card-facts", {}, [...facts(about), t(about.sessions ? "sessionsYes" : "sessionsNo")].join(" · ")))));
}

function choose(name) {
  app.model = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  work();
}

// ---- input and answer ----

// Text that the server generates, piece by piece.
const generateOf = (about) => async (body, signal, write) => {
  let tokens = 0;
  await events(modelPath(about.name, "/generate"), { body, signal }, (name, data) => {
    if (name === "message") write(data.text);
    else if (name === "end") tokens = data.pieces;
    else throw Object.assign(new Error(data.error.message), { path: data.error.path });
  });
  return tokens;
};

function answerPanel(about) {
  const { el } = R, says = el("p.unseen", { "aria-live": "polite" }), body = el("div.answer-body", { "aria-busy": "false" }, el("p.hint", {}, t("waiting"))), trouble = el("p.error", { id: "answer-error", role: "alert", hidden: true });
  const write = about.generates ? writer(() => app.entries.get(about.name).text, generateOf(about)) : null;
  const panel = el("section.panel.answer-panel", { "aria-labelledby": "answer-title" }, el("h2", { id: "answer-title" }, t("answer")), says, trouble, body, write?.root ?? null);
  let controller = null, timer = 0;
  const send = async (input) => {
    controller?.abort();
    const mine = controller = new AbortController();
    body.setAttribute("aria-busy", "true");
    try {
      const { predictions: [answer] } = await request(modelPath(about.name, "/predict"), { body: { inputs: [input], ...optionsOf(about.task) }, signal: mine.signal });
      if (mine !== controller) return; // a newer input was sent meanwhile
      trouble.hidden = true;
      body.replaceChildren(...shown(answer, about, input));
      says.textContent = `${t("answer")}: ${inWords(answer)}`;
    } catch (error) {
      if (error.name === "AbortError" || mine !== controller) return;
      trouble.textContent = explain(error);
      trouble.hidden = false;
      body.replaceChildren();
    } finally {
      if (mine === controller) { controller = null; body.setAttribute("aria-busy", "false"); }
    }
  };
  return {
    panel,
    update(input) {
      clearTimeout(timer);
      if (input === null) { controller?.abort(); trouble.hidden = true; body.replaceChildren(el("p.hint", {}, t("waiting"))); return; }
      timer = setTimeout(() => send(input), DELAY);
    },
    stop() { clearTimeout(timer); controller?.abort(); write?.stop(); },
  };
}

// Builds everything below the cards for the chosen model.
async function work() {
  const { el } = R, place = document.getElementById("work");
  for (const part of app.parts) part.stop();
  app.parts = [];
  const about = app.abouts.get(app.model);
  if (!app.entries.has(about.name)) app.entries.set(about.name, { text: "", sound: null });
  const entry = app.entries.get(about.name), inside = insidePanel(about), answer = answerPanel(about);
  const given = () => { try { return parse(about, entry.text, entry.sound); } catch { return null; } };
  const stream = streamPanel(about, inside, given);
  const changed = () => {
    let input = null;
    try {
      input = parse(about, entry.text, entry.sound);
      field.say(null);
    } catch (error) { field.say(error.message); }
    answer.update(input);
    if (!stream.playing) inside.release();
    inside.update(input);
    if (kindOf(about) === "text") stream.typed(entry.text);
  };
  const field = inputPanel(about, entry, changed, stream.simulated);
  app.parts = [answer, inside, stream];
  app.redraw = () => { inside.redraw(); stream.draw?.(); };
  app.retry = changed;
  forget();
  place.replaceChildren(el("div.pair.work", {}, field.panel, answer.panel), ...[stream.panel].filter(Boolean), inside.panel);
  stream.draw?.();
  if (entry.text || entry.sound) changed();
}

// ---- the whole page ----

function build(focus) {
  const { el } = R, main = document.getElementById("main");
  header();
  main.replaceChildren(cards(), el("div", { id: "work" }));
  if (app.model) work();
  if (focus) document.getElementById(focus)?.focus();
}

async function load() {
  const { models } = await request("v1/models");
  app.models = await Promise.all(models.map(({ name }) => request(modelPath(name))));
  app.abouts = new Map(app.models.map((about) => [about.name, about]));
  app.version = (await request("openapi.json")).info.version;
  const wanted = decodeURIComponent(location.hash.slice(1));
  app.model = app.abouts.has(app.model) ? app.model : app.abouts.has(wanted) ? wanted : app.models[0].name;
  build();
}

async function begin() {
  beginFrame(() => { header(); app.redraw?.(); });
  header();
  document.getElementById("main").replaceChildren(R.el("p.lead", { role: "status" }, t("loading")));
  addEventListener("resize", () => app.parts[2]?.draw?.());
  addEventListener("pagehide", () => { for (const part of app.parts) part.stop(); });
  addEventListener("pageshow", (event) => { if (event.persisted) build(); }); // the browser kept the page: opens its session again
  addEventListener("hashchange", () => { const name = decodeURIComponent(location.hash.slice(1)); if (app.abouts.has(name) && name !== app.model) { app.model = name; build(); } });
  connection.onfound(() => { if (app.models.length) app.retry?.(); else load().catch(fail); });
  await load();
}

function fail(error) {
  document.getElementById("main").replaceChildren(R.el("p.error", { role: "alert" }, error.status === undefined ? t("failed", { text: error.message }) : explain(error)));
}

begin().catch(fail);
