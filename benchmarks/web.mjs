// Times single steps in a browser for web.py: of recurra-web and of onnxruntime-web, alternately.
import { Model } from "/recurra/recurra-web.js";
import * as ort from "/onnxruntime/ort.wasm.min.mjs";

const read = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());

/** Returns the microseconds of a step in each round, by program, and the greatest difference of the outputs. */
export async function measure({ rounds, steps, units }) {
  const x = Float32Array.from({ length: units }, (_, i) => Math.sin(i));
  const model = await Model.load({ engine: fetch("/recurra/engine.wasm"), model: await read("/layer.safetensors") });
  const stream = model.stream();
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/onnxruntime/";
  const session = await ort.InferenceSession.create(await read("/layer.onnx"), { executionProviders: ["wasm"] });
  const tensor = (data) => new ort.Tensor("float32", data, [1, 1, units]);

  const runs = {
    async ours(count) {
      stream.reset();
      let output;
      for (let i = 0; i < count; ++i) ({ output } = stream.step(x));
      return output.slice();
    },
    async peer(count) {
      const input = tensor(x);
      let [h, c] = [tensor(new Float32Array(units)), tensor(new Float32Array(units))];
      for (let i = 0; i < count; ++i)
        ({ Y_h: h, Y_c: c } = await session.run({ X: input, initial_Y_h: h, initial_Y_c: c }));
      return h.data;
    },
  };
  const [ours, peer] = [await runs.ours(20), await runs.peer(20)];
  const difference = Math.max(...ours.map((value, i) => Math.abs(value - peer[i])));
  const times = { ours: [], peer: [] };
  for (let round = 0; round < rounds; ++round)
    for (const [name, run] of Object.entries(runs)) {
      const start = performance.now();
      await run(steps);
      times[name].push((1000 * (performance.now() - start)) / steps);
    }
  return { times, difference, version: ort.env.versions.web };
}
