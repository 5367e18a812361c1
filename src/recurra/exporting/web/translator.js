// Translators: an encoder, and a decoder that attends to it; beam search. See recurra/tasks/translate.

import { finite, lastOf, logSoftmax, partOf, placesOfLargest, textOf } from "./network.js";
import { Tokenizer } from "./tokenizer.js";
import { stripped } from "./words.js";

const [UNKNOWN_PIECE, BEGIN_PIECE, END_PIECE] = [0, 1, 2];
const [PHRASE, COPIES] = [8, 3]; // a phrase of up to so many tokens is repeated directly at most so often

/** The task of translators. */
export class Translator {
  #network;
  #config;
  #target;

  constructor(network, config) {
    this.#network = network;
    this.#config = config;
    this.tokenizer = new Tokenizer(config.input.tokenizer);
    this.#target = new Tokenizer(config.output.tokenizer);
  }

  predict(inputs, options = {}) {
    return inputs.map((input) => {
      const { ids } = this.tokenizer.encode(stripped(textOf(input)));
      return this.#answer(ids.length ? this.#search(this.#encode(ids), options) : []);
    });
  }

  inspect(input, options = {}) {
    const text = stripped(textOf(input));
    const { ids, pieces } = this.tokenizer.encode(text);
    if (!ids.length) throw new RangeError("the text is empty: there is nothing to translate");
    const encoded = this.#encode(ids, true);
    const found = this.#search(encoded, options);
    const { tokens } = found[0];
    const read = [BEGIN_PIECE, ...tokens];
    const decoded = this.#decode(read, 1, encoded.hidden, encoded.cell, true);
    const written = tokens.map((id) => this.#target.shown(id));
    const { stacks } = this.#network;
    const source = Array.from(ids, (id) => this.tokenizer.shown(id));
    const weights = this.#attend(decoded.output, read.length, encoded).weights.slice(0, tokens.length * ids.length);
    return {
      ...this.#answer(found),
      alignment: { source, target: written, weights: { data: weights, shape: [tokens.length, ids.length] } },
      parts: [
        partOf("encoder.recurrent", null, pieces, stacks["encoder.recurrent"], encoded.inspected, 0, ids.length),
        partOf("decoder", null, ["[BEGIN]", ...written], stacks.decoder, decoded.inspected, 0, read.length),
      ],
    };
  }

  // Different tokens may spell the same text: it counts once, with its best score.
  #answer(found) {
    const texts = new Map();
    for (const { tokens, score } of found) {
      const text = this.#target.decode(tokens);
      if (text && !texts.has(text)) texts.set(text, score);
    }
    const candidates = Array.from(texts, ([translation, score]) => ({ translation, score }));
    return { ...(candidates[0] ?? { translation: "", score: 0 }), candidates };
  }

  // ---- the network

