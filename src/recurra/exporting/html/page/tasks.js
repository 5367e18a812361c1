// What is special about each task: its answers in the form of answers.js, and the lines of its output after each step.
import { t } from "./words.js";

const classify = {
  answer: ({ probabilities, label }, about) => ({ label: String(label), probabilities: Object.fromEntries(about.classes.map((name, i) => [name, probabilities[i]])) }),
  lines: (about) => about.classes,
  numbers: ({ probabilities }) => [...probabilities],
  shares: true,
};

const regress = {
  answer: ({ values }) => ({ value: values.length > 1 ? values : values[0] }),
  lines: (about) => about.targets > 1 ? Array.from({ length: about.targets }, (_, i) => t("target", { n: i + 1 })) : [about.target_name || t("value")],
  numbers: ({ values }) => values,
  shares: false,
};

export const TASKS = { classify, regress };
