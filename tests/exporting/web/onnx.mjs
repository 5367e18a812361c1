// Runs an ONNX file in onnxruntime-web: reads a job from the input and writes the outputs of each call.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { folder, web, model, texts, chunks } = JSON.parse(readFileSync(0, "utf8"));
const ort = createRequire(pathToFileURL(`${folder}/`))("onnxruntime-web");
const { readMetadata, readTokenizer } = await import(pathToFileURL(`${web}/onnx.js`));
ort.env.wasm.numThreads = 1;

const bytes = readFileSync(model);
const session = await ort.InferenceSession.create(bytes);
const metadata = readMetadata(bytes);
const tokenizer = readTokenizer(metadata.tokenizer);
const integers = (numbers, shape) => new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), shape);

async function labelsOf(batch) {
  const rows = batch.map((text) => tokenizer.encode(text).ids);
  const time = Math.max(1, ...rows.map((row) => row.length));
  const tokens = rows.flatMap((row) => [...row, ...new Array(time - row.length).fill(0)]);
  const lengths = rows.map((row) => row.length);
  const feed = { tokens: integers(tokens, [rows.length, time]), lengths: integers(lengths, [rows.length]) };
  const { labels } = await session.run(feed);
  return [...labels.data].map((number) => JSON.parse(metadata.labels)[Number(number)]);
}

async function stream(parts) {
  let states = {};
  for (const { name, shape } of session.inputMetadata)
    if (name.startsWith("state.")) states[name] = new ort.Tensor("float32", new Float32Array(shape[1]), [1, shape[1]]);
  const scores = [];
  for (const part of parts) {
    const feed = { tokens: integers(part, [1, part.length]), lengths: integers([part.length], [1]) };
    const found = await session.run({ ...feed, ...states });
    scores.push(...found.scores.data);
    states = Object.fromEntries(Object.keys(states).map((name) => [name, found[`${name}.next`]]));
  }
  return scores;
}

const answers = [];
for (let at = 0; at < (texts?.length ?? 0); at += 100) answers.push(...(await labelsOf(texts.slice(at, at + 100))));
const scores = chunks ? await Promise.all([stream(chunks), stream([chunks.flat()])]) : [];
process.stdout.write(JSON.stringify({ answers, scores, metadata }));
