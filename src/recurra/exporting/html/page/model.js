// The model in the file: starts the engine, and computes what the page shows of an input.
import { payload } from "./payload.js";
import { TASKS } from "./tasks.js";
import { Model, readTensors } from "./web/recurra-web.js";
import { t } from "./words.js";

const MOST_CHARACTERS = 10_000, MOST_STEPS = 5_000, MOST_NUMBERS = 24e6;
const PAUSE = 12; // milliseconds of generating after which the page is drawn

async function unpacked(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

const words = (n) => n.toLocaleString("en");

// Starts the model. data: { about, engine, model }
export async function start({ about, engine, model: content }) {
  const file = await unpacked(content), model = await Model.load({ engine: await unpacked(engine), model: file }), { tensors } = readTensors(file);
  const { config } = model, task = TASKS[about.task], stacks = Object.values(config.stacks);
  const perStep = stacks.reduce((sum, { hidden, layers, bidirectional, gates, states }) => sum + hidden * layers * (bidirectional ? 2 : 1) * (gates.length + states.length), 0);
  const most = Math.max(1, Math.min(MOST_STEPS, Math.floor(MOST_NUMBERS / perStep)));
  const stream = task.lines && !stacks.some(({ bidirectional }) => bidirectional) ? model.stream() : null;

  const limit = (steps) => { if (steps > most) throw new Error(t("tooManySteps", { n: words(steps), most: words(most) })); };
  const running = {
    about, config, model, tensors, last: null, answer: null,
    read: (text, entry) => {
      if (task.pad(about, config) === null && about.task !== "forecast" && text.length > MOST_CHARACTERS) throw new Error(t("tooManyCharacters", { n: words(text.length), most: words(MOST_CHARACTERS) }));
      return task.read(text, entry, running);
    },
    // answer: in the form of answers.js; rows: the numbers after each step; data: of the figures. Throws an Error in words.
    compute(input) {
      const steps = task.steps?.(input, running) ?? input.history;
      if (steps) limit(steps.length);
      const found = running.last = model.inspect(input, task.options), parts = task.parts?.(found.parts, running, input) ?? found.parts;
      running.answer = task.answer(found, running, input);
      stream?.reset();
      return {
        answer: running.answer, attention: found.attention, rows: stream && task.outputs(stream, found, running, input),
        data: parts.some(({ gates }) => Object.values(gates)[0].data.length) ? payload(parts, config, about, input) : null,
      };
    },
    // Generates text for writer.js; the page is drawn from time to time.
    async generate({ prompt, ...options }, signal, write, condition) {
      let tokens = 0, drawn = performance.now();
      for (const piece of model.generate(prompt, condition ? { ...options, condition } : options)) {
        tokens += 1;
        write(piece);
        if (performance.now() - drawn < PAUSE) continue;
        await new Promise((done) => setTimeout(done));
        signal.throwIfAborted();
        drawn = performance.now();
      }
      return tokens;
    },
  };
  return running;
}
