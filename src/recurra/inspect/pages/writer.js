// The form below the answer of a language model: it continues the text.
import { explain, t } from "./words.js";

// Text that a language model writes piece by piece. prompt(): the text to continue. generate(options, signal, write): calls
// write(piece) for each piece of the text, and returns the number of tokens.
export function writer(prompt, generate) {
  const { el } = R, output = el("p.written", { hidden: true }), says = el("p.hint", { role: "status" });
  const field = (id, label, attributes) => [el("label", { for: id }, label), el("input", { id, type: "number", ...attributes })];
  const [temperature, length, seed] = [field("temperature", t("temperature"), { min: 0, max: 5, step: 0.1, value: 0.8 }), field("length", t("length"), { min: 1, max: 5000, value: 300 }), field("seed", t("seed"), { min: 0, placeholder: t("random") })];
  let controller = null;
  const stop = () => controller?.abort();
  const button = el("button.primary", { type: "button", id: "write", onclick: () => controller ? stop() : start() }, t("write"));
  const start = async () => {
    controller = new AbortController();
    button.textContent = t("stop");
    output.hidden = false;
    const written = document.createTextNode("");
    output.replaceChildren(el("span.prompt", {}, prompt()), written);
    const options = { prompt: prompt(), length: Number(length[1].value) || 300, temperature: Number(temperature[1].value) };
    if (seed[1].value !== "") options.seed = Number(seed[1].value);
    says.textContent = "";
    try {
      const tokens = await generate(options, controller.signal, (piece) => { written.data += piece; });
      says.textContent = t("ended", { n: tokens });
    } catch (error) {
      says.textContent = error.name === "AbortError" ? t("stopped") : explain(error);
    }
    controller = null;
    button.textContent = t("write");
  };
  return { root: el("div.writer", {}, el("div.controls", {}, [temperature, length, seed].map((pair) => el("span.field", {}, pair)), button), output, says), stop };
}
