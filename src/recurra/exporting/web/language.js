// Language models: the next token of a text, and texts that continue it.

import { finite, logSoftmax, padded, partOf, placesOfLargest, textOf } from "./network.js";
import { randomNumbers } from "./random.js";
import { StepStream } from "./steps.js";
import { Tokenizer } from "./tokenizer.js";
import { Writer } from "./writer.js";

const SPECIALS = 3; // unknown, begin and end
const [UNKNOWN_TOKEN, BEGIN_TOKEN, END_TOKEN] = [0, 1, 2];

/** The task of language models. */
export class LanguageModel {
  #network;
  #config;
  #stack;
  #words;

  constructor(network, config) {
    this.#network = network;
    this.#config = config;
    this.#stack = network.stacks.recurrent;
    this.tokenizer = new Tokenizer(config.input.tokenizer);
    this.#words = Array.from({ length: this.tokenizer.size }, (_, id) =>
      id < SPECIALS ? new Uint8Array(0) : this.tokenizer.bytes(id),
    );
  }

  predict(inputs, options = {}) {
    return this.#run(
      inputs.map((input) => this.#encode(input)),
      false,
      options,
    ).answers;
  }

  inspect(input, options = {}) {
    const encoded = this.#encode(input);
    const { answers, inspected } = this.#run([encoded], true, options);
    const part = partOf("recurrent", null, encoded.pieces, this.#stack, inspected, 0, encoded.ids.length);
    return { ...answers[0], parts: [part] };
  }

  step(input, state) {
    const { output, state: after } = this.#stack.step(this.#embed([this.tokenizer.number(input)], 0), state);
    return { output, scores: this.#score(output, 1), state: after };
  }

  stream() {
    return this.#stream(0);
  }

  generate(prompt = "", options = {}) {
    const { length = 500, temperature = 0.8, topK = null, topP = null, seed = null, condition = null } = options;
    checkSampling(length, temperature, topK, topP);
    const random = randomNumbers(seed);
    const choose = (scores) => draw(scores, random(), temperature, topK, topP);
    const pieces = this.#write(this.#encode({ text: prompt, condition }), length, choose);
    return this.tokenizer.kind === "spaced" ? joined(pieces, prompt) : pieces;
  }

  *#write({ ids, label }, length, choose) {
    const writer = new Writer(this.#words);
    const stream = this.#stream(label);
    try {
      let scores = null;
      for (const id of ids) ({ scores } = stream.step(id));
      for (let i = 0; i < length; ++i) {
        const token = choose(this.#allowed(finite(scores), writer));
        if (token === END_TOKEN) return;
        const text = writer.write(token);
        if (text) yield text;
        if (i + 1 < length) ({ scores } = stream.step(token));
      }
    } finally {
      stream.close();
    }
  }

  // ---- reading

  #encode(input) {
    const { text, condition = null } = input !== null && typeof input === "object" ? input : { text: input };
    const { ids, pieces } = this.tokenizer.encode(
      textOf(text, "the model reads texts, or objects with text and condition"),
    );
    const label = this.#labelOf(condition);
    return { ids: Int32Array.of(BEGIN_TOKEN, ...ids), pieces: ["[BEGIN]", ...pieces], label };
  }

  #labelOf(condition) {
    if (condition === null) return 0;
    const { classes } = this.#config;
    if (!classes.length) throw new TypeError("the model was trained without labels: leave out the condition");
    const place = classes.indexOf(condition);
    if (place < 0) throw new RangeError(`the condition is one of ${classes.slice(0, 20).join(", ")}, not ${condition}`);
    return place + 1;
  }

  #stream(label) {
    const encode = (id) => ({ x: this.#embed([this.tokenizer.number(id)], label), known: null });
    return new StepStream(this.#stack.stream(), encode, (output) => ({ scores: this.#score(output, 1) }));
  }

  #embed(ids, label) {
    const rows = this.#network.embed(ids);
    const { scale, classes } = this.#config;
    const added = classes.length ? this.#network.embed([label], "label_embedding.weight") : null;
    const width = this.#stack.recurrent.input;
    return rows.map((value, i) => scale * (added ? Math.fround(value + added[i % width]) : value));
  }

  #score(output, rows) {
    const tied = this.#network.has("bottleneck.weight");
    const features = tied ? this.#network.linear(output, rows, "bottleneck.weight", "bottleneck.bias") : output;
    return this.#network.linear(features, rows, tied ? "embedding.weight" : "head.weight", tied ? "bias" : "head.bias");
  }

  #run(encoded, inspect, { top = 5 }) {
    const width = this.#stack.recurrent.input;
    const { x, lengths, steps } = padded(
      encoded.map(({ ids, label }) => this.#embed(ids, label)),
      width,
    );
    const { output, inspected } = this.#stack.run(x, lengths, { steps, inspect });
    const { size } = this.#stack;
    const last = new Float32Array(encoded.length * size);
    lengths.forEach((length, row) => {
      const at = (row * steps + length - 1) * size;
      last.set(output.subarray(at, at + size), row * size);
    });
    const scores = this.#score(last, encoded.length);
    const tokens = this.tokenizer.size;
    const answers = encoded.map((_, row) => this.#answer(scores.slice(row * tokens, (row + 1) * tokens), top));
    return { answers, inspected };
  }

  #answer(scores, count) {
    const logits = this.#allowed(finite(scores), null);
    const probabilities = logSoftmax(logits).map(Math.exp);
    const order = placesOfLargest(logits, count);
    const show = (id) => ({ token: new TextDecoder().decode(this.#words[id]), probability: probabilities[id] });
    const top = order.filter((id) => probabilities[id] > 0).map(show);
    return { ...top[0], top, scores };
  }

  // Scores without the tokens that cannot come next.
  #allowed(scores, writer) {
    const possible = writer?.possible();
    const ends = this.#config.documents && !writer?.within;
    return Float64Array.from(scores, (score, id) => {
      if (id === UNKNOWN_TOKEN || id === BEGIN_TOKEN || (id === END_TOKEN && !ends)) return -Infinity;
      return !possible || possible[id] ? score : -Infinity;
    });
  }
}

// Words without the space before them at the beginning of a line and after a space.
function* joined(pieces, prompt) {
  let before = prompt || "\n";
  for (const piece of pieces) {
    yield /\p{White_Space}$/u.test(before) ? piece.replace(/^ /, "") : piece;
    before = piece;
  }
}

function checkSampling(length, temperature, topK, topP) {
  if (!(Number.isInteger(length) && length >= 0)) throw new RangeError(`length must be at least 0, got ${length}`);
  if (!(temperature >= 0 && temperature < Infinity))
    throw new RangeError(`temperature must be 0 or more, got ${temperature}`);
  if (topK !== null && !(Number.isInteger(topK) && topK >= 1))
    throw new RangeError(`topK must be at least 1, got ${topK}`);
  if (topP !== null && !(topP > 0 && topP <= 1)) throw new RangeError(`topP must be from 0 to 1, got ${topP}`);
}

// Draws a token, as recurra/tasks/generate/network.py does.
function draw(scores, chance, temperature, topK, topP) {
  const order = placesOfLargest(scores, scores.length);
  if (temperature === 0) return order[0];
  const best = scores[order[0]];
  const weights = order.map((id) => Math.exp((scores[id] - best) / temperature));
  if (topK !== null) weights.fill(0, topK);
  let sum = 0;
  let reached = weights.map((weight) => (sum += weight));
  if (topP !== null) {
    weights.fill(0, reached.findIndex((part) => part >= topP * sum) + 1);
    sum = 0;
    reached = weights.map((weight) => (sum += weight));
  }
  const found = reached.findIndex((part) => part > chance * sum);
  const last = weights.filter((weight) => weight).length - 1;
  return order[found < 0 ? last : Math.min(found, last)];
}
