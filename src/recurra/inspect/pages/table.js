// Reads numbers that were typed, pasted or dropped: one step per line, with or without names of the columns.
import { t } from "./words.js";

const MISSING = new Set(["", "-", "?", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none", "nil"]);
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

export const isMissing = (text) => MISSING.has(text.toLowerCase());
const isNumber = (text) => isMissing(text) || (NUMBER.test(text) && Number.isFinite(Number(text)));
const toNumber = (text) => isMissing(text) ? null : Number(text);

// The cells of a line; a cell in quotes may contain the sign between cells.
function cellsOf(line, sign) {
  if (sign === " ") return line.trim().split(/\s+/);
  if (!line.includes('"')) return line.split(sign).map((cell) => cell.trim());
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

// The rows of one series of a table, in the order of their times. about.id and about.time: names of these columns, or null.
// ids: all series of the table; empty if it has one.
export function oneSeries(rows, about, wanted) {
  const head = namesOf(rows), [id, time] = [about.id, about.time].map((name) => head && typeof name === "string" ? head.indexOf(name) : -1);
  if (id < 0 && time < 0) return { rows, ids: [] };
  const body = rows.slice(1), ids = id < 0 ? [] : [...new Set(body.map(({ cells }) => cells[id] ?? ""))];
  const chosen = ids.includes(wanted) ? wanted : ids[0], some = id < 0 ? body : body.filter(({ cells }) => (cells[id] ?? "") === chosen);
  if (time >= 0) {
    const at = ({ cells }) => cells[time] ?? "", numeric = some.every((row) => NUMBER.test(at(row)));
    some.sort((a, b) => numeric ? at(a) - at(b) : at(a) < at(b) ? -1 : Number(at(a) > at(b)));
  }
  return { rows: [rows[0], ...some], ids: ids.length > 1 ? ids : [], chosen };
}
