// Reads calls from the input and writes their results.
import { readFileSync } from "node:fs";
import { run } from "./calls.mjs";

const { engine, calls, files } = JSON.parse(readFileSync(0, "utf8"));
const contents = Object.fromEntries(files.map((path) => [path, readFileSync(path)]));
process.stdout.write(await run(readFileSync(engine), calls, contents));
