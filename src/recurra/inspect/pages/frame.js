// The top of a page, with switches of language and colours. A browser remembers both, if it keeps anything for the page.
import { language, languages, speak, t } from "./words.js";

const LANGUAGE = "recurra.language", THEME = "recurra.theme";

const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* the browser keeps nothing for this page */ } };

// Elements of the top. `build(id)` draws the page again and moves the focus to the switch with this id.
export function frame(build) {
  const { el } = R, dark = R.theme() === "dark", next = languages[(languages.indexOf(language()) + 1) % languages.length];
  return [el("div.brand", {}, el("h1.name", {}, el("span.mark", { "aria-hidden": "true" }, "↻"), " Recurra"), el("span.tagline", {}, t("lead")),
    el("span.switches", {},
      el("button", { type: "button", id: "language", lang: next, onclick: () => { keep(LANGUAGE, next); speak(next); build("language"); } }, t("language")),
      el("button", { type: "button", id: "theme", "aria-label": t("theme"), onclick: () => {
        document.documentElement.dataset.theme = dark ? "light" : "dark";
        keep(THEME, document.documentElement.dataset.theme);
        build("theme");
      } }, dark ? `☀ ${t("toLight")}` : `☾ ${t("toDark")}`)))];
}

// Chooses language and colours: those of the last visit, else those of the browser. `changed()` follows when the browser
// changes to other colours.
export function begin(changed) {
  const chosen = kept(LANGUAGE), theme = kept(THEME);
  if (theme) document.documentElement.dataset.theme = theme;
  speak(languages.includes(chosen) ? chosen : R.browserLanguage());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
