// The inside of a model: asks the server for the data of the figures, for the input or for the live stream.
import { modelPath, request } from "./api.js";
import { STEPS, insideView } from "./inside.js";
import { explain, t } from "./words.js";

const DELAY = 250;

// The panel. `update(input)` shows an input after a short pause; `stream(window)` shows steps of a live stream.
export function insidePanel(about) {
  const { el } = R, more = el("input", { type: "checkbox", id: "more", onchange: () => { if (last) send(last); } });
  const view = insideView(about, el("p.choice", {}, el("label.option", { for: "more" }, more, " ", t("more")))), { panel, lead, figures } = view;
  let timer = 0, controller = null, last = null, following = false;

  const ask = async (body) => {
    controller?.abort();
    const mine = controller = new AbortController();
    figures.setAttribute("aria-busy", "true");
    try {
      const data = await request(modelPath(about.name, "/inspect"), { body, signal: mine.signal });
      if (mine !== controller) return null; // a newer input was sent meanwhile
      view.say(null);
      return data;
    } catch (error) {
      if (error.name === "AbortError" || mine !== controller) return null;
      if (error.status === 429) { // earlier inspections are still computed
        await new Promise((done) => setTimeout(done, 1000 * Number(error.retryAfter ?? 1)));
        return mine === controller ? ask(body) : null;
      }
      view.say(explain(error));
      return null;
    } finally {
      if (mine === controller) { controller = null; figures.setAttribute("aria-busy", "false"); }
    }
  };

  const send = async (input) => {
    last = input;
    const data = await ask({ inputs: [input], measures: more.checked ? null : ["attribution"] });
    if (data === null) return;
    lead.textContent = t("insideLead");
    view.draw(data, undefined);
  };

  return {
    panel,
    update(input) {
      if (following) return;
      clearTimeout(timer);
      if (input === null) { controller?.abort(); last = null; return; }
      timer = setTimeout(() => send(input), DELAY);
    },
    get busy() { return controller !== null; },
    // the last steps of a stream; `first` is the number of the first one
    async stream(window, first, count) {
      following = true;
      clearTimeout(timer);
      const data = await ask({ inputs: [window], last: count });
      if (data === null || !following) return;
      const [{ of, steps }] = data.parts, direct = of === window.length; // else the layers read patches of the window
      if (direct) for (const part of data.parts) Object.assign(part, { first: part.first + first, of: part.of + first });
      const to = first + window.length - 1;
      lead.textContent = t("insideStream", { from: direct ? to - steps + 1 : first, to, window: window.length });
      view.draw(data, STEPS);
    },
    release() { following = false; },
    redraw: () => view.redraw(),
    stop() { clearTimeout(timer); controller?.abort(); R.stop?.(); },
  };
}
