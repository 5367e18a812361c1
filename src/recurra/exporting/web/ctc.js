// Connectionist temporal classification: from log-probabilities `(steps, tokens)` to tokens. See
// recurra/tasks/transcribe/decode.py.

import { indexOfLargest, largest, logSumExp } from "./network.js";

const PRUNE = -12; // a token this improbable at a step (in nats below the best one) is not tried

/** The tokens that the most probable path spells. */
export function greedyTokens(rows, blank) {
  const path = rows.map(indexOfLargest);
  return path.filter((token, i) => token !== blank && token !== path[i - 1]);
}

/** The most probable tokens, summed over all paths that spell them, as far as a beam finds them. */
export function beamTokens(rows, blank, beam, lengthBonus) {
  // a prefix: log-probability of its paths that end in a blank, and of those that end in its last token
  let beams = [{ prefix: [], inBlank: 0, inToken: -Infinity }];
  for (const row of rows) {
    const least = largest(row) + PRUNE;
    const tried = Array.from(row.keys()).filter((token) => token !== blank && row[token] >= least);
    const grown = new Map();
    const at = (prefix) => {
      const key = prefix.join();
      if (!grown.has(key)) grown.set(key, { prefix, inBlank: -Infinity, inToken: -Infinity });
      return grown.get(key);
    };
    for (const { prefix, inBlank, inToken } of beams) {
      const total = logSumExp([inBlank, inToken]);
      const last = prefix.at(-1);
      const same = at(prefix);
      same.inBlank = logSumExp([same.inBlank, total + row[blank]]);
      if (last !== undefined) same.inToken = logSumExp([same.inToken, inToken + row[last]]);
      for (const token of tried) {
        const longer = at([...prefix, token]);
        // the same token again is a new one only after a blank
        longer.inToken = logSumExp([longer.inToken, (token === last ? inBlank : total) + row[token]]);
      }
    }
    const score = ({ prefix, inBlank, inToken }) => logSumExp([inBlank, inToken]) + lengthBonus * prefix.length;
    const ranked = Array.from(grown.values(), (one) => ({ one, score: score(one) }));
    beams = ranked
      .sort((a, b) => b.score - a.score)
      .slice(0, beam)
      .map(({ one }) => one);
  }
  return beams[0].prefix;
}

/** The log-probability of tokens over all paths, and for each token its first step and the one after its last. */
export function alignTokens(rows, blank, tokens) {
  if (!rows.length) return { score: 0, spans: [] };
  const states = [blank, ...tokens.flatMap((token) => [token, blank])];
  const skips = states.map((token, i) => i > 2 && i % 2 === 1 && token !== states[i - 2]);
  const begin = states.map((token, i) => (i < 2 ? rows[0][token] : -Infinity));
  let [sums, best] = [begin, begin];
  const moves = [];
  for (const row of rows.slice(1)) {
    const ways = (scores, i) => [scores[i], scores[i - 1] ?? -Infinity, skips[i] ? scores[i - 2] : -Infinity];
    const chosen = states.map((_, i) => indexOfLargest(ways(best, i)));
    const last = [sums, best];
    sums = states.map((token, i) => logSumExp(ways(last[0], i)) + row[token]);
    best = states.map((token, i) => last[1][i - chosen[i]] + row[token]);
    moves.push(chosen);
  }
  const score = logSumExp(sums.slice(-2));
  let state = states.length - 1;
  if (tokens.length && best[state - 1] > best[state]) --state;
  const path = [state];
  for (const chosen of moves.reverse()) path.push((state -= chosen[state]));
  path.reverse();
  const spans = tokens.map((_, i) => [path.indexOf(2 * i + 1), path.lastIndexOf(2 * i + 1) + 1]);
  return { score, spans };
}
