// Transcribers: what is said in a recording.

import { alignTokens, beamTokens, greedyTokens } from "./ctc.js";
import { finite, logSoftmax, padded, partOf } from "./network.js";
import { encodeRecording } from "./recording.js";
import { Tokenizer } from "./tokenizer.js";

const BLANK_TOKEN = 1; // after the unknown token
const HOP_SECONDS = 0.01;

/** The task of transcribers. */
export class Transcriber {
  #network;
  #config;
  #stack;
  #target;

  constructor(network, config) {
    this.#network = network;
    this.#config = config;
    this.#stack = network.stacks["encoder.recurrent"];
    this.#target = new Tokenizer(config.output.tokenizer);
  }

  predict(inputs, options = {}) {
    return this.#run(inputs, false, options).answers;
  }

  inspect(input, options = {}) {
    const { answers, inspected, lengths } = this.#run([input], true, options);
    return { ...answers[0], parts: [partOf("encoder.recurrent", null, null, this.#stack, inspected, 0, lengths[0])] };
  }

  #run(inputs, inspect, options) {
    const rows = inputs.map((input) => encodeRecording(this.#config.input, input));
    const { x, lengths, steps } = padded(rows, this.#stack.recurrent.input);
    const { output, inspected } = this.#stack.run(x, lengths, { steps, inspect });
    const scores = this.#network.linear(output, inputs.length * steps, "head.weight", "head.bias");
    const tokens = this.#target.size;
    const answers = inputs.map((_, row) => {
      const chances = Array.from({ length: lengths[row] }, (_, step) => {
        const at = (row * steps + step) * tokens;
        return logSoftmax(finite(scores.subarray(at, at + tokens)));
      });
      return this.#answer(chances, options);
    });
    return { answers, inspected, lengths };
  }

  #answer(chances, { beam = this.#config.beam, lengthBonus = this.#config.lengthBonus }) {
    if (!(Number.isInteger(beam) && beam >= 1 && beam <= 1000))
      throw new RangeError(`beam is from 1 to 1000, not ${beam}`);
    const ids = beam === 1 ? greedyTokens(chances, BLANK_TOKEN) : beamTokens(chances, BLANK_TOKEN, beam, lengthBonus);
    const { score, spans } = alignTokens(chances, BLANK_TOKEN, ids);
    const seconds = HOP_SECONDS * this.#config.input.frames;
    const said = ids.map((id, i) => {
      const [start, end] = spans[i].map((step) => Math.round(1000 * step * seconds) / 1000);
      return { id, token: this.#target.decode([id]), start, end };
    });
    return {
      text: this.#target.decode(ids),
      confidence: Math.exp(score / Math.max(ids.length, 1)),
      tokens: said.filter(({ id }) => id > BLANK_TOKEN).map(({ token, start, end }) => ({ token, start, end })),
    };
  }
}
