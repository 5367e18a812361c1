// Recurra's models in a browser or another JavaScript program: answers, single steps, and every gate and state.

import { Engine, Stack } from "./engine.js";
import { Filler } from "./filler.js";
import { Forecaster } from "./forecaster.js";
import { LanguageModel } from "./language.js";
import { Network, inBatches } from "./network.js";
import { Sequences } from "./sequence.js";
import { Tagger } from "./tagger.js";
import { Transcriber } from "./transcriber.js";
import { Translator } from "./translator.js";
import { Tokenizer } from "./tokenizer.js";

export { Engine, Stack, Tokenizer };

const VERSION = 1; // of the settings in a model file
const TASKS = {
  classify: Sequences,
  regress: Sequences,
  layer: Sequences,
  tag: Tagger,
  forecast: Forecaster,
  generate: LanguageModel,
  fill: Filler,
  translate: Translator,
  transcribe: Transcriber,
};
const NAMES = { step: "single steps", stream: "single steps", generate: "texts to write" };

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
  #network;
  #task;

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
    this.#network = new Network(engine, this.config.stacks, tensors);
    this.#task = new TASKS[this.config.task](this.#network, this.config);
  }

  /** The tokenizer of a model of texts, null for others. */
  get tokenizer() {
    return this.#task.tokenizer ?? null;
  }

  /**
   * Answers for some inputs, in order.
   * @param {import("./recurra-web.js").Input[]} inputs
   * @param {import("./recurra-web.js").Options} [options]
   * @returns {import("./recurra-web.js").Answer[]}
   */
  predict(inputs, options = {}) {
    if (!Array.isArray(inputs)) throw new TypeError("predict reads a list of inputs, such as [input]");
    return inBatches(inputs, (some) => this.#task.predict(some, options));
  }

  /**
   * The answer for one input, with every gate and state.
   * @param {import("./recurra-web.js").Input} input
   * @param {import("./recurra-web.js").Options} [options]
   * @returns {import("./recurra-web.js").Inspection}
   */
  inspect(input, options = {}) {
    const found = this.#task.inspect(input, options);
    const { pieces, gates, states } = found.parts[0];
    return { attention: null, ...found, pieces, gates, states };
  }

  /**
   * One step of a sequence.
   * @param {number | ArrayLike<number>} input the number of a token, or the numbers of a step
   * @param {import("./recurra-web.js").State | null} [state] what the step before returned; null to begin
   * @returns {import("./recurra-web.js").Step}
   */
  step(input, state = null) {
    return this.#able("step").step(input, state);
  }

  /**
   * Opens a stream: single steps of one sequence, faster than `step`. Its state stays in the memory of the engine.
   * @returns {import("./recurra-web.js").Stream}
   */
  stream() {
    return this.#able("stream").stream();
  }

  /**
   * Continues a text, piece by piece. The same seed gives the same text as in Python.
   * @param {string} [prompt] how the text begins
   * @param {import("./recurra-web.js").Sampling} [options]
   * @returns {Generator<string, void>}
   */
  generate(prompt = "", options = {}) {
    return this.#able("generate").generate(prompt, options);
  }

  /** Releases the memory of the engine. */
  close() {
    this.#network.close();
  }

  #able(method) {
    if (!this.#task[method]) throw new TypeError(`a model of the task ${this.config.task} has no ${NAMES[method]}`);
    return this.#task;
  }
}
