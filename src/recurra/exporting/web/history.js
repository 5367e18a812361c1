// The history of a forecaster: checked, scaled, filled, and cut to the context.

import { phasesOf, timeOf } from "./calendar.js";
import { numbersOf, standardized, stepsOf } from "./series.js";

const ROUNDING = 1e-14; // a deviation below this share of the largest value is a rounding error
const KEYS = ["history", "future", "time", "series"];

/**
 * Prepares a history for the network.
 * @param {import("./recurra-web.js").Config} config
 * @param {import("./recurra-web.js").Input} input
 * @param {number} horizon steps to forecast
 * @returns context `(context, columns)` and future `(horizon, known)` as rows, mean and deviation of the targets, times
 *   of the history and the horizon (null if they are unknown), and the number of steps of the history
 */
export function prepareHistory(config, input, horizon) {
  const { context, targets, features, known, cycles, masked, side, frequency } = config.input;
  const given = Array.isArray(input) || ArrayBuffer.isView(input) ? { history: input } : input;
  const { steps, future, first } = checked(config, given, horizon);
  const scale = scaleOf(config.input, given.series, steps);
  const end = steps.length;
  const observed = steps.map((row) => row.slice(0, targets + features).map((value) => Number(!Number.isNaN(value))));
  const part = (rows, from, to, mean, deviation) =>
    filled(rows.map((row) => standardized(row.slice(from, to), mean, deviation)));
  const own = part(steps, 0, targets, scale.mean, scale.deviation);
  const [before, after] = [(values) => values.slice(0, features), (values) => values.slice(features)];
  const past = part(steps, targets, targets + features, before(side[0]), before(side[1]));
  const ahead = part(
    [...steps.map((row) => row.slice(targets + features)), ...future],
    0,
    known,
    after(side[0]),
    after(side[1]),
  );
  const times = Array.from({ length: end + horizon }, (_, i) => (first === null ? null : timeOf(frequency, first, i)));
  const coming = times.map((time, i) => [...ahead[i], ...phasesOf(time, cycles)]);
  const rows = own.map((row, i) => [...row, ...past[i], ...coming[i], ...(masked ? observed[i] : [])]);
  const masks = masked ? rows[0].length - targets - features : Infinity;
  const front = rows[0].map((value, i) => (i < masks ? value : 0)); // what precedes the history was not observed
  const missing = Math.max(0, context - end);
  const window = [...Array(missing).fill(front), ...rows.slice(-context)].map((row) => Float32Array.from(row));
  return { context: window, future: coming.slice(end).map((row) => Float32Array.from(row)), scale, times, end };
}

function checked({ input, columns }, given, horizon) {
  const { targets, features, known, cycles } = input;
  if (given === null || typeof given !== "object")
    throw new TypeError("a history is a list of steps, or an object with the key history");
  const unknown = Object.keys(given).find((key) => !KEYS.includes(key));
  if (unknown) throw new TypeError(`a history has no key ${unknown}; the keys are ${KEYS.join(", ")}`);
  const steps = stepsOf(given.history).map((step) => numbersOf(step, targets + features + known));
  if (!steps.length) throw new RangeError("the history has no steps");
  const future = known ? stepsOf(given.future ?? []).map((step) => numbersOf(step, known)) : [];
  if (known && future.length < horizon) {
    const names = columns.known.join(", ");
    throw new RangeError(`a forecast of ${horizon} steps needs future values of ${names}, not ${future.length} steps`);
  }
  const time = given.time ?? null;
  if (cycles.length && !Number.isFinite(time))
    throw new TypeError("the model uses the calendar: give the time of the first step, in milliseconds since 1970");
  if (time !== null && !Number.isFinite(time)) throw new TypeError(`a time is a number of milliseconds, not ${time}`);
  const unit = input.frequency.kind === "number" ? 1 : 1000;
  return {
    steps,
    future: known ? future.slice(0, horizon) : Array(horizon).fill([]),
    first: time === null ? null : unit * time,
  };
}

// Mean and scale of the targets: those of the training data, or of the history if the series is new to the model.
function scaleOf({ scales, targets }, series, steps) {
  const found = scales.find(([name]) => name === (series ?? null));
  if (found) return { mean: found[1][0], deviation: found[1][1] };
  const average = (part) => (_, i) => scales.reduce((sum, [, scale]) => sum + scale[part][i], 0) / scales.length;
  const usual = Array.from({ length: targets }, scales.length ? average(1) : () => 1);
  const columns = usual.map((_, i) => steps.map((row) => row[i]).filter((value) => !Number.isNaN(value)));
  if (scales.length && columns.every((column) => !column.length))
    return { mean: usual.map(average(0)), deviation: usual };
  const moments = columns.map(momentsOf);
  return {
    mean: moments.map(({ mean }) => mean),
    deviation: moments.map(({ mean, deviation }, i) => deviation || Math.abs(mean) || usual[i]),
  };
}

function momentsOf(values) {
  if (!values.length) return { mean: 0, deviation: 0 };
  if (values.some((value) => Math.abs(value) === Infinity)) throw new RangeError("a value is infinite");
  const peak = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (values.every((value) => value === values[0])) return { mean: values[0], deviation: 0 };
  const average = (numbers) => numbers.reduce((sum, value) => sum + value / numbers.length, 0);
  const scaled = values.map((value) => value / peak); // so that no square overflows
  const rough = average(scaled);
  const mean = rough + average(scaled.map((value) => value - rough));
  const deviation = Math.sqrt(average(scaled.map((value) => (value - mean) ** 2)));
  return { mean: peak * mean, deviation: deviation > ROUNDING ? peak * deviation : 0 };
}

// The last value for each that is missing; before the first one the first, 0 where there is none.
function filled(rows) {
  const last = rows[0].map((_, column) => rows.map((row) => row[column]).find((value) => !Number.isNaN(value)) ?? 0);
  return rows.map((row) => row.map((value, i) => (last[i] = Number.isNaN(value) ? last[i] : value)));
}
