// Times single steps in node for web.py: of recurra-web and of onnxruntime-web, alternately.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const { web, modules, folder, rounds, steps, units } = JSON.parse(readFileSync(0, "utf8"));
const { Model } = await import(pathToFileURL(join(web, "recurra-web.js")));
const ort = createRequire(join(modules, "web.cjs"))("onnxruntime-web");

const x = Float32Array.from({ length: units }, (_, i) => Math.sin(i));
const model = await Model.load({
  engine: readFileSync(join(web, "engine.wasm")),
  model: readFileSync(join(folder, "layer.safetensors")),
});
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(join(folder, "layer.onnx")));
const tensor = (data, dims) => new ort.Tensor("float32", data, dims);

const runs = {
  async ours(count) {
    let state = null;
    let output;
    for (let i = 0; i < count; ++i) ({ output, state } = model.step(x, state));
    return output;
  },
  async peer(count) {
    const input = tensor(x, [1, 1, units]);
    let [h, c] = [0, 1].map(() => tensor(new Float32Array(units), [1, 1, units]));
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
console.log(JSON.stringify({ times, difference, version: ort.env.versions.web }));
