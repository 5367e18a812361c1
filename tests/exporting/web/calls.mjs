// Reads calls of recurra-web as JSON from the input and writes their results: see ../node.py.
import { readFileSync } from "node:fs";
import { Engine, Model, Stack, Tokenizer, readTensors } from "../../../src/recurra/exporting/web/recurra-web.js";

const FILE = new URL("../../../src/recurra/exporting/web/engine.wasm", import.meta.url);
const engine = await Engine.load(readFileSync(FILE));

const CALLS = {
  predict: (model, { inputs }) => model.predict(inputs),
  inspect: (model, { inputs }) => inputs.map((input) => model.inspect(input)),
  // the steps of each sequence, one after the other
  steps: (model, { inputs }) =>
    inputs.map((input) => {
      const found = [];
      for (const one of model.tokenizer ? model.tokenizer.encode(input).ids : input)
        found.push(model.step(one, found.at(-1)?.state ?? null));
      return found;
    }),
};

const FREE = {
  tokenize: ({ config, inputs }) => {
    const tokenizer = new Tokenizer(config);
    return inputs.map((text) => Array.from(tokenizer.encode(text).ids));
  },
  // a batch with states
  stack: ({ recurrent, tensors, x, lengths, steps, states }) => {
    const numbers = (values) => Float32Array.from(values);
    const stack = new Stack(engine, recurrent, tensors.map(numbers));
    const given = Object.fromEntries(Object.entries(states).map(([name, values]) => [name, numbers(values)]));
    return stack.run(numbers(x), Int32Array.from(lengths), { steps, ...given, inspect: true });
  },
  // the same sequences in several calls, each with the states that the one before returned
  chunks: ({ recurrent, tensors, x, steps, chunks }) => {
    const stack = new Stack(engine, recurrent, tensors.map((values) => Float32Array.from(values)));
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
  memory: ({ file, inputs, rounds, closes }) => {
    const model = new Model(engine, readFileSync(file));
    return Array.from({ length: rounds }, () => {
      model.predict(inputs);
      model.inspect(inputs[0]);
      model.step(inputs[0][0]);
      if (closes) model.close();
      return engine.functions.memory.buffer.byteLength;
    });
  },
  read: ({ bytes }) => Object.keys(readTensors(Uint8Array.from(bytes)).tensors),
};

const models = new Map();
function run({ model, call, ...options }) {
  if (!model) return FREE[call](options);
  if (!models.has(model)) models.set(model, new Model(engine, readFileSync(model)));
  return CALLS[call](models.get(model), options);
}

const results = JSON.parse(readFileSync(0, "utf8")).map((call) => {
  try {
    return run(call);
  } catch (error) {
    return { error: String(error) };
  }
});
const plain = (_, value) => (value instanceof Float32Array ? Array.from(value) : value);
process.stdout.write(JSON.stringify(results, plain));
