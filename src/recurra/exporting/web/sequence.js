// Classifiers and regressors of texts, series and recordings, and single layers.

import { finite, largest, lastOf, padded, partOf, textOf } from "./network.js";
import { encodeRecording } from "./recording.js";
import { numbersOf, standardized, stepsOf } from "./series.js";
import { StepStream } from "./steps.js";
import { Tokenizer } from "./tokenizer.js";

/** The task of models that read a sequence and answer once, and of layers. */
export class Sequences {
  #config;
  #network;
  #stack;

  constructor(network, config) {
    this.#config = config;
    this.#network = network;
    this.#stack = network.stacks.recurrent;
    const { input } = config;
    this.tokenizer = input.kind === "text" ? new Tokenizer(input.tokenizer) : null;
  }

  predict(inputs) {
    return this.#run(
      inputs.map((input) => this.#encode(input)),
      false,
    ).answers;
  }

  inspect(input) {
    const encoded = this.#encode(input);
    const { answers, inspected, weights } = this.#run([encoded], true);
    const part = partOf("recurrent", null, encoded.pieces, this.#stack, inspected, 0, encoded.length);
    return { ...answers[0], parts: [part], attention: weights };
  }

  step(input, state) {
    this.#refuseRecordings();
    const encoded = this.#encodeStep(input, state?.known ?? null);
    const { output, state: after } = this.#stack.step(encoded.x, state);
    const { pooled, ...answer } = this.#finish(output, state?.pooled ?? null);
    if (encoded.known) after.known = encoded.known;
    if (pooled) after.pooled = pooled;
    return { output, ...answer, state: after };
  }

  stream() {
    this.#refuseRecordings();
    const encode = (input, known) => this.#encodeStep(input, known);
    return new StepStream(this.#stack.stream(), encode, (output, pooled) => this.#finish(output, pooled));
  }

  #refuseRecordings() {
    if (this.#config.input.kind === "audio") throw new TypeError("a model of recordings has no single steps");
  }

  // ---- inputs

  #encode(input) {
    if (this.tokenizer) {
      const { ids, pieces } = this.tokenizer.encode(textOf(input));
      return { length: ids.length, pieces, x: this.#network.embed(ids) };
    }
    const width = this.#stack.recurrent.input;
    if (this.#config.input.kind === "audio") {
      const x = encodeRecording(this.#config.input, input);
      return { length: x.length / width, pieces: null, x };
    }
    const steps = stepsOf(input);
    const x = new Float32Array(steps.length * width);
    let known = null;
    steps.forEach((step, at) => {
      const found = this.#encodeStep(step, known);
      x.set(found.x, at * width);
      known = found.known;
    });
    return { length: steps.length, pieces: null, x };
  }

  // The input of the stack for one step. `known`: the last known value of each feature, which replaces missing ones.
  #encodeStep(input, known) {
    const { kind, features, mean, scale, masked } = this.#config.input;
    if (kind === "vectors" && input instanceof Float32Array && input.length === features)
      return { x: input, known: null };
    if (kind === "text") {
      return { x: this.#network.embed([this.tokenizer.number(input)]), known: null };
    }
    const numbers = numbersOf(input, features);
    if (kind === "vectors") return { x: Float32Array.from(numbers), known: null };
    const scaled = Float32Array.from(standardized(numbers, mean, scale));
    const filled = scaled.map((value, i) => (Number.isNaN(value) ? (known?.[i] ?? 0) : value));
    const missing = masked.map((i) => Number(Number.isNaN(scaled[i])));
    return { x: Float32Array.from([...filled, ...missing]), known: filled };
  }

  // ---- whole sequences

  #run(encoded, inspect) {
    const { pooling } = this.#config;
    const { x, lengths, steps } = padded(
      encoded.map((one) => one.x),
      this.#stack.recurrent.input,
    );
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
    const { pooling } = this.#config;
    const batch = lengths.length;
    const tensor = (name) => this.#network.tensor(name).data;
    if (pooling === "attention")
      return this.#network.engine.attend(output, lengths, steps, tensor("score.weight"), tensor("score.bias"));
    const pooled = new Float32Array(batch * size);
    lengths.forEach((length, row) => {
      if (pooling === "last") pooled.set(lastOf(hidden, row, batch, this.#stack), row * size);
      else {
        const rows = output.subarray(row * steps * size, (row * steps + length) * size);
        pooled.set(reduced(rows, length, size, pooling), row * size);
      }
    });
    return { pooled, weights: null };
  }

  // The answer after a step, and the pooled outputs up to it.
  #finish(output, before) {
    const { pooling } = this.#config;
    if (!pooling) return {};
    const pooled = this.#poolStep(output, before);
    return { ...this.#answer(this.#head(pooled ? pooled.vector : output, 1)), pooled };
  }

  #poolStep(output, before) {
    const { pooling } = this.#config;
    if (pooling === "last") return null;
    const count = (before?.count ?? 0) + 1;
    const old = before?.vector;
    const blend = (share) => output.map((value, i) => (old ? old[i] + share * (value - old[i]) : value));
    if (pooling === "max") return { count, vector: output.map((value, i) => (old ? Math.max(old[i], value) : value)) };
    if (pooling === "mean") return { count, vector: blend(1 / count) };
    const weight = this.#network.tensor("score.weight").data;
    const [bias] = this.#network.tensor("score.bias").data;
    const score = output.reduce((sum, value, i) => sum + value * weight[i], bias);
    const top = Math.max(before?.top ?? -Infinity, score);
    const total = (before ? before.total * Math.exp(before.top - top) : 0) + Math.exp(score - top);
    return { count, top, total, vector: blend(Math.exp(score - top) / total) };
  }

  // ---- answers

  #head(rows, count) {
    return this.#network.linear(rows, count, "head.weight", "head.bias");
  }

  #answer(scores) {
    const { classes, several, mean, scale } = this.#config.target;
    finite(scores);
    if (!classes) return { scores, values: Array.from(scores, (score, i) => score * scale[i] + mean[i]) };
    if (several) {
      const probabilities = scores.map((score) => 1 / (1 + Math.exp(-score)));
      return { scores, probabilities, labels: classes.filter((_, i) => scores[i] > 0) };
    }
    const top = largest(scores);
    const powers = Array.from(scores, (score) => Math.exp(score - top));
    const sum = powers.reduce((total, power) => total + power, 0);
    const probabilities = Float32Array.from(powers, (power) => power / sum);
    return { scores, probabilities, label: classes[scores.indexOf(top)] };
  }
}

// The mean or the maximum of some rows; zeros without rows.
function reduced(rows, count, size, how) {
  const found = new Float64Array(size).fill(how === "max" && count ? -Infinity : 0);
  for (let i = 0; i < count * size; ++i)
    found[i % size] = how === "max" ? Math.max(found[i % size], rows[i]) : found[i % size] + rows[i] / count;
  return found;
}
