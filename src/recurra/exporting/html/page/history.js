// The history of a forecaster from a table: steps, values of the future, and the time of the first step.
import { namesOf, numberOf, oneSeries, rowsOf } from "./table.js";
import { t } from "./words.js";

const TIME = /^(\d{4})[-/.](\d\d?)(?:[-/.](\d\d?))?(?:[T ](\d\d?):(\d\d)(?::(\d\d)(\.\d+)?)?)?(?:Z|\+00:00)?$/;

// Milliseconds since 1970, or a number of steps. Throws an Error in words.
function timeOf(text, line, kind) {
  if (kind === "number") return numberOf(text, line, 0);
  const found = TIME.exec(text);
  if (!found) throw new Error(t("badTime", { line, text: text.slice(0, 40) }));
  const [year, month, day = 1, hour = 0, minute = 0, second = 0, rest = 0] = found.slice(1).map((part) => part === undefined ? undefined : Number(part));
  return Date.UTC(year, month - 1, day, hour, minute, second) + 1000 * rest;
}

// A time as text: only the date if it has no hours.
export function timeText(time, kind) {
  if (kind === "number") return String(time);
  return new Date(time).toISOString().replace("T", " ").replace(/(:00)?\.000Z$/, "").replace(/ 00:00$/, "").replace("Z", "");
}

// { history, future, time, series, line } as recurra-web takes it.
export function historyOf(text, about, { columns, input: { frequency } }, chosen) {
  const { rows: [first, ...body], chosen: series } = oneSeries(rowsOf(text), about, chosen), names = namesOf([first]);
  const needed = [...about.time, ...columns.target, ...columns.features, ...columns.known], lacking = names === null ? needed[0] : needed.find((name) => !names.includes(name));
  if (lacking !== undefined) throw new Error(t("noColumn", { column: lacking, names: (names ?? first.cells).slice(0, 20).join(", ") }));
  const places = (some) => some.map((name) => names.indexOf(name)), read = ({ line, cells }, some) => places(some).map((at, i) => numberOf(cells[at] ?? "", line, some[i]));
  const targets = body.map((row) => read(row, columns.target)), known = body.map((row) => read(row, columns.known)), features = body.map((row) => read(row, columns.features));
  const end = targets.findLastIndex((row) => row.some((value) => value !== null)) + 1;
  if (!end) throw new Error(t("noHistory", { names: columns.target.join(", ") }));
  const at = places(about.time), times = at.length ? body.map(({ line, cells }) => timeOf(at.map((place) => cells[place] ?? "").join(" ").trim(), line, frequency.kind)) : [];
  const each = frequency.kind === "number" ? frequency.step : frequency.kind === "fixed" ? frequency.step / 1000 : null;
  if (each !== null) times.forEach((time, i) => { if (i && Math.abs(time - times[i - 1] - each) > 0.5 * (each < 1)) throw new Error(t("irregular", { line: body[i].line, step: about.step })); });
  return {
    history: targets.slice(0, end).map((row, i) => [...row, ...features[i], ...known[i]]), ...(columns.known.length ? { future: known.slice(end) } : {}),
    ...(times.length ? { time: times[0] } : {}), ...(about.id ? { series: series ?? body[0]?.cells[names.indexOf(about.id)] } : {}),
  };
}
