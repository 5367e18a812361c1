// The input of a model: a field to type or paste, files, and the conversion to the JSON value of the request.
import { numberOf, oneSeries, rowsOf, series } from "./table.js";
import { size, t } from "./words.js";

const MOST_BYTES = 6_000_000;

// "text", "series", "table" (history of a forecaster with names of columns) or "audio"
export function kindOf(about) {
  if (about.kind) return about.kind;
  const forms = about.input.anyOf ?? [about.input];
  if (forms.some((form) => form.contentEncoding === "base64")) return "audio";
  if (forms.some((form) => form.type === "string")) return "text";
  return forms.some((form) => form.type === "array" && form.items?.type !== "object") ? "series" : "table";
}

export const columnsOf = (about) => about.features && typeof about.features === "number" ? about.features : Math.max(1, about.targets?.length ?? 1);

// Converts what was typed to an input; null if there is nothing. Throws an Error in words. chosen: id of a series.
export function parse(about, text, sound, chosen) {
  const kind = kindOf(about);
  if (kind === "audio") return sound?.data ?? null;
  if (!text.trim()) return null;
  if (kind === "text") return text;
  if (/^\s*[[{]/.test(text)) {
    try { return JSON.parse(text); } catch { throw new Error(t("notJson")); }
  }
  const rows = rowsOf(text);
  if (kind === "table") return table(rows, about);
  const columns = columnsOf(about), found = series(oneSeries(rows, about, chosen).rows, columns, about.feature_names);
  return columns === 1 ? found.flat() : found;
}

// The ids of the series in a table, and the one that is chosen.
export const seriesIn = (about, text, chosen) => ["series", "table"].includes(kindOf(about)) && !/^\s*[[{]/.test(text) ? oneSeries(rowsOf(text), about, chosen) : { ids: [] };

function table([{ cells: names }, ...rows], about) {
  const numeric = new Set([...about.targets ?? [], ...about.known ?? [], ...Array.isArray(about.features) ? about.features : []]);
  return Object.fromEntries(names.map((name, j) => [name, rows.map(({ line, cells }) => {
    const text = cells[j] ?? "";
    return numeric.has(name) ? numberOf(text, line, name) : text;
  })]));
}

// The text of a JSON value in the field.
export function written(about, value) {
  const kind = kindOf(about);
  if (kind === "text") return Array.isArray(value) ? value.join(" ") : typeof value === "object" ? value.text : value;
  if (Array.isArray(value)) return value.map((row) => Array.isArray(row) ? row.map((v) => v ?? "").join(", ") : row ?? "").join("\n");
  const names = Object.keys(value);
  return [names.join(","), ...value[names[0]].map((_, i) => names.map((name) => value[name][i] ?? "").join(","))].join("\n");
}

const base64 = (bytes) => {
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
};

// The panel. `entry` keeps { text, sound } of the model; `onchange()` is called after each change.
export function inputPanel(about, entry, onchange, simulated) {
  const { el } = R, kind = kindOf(about), isSound = kind === "audio";
  const label = { audio: "soundLabel", series: "seriesLabel", table: "tableLabel" }[kind] ?? (about.task === "fill" ? "blankLabel" : "textLabel");
  const trouble = el("p.error", { id: "input-error", role: "alert", hidden: true });
  const say = (text) => { trouble.textContent = text ?? ""; trouble.hidden = !text; field?.setAttribute("aria-invalid", String(Boolean(text))); };
  const field = isSound ? null : el("textarea", {
    id: "entry", rows: kind === "text" ? 4 : 7, spellcheck: "false", "aria-describedby": "input-error", class: kind === "text" ? null : "numbers",
    oninput: () => { entry.text = field.value; onchange(); },
  });
  if (field) field.value = entry.text;
  const named = isSound ? el("p.hint", { id: "sound-name" }, entry.sound ? t("chosen", { name: entry.sound.name, size: size(entry.sound.size) }) : t("noFile")) : null;
  const set = (text) => { entry.text = text; field.value = text; onchange(); };
  const take = async (file) => {
    if (file.size > MOST_BYTES) { say(t("tooLarge", { size: size(file.size), most: size(MOST_BYTES) })); return; }
    say(null);
    if (!isSound) { set(await file.text()); return; }
    entry.sound = { name: file.name, size: file.size, data: base64(new Uint8Array(await file.arrayBuffer())) };
    named.textContent = t("chosen", { name: file.name, size: size(file.size) });
    onchange();
  };
  const examples = about.examples ?? [about.example];
  let next = 0;
  const example = () => {
    if (!isSound) { set(written(about, examples[next++ % examples.length])); return; }
    const data = typeof about.example === "string" ? about.example : about.example.sound;
    entry.sound = { name: t("example"), size: Math.round(data.length * 0.75), data };
    named.textContent = t("chosen", { name: entry.sound.name, size: size(entry.sound.size) });
    onchange();
  };
  const chooser = el("input.unseen", { type: "file", id: "file", accept: isSound ? "audio/*,.wav,.flac,.ogg,.mp3" : ".txt,.csv,.tsv,.json,text/*", onchange: () => { if (chooser.files[0]) take(chooser.files[0]); chooser.value = ""; } });
  const panel = el("section.panel.ask", { "aria-labelledby": "ask-title" },
    el("h2", { id: "ask-title" }, t("input")),
    isSound ? el("p.label", {}, t(label)) : el("label.label", { for: "entry" }, t(label)), field ?? el("p.hint", {}, t("soundHint")), named, trouble,
    el("div.tools.left", {}, chooser, el("label.button", { for: "file" }, t("openFile")), el("span.hint", {}, t("orDrop")),
      examples.length ? el("button", { type: "button", id: "example", onclick: example }, t("example")) : null,
      simulated ? el("button", { type: "button", id: "simulate", onclick: () => set(written(about, simulated())) }, t("simulate")) : null,
      isSound ? null : el("button", { type: "button", onclick: () => { set(""); field.focus(); } }, t("clear"))));
  panel.addEventListener("dragover", (event) => { event.preventDefault(); panel.classList.add("over"); });
  panel.addEventListener("dragleave", () => panel.classList.remove("over"));
  panel.addEventListener("drop", (event) => {
    event.preventDefault();
    panel.classList.remove("over");
    const [file] = event.dataTransfer.files, text = event.dataTransfer.getData("text/plain");
    if (file) take(file);
    else if (text && field) set(text);
  });
  panel.addEventListener("paste", (event) => { const [file] = event.clipboardData.files; if (file) { event.preventDefault(); take(file); } });
  return { panel, say, set, example };
}
