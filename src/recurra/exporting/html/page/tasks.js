// What is special about each task. An entry has
//   read(text, entry, running): the input of recurra-web, null if there is none; throws an Error in words
//   answer(found, running, input): the answer in the form of answers.js
//   options: of the inspection
//   pad(about, config): columns that can be drawn, null if none; rows(input): their numbers
//   lines(about), outputs(stream, found, running, input), shares: names of the numbers after each step, and the numbers for
//     each step (null if there are none); without them the task has none; lead: key of their description
//   parts(parts, running, input): the recurrent layers that are shown, with more arrays as `more`; by default all
//   choices(about): values of a condition
import { contributions, inputsOf } from "./contributions.js";
import { columnsOf, kindOf, parse } from "./inputs.js";
import { historyOf, timeText } from "./history.js";
import { t } from "./words.js";

// Checks that an input is steps of numbers. Throws an Error in words.
function checked(rows, columns) {
  if (!Array.isArray(rows)) throw new Error(t("notSeries"));
  rows.forEach((row, step) => {
    const values = [row].flat();
    if (values.length !== columns || !values.every((value) => value === null || Number.isFinite(value))) throw new Error(t("notSteps", { step, want: columns }));
  });
  return rows;
}

const FARTHEST = 1e18; // as in Python
const sequence = {
  read(text, { chosen }, { about, config: { input: { mean, scale } } }) {
    const input = parse(about, text, null, chosen);
    if (input === null || about.kind === "text") return input;
    checked(input, about.features).forEach((row, step) => {
      if ([row].flat().some((value, i) => value !== null && scale[i] && Math.abs((value - mean[i]) / scale[i]) > FARTHEST)) throw new Error(t("tooFar", { step }));
    });
    return input;
  },
  pad: (about) => about.kind === "text" ? null : { names: about.feature_names ?? numbered(about.features), mean: about.mean, scale: about.scale },
  rows: (input) => input.map((row) => [row].flat()),
  steps: (input, { model }) => typeof input === "string" ? model.tokenizer.encode(input).ids : input,
  parts: (parts, running, input) => parts.map((part) => ({ ...part, more: contributions(running.config.stacks.recurrent, part.states.hidden, inputsOf(input, running), running.tensors) })),
};
const afterEach = (numbers) => (stream, found, running, input) => Array.from(sequence.steps(input, running), (one) => numbers(stream.step(one)));
const numbered = (count) => Array.from({ length: count }, (_, i) => count > 1 ? t("feature", { n: i + 1 }) : t("value"));

const classify = {
  ...sequence,
  answer: ({ probabilities, label, labels }, { about }) => ({ ...(labels ? { labels: labels.map(String) } : { label: String(label) }), probabilities: Object.fromEntries(about.classes.map((name, i) => [name, probabilities[i]])) }),
  lines: (about) => about.classes,
  outputs: afterEach(({ probabilities }) => [...probabilities]),
  shares: true,
};

const regress = {
  ...sequence,
  answer: ({ values }) => ({ value: values.length > 1 ? values : values[0] }),
  lines: (about) => about.targets > 1 ? Array.from({ length: about.targets }, (_, i) => t("target", { n: i + 1 })) : [about.target_name || t("value")],
  outputs: afterEach(({ values }) => values),
};

const text = { read: (given) => given.trim() ? given : null, pad: () => null };

const tag = { ...text, answer: ({ words, tags, confidence }) => ({ words, tags, confidence }) };

const BEGIN = 1, END = 2; // numbers of the first tokens of language models; 0 is the unknown token

// Probability of a token after the ones before it.
function probabilityOf(scores, id, first) {
  let most = -Infinity, sum = 0;
  for (let i = first; i < scores.length; i++) most = Math.max(most, scores[i]);
  for (let i = first; i < scores.length; i++) sum += Math.exp(scores[i] - most);
  return id < first ? 0 : Math.exp(scores[id] - most) / sum;
}

const generate = {
  ...text,
  steps: (input, { model }) => [BEGIN, ...model.tokenizer.encode(input.text ?? input).ids],
  lines: () => [t("likelihood")],
  lead: "likelihoodLead",
  shares: true,
  outputs(stream, found, running, input) {
    if (input.condition) return null; // a stream has no condition
    let scores = null;
    return this.steps(input, running).map((id, step) => {
      const known = step ? probabilityOf(scores, id, running.config.documents ? END : END + 1) : null;
      ({ scores } = stream.step(id));
      return [known];
    });
  },
  // an empty text is an input: the model begins one
  read: (given, { condition }) => condition ? { text: given, condition } : given,
  options: { top: 8 },
  answer({ top }) {
    return Object.fromEntries(top.flatMap(({ token, probability }, i) => [[`next${i ? ` ${i + 1}` : ""}`, token || t("endOfText")], [`probability${i ? ` ${i + 1}` : ""}`, probability]]));
  },
  choices: (about) => about.labels,
};

// A span of times without what is zero in all of them.
const withoutZeros = (span) => span.replace(/T00:00:00\.000Z/g, "").replace(/T(\d\d:\d\d):00\.000Z/g, " $1");

const forecast = {
  read(given, { chosen }, { about, config }) {
    if (!given.trim()) return null;
    if (kindOf(about) === "table") return historyOf(given, about, config, chosen);
    const columns = columnsOf(about);
    return { history: checked(parse(about, given), columns) };
  },
  pad(about, { input: { scales, targets } }) {
    if (kindOf(about) === "table") return null;
    const average = (part) => Array.from({ length: targets }, (_, i) => scales.reduce((sum, [, scale]) => sum + scale[part][i] / scales.length, 0));
    return { names: about.targets, mean: scales.length ? average(0) : Array(targets).fill(0), scale: scales.length ? average(1) : Array(targets).fill(1) };
  },
  rows: ({ history }) => history.map((row) => [row].flat()),
  answer({ values, quantiles, levels, times }, { about, config }, { history, series }) {
    const { targets } = about, encloses = levels.length > 1 && levels[0] <= 0.5 && levels[levels.length - 1] >= 0.5;
    const nameOf = (level, i) => encloses && i === 0 ? "lower" : encloses && i === levels.length - 1 ? "upper" : level === 0.5 ? null : `q${level}`;
    return { forecast: values.map((row, step) => {
      const found = { ...(series ? { [about.id]: series } : {}), ...(times ? { [about.time[0]]: timeText(times[step], config.input.frequency.kind) } : { step: history.length + step }) };
      targets.forEach((name, i) => {
        found[targets.length > 1 ? name : "forecast"] = row[i];
        levels.forEach((level, place) => { const column = nameOf(level, place); if (column) found[targets.length > 1 ? `${name}_${column}` : column] = quantiles[step][i][place]; });
      });
      return found;
    }) };
  },
  // the steps to come are single steps from the end of the history, each a part of its own
  parts: (parts) => parts.filter(({ name }) => name === "recurrent").map((part) => ({ ...part, pieces: part.pieces?.map(withoutZeros) })),
  // the history of the first target, for the plot
  shown: ({ history }) => history.map((row) => [row].flat()[0]),
};

const fill = { ...text, answer: ({ text: filled, blanks }) => ({ text: filled, blanks }) };

const translate = { ...text, answer: ({ translation, score }) => ({ translation, score }) };

export const TASKS = { classify, regress, tag, forecast, generate, fill, translate };
