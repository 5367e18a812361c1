// Runs calls of recurra-web that are given as JSON, in node or in a browser: see ../javascript.py.
import { logMel } from "../../../src/recurra/exporting/web/logmel.js";
import { Engine, Model, Stack, Tokenizer, readTensors } from "../../../src/recurra/exporting/web/recurra-web.js";

const CALLS = {
  predict: (model, { inputs, options }) => model.predict(inputs, options),
  inspect: (model, { inputs, options }) => inputs.map((input) => model.inspect(input, options)),
  // the steps of each sequence, one after the other
  steps: (model, { inputs }) =>
    inputs.map((input) => {
      const found = [];
      for (const one of model.tokenizer ? model.tokenizer.encode(input).ids : input)
        found.push(model.step(one, found.at(-1)?.state ?? null));
      return found;
    }),
  step: (model, { input }) => model.step(input),
  generate: (model, { prompt = "", options }) => Array.from(model.generate(prompt, options)),
  // the same in one stream, which goes on from its own state in the middle
  streams: (model, { inputs }) => {
    const stream = model.stream();
    const found = inputs.map((input) => {
      const steps = model.tokenizer ? Array.from(model.tokenizer.encode(input).ids) : input;
      stream.reset();
      return steps.map((one, at) => {
        if (at === steps.length >> 1) stream.state = stream.state;
        const answer = stream.step(one);
        return { ...answer, output: answer.output.slice() };
      });
    });
    stream.close();
    return found;
  },
};

const FREE = {
  tokenize: (_, { config, inputs }) => {
    const tokenizer = new Tokenizer(config);
    return inputs.map((text) => Array.from(tokenizer.encode(text).ids));
  },
  spectra: (_, { samples, rate, bands }) => logMel(Float32Array.from(samples), rate, bands),
  // a batch with states
  stack: (engine, { recurrent, tensors, x, lengths, steps, states }) => {
    const numbers = (values) => Float32Array.from(values);
    const stack = new Stack(engine, recurrent, tensors.map(numbers));
    const given = Object.fromEntries(Object.entries(states).map(([name, values]) => [name, numbers(values)]));
    return stack.run(numbers(x), Int32Array.from(lengths), { steps, ...given, inspect: true });
  },
  // the same sequences in several calls, each with the states that the one before returned
  chunks: (engine, { recurrent, tensors, x, steps, chunks }) => {
    const stack = new Stack(
      engine,
      recurrent,
      tensors.map((values) => Float32Array.from(values)),
    );
    const size = steps / chunks;
    const found = [];
    for (let i = 0; i < chunks; ++i) {
      const part = x.flatMap((row) => row.slice(i * size, (i + 1) * size).flat());
      const { hidden, cell } = found.at(-1) ?? {};
      const lengths = new Int32Array(x.length).fill(size);
      found.push(stack.run(Float32Array.from(part), lengths, { steps: size, hidden, cell }));
    }
    return found;
  },
  // bytes of the engine's memory after each of some rounds of calls, without and with the models closed in between
  memory: (engine, { file, inputs, rounds, closes }, files) => {
    const model = new Model(engine, files[file]);
    return Array.from({ length: rounds }, () => {
      model.predict(inputs);
      model.inspect(inputs[0]);
      model.step(inputs[0][0]);
      const stream = model.stream();
      stream.step(inputs[0][0]);
      stream.close();
      if (closes) model.close();
      return engine.functions.memory.buffer.byteLength;
    });
  },
  read: (_, { bytes }) => Object.keys(readTensors(Uint8Array.from(bytes)).tensors),
};

/**
 * Runs the calls.
 * @param {BufferSource} wasm content of engine.wasm
 * @param {string} text the calls as JSON
 * @param {Record<string, Uint8Array>} files contents of the model files by their path
 * @returns {Promise<string>} the results as JSON
 */
export async function run(wasm, text, files) {
  const engine = await Engine.load(wasm);
  const models = {};
  const results = JSON.parse(text).map(({ model, call, ...options }) => {
    try {
      if (!model) return FREE[call](engine, options, files);
      models[model] ??= new Model(engine, files[model]);
      return CALLS[call](models[model], options);
    } catch (error) {
      return { error: String(error) };
    }
  });
  return JSON.stringify(results, (_, value) => (value instanceof Float32Array ? Array.from(value) : value));
}
