// The model in the file: starts the engine, and computes what the page shows of an input.
import { Model } from "./web/recurra-web.js";
import { payload } from "./payload.js";
import { TASKS } from "./tasks.js";
import { t } from "./words.js";

const MOST_CHARACTERS = 10_000, MOST_STEPS = 5_000, MOST_NUMBERS = 24e6, FARTHEST = 1e18; // the last one as in Python

async function unpacked(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

// Checks that an input is steps of numbers that the model can read. Throws an Error in words.
function check(rows, { features, mean, scale }) {
  if (!Array.isArray(rows)) throw new Error(t("notSeries"));
  rows.forEach((row, step) => {
    const values = Array.isArray(row) ? row : [row];
    if (values.length !== features || !values.every((value) => value === null || Number.isFinite(value))) throw new Error(t("notSteps", { step, want: features }));
    if (values.some((value, i) => value !== null && scale[i] && Math.abs((value - mean[i]) / scale[i]) > FARTHEST)) throw new Error(t("tooFar", { step }));
  });
}

const words = (n) => n.toLocaleString("en");

// Starts the model. data: { about, engine, model }
export async function start({ about, engine, model: content }) {
  const model = await Model.load({ engine: await unpacked(engine), model: await unpacked(content) });
  const { config } = model, task = TASKS[about.task], stacks = Object.values(config.stacks), isText = config.input.kind === "text";
  const perStep = stacks.reduce((sum, { hidden, layers, bidirectional, gates, states }) => sum + hidden * layers * (bidirectional ? 2 : 1) * (gates.length + states.length), 0);
  const most = Math.max(1, Math.min(MOST_STEPS, Math.floor(MOST_NUMBERS / perStep))), streams = !stacks.some(({ bidirectional }) => bidirectional);

  const stream = streams ? model.stream() : null;
  // the steps of an input, as `step` takes them
  const stepsOf = (input) => isText ? model.tokenizer.encode(input).ids : input;

  // the numbers after each step; null if the model has none
  const outputs = (steps) => {
    if (stream === null) return null;
    stream.reset();
    return Array.from(steps, (one) => task.numbers(stream.step(one)));
  };

  return {
    about, model, last: null,
    // answer: in the form of answers.js; data: of the figures. Throws an Error in words.
    compute(input) {
      if (isText && input.length > MOST_CHARACTERS) throw new Error(t("tooManyCharacters", { n: words(input.length), most: words(MOST_CHARACTERS) }));
      if (!isText) check(input, config.input);
      const steps = stepsOf(input);
      if (steps.length > most) throw new Error(t("tooManySteps", { n: words(steps.length), most: words(most) }));
      const found = this.last = model.inspect(input);
      return { answer: task.answer(found, about), rows: outputs(steps), data: steps.length ? payload(found, config, about, input) : null };
    },
  };
}