  // The outputs of the encoder beside the embedded tokens, and the initial state of the decoder.
  #encode(ids, inspect = false) {
    const stack = this.#network.stacks["encoder.recurrent"];
    const { decoder } = this.#network.stacks;
    const x = this.#network.embed(ids, "encoder.embedding.weight");
    const lengths = Int32Array.of(ids.length);
    const { output, hidden, inspected } = stack.run(x, lengths, { steps: ids.length, inspect });
    const last = lastOf(hidden, 0, 1, stack);
    const state = this.#network.linear(last, 1, "bridge.weight", "bridge.bias").map(Math.tanh);
    const size = decoder.recurrent.layers * decoder.recurrent.hidden;
    const cell = state.length > size ? state.slice(size) : undefined;
    return { keys: output, embedded: x, steps: ids.length, hidden: state.slice(0, size), cell, inspected };
  }

  // Runs the decoder over tokens, `(rows, steps)`, from states `(layers, rows, size)`.
  #decode(tokens, rows, hidden, cell, inspect = false) {
    const { decoder } = this.#network.stacks;
    const steps = tokens.length / rows;
    const lengths = new Int32Array(rows).fill(steps);
    return decoder.run(this.#network.embed(tokens), lengths, { steps, hidden, cell, inspect });
  }

  // For each of some outputs of the decoder: the weight of each source token, and their weighted mean.
  #attend(output, rows, { keys, embedded, steps }) {
    const queries = this.#network.linear(output, rows, "attention.query.weight", "");
    const [size, width] = [keys.length / steps, embedded.length / steps];
    const weights = new Float32Array(rows * steps);
    const contexts = new Float32Array(rows * (size + width));
    for (let row = 0; row < rows; ++row) {
      const query = queries.subarray(row * size, (row + 1) * size);
      const scores = Array.from({ length: steps }, (_, step) => {
        const key = keys.subarray(step * size, (step + 1) * size);
        return query.reduce((sum, value, i) => sum + value * key[i], 0) / Math.sqrt(size);
      });
      const found = logSoftmax(scores).map(Math.exp);
      weights.set(found, row * steps);
      const at = row * (size + width);
      found.forEach((weight, step) => {
        for (let i = 0; i < size; ++i) contexts[at + i] += weight * keys[step * size + i];
        for (let i = 0; i < width; ++i) contexts[at + size + i] += weight * embedded[step * width + i];
      });
    }
    return { weights, contexts };
  }

  // Scores of the next token for some outputs of the decoder, `(rows, tokens)`.
  #score(output, rows, encoded) {
    const { contexts } = this.#attend(output, rows, encoded);
    const features = beside(output, contexts, rows);
    const combined = this.#network.linear(features, rows, "combine.weight", "combine.bias").map(Math.tanh);
    return finite(this.#network.linear(combined, rows, "embedding.weight", "bias"));
  }

  // ---- the search

  // Hypotheses for one text, the best first: the best `beam` unfinished ones live on until as many have ended.
  #search(encoded, { beam = this.#config.beam }) {
    if (!(Number.isInteger(beam) && beam >= 1 && beam <= 1000))
      throw new RangeError(`beam is from 1 to 1000, not ${beam}`);
    const { limit, lengthPenalty } = this.#config;
    const slope = Math.fround(Math.fround(limit[1]) * encoded.steps);
    const longest = Math.floor(Math.fround(limit[0] + slope));
    const { layers } = this.#network.stacks.decoder.recurrent;
    let alive = [{ tokens: [], total: 0, last: BEGIN_PIECE, row: 0 }]; // all hypotheses are alike at first
    let state = { hidden: encoded.hidden, cell: encoded.cell, rows: 1 };
    const ended = [];
    for (let step = 0; step <= longest; ++step) {
      const rows = alive.length;
      const pick = (part) =>
        part &&
        pickRows(
          part,
          layers,
          state.rows,
          alive.map(({ row }) => row),
        );
      const last = alive.map((hypothesis) => hypothesis.last);
      const found = this.#decode(last, rows, pick(state.hidden), pick(state.cell));
      state = { ...found, rows };
      const scores = this.#score(found.output, rows, encoded);
      const tokens = scores.length / rows;
      const sums = new Float64Array(scores.length);
      alive.forEach(({ tokens: said, total }, row) => {
        const chances = allowed(logSoftmax(scores.subarray(row * tokens, (row + 1) * tokens)), said, step === longest);
        chances.forEach((chance, id) => (sums[row * tokens + id] = total + chance));
      });
      const best = placesOfLargest(sums, 2 * beam) // at most one continuation of each hypothesis is its end
        .filter((at) => sums[at] > -Infinity)
        .map((at) => ({
          parent: alive[Math.floor(at / tokens)],
          row: Math.floor(at / tokens),
          id: at % tokens,
          total: sums[at],
        }));
      for (const { parent, id, total } of best.slice(0, beam))
        if (id === END_PIECE && ended.length < beam)
          ended.push({ tokens: parent.tokens, score: total / (step + 1) ** lengthPenalty });
      if (ended.length >= beam) break;
      alive = best
        .filter(({ id }) => id !== END_PIECE)
        .slice(0, beam)
        .map(({ parent, row, id, total }) => ({ tokens: [...parent.tokens, id], total, last: id, row }));
      if (!alive.length) break;
    }
    return ended.sort((a, b) => b.score - a.score);
  }
}

// Log-probabilities of the next tokens, minus infinity for those that may not come.
function allowed(chances, said, spent) {
  chances[UNKNOWN_PIECE] = chances[BEGIN_PIECE] = -Infinity;
  const steps = said.length;
  if (!steps) chances[END_PIECE] = -Infinity;
  for (let period = 1; period <= Math.min(PHRASE, Math.floor((steps + 1) / (COPIES + 1))); ++period) {
    const tail = said.slice(steps - (COPIES + 1) * period + 1);
    // the last token of one more copy would make it too many
    if (tail.slice(period).every((id, i) => id === tail[i])) chances[said[steps - period]] = -Infinity;
  }
  return spent ? chances.map((chance, id) => (id === END_PIECE ? chance : -Infinity)) : chances;
}

// Some rows of a state `(layers, rows, size)`.
function pickRows(states, layers, rows, picked) {
  const size = states.length / (layers * rows);
  const found = new Float32Array(layers * picked.length * size);
  for (let layer = 0; layer < layers; ++layer)
    picked.forEach((row, place) => {
      const at = (layer * rows + row) * size;
      found.set(states.subarray(at, at + size), (layer * picked.length + place) * size);
    });
  return found;
}

// Rows of two matrices side by side.
function beside(left, right, rows) {
  const [a, b] = [left.length / rows, right.length / rows];
  const found = new Float32Array(left.length + right.length);
  for (let row = 0; row < rows; ++row) {
    found.set(left.subarray(row * a, (row + 1) * a), row * (a + b));
    found.set(right.subarray(row * b, (row + 1) * b), row * (a + b) + a);
  }
  return found;
}
