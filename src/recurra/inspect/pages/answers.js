// The answer of a model, in the form of its task.
import { number, percent, t } from "./words.js";
import { forecastPlot } from "./plots.js";

const SHOWN = 12;

// Bars of probabilities, as a table. rows: [name, probability]
function bars(rows, heading, chosen = 0) {
  const { el } = R;
  return el("table.bars", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, heading), el("th", { scope: "col", colspan: 2 }, t("probability")))),
    el("tbody", {}, rows.map(([name, p], i) => el("tr", { class: i === chosen ? "best" : null }, el("th", { scope: "row" }, name), el("td.number", {}, percent(p)),
      el("td.bar-cell", { "aria-hidden": "true" }, el("span.fill", { style: `width:${(100 * p).toFixed(1)}%` }))))));
}

export const visible = (token) => token.trim() ? token : token === "\n" ? "⏎" : "␣";
const details = (summary, ...children) => R.el("details", {}, R.el("summary", {}, summary), ...children);

function grid(headings, rows) {
  const { el } = R;
  return el("div.scroll", { tabindex: 0, role: "group", "aria-label": t("asTable") }, el("table.grid", {}, el("thead", {}, el("tr", {}, headings.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el(typeof cell === "number" ? "td.number" : "td", {}, typeof cell === "number" ? number(cell, 6) : cell ?? "—")))))));
}

// Middle and band of the first target of the first series.
export function forecastRows(forecast, about) {
  const several = about.targets.length > 1, [target] = about.targets, id = forecast[0]?.[about.id];
  return forecast.filter((row) => row[about.id] === id).map((row) => ({ middle: several ? row[target] : row.forecast, lower: row[several ? `${target}_lower` : "lower"], upper: row[several ? `${target}_upper` : "upper"] }));
}

const forms = {
  probabilities({ probabilities, label, labels }) {
    const rows = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
    return [R.el("p.result-line", {}, R.el("b", {}, labels ? labelsOf(labels) : label), labels ? null : ` ${percent(probabilities[label])}`), bars(rows.slice(0, SHOWN), t("class")),
      rows.length > SHOWN ? details(t("asTable"), grid([t("class"), t("probability")], rows)) : null];
  },
  value({ value }, about) {
    if (!Array.isArray(value)) return R.el("p.big", {}, number(value, 6), about.target_name ? R.el("span.hint", {}, ` ${about.target_name}`) : null);
    return grid([t("target", { n: "" }), t("value")], value.map((one, i) => [String(i + 1), one]));
  },
  tags({ words: given, tags, confidence }) {
    const words = given ?? numbered(tags); // steps of numbers have none
    if (!words.length) return R.el("p.hint", {}, t("noWords"));
    const names = [...new Set(tags)].sort();
    const sentence = words.map((word, i) => [R.el("span.tagged", { "data-tag": names.indexOf(tags[i]) % 8, title: confidence ? percent(confidence[i]) : null }, R.el("span.tag", {}, tags[i]), R.el("span", {}, word)), " "]);
    return [R.el("p.sentence", {}, sentence), details(t("asTable"), grid([t(given ? "word" : "step"), t("tag"), t("probability")], words.map((word, i) => [word, tags[i], confidence?.[i]])))];
  },
  forecast({ forecast }, about, input) {
    const [target] = about.targets, rows = forecastRows(forecast, about);
    const history = Array.isArray(input) ? input.map((row) => Array.isArray(row) ? row[0] : typeof row === "object" && row ? row[target] : row) : input[target] ?? [];
    const names = Object.keys(forecast[0] ?? {}), words = { step: "step", forecast: "forecast", lower: "lower", upper: "upper" };
    return [forecastPlot(history.filter((v) => typeof v === "number"), rows, `${t("forecast")}: ${rows.map((row) => number(row.middle, 3)).join(", ")}`),
      details(t("asTable"), grid(names.map((name) => words[name] ? t(words[name]) : name), forecast.map((row) => names.map((name) => row[name]))))];
  },
  translation({ translation, score, candidates }) {
    return [R.el("p.written", {}, translation || t("emptyText")), R.el("p.hint", {}, t("score", { s: number(score) })),
      candidates?.length > 1 ? [R.el("h3", {}, t("others")), R.el("ol.others", { start: 2 }, candidates.slice(1).map((one) => R.el("li", {}, one.translation || t("emptyText"), R.el("span.hint", {}, ` ${t("score", { s: number(one.score) })}`))))] : null];
  },
  blanks({ text, blanks }) {
    return [R.el("p.written", {}, text), blanks.map((candidates, i) => [R.el("h3", {}, t("blank", { n: i + 1 })), bars(candidates.map(({ word, probability }) => [word, probability]), t("word"))])];
  },
  transcript({ text, confidence }) {
    return [R.el("p.written", {}, text || t("emptyText")), R.el("p.hint", {}, t("confidence", { p: percent(confidence) }))];
  },
  next(answer) {
    const rows = [];
    for (let i = 1; `next${i > 1 ? ` ${i}` : ""}` in answer; i++) {
      const at = i > 1 ? ` ${i}` : "";
      if (answer[`next${at}`] !== null) rows.push([visible(answer[`next${at}`]), answer[`probability${at}`]]);
    }
    return [R.el("h3", {}, t("nextTokens")), bars(rows, t("token"))];
  },
  other(answer) {
    return R.el("pre.json", { tabindex: 0 }, JSON.stringify(answer.prediction ?? answer, null, 2));
  },
};

const labelsOf = (labels) => labels.join(", ") || "—";
const numbered = (tags) => tags.map((_, i) => String(i + 1));
const formOf = (answer) => answer.probabilities ? "probabilities" : "value" in answer ? "value" : answer.tags ? "tags" : "tag" in answer ? "tag" : answer.forecast ? "forecast"
  : "translation" in answer ? "translation" : answer.blanks ? "blanks" : "text" in answer ? "transcript" : "next" in answer ? "next" : "other";

// Elements for an answer.
export const shown = (answer, about, input) => [forms[formOf(answer)](answer, about, input)].flat(4).filter(Boolean);

// One sentence for screen readers.
export function inWords(answer) {
  switch (formOf(answer)) {
    case "probabilities": return answer.labels ? labelsOf(answer.labels) : `${answer.label} ${percent(answer.probabilities[answer.label])}`;
    case "value": return [answer.value].flat().map((one) => number(one)).join(", ");
    case "tags": return (answer.words ?? numbered(answer.tags)).map((word, i) => `${word} ${answer.tags[i]}`).join(", ");
    case "forecast": return answer.forecast.slice(0, 3).map((row) => number(row.forecast ?? Object.values(row).find((v) => typeof v === "number"))).join(", ");
    case "translation": return answer.translation;
    case "tag": return `${answer.tag ?? "—"} ${percent(answer.confidence ?? 0)}`;
    case "next": return `${visible(answer.next ?? "")} ${percent(answer.probability ?? 0)}`;
    default: return answer.text ?? "";
  }
}
