// Facts about a model.
import { known, number, t } from "./words.js";

// The most readable metric on held-out data.
function metric(metrics) {
  const names = ["accuracy", "f1", "macro_f1", "r2", "mase", "mae", "mse", "bleu", "chrf", "error_rate", "word_error_rate", "perplexity", "loss"];
  const valid = metrics.valid ?? {}, name = names.find((one) => typeof valid[one] === "number");
  if (!name) return null;
  return t("measured", { name: known(`metric ${name}`) ? t(`metric ${name}`) : name, value: number(valid[name], 3) });
}

// Facts about a model in a few words.
export function facts(about) {
  const list = [];
  if (about.classes) list.push(about.classes.length <= 5 ? about.classes.join(", ") : t("classesOf", { n: about.classes.length }));
  if (typeof about.features === "number") list.push(about.features === 1 ? t("featureOf") : t("featuresOf", { n: about.features }));
  if (about.horizon) list.push(t("horizonOf", { n: about.horizon }));
  if (about.sample_rate) list.push(t("rateOf", { n: about.sample_rate }));
  const found = metric(about.metrics);
  if (found) list.push(found);
  return list;
}
