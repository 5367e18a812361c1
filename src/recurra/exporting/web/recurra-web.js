// Recurra's models in a browser or another JavaScript program: answers, single steps, and every gate and state.

import { Engine, Stack } from "./engine.js";
import { Tokenizer } from "./tokenizer.js";

export { Engine, Stack, Tokenizer };

const VERSION = 1; // of the settings in a model file
const BATCH = 32; // sequences that are computed together

/**
 * Reads a safetensors file of 32-bit floats.
 * @param {ArrayBuffer | Uint8Array} content
 * @returns {{tensors: Record<string, {data: Float32Array, shape: number[]}>, metadata: Record<string, string>}}
 */
export function readTensors(content) {
  const given = content instanceof Uint8Array ? content : new Uint8Array(content);
  const bytes = given.byteOffset % 8 ? given.slice() : given; // numbers must be aligned
  const size = bytes.length < 8 ? Infinity : Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (size > bytes.length - 8) throw new TypeError("this is not a safetensors file");
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(entries)) {
    const [begin, end] = offsets.map((offset) => bytes.byteOffset + 8 + size + offset);
    const count = shape.reduce((product, n) => product * n, 1);
    if (dtype !== "F32" || end - begin !== 4 * count || end > bytes.byteOffset + bytes.length)
      throw new TypeError(`the tensor ${name} is damaged or does not have the type F32`);
    tensors[name] = { data: new Float32Array(bytes.buffer, begin, count), shape };
  }
  return { tensors, metadata };
}

/** A model that `recurra export --format web` wrote. */
export class Model {
  #engine;
  #stack;
  #tensors;

  /**
   * Compiles the engine and reads a model.
   * @param {{engine: Parameters<typeof Engine.load>[0], model: ArrayBuffer | Uint8Array}} sources content of
   *   engine.wasm and of the model file
   */
  static async load({ engine, model }) {
    return new Model(await Engine.load(engine), model);
  }

  /**
   * @param {Engine} engine
   * @param {ArrayBuffer | Uint8Array} content of the model file
   */
  constructor(engine, content) {
    const { tensors, metadata } = readTensors(content);
    if (!metadata.recurra) throw new TypeError("this file does not come from `recurra export --format web`");
    this.config = JSON.parse(metadata.recurra);
    if (this.config.version !== VERSION) throw new TypeError("another version of Recurra wrote this model file");
    this.#engine = engine;
    this.#tensors = tensors;
    const { input, recurrent } = this.config;
    this.tokenizer = input.kind === "text" ? new Tokenizer(input.tokenizer) : null;
    const weights = recurrent.weights.map((name) => tensors[`recurrent.${name}`].data);
    this.#stack = new Stack(engine, recurrent, weights);
  }

