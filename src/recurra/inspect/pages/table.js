// Reads numbers that were typed, pasted or dropped: one step per line, with or without names of the columns.
import { t } from "./words.js";

const MISSING = new Set(["", "-", "?", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none", "nil"]);
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

export const isMissing = (text) => MISSING.has(text.toLowerCase());
const isNumber = (text) => isMissing(text) || (NUMBER.test(text) && Number.isFinite(Number(text)));
const toNumber = (text) => isMissing(text) ? null : Number(text);

// The cells of a line; a cell in quotes may contain the sign between cells.
function cellsOf(line, sign) {
  if (!line.includes('"')) return sign === " " ? line.trim().split(/\s+/) : line.split(sign).map((cell) => cell.trim());
  const found = [];
  let cell = "", quoted = false;
  for (let i = 0; i < line.length; i++) {
    const letter = line[i];
    if (quoted && letter === '"' && line[i + 1] === '"') { cell += '"'; i += 1; }
    else if (letter === '"' && (quoted || !cell.trim())) quoted = !quoted;
    else if (letter === sign && !quoted) { found.push(cell.trim()); cell = ""; }
    else cell += letter;
  }
  return [...found, cell.trim()];
}

// Lines of a text as { line, cells }, without empty ones. `line` counts from 1.
export function rowsOf(text) {
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/), [first = ""] = lines.filter((line) => line.trim());
  const sign = ["\t", ";", ","].find((one) => first.includes(one)) ?? " ";
  return lines.map((line, i) => ({ line: i + 1, text: line })).filter(({ text: one }) => one.trim()).map(({ line, text: one }) => ({ line, cells: cellsOf(one, sign) }));
}

// The names of the columns, if the first line has some: a cell that is not a number.
export const namesOf = (rows) => rows.length && !rows[0].cells.every(isNumber) ? rows[0].cells : null;

// The number in a cell; null if it is missing. Throws an Error in words.
export function numberOf(text, line, column) {
  if (isNumber(text)) return toNumber(text);
  throw new Error(typeof column === "number" ? t("notNumbers", { line, place: column + 1, text: shortened(text) }) : t("notNumbersColumn", { line, column, text: shortened(text) }));
}

const shortened = (text) => text.length > 40 ? `${text.slice(0, 39)}…` : text;

// Steps of numbers, `columns` each. `names` are the columns that the model reads, if they have names.
export function series(rows, columns, names) {
  const head = namesOf(rows), body = head ? rows.slice(1) : rows;
  if (head && names) {
    const lacking = names.find((name) => !head.includes(name));
    if (lacking !== undefined) throw new Error(t("noColumn", { column: lacking, names: head.slice(0, 20).join(", ") }));
    const places = names.map((name) => head.indexOf(name));
    return body.map(({ line, cells }) => {
      if (cells.length !== head.length) throw new Error(t("notColumns", { line, n: cells.length, want: head.length }));
      return places.map((at, i) => numberOf(cells[at], line, names[i]));
    });
  }
  if (columns === 1) return body.flatMap(({ line, cells }) => cells.map((cell, i) => [numberOf(cell, line, i)]));
  return body.map(({ line, cells }) => {
    const found = cells.map((cell, i) => numberOf(cell, line, head && cells.length === head.length ? head[i] : i));
    if (cells.length !== columns) throw new Error(t("notColumns", { line, n: cells.length, want: columns }));
    return found;
  });
}

// The rows of one series of a table, in the order of their times. about.id: name of the column of ids, or null;
// about.time: name or names of the columns of times.
// ids: all series of the table; empty if it has one.
export function oneSeries(rows, about, wanted) {
  const head = namesOf(rows) ?? [], id = about.id ? head.indexOf(about.id) : -1, times = [about.time ?? []].flat().map((name) => head.indexOf(name)).filter((at) => at >= 0);
  if (id < 0 && !times.length) return { rows, ids: [] };
  const body = rows.slice(1), ids = id < 0 ? [] : [...new Set(body.map(({ cells }) => cells[id] ?? ""))];
  const chosen = ids.includes(wanted) ? wanted : ids[0], some = id < 0 ? body : body.filter(({ cells }) => (cells[id] ?? "") === chosen);
  const keyOf = ({ cells }) => times.map((at) => cells[at] ?? "").join(" "), keys = new Map(some.map((row) => [row, keyOf(row)])), numeric = [...keys.values()].every((key) => NUMBER.test(key));
  if (times.length) some.sort((a, b) => numeric ? keys.get(a) - keys.get(b) : keys.get(a) < keys.get(b) ? -1 : Number(keys.get(a) > keys.get(b)));
  return { rows: [rows[0], ...some], ids: ids.length > 1 ? ids : [], chosen };
}
