// Blank fillers: the best words for the blanks of a text, by a beam search. See recurra/tasks/fill/search.py.

import { FIRST, LATER, parseBlanks, withWords } from "./blanks.js";
import { finite, inBatches, logSoftmax, logSumExp, padded, partOf, placesOfLargest, textOf } from "./network.js";
import { Tokenizer } from "./tokenizer.js";

const BEAM = 8;

/** The task of blank fillers. */
export class Filler {
  #network;
  #spans; // number of tokens of a word, and the logarithm of its share
  #masks; // by whether marks are allowed and the kind of the token

  constructor(network, config) {
    this.#network = network;
    this.tokenizer = new Tokenizer(config.input.tokenizer);
    this.#spans = config.spans.map((share, i) => [i + 1, Math.log(share)]).filter(([, share]) => share > -Infinity);
    const masks = (name) => {
      const { data, shape } = network.tensor(name);
      return [FIRST, LATER].map((kind) => data.subarray(kind * shape[1], (kind + 1) * shape[1]));
    };
    this.#masks = new Map([
      [false, masks("allowed.words")],
      [true, masks("allowed.marks")],
    ]);
  }

  predict(inputs, options = {}) {
    return inputs.map((input) => this.#fill(this.#parse(input), options).answer);
  }

  inspect(input, options = {}) {
    const text = this.#parse(input);
    const { answer, best } = this.#fill(text, options);
    const tokens = layOut(text, best).puzzle.tokens;
    const pieces = text.parts.flatMap((part, i) => [
      ...part.pieces,
      ...Array.from(best[i] ?? [], (id) => this.tokenizer.shown(id)),
    ]);
    const { forwards, backwards } = this.#network.stacks;
    const parts = [];
    for (const [name, stack, reversed] of [
      ["forwards", forwards, false],
      ["backwards", backwards, true],
    ]) {
      if (!stack) continue;
      const { inspected } = this.#read(stack, [tokens], reversed, true);
      const read = reversed ? [...pieces].reverse() : pieces;
      parts.push(partOf(name, null, read, stack, inspected, 0, tokens.length));
    }
    return { ...answer, parts };
  }

  #parse(input) {
    return parseBlanks(textOf(input), this.tokenizer);
  }

  // ---- all blanks of a text

  #fill(text, { top = 5, marks = false }) {
    if (!(Number.isInteger(top) && top >= 1)) throw new RangeError(`top must be at least 1, got ${top}`);
    const masks = this.#masks.get(Boolean(marks));
    if (!masks.some((mask) => mask.some((allowed) => allowed)))
      throw new RangeError("the model knows nothing but punctuation marks; allow them with marks: true");
    const { fills, score } = this.#together(text, masks);
    const answers = this.#answers(text, fills, masks, top);
    const blanks = answers.map((some) => some.map(({ word, score }) => ({ word, probability: Math.exp(score) })));
    const single = fills.length === 1;
    const best = single ? [answers[0][0].tokens] : fills;
    const words = best.map((tokens) => this.tokenizer.decode(tokens));
    const probability = single ? blanks[0][0].probability : Math.exp(score);
    return { answer: { text: withWords(text, words), probability, blanks }, best };
  }

  // The best tokens for the blanks of a text that has several, and their log-probability.
  #together(text, masks) {
    let fills = text.glued.map(() => 1);
    if (fills.length === 1) return { fills, score: 0 };
    let score = 0;
    if (this.#spans.length > 1) {
      const answers = this.#answers(text, fills, masks, 1);
      const sizes = this.#sizes(text, fills, masks);
      fills = answers.map(([best]) => best.tokens.length);
      score = fills.reduce((sum, size, blank) => sum + sizes[blank].get(size), 0);
    }
    const { puzzle, places } = layOut(text, fills);
    const [[best]] = this.#solve([puzzle], masks, BEAM);
    return { fills: places.map(([from, to]) => best.tokens.slice(from, to)), score: score + best.score };
  }

  // At most `top` words for each blank, the others filled as given. Words of all sizes are compared.
  #answers(text, fills, masks, top) {
    const laid = fills.map((_, blank) => this.#spans.map(([size]) => layOut(text, replaced(fills, blank, size))));
    const solved = this.#solve(
      laid.flat().map(({ puzzle }) => puzzle),
      masks,
      Math.max(top, BEAM),
    );
    const sizes = this.#sizes(text, fills, masks);
    return laid.map((some, blank) => {
      const words = new Map();
      some.forEach(({ places }, at) => {
        const share = sizes[blank].get(this.#spans[at][0]);
        for (const answer of solved[blank * some.length + at]) {
          const tokens = answer.tokens.slice(...places[blank]);
          const word = this.tokenizer.decode(tokens);
          const score = answer.score + share;
          // the same word in other pieces
          words.set(word, { tokens, word, score: words.has(word) ? logSumExp([score, words.get(word).score]) : score });
        }
      });
      return [...words.values()].sort((a, b) => b.score - a.score).slice(0, top);
    });
  }

  // For each blank the log-probability of each number of tokens.
  #sizes(text, fills, masks) {
    if (this.#spans.length === 1) return fills.map(() => new Map([[this.#spans[0][0], 0]]));
    const puzzles = fills.flatMap((_, blank) =>
      this.#spans.map(([size]) => layOut(text, replaced(fills, blank, size)).puzzle),
    );
    const either = masks[FIRST].map((allowed, id) => allowed || masks[LATER][id]);
    const evidence = this.#scores(puzzles).map((steps, row) =>
      steps.reduce((sum, scores, at) => {
        const chances = logSoftmax(allowedOnly(scores, either));
        return sum + logSumExp(allowedOnly(chances, masks[puzzles[row].kinds[at]]));
      }, 0),
    );
    return fills.map((_, blank) => {
      const scores = logSoftmax(this.#spans.map(([, share], i) => share + evidence[blank * this.#spans.length + i]));
      return new Map(this.#spans.map(([size], i) => [size, scores[i]]));
    });
  }

  // Fills the open steps of each puzzle, the surest first. Returns at most `beam` answers of each, the best first.
  #solve(puzzles, masks, beam) {
    const alive = puzzles.map((puzzle) => [puzzle]);
    for (;;) {
      const states = alive.flatMap((answers, number) =>
        answers.filter(({ open }) => open.length).map((state) => ({ number, state })),
      );
      if (!states.length) return alive;
      const scores = this.#scores(states.map(({ state }) => state));
      const following = new Map();
      const surest = new Map();
      states.forEach(({ number, state }, row) => {
        const best = scores[row].map((one, at) => {
          const chances = logSoftmax(allowedOnly(one, masks[state.kinds[at]]));
          return placesOfLargest(chances, beam).map((id) => ({ id, chance: chances[id] }));
        });
        // answers beside each other go on with the same step, or they could not be compared
        if (!surest.has(number)) {
          const first = best.map(([{ chance }]) => chance);
          surest.set(number, state.open[first.indexOf(Math.max(...first))]);
          following.set(number, []);
        }
        const at = state.open.indexOf(surest.get(number));
        for (const { id, chance } of best[at])
          if (chance > -Infinity) following.get(number).push(filled(state, at, id, chance));
      });
      for (const [number, answers] of following)
        alive[number] = answers.sort((a, b) => b.score - a.score).slice(0, beam);
    }
  }

  // ---- the network

  // For each puzzle the scores of all tokens at its open steps.
  #scores(puzzles) {
    return inBatches(puzzles, (some) => {
      const { forwards, backwards } = this.#network.stacks;
      const texts = some.map(({ tokens }) => tokens);
      const sides = [
        ...(forwards ? [{ ...this.#read(forwards, texts, false), before: (step) => step - 1 }] : []),
        ...(backwards ? [{ ...this.#read(backwards, texts, true), before: (step, n) => n - 2 - step }] : []),
      ];
      const states = some.flatMap(({ tokens, open }, row) =>
        open.flatMap((step) => sides.flatMap((side) => stateAt(side, row, side.before(step, tokens.length)))),
      );
      const count = some.reduce((sum, { open }) => sum + open.length, 0);
      const context = this.#network.linear(Float32Array.from(states), count, "combine.weight", "combine.bias");
      const scores = finite(this.#network.linear(context, count, "embedding.weight", "bias"));
      const tokens = this.tokenizer.size;
      let row = 0;
      return some.map(({ open }) =>
        open.map(() => {
          const one = scores.slice(row * tokens, ++row * tokens);
          one[0] = -Infinity; // the unknown token is never predicted
          return one;
        }),
      );
    });
  }

  #read(stack, texts, reversed, inspect = false) {
    const rows = texts.map((tokens) => this.#network.embed(reversed ? [...tokens].reverse() : tokens));
    const { x, lengths, steps } = padded(rows, stack.recurrent.input);
    const { output, inspected } = stack.run(x, lengths, { steps, inspect });
    return { output, inspected, steps, size: stack.size };
  }
}

// Joins the parts of a text and what its blanks hold: tokens, or the number of tokens to find.
function layOut(text, fills) {
  const tokens = [...text.parts[0].ids];
  const [open, kinds, places] = [[], [], []];
  fills.forEach((fill, blank) => {
    const start = tokens.length;
    if (typeof fill === "number")
      for (let i = 0; i < fill; ++i) {
        open.push(tokens.length);
        kinds.push(i || text.glued[blank] ? LATER : FIRST);
        tokens.push(0);
      }
    else tokens.push(...fill);
    places.push([start, tokens.length]);
    tokens.push(...text.parts[blank + 1].ids);
  });
  return { puzzle: { tokens, open, kinds, score: 0 }, places };
}

function filled({ tokens, open, kinds, score }, at, id, chance) {
  const without = (values) => values.filter((_, i) => i !== at);
  return { tokens: replaced(tokens, open[at], id), open: without(open), kinds: without(kinds), score: score + chance };
}

// The state before a step, zeros before the first one.
function stateAt({ output, steps, size }, row, before) {
  if (before < 0) return Array(size).fill(0);
  const at = (row * steps + before) * size;
  return Array.from(output.subarray(at, at + size));
}

function allowedOnly(scores, mask) {
  return Float64Array.from(scores, (score, id) => (mask[id] ? score : -Infinity));
}

function replaced(values, at, value) {
  return values.map((old, i) => (i === at ? value : old));
}
