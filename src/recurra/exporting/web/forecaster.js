// Forecasters: the next steps of a series, and their quantiles. The names follow recurra/tasks/forecast/network.py.

import { prepareHistory } from "./history.js";
import { finite, partOf } from "./network.js";

const QUIET = 0.1; // in standard deviations of the training data

/** The task of forecasters. */
export class Forecaster {
  #network;
  #config;

  constructor(network, config) {
    this.#network = network;
    this.#config = config;
  }

  predict(inputs, { horizon = this.#config.horizon } = {}) {
    if (!(Number.isInteger(horizon) && horizon > 0))
      throw new RangeError(`the horizon is a number of steps, not ${horizon}`);
    const prepared = inputs.map((input) => prepareHistory(this.#config, input, horizon));
    const found = this.#roll(prepared, horizon);
    return prepared.map((one, row) => this.#answer(one, found[row]));
  }

  inspect(input) {
    const { horizon, columns, sizes } = this.#config;
    const prepared = prepareHistory(this.#config, input, horizon);
    const { recurrent } = this.#network.stacks;
    const { answers, read, queried } = this.#forward([prepared.context], [prepared.future], true);
    const shown = this.#spans(prepared);
    const parts = columns.target.map((name, row) =>
      partOf("recurrent", name, shown.read, recurrent, read, row, shown.read.length),
    );
    columns.target.forEach((name, target) => {
      for (let i = 0; i < sizes.coming; ++i) {
        const row = target * sizes.coming + i;
        parts.push(partOf("recurrent (call 2)", name, [shown.coming[i]], recurrent, queried, row, 1));
      }
    });
    const found = this.#config.sizes.take < horizon ? this.#roll([prepared], horizon) : answers;
    return { ...this.#answer(prepared, found[0]), parts };
  }

  // ---- forecasts of any length, each `(steps, targets, 1 + quantiles)` in scaled values

  #roll(prepared, steps) {
    const { sizes, levels, horizon } = this.#config;
    let contexts = prepared.map(({ context }) => context);
    const found = prepared.map(() => []);
    let base = null;
    for (let begin = 0; begin < steps; begin += sizes.take) {
      const futures = prepared.map(({ future }) => {
        const known = future.slice(begin, begin + horizon);
        return [...known, ...Array(horizon - known.length).fill(known.at(-1))];
      });
      const { answers } = this.#forward(contexts, futures, false);
      const blocks = answers.map((answer) => answer.slice(0, Math.min(sizes.take, steps - begin)));
      if (base) blocks.forEach((block, row) => widen(block, base[row], levels));
      base = blocks.map((block) => block.at(-1).map((values) => values.map((value) => value - values[0])));
      contexts = contexts.map((context, row) => this.#continued(context, futures[row], blocks[row]));
      blocks.forEach((block, row) => found[row].push(...block));
    }
    return found;
  }

  // A context with its own forecasts at its end. Features keep their last value.
  #continued(context, future, block) {
    const { targets, features, masked } = this.#config.input;
    const last = context.at(-1).subarray(targets, targets + features);
    const observed = masked ? Array(targets + features).fill(1) : [];
    const rows = block.map((step, i) =>
      Float32Array.from([...step.map(([point]) => point), ...last, ...future[i], ...observed]),
    );
    return [...context, ...rows].slice(-context.length);
  }

  // ---- the network, for one horizon

  #forward(contexts, futures, inspect) {
    const { targets, masked } = this.#config.input;
    const { sizes } = this.#config;
    const { recurrent } = this.#network.stacks;
    const width = recurrent.recurrent.hidden;
    const series = contexts.flatMap((context) => Array.from({ length: targets }, (_, i) => seriesOf(context, i)));
    const segments = Math.ceil(contexts[0].length / sizes.segment);
    const read = this.#read(contexts, series, segments, masked);
    const lengths = (count, steps) => new Int32Array(count).fill(steps);
    const past = recurrent.run(read, lengths(series.length, segments), { steps: segments, inspect });
    const rows = series.length * sizes.coming;
    const repeat = (states) => states && repeated(states, width, sizes.coming);
    const after = recurrent.run(this.#queries(futures, series.length), lengths(rows, 1), {
      steps: 1,
      hidden: repeat(past.hidden),
      cell: repeat(past.cell),
      inspect,
    });
    const points = this.#network.linear(after.output, rows, "write.weight", "write.bias");
    const { levels } = this.#config;
    const spread = levels.length ? this.#network.linear(after.output, rows, "spread.weight", "spread.bias") : null;
    const base = this.#base(series);
    const answers = contexts.map((_, row) => this.#inOrder(points, base, spread, series, row * targets));
    return { answers, read: past.inspected, queried: after.inspected };
  }

  // The vectors of the segments of each series, `(series, segments, size)`.
  #read(contexts, series, segments, masked) {
    const { segment, filling } = this.#config.sizes;
    const { targets, features, known } = this.#config.input;
    const at = (i) => Math.max(0, i - filling); // the first step fills up the first segment
    const steps = Array.from({ length: segments * segment }, (_, i) => at(i));
    const mask = contexts[0][0].length - targets - features;
    const rows = series.flatMap(({ steps: scaled, target, context }) =>
      inSegments(segment, steps, (some) => [
        ...some.map((i) => scaled[i]),
        ...(masked ? some.map((i) => context[i][mask + target]) : []),
      ]),
    );
    const read = this.#network.linear(Float32Array.from(rows), series.length * segments, "read.weight", "read.bias");
    if (this.#network.has("beside.weight")) {
      const side = contexts.flatMap((context) =>
        inSegments(segment, steps, (some) =>
          some.flatMap((i) => [
            ...context[i].subarray(targets, targets + features + known),
            ...(masked ? context[i].subarray(mask + targets) : []),
          ]),
        ),
      );
      const beside = this.#network.linear(Float32Array.from(side), contexts.length * segments, "beside.weight", "");
      const block = beside.length / contexts.length;
      read.forEach((_, i) => (read[i] += beside[Math.floor(i / (block * targets)) * block + (i % block)]));
    }
    return read.map((value) => Math.max(value, 0));
  }

  // The queries for the segments to come, `(series, segments, size)`.
  #queries(futures, count) {
    const { coming, written } = this.#config.sizes;
    const { targets } = this.#config.input;
    const position = this.#network.tensor("position");
    const target = this.#network.tensor("target");
    const row = ({ data, shape }, i) => data.subarray(i * shape[1], (i + 1) * shape[1]);
    const queries = Float32Array.from(
      Array.from({ length: count * coming }, (_, i) => [
        ...row(position, i % coming),
        ...row(target, Math.floor(i / coming) % targets),
      ]).flat(),
    );
    if (!this.#network.has("ahead.weight")) return queries;
    const flat = futures.flatMap((rows) =>
      Array.from({ length: coming * written }, (_, i) => Array.from(rows[Math.min(i, rows.length - 1)])).flat(),
    );
    const ahead = this.#network.linear(Float32Array.from(flat), futures.length * coming, "ahead.weight", "");
    const block = ahead.length / futures.length;
    return queries.map((value, i) => value + ahead[Math.floor(i / (block * targets)) * block + (i % block)]);
  }

  // The share of the baselines in the forecast of each series, less its last value: `(series, horizon)`.
  #base(series) {
    if (!this.#network.has("base.weight")) return null;
    const away = Float32Array.from(series.flatMap((one) => one.away));
    return this.#network.linear(away, series.length, "base.weight", "base.bias");
  }

  // What was written for the segments, in the order of time: `(horizon, targets, 1 + quantiles)`.
  #inOrder(points, base, spread, series, first) {
    const { sizes, horizon, levels, share = 1 } = this.#config;
    return Array.from({ length: horizon }, (_, step) =>
      Array.from({ length: this.#config.input.targets }, (_, target) => {
        const { size, last } = series[first + target];
        const row = (first + target) * sizes.coming + Math.floor(step / sizes.written);
        const at = step % sizes.written;
        const beside = base ? base[(first + target) * horizon + step] : 0;
        const point = points[row * sizes.written + at] * size * share + beside + last;
        const away = (i) => spread[(row * levels.length + i) * sizes.written + at] * size * share;
        return [point, ...levels.map((_, i) => point + away(i))];
      }),
    );
  }

  // ---- answers

  #answer({ scale, times, end }, found) {
    const { levels, horizon, input } = this.#config;
    const shifts = levels.length ? this.#network.tensor("shifts").data : null;
    const moved = found.map((step, at) =>
      step.map(([point, ...rest], target) => {
        const growth = Math.sqrt(Math.floor(at / horizon) + 1);
        const shift = (i) => growth * shifts[(Math.min(at, horizon - 1) * step.length + target) * levels.length + i];
        const all = nested(
          point,
          rest.map((value, i) => value + shift(i)),
          levels,
        );
        return finite(all.map((value) => value * scale.deviation[target] + scale.mean[target]));
      }),
    );
    const unit = input.frequency.kind === "number" ? 1 : 1000;
    return {
      values: moved.map((step) => step.map(([point]) => point)),
      quantiles: moved.map((step) => step.map(([, ...quantiles]) => quantiles)),
      levels,
      times: times[0] === null ? null : times.slice(end).map((time) => time / unit),
    };
  }

  // The first and the last time of each segment, or the numbers of the steps.
  #spans({ times, end }) {
    const { sizes, horizon, input } = this.#config;
    const shown = times.map((time, i) => {
      if (time === null) return String(i);
      return input.frequency.kind === "number" ? String(time) : new Date(time / 1000).toISOString();
    });
    const before = sizes.filling + input.context;
    const front = sizes.filling + Math.max(0, input.context - end);
    const all = [...Array(front).fill(""), ...shown.slice(Math.max(0, end - input.context), end + horizon)];
    const spans = (rows, size) => inSegments(size, rows, (some) => [spanOf(some.filter((time) => time))]);
    return { read: spans(all.slice(0, before), sizes.segment), coming: spans(all.slice(before), sizes.written) };
  }
}

