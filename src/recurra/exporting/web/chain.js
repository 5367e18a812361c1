// Chains of tags: the best path by Viterbi's algorithm, and the probability of each tag at each step.

import { indexOfLargest, logSoftmax, logSumExp } from "./network.js";

/** Transitions between tags: `(tags, tags)` from row to column, and those of the first and the last tag. */
export class Chain {
  #pairs;
  #start;
  #end;

  constructor(pairs, start, end) {
    this.#pairs = pairs;
    this.#start = start;
    this.#end = end;
  }

  /** The best tags for scores `(steps, tags)`. */
  decode(scores) {
    const tags = this.#start.length;
    const steps = scores.length / tags;
    if (!steps) return [];
    let forward = Float64Array.from(this.#start, (value, tag) => value + scores[tag]);
    const from = [];
    for (let step = 1; step < steps; ++step) {
      const before = new Int32Array(tags);
      forward = Float64Array.from({ length: tags }, (_, tag) => {
        let best = -Infinity;
        for (let old = 0; old < tags; ++old) {
          const sum = forward[old] + this.#pairs[old * tags + tag];
          if (sum > best) [best, before[tag]] = [sum, old];
        }
        return best + scores[step * tags + tag];
      });
      from.push(before);
    }
    let tag = indexOfLargest(forward.map((value, i) => value + this.#end[i]));
    const path = [tag];
    for (const before of from.reverse()) path.push((tag = before[tag]));
    return path.reverse();
  }

  /** The probability of each tag at each step over all paths, `(steps, tags)`. */
  probabilities(scores) {
    const tags = this.#start.length;
    const steps = scores.length / tags;
    if (!steps) return new Float32Array(0);
    const row = (step) => scores.subarray(step * tags, (step + 1) * tags);
    const forward = [Float64Array.from(row(0), (score, tag) => this.#start[tag] + score)];
    for (let step = 1; step < steps; ++step) {
      const old = forward[step - 1];
      const move = (tag) => logSumExp(old.map((value, i) => value + this.#pairs[i * tags + tag]));
      forward.push(Float64Array.from(row(step), (score, tag) => move(tag) + score));
    }
    let backward = Float64Array.from(this.#end);
    const found = new Float32Array(steps * tags);
    for (let step = steps - 1; step >= 0; --step) {
      const sums = forward[step].map((value, tag) => value + backward[tag]);
      found.set(logSoftmax(sums).map(Math.exp), step * tags);
      const after = backward.map((value, tag) => value + scores[step * tags + tag]);
      backward = after.map((_, tag) => logSumExp(after.map((value, i) => value + this.#pairs[tag * tags + i])));
    }
    return found;
  }
}

/** The tags of steps that do not depend on each other. */
export class Independent {
  #tags;

  constructor(tags) {
    this.#tags = tags;
  }

  #rows(scores) {
    const count = scores.length / this.#tags;
    return Array.from({ length: count }, (_, i) => scores.subarray(i * this.#tags, (i + 1) * this.#tags));
  }

  decode(scores) {
    return this.#rows(scores).map(indexOfLargest);
  }

  probabilities(scores) {
    return Float32Array.from(this.#rows(scores).flatMap((row) => Array.from(logSoftmax(row), Math.exp)));
  }
}
