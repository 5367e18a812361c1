// The frame of every figure: its title, and buttons that save the figure or show the Python code for it.
{
  const FONT = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans KR', 'Noto Sans CJK KR', 'Apple SD Gothic Neo', 'Malgun Gothic', sans-serif";
  R.FONT = FONT;

  R.picture = (width, height, attributes = {}, ...children) =>
    R.svg("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${width} ${height}`, width, height, "font-family": FONT, "font-size": 12, ...attributes }, ...children);
  R.text = (x, y, text, attributes = {}) => R.svg("text", { x, y, fill: R.plain().ink, ...attributes }, text);

  const save = (blob, name) => {
    const link = R.el("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  // picture(): the drawing as an SVG element, without the frame, for files
  R.figure = ({ id, title, caption, python, picture }) => {
    const toSVG = () => {
      const drawn = picture().cloneNode(true), [, , width, height] = drawn.getAttribute("viewBox").split(" ");
      drawn.setAttribute("width", width);
      drawn.setAttribute("height", height);
      drawn.removeAttribute("style");
      drawn.prepend(R.svg("rect", { width, height, fill: R.plain().ground }));
      return new XMLSerializer().serializeToString(drawn);
    };
    const toPNG = async () => {
      const image = new Image(), url = URL.createObjectURL(new Blob([toSVG()], { type: "image/svg+xml" }));
      await new Promise((done, failed) => Object.assign(image, { onload: done, onerror: failed, src: url }));
      const canvas = R.el("canvas", { width: 2 * image.naturalWidth, height: 2 * image.naturalHeight });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      URL.revokeObjectURL(url);
      return new Promise((done) => canvas.toBlob(done, "image/png"));
    };
    const code = R.el("div.code", { hidden: true });
    const showCode = () => {
      code.hidden = !code.hidden;
      toggle.setAttribute("aria-expanded", String(!code.hidden));
      if (code.hidden) return;
      const text = python(), lines = R.el("pre", { tabindex: 0 }, text);
      const copy = R.el("button.small", { type: "button", onclick: async () => {
        try { await navigator.clipboard.writeText(text); copy.textContent = R.t("copied"); }
        catch { getSelection().selectAllChildren(lines); copy.textContent = R.t("select"); }
      } }, R.t("copy"));
      code.replaceChildren(lines, copy);
    };
    const label = (what) => `${what}: ${typeof title === "string" ? title : ""}`;
    const toggle = R.el("button.small", { type: "button", "aria-expanded": "false", "aria-label": label("Python"), onclick: showCode }, "Python");
    const body = R.el("div.body");
    const root = R.el("figure.figure", { id },
      R.el("div.head", {}, R.el("h3", {}, title), R.el("div.tools", {},
        R.el("button.small", { type: "button", "aria-label": label("SVG"), onclick: () => save(new Blob([toSVG()], { type: "image/svg+xml" }), `${id}.svg`) }, "SVG"),
        R.el("button.small", { type: "button", "aria-label": label("PNG"), onclick: async () => save(await toPNG(), `${id}.png`) }, "PNG"),
        toggle)),
      code, body, caption ? R.el("figcaption", {}, caption) : null);
    R.figures[id] = { toSVG, toPNG, python };
    return { root, body };
  };

  R.section = (id, title, lead, ...children) =>
    R.el("section.section", { id, "aria-labelledby": `${id}-title` }, R.el("h2", { id: `${id}-title` }, title), lead ? R.el("p.lead", {}, lead) : null, ...children);

  // Python code: lines that all figures share, then the line of this figure
  R.python = (line, uses = "trace", part = R.part()) => {
    const { model, x } = part.code ?? R.data.code, begin = ["import recurra", "from recurra.inspect import plots", ""];
    begin.push(`model, x = ${model}, ${x}`);
    if (uses === "trace") begin.push("trace = recurra.trace(model, x)");
    return [...begin, line].join("\n");
  };
  R.where = (index) => {
    const { part, layer, direction } = R.shown(index), list = [];
    if (part.code ? part.several : R.parts.length > 1) list.push(`part=${JSON.stringify(part.origin ?? part.name)}`);
    if (R.data.code.row) list.push(`row=${R.data.code.row}`);
    if (part.layers > 1) list.push(`layer=${layer}`);
    if (part.directions.length > 1) list.push(`direction="${part.directions[direction]}"`);
    return list;
  };
  R.wherePart = () => R.where().filter((argument) => argument.startsWith("part"));

  R.tip = (text, x, y) => {
    const tip = document.getElementById("tip");
    if (text === null) { tip.hidden = true; return; }
    tip.hidden = false;
    tip.replaceChildren(...text.map((line, i) => R.el(i ? "div" : "b", {}, line)));
    const right = innerWidth - tip.offsetWidth - 8;
    tip.style.transform = `translate(${Math.max(8, Math.min(x + 14, right))}px, ${y + tip.offsetHeight + 24 > innerHeight ? y - tip.offsetHeight - 12 : y + 16}px)`;
  };

  // Round numbers for an axis
  R.ticks = (low, high, count) => {
    const raw = (high - low) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw || 1));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) || 1, list = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) list.push(Math.abs(at) < step * 1e-9 ? 0 : at);
    return list;
  };

  // Names of steps below a figure: words if there is enough space, else numbers
  R.stepLabels = (part, width) => {
    const each = width / part.steps, short = (text) => { const c = [...text]; return c.length > 9 ? c.slice(0, 8).join("") + "…" : text; };
    if (part.tokens && each >= 15) {
      const marks = part.tokens.map((text, i) => ({ at: (i + 0.5) * each, text: short(text.trim() ? text : "␣"), step: i }));
      const widest = Math.max(...marks.map((m) => [...m.text].reduce((sum, c) => sum + (c > "\u1100" ? 12 : 7), 0)));
      return { words: true, turned: widest + 6 > each, widest, marks };
    }
    const last = part.stepNumber(part.steps - 1), whole = R.ticks(part.first, last, Math.max(2, width / 80)).filter(Number.isInteger);
    return { words: false, turned: false, widest: 0, marks: whole.map((number) => {
      const step = (number - part.first) / part.stride;
      return { at: (step + 0.5) * each, text: R.data.seconds ? `${+(number * R.data.seconds).toFixed(2)} s` : String(number), step };
    }) };
  };
  // the same as SVG: returns the elements and their height
  R.axis = (part, left, top, width) => {
    const { words, turned, widest, marks } = R.stepLabels(part, width), ink = R.plain();
    const drawn = marks.map((m) => turned
      ? R.text(0, 0, m.text, { transform: `translate(${left + m.at + 4} ${top + 12}) rotate(-45)`, "text-anchor": "end", "data-step": m.step })
      : R.text(left + m.at, top + 15, m.text, { "text-anchor": "middle", fill: words ? ink.ink : ink.soft, "data-step": m.step }));
    return { drawn, height: turned ? 14 + 0.72 * widest : 22 };
  };
}