// One target of a context: its steps less the last one and of the same spread as others.
function seriesOf(context, target) {
  const last = context.at(-1)[target];
  const away = context.map((row) => row[target] - last);
  const mean = away.reduce((sum, value) => sum + value, 0) / away.length;
  const variance = away.reduce((sum, value) => sum + (value - mean) ** 2, 0) / away.length;
  const size = Math.sqrt(variance) + QUIET;
  return { away, steps: away.map((value) => value / size), last, size, target, context };
}

// Calls `work` with the steps of each segment, and joins the lists that it returns.
function inSegments(size, steps, work) {
  const found = [];
  for (let i = 0; i < steps.length; i += size) found.push(...work(steps.slice(i, i + size)));
  return found;
}

// A state `(layers, rows, size)` with each row several times, side by side.
function repeated(states, size, times) {
  const found = new Float32Array(states.length * times);
  for (let row = 0; row < states.length / size; ++row)
    for (let i = 0; i < times; ++i) found.set(states.subarray(row * size, (row + 1) * size), (row * times + i) * size);
  return found;
}

// Moves the quantiles of forecasts that follow forecasts, as if their errors were independent.
function widen(block, base, levels) {
  for (const step of block)
    step.forEach((values, target) => {
      levels.forEach((level, i) => {
        const away = Math.hypot(values[i + 1] - values[0], base[target][i + 1]);
        values[i + 1] = values[0] + Math.sign(level - 0.5) * away;
      });
    });
}

// A forecast and its sorted quantiles, whose interval contains it.
function nested(point, quantiles, levels) {
  const sorted = [...quantiles].sort((a, b) => a - b);
  const end = levels.length - 1;
  return [
    point,
    ...sorted.map((value, i) => {
      const below = levels[i] < 0.5 || (levels[i] === 0.5 && i === 0 && end > 0);
      const above = levels[i] > 0.5 || (levels[i] === 0.5 && i === end && end > 0);
      return below ? Math.min(value, point) : above ? Math.max(value, point) : value;
    }),
  ];
}

function spanOf(times) {
  return times.length > 1 ? `${times[0]} … ${times.at(-1)}` : (times[0] ?? "");
}