  /**
   * Answers for some inputs, in order.
   * @param {import("./recurra-web.js").Input[]} inputs texts, or sequences of numbers
   * @returns {import("./recurra-web.js").Answer[]}
   */
  predict(inputs) {
    const answers = [];
    for (let i = 0; i < inputs.length; i += BATCH) {
      const some = inputs.slice(i, i + BATCH).map((input) => this.#encode(input));
      answers.push(...this.#run(some, false).answers);
    }
    return answers;
  }

  /**
   * The answer for one input, with every gate and state.
   * @param {import("./recurra-web.js").Input} input
   * @returns {import("./recurra-web.js").Inspection}
   */
  inspect(input) {
    const encoded = this.#encode(input);
    const { answers, inspected, weights } = this.#run([encoded], true);
    const pick = (names) => Object.fromEntries(names.map((name) => [name, alone(inspected[name])]));
    const { gates, states } = this.config.recurrent;
    return { ...answers[0], pieces: encoded.pieces, gates: pick(gates), states: pick(states), attention: weights };
  }

  /**
   * One step of a sequence.
   * @param {number | ArrayLike<number>} input the number of a token, or the numbers of a step
   * @param {import("./recurra-web.js").State | null} [state] what the step before returned; null to begin
   * @returns {import("./recurra-web.js").Step}
   */
  step(input, state = null) {
    const { pooling } = this.config;
    const encoded = this.#encodeStep(input, state?.known ?? null);
    const { output, state: after } = this.#stack.step(encoded.x, state);
    if (encoded.known) after.known = encoded.known;
    if (!pooling) return { output, state: after };
    after.pooled = this.#poolStep(output, state?.pooled ?? null);
    const vector = pooling === "last" ? output : after.pooled.vector;
    return { output, ...this.#answer(this.#head(vector, 1)), state: after };
  }

  /** Releases the memory of the engine. */
  close() {
    this.#stack.close();
  }

  // ---- inputs

  #encode(input) {
    if (this.tokenizer) {
      if (typeof input !== "string") throw new TypeError("the model reads texts");
      const { ids, pieces } = this.tokenizer.encode(input);
      return { length: ids.length, pieces, x: this.#embed(ids) };
    }
    const width = this.config.recurrent.input;
    const x = new Float32Array(input.length * width);
    let known = null;
    for (let step = 0; step < input.length; ++step) {
      const found = this.#encodeStep(input[step], known);
      x.set(found.x, step * width);
      known = found.known;
    }
    return { length: input.length, pieces: null, x };
  }

  #embed(ids) {
    const width = this.config.recurrent.input;
    const { data } = this.#tensors["embedding.weight"];
    const x = new Float32Array(ids.length * width);
    ids.forEach((id, step) => x.set(data.subarray(id * width, (id + 1) * width), step * width));
    return x;
  }

  // The input of the stack for one step. `known`: the last known value of each feature, which replaces missing ones.
  #encodeStep(input, known) {
    const { kind, features, mean, scale, masked } = this.config.input;
    if (kind === "text") {
      if (!(Number.isInteger(input) && input >= 0 && input < this.tokenizer.size))
        throw new RangeError(`a step is the number of a token, 0 to ${this.tokenizer.size - 1}, not ${input}`);
      return { x: this.#embed([input]), known: null };
    }
    if (kind === "vectors" && input instanceof Float32Array) return { x: input, known: null };
    const values = typeof input === "number" || input === null ? [input] : Array.from(input);
    if (values.length !== features) throw new RangeError(`a step has ${features} numbers, not ${values.length}`);
    const numbers = values.map((value) => (value === null ? NaN : Number(value)));
    if (kind === "vectors") return { x: Float32Array.from(numbers), known: null };
    if (numbers.some((value) => Math.abs(value) === Infinity)) throw new RangeError("a value is infinite");
    const scaled = Float32Array.from(numbers, (value, i) => standardized(value, mean[i], scale[i]));
    const filled = scaled.map((value, i) => (Number.isNaN(value) ? (known?.[i] ?? 0) : value));
    const missing = masked.map((i) => Number(Number.isNaN(scaled[i])));
    return { x: Float32Array.from([...filled, ...missing]), known: filled };
  }

  // ---- whole sequences

  #run(encoded, inspect) {
    const { recurrent, pooling } = this.config;
    const lengths = Int32Array.from(encoded, ({ length }) => length);
    const steps = lengths.reduce((most, n) => Math.max(most, n), 0);
    const width = steps * recurrent.input;
    const x = new Float32Array(encoded.length * width);
    encoded.forEach((one, row) => x.set(one.x, row * width));
    const { output, hidden, inspected } = this.#stack.run(x, lengths, { steps, inspect });
    const size = this.#stack.directions * this.#stack.size;
    if (!pooling) {
      const at = (row) => row * steps * size;
      const answers = encoded.map(({ length }, row) => ({ output: output.slice(at(row), at(row) + length * size) }));
      return { answers, inspected, weights: null };
    }
    const { pooled, weights } = this.#pool(output, hidden, lengths, steps, size);
    const scores = this.#head(pooled, encoded.length);
    const outputs = scores.length / encoded.length;
    const answers = encoded.map((_, row) => this.#answer(scores.slice(row * outputs, (row + 1) * outputs)));
    return { answers, inspected, weights };
  }

  #pool(output, hidden, lengths, steps, size) {
    const { pooling } = this.config;
    const batch = lengths.length;
    if (pooling === "attention")
      return this.#engine.attend(output, lengths, steps, this.#tensor("score.weight"), this.#tensor("score.bias"));
    const pooled = new Float32Array(batch * size);
    lengths.forEach((length, row) => {
      if (pooling === "last") pooled.set(lastOf(hidden, row, batch, this.#stack), row * size);
      else {
        const rows = output.subarray(row * steps * size, (row * steps + length) * size);
        pooled.set(reduce(rows, length, size, pooling), row * size);
      }
    });
    return { pooled, weights: null };
  }

  #poolStep(output, before) {
    const { pooling } = this.config;
    if (pooling === "last") return null;
    const count = (before?.count ?? 0) + 1;
    const old = before?.vector;
    const blend = (share) => output.map((value, i) => (old ? old[i] + share * (value - old[i]) : value));
    if (pooling === "max") return { count, vector: output.map((value, i) => (old ? Math.max(old[i], value) : value)) };
    if (pooling === "mean") return { count, vector: blend(1 / count) };
    const weight = this.#tensor("score.weight");
    const score = output.reduce((sum, value, i) => sum + value * weight[i], this.#tensor("score.bias")[0]);
    const top = Math.max(before?.top ?? -Infinity, score);
    const total = (before ? before.total * Math.exp(before.top - top) : 0) + Math.exp(score - top);
    return { count, top, total, vector: blend(Math.exp(score - top) / total) };
  }

  // ---- answers

  #tensor(name) {
    return this.#tensors[name].data;
  }

  #head(rows, count) {
    return this.#engine.linear(rows, count, this.#tensor("head.weight"), this.#tensor("head.bias"));
  }

  #answer(scores) {
    const { classes, mean, scale } = this.config.target;
    if (!scores.every(Number.isFinite)) throw new RangeError("the output of the model is not finite");
    if (!classes) return { scores, values: Array.from(scores, (score, i) => score * scale[i] + mean[i]) };
    const top = scores.reduce((most, score) => Math.max(most, score), -Infinity);
    const powers = Array.from(scores, (score) => Math.exp(score - top));
    const sum = powers.reduce((total, power) => total + power, 0);
    const probabilities = Float32Array.from(powers, (power) => power / sum);
    return { scores, probabilities, label: classes[scores.indexOf(top)] };
  }
}

// (value - mean) / scale; a feature that was constant in training has scale 0 and is 0.
function standardized(value, mean, scale) {
  return Number.isNaN(value) ? NaN : scale ? (value - mean) / scale : 0;
}

// The final hidden states of the top layer, both directions side by side.
function lastOf(hidden, row, batch, { recurrent, directions, size }) {
  const found = new Float32Array(directions * size);
  for (let direction = 0; direction < directions; ++direction) {
    const at = (((recurrent.layers - 1) * directions + direction) * batch + row) * size;
    found.set(hidden.subarray(at, at + size), direction * size);
  }
  return found;
}

// The mean or the maximum of some rows; zeros without rows.
function reduce(rows, count, size, how) {
  const found = new Float64Array(size).fill(how === "max" && count ? -Infinity : 0);
  for (let i = 0; i < count * size; ++i)
    found[i % size] = how === "max" ? Math.max(found[i % size], rows[i]) : found[i % size] + rows[i] / count;
  return found;
}

// Removes the axis of the batch from a gate or state of a single sequence.
function alone({ data, shape: [layers, directions, , steps, size] }) {
  return { data, shape: [layers, directions, steps, size] };
}
