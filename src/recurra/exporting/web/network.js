// The parts of a network, from the tensors of a model file: recurrent stacks, embeddings and linear layers.

import { Stack } from "./engine.js";

const BATCH = 32; // sequences that are computed together

/** The parts of a network. */
export class Network {
  #tensors;
  #kept = new Map(); // addresses of weights in the memory of the engine

  /**
   * @param {import("./engine.js").Engine} engine
   * @param {Record<string, import("./recurra-web.js").Recurrent>} stacks settings of the recurrent stacks by their name
   * @param {Record<string, import("./recurra-web.js").Tensor>} tensors
   */
  constructor(engine, stacks, tensors) {
    this.engine = engine;
    this.#tensors = tensors;
    this.stacks = {};
    for (const [name, recurrent] of Object.entries(stacks)) {
      const weights = recurrent.weights.map((weight) => this.tensor(`${name}.${weight}`).data);
      this.stacks[name] = new Stack(engine, recurrent, weights);
    }
  }

  /** A tensor of the model file. */
  tensor(name) {
    const found = this.#tensors[name];
    if (!found) throw new TypeError(`the model file has no tensor ${name}`);
    return found;
  }

  has(name) {
    return name in this.#tensors;
  }

  /** The rows of an embedding for some numbers, one after the other. */
  embed(ids, name = "embedding.weight") {
    const { data, shape } = this.tensor(name);
    const width = shape[1];
    const rows = new Float32Array(ids.length * width);
    ids.forEach((id, step) => rows.set(data.subarray(id * width, (id + 1) * width), step * width));
    return rows;
  }

  /** rows · weight' + bias, for `count` rows; names of tensors, the bias may be absent. */
  linear(rows, count, weight, bias) {
    if (!count) return new Float32Array(0);
    const columns = this.tensor(weight).shape[0];
    return this.engine.linear(rows, count, columns, this.#address(weight), this.has(bias) ? this.#address(bias) : 0);
  }

  #address(name) {
    if (!this.#kept.has(name)) this.#kept.set(name, this.engine.put(this.tensor(name).data));
    return this.#kept.get(name);
  }

  /** Releases the memory of the engine. */
  close() {
    Object.values(this.stacks).forEach((stack) => stack.close());
    this.#kept.forEach((address) => this.engine.functions.release(address));
    this.#kept.clear();
  }
}

/** Calls `work` with batches of some values, and joins the arrays that it returns. */
export function inBatches(values, work, size = BATCH) {
  const found = [];
  for (let i = 0; i < values.length; i += size) found.push(...work(values.slice(i, i + size)));
  return found;
}

/** Sequences of rows as one batch: rows beyond a length are zeros. */
export function padded(sequences, width) {
  const lengths = Int32Array.from(sequences, (rows) => rows.length / width);
  const steps = lengths.reduce((most, n) => Math.max(most, n), 0);
  const x = new Float32Array(sequences.length * steps * width);
  sequences.forEach((rows, row) => x.set(rows, row * steps * width));
  return { x, lengths, steps };
}

/** The final hidden states of the top layer of one sequence, both directions side by side. */
export function lastOf(hidden, row, batch, { recurrent, directions, size }) {
  const found = new Float32Array(directions * size);
  for (let direction = 0; direction < directions; ++direction) {
    const at = (((recurrent.layers - 1) * directions + direction) * batch + row) * size;
    found.set(hidden.subarray(at, at + size), direction * size);
  }
  return found;
}

/** Gates and states of one sequence of a batch. `of`: what the sequence is, null if it is the only one. */
export function partOf(name, of, pieces, stack, inspected, row, length) {
  const pick = (names) => Object.fromEntries(names.map((gate) => [gate, sequenceOf(inspected[gate], row, length)]));
  const { gates, states } = stack.recurrent;
  return { name, of, pieces, gates: pick(gates), states: pick(states) };
}

// One sequence of `(layers, directions, batch, steps, units)`, without the steps after its end.
function sequenceOf({ data, shape: [layers, directions, batch, steps, units] }, row, length) {
  const found = new Float32Array(layers * directions * length * units);
  for (let i = 0; i < layers * directions; ++i) {
    const at = (i * batch + row) * steps * units;
    found.set(data.subarray(at, at + length * units), i * length * units);
  }
  return { data: found, shape: [layers, directions, length, units] };
}

/** Natural logarithms of the probabilities that scores mean. */
export function logSoftmax(scores) {
  const all = logSumExp(scores);
  return Float64Array.from(scores, (score) => score - all);
}

/** The logarithm of the sum of the exponentials of some numbers. */
export function logSumExp(numbers) {
  const top = largest(numbers);
  if (top === -Infinity) return top;
  let sum = 0;
  for (let i = 0; i < numbers.length; ++i) sum += Math.exp(numbers[i] - top);
  return top + Math.log(sum);
}

/** The place of the largest number, the first of equals. */
export function indexOfLargest(numbers) {
  let best = 0;
  for (let i = 1; i < numbers.length; ++i) if (numbers[i] > numbers[best]) best = i;
  return best;
}

/** The places of the largest numbers, the largest first, the first of equals first. */
export function placesOfLargest(numbers, count) {
  const order = (a, b) => numbers[b] - numbers[a] || a - b;
  if (4 * count > numbers.length) return Array.from(numbers.keys()).sort(order).slice(0, count);
  const found = Array.from({ length: count }, (_, i) => i).sort(order);
  for (let i = count; i < numbers.length; ++i) {
    if (!(numbers[i] > numbers[found[count - 1]])) continue;
    let place = count - 1;
    for (; place && numbers[i] > numbers[found[place - 1]]; --place) found[place] = found[place - 1];
    found[place] = i;
  }
  return found;
}

/** The largest of some numbers. */
export function largest(numbers) {
  return numbers.reduce((most, value) => (value > most ? value : most), -Infinity);
}

/** Throws an error if a number is not finite. */
export function finite(numbers) {
  if (!numbers.every(Number.isFinite)) throw new RangeError("the output of the model is not finite");
  return numbers;
}

/** A text, or an error that says what the model reads. */
export function textOf(input, what = "the model reads texts") {
  if (typeof input !== "string") throw new TypeError(what);
  return input;
}
