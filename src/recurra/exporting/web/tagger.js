// Taggers: a tag for each word of a sentence.

import { Chain, Independent } from "./chain.js";
import { finite, lastOf, padded, partOf } from "./network.js";
import { WordEncoder, splitWords } from "./words.js";

/** The task of taggers. */
export class Tagger {
  #network;
  #encoder;
  #classes;
  #chain;

  constructor(network, config) {
    this.#network = network;
    this.#encoder = new WordEncoder(config.input);
    this.#classes = config.target.classes;
    const [pairs, start, end] = ["pairs", "start", "end"].map((name) => `chain.${name}`);
    const data = (name) => network.tensor(name).data;
    this.#chain = network.has(pairs)
      ? new Chain(data(pairs), data(start), data(end))
      : new Independent(this.#classes.length);
  }

  predict(inputs) {
    return this.#run(inputs.map(wordsOf), false).answers;
  }

  inspect(input) {
    const words = wordsOf(input);
    const { answers, inspected, spelt } = this.#run([words], true);
    const { recurrent, spelling } = this.#network.stacks;
    const parts = [partOf("recurrent", null, words, recurrent, inspected, 0, words.length)];
    if (spelling)
      [...spelt.words].forEach(([word, { pieces }], row) =>
        parts.push(partOf("spelling", word, pieces, spelling, spelt.inspected, row, pieces.length)),
      );
    return { ...answers[0], parts };
  }

  #run(sentences, inspect) {
    const { recurrent } = this.#network.stacks;
    const spelt = this.#spell(sentences, inspect);
    const rows = sentences.map((words) => this.#vectors(words, spelt));
    const { x, lengths, steps } = padded(rows, recurrent.recurrent.input);
    const { output, inspected } = recurrent.run(x, lengths, { steps, inspect });
    const scores = this.#network.linear(output, sentences.length * steps, "head.weight", "head.bias");
    const tags = this.#classes.length;
    const answers = sentences.map((words, row) =>
      this.#answer(words, scores.subarray(row * steps * tags, (row * steps + words.length) * tags)),
    );
    return { answers, inspected, spelt };
  }

  // The different words of some sentences, and what the layer over their characters makes of each.
  #spell(sentences, inspect) {
    const words = new Map(sentences.flat().map((word) => [word, this.#encoder.encode(word)]));
    const { spelling } = this.#network.stacks;
    const rows = [...words.values()];
    if (!spelling) return { words };
    const width = spelling.recurrent.input;
    const vectors = rows.map(({ signs }) => this.#signVectors(signs, width));
    const { x, lengths, steps } = padded(vectors, width);
    const { hidden, inspected } = spelling.run(x, lengths, { steps, inspect });
    rows.forEach((word, row) => (word.spelt = lastOf(hidden, row, rows.length, spelling)));
    return { words, inspected };
  }

  // The sum of the vectors of each character and its letters.
  #signVectors(spelt, width) {
    const found = new Float32Array(spelt.length * width);
    spelt.forEach((signs, step) => {
      const vectors = this.#network.embed(signs, "sign_embedding.weight");
      vectors.forEach((value, i) => (found[step * width + (i % width)] += value));
    });
    return found;
  }

  #vectors(words, { words: known }) {
    const width = this.#network.stacks.recurrent.recurrent.input;
    const found = new Float32Array(words.length * width);
    words.forEach((word, step) => {
      const { number, spelt } = known.get(word);
      const vector = this.#network.embed([number]);
      found.set(vector, step * width);
      if (spelt) found.set(spelt, step * width + vector.length);
    });
    return found;
  }

  #answer(words, scores) {
    finite(scores);
    const path = this.#chain.decode(scores);
    const data = this.#chain.probabilities(scores);
    const tags = this.#classes.length;
    return {
      words,
      tags: path.map((tag) => this.#classes[tag]),
      confidence: path.map((tag, step) => data[step * tags + tag]),
      probabilities: { data, shape: [words.length, tags] },
    };
  }
}

function wordsOf(input) {
  if (typeof input === "string") return splitWords(input);
  if (!Array.isArray(input)) throw new TypeError("a sentence is a text or a list of words");
  for (const word of input)
    if (typeof word !== "string") throw new TypeError(`a word is a text, not ${JSON.stringify(word)}`);
  return input;
}
