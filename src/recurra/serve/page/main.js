// The page: models, input, answer, live stream and the inside of the model.
import { connection, key, modelPath, open, request } from "./api.js";
import { inWords, optionsOf, shown, writer } from "./answers.js";
import { forget, insidePanel } from "./inside.js";
import { inputPanel, kindOf, parse } from "./inputs.js";
import { streamPanel } from "./stream.js";
import { explain, known, language, languages, number, speak, t } from "./words.js";

const DELAY = 200;
const LANGUAGE = "recurra.language", THEME = "recurra.theme";
const app = { models: [], model: null, abouts: new Map(), entries: new Map(), parts: [], version: null };

// ---- header and footer ----

function header() {
  const { el } = R, dark = R.theme() === "dark", next = languages[(languages.indexOf(language) + 1) % languages.length];
  document.getElementById("top").replaceChildren(el("div.brand", {}, el("h1.name", {}, el("span.mark", { "aria-hidden": "true" }, "↻"), " Recurra"), el("span.tagline", {}, t("lead")),
    el("span.switches", {},
      el("button", { type: "button", id: "language", lang: next, onclick: () => { localStorage.setItem(LANGUAGE, next); speak(next); build("language"); } }, t("language")),
      el("button", { type: "button", id: "theme", "aria-label": t("theme"), onclick: () => {
        document.documentElement.dataset.theme = dark ? "light" : "dark";
        localStorage.setItem(THEME, document.documentElement.dataset.theme);
        build("theme");
      } }, dark ? `☀ ${t("toLight")}` : `☾ ${t("toDark")}`))));
  document.getElementById("foot").replaceChildren(el("p", {}, app.version ? t("footer", { v: app.version }) : "Recurra", " · ", description()));
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

// The most readable metric on held-out data.
function metric(metrics) {
  const names = ["accuracy", "f1", "macro_f1", "r2", "mase", "mae", "mse", "bleu", "chrf", "error_rate", "word_error_rate", "perplexity", "loss"];
  const valid = metrics.valid ?? {}, name = names.find((one) => typeof valid[one] === "number");
  if (!name) return null;
  return t("measured", { name: known(`metric ${name}`) ? t(`metric ${name}`) : name, value: number(valid[name], 3) });
}

function facts(about) {
  const list = [];
  if (about.classes) list.push(about.classes.length <= 5 ? about.classes.join(", ") : t("classesOf", { n: about.classes.length }));
  if (typeof about.features === "number") list.push(about.features === 1 ? t("featureOf") : t("featuresOf", { n: about.features }));
  if (about.horizon) list.push(t("horizonOf", { n: about.horizon }));
  if (about.sample_rate) list.push(t("rateOf", { n: about.sample_rate }));
  list.push(t(about.sessions ? "sessionsYes" : "sessionsNo"));
  const found = metric(about.metrics);
  if (found) list.push(found);
  return list;
}

function cards() {
  const { el } = R;
  return el("fieldset.cards", {}, el("legend", {}, el("h2", {}, t("models"))), app.models.map((about) => el("label.card", {},
    el("input", { type: "radio", name: "model", value: about.name, checked: about.name === app.model, onchange: () => choose(about.name) }),
    el("span.card-name", {}, about.name), el("span.card-task", {}, R.term(about.title)), el("span.card-facts", {}, facts(about).join(" · ")))));
}

function choose(name) {
  app.model = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  work();
}

// ---- input and answer ----

function answerPanel(about) {
  const { el } = R, says = el("p.unseen", { "aria-live": "polite" }), body = el("div.answer-body", { "aria-busy": "false" }, el("p.hint", {}, t("waiting"))), trouble = el("p.error", { id: "answer-error", role: "alert", hidden: true });
  const write = about.generates ? writer(about, () => app.entries.get(about.name).text) : null;
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
  const chosen = localStorage.getItem(LANGUAGE), theme = localStorage.getItem(THEME);
  if (theme) document.documentElement.dataset.theme = theme;
  speak(languages.includes(chosen) ? chosen : navigator.language.startsWith("ko") ? "ko" : "en");
  header();
  document.getElementById("main").replaceChildren(R.el("p.lead", { role: "status" }, t("loading")));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { header(); app.redraw?.(); });
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
