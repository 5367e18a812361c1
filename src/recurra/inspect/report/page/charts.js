// Shared code of the sections of measures: line charts, numbers as text, and the list of sections.
{
  const LEFT = R.LEFT = 62, RIGHT = R.RIGHT = 16, TOP = R.TOP = 14, HIGH = 210;
  // numbers with three digits for an axis or a tooltip
  R.short = (value) => value === 0 ? "0" : value === null || value === undefined ? "—" : !Number.isFinite(value) ? "∞" : value >= 100 ? String(Math.round(value)) : value >= 0.01 ? +value.toPrecision(3) + "" : value.toExponential(0).replace("-", "−");

  // Registers the drawing of a measure's section. draw(found, about) gets the payload of the section, and its title and
  // description in the language of the page. It returns { section, draw, fit }, or null to leave the section out. A drawing
  // inside the section "input" returns { node, draw, paint }.
  const drawings = {};
  R.measure = (name, draw, place = "main") => { drawings[name] = { draw, place }; };
  R.measures = (place) => R.data.sections.filter(({ name }) => drawings[name].place === place).map(({ name, title, description }) => {
    const found = R.data.measured[name], about = { name, title: title[R.language], description: description[R.language] };
    if (!found.why) return drawings[name].draw(found, about);
    const reason = found.why === "said" ? R.term(found.text) : R.t(`why ${found.why}`, { most: found.most?.toLocaleString("en") });
    return place === "main" ? R.together(R.section(name, about.title, reason), []) : { node: R.el("p.hint", {}, `${about.title}: ${reason}`), draw: () => {} };
  }).filter(Boolean);

  // Lines over lags or ranks, with a linear or logarithmic y axis. Returns the drawing, and the point nearest to a pixel.
  const plot = (width, { xs, lines, log, xlabel, ylabel, ymax, mark }) => {
    const ink = R.plain(), wide = width - LEFT - RIGHT, out = [], all = lines.flatMap((line) => line.ys).filter((y) => y !== null && Number.isFinite(y) && (!log || y > 0));
    let high = ymax ?? Math.max(...all, log ? 1e-3 : 0.1), low = log ? Math.max(Math.min(...all, 1), high * 1e-9) : Math.min(0, ...all);
    if (log) { high = 10 ** Math.ceil(Math.log10(high) - 1e-9); low = 10 ** Math.floor(Math.log10(low) + 1e-9); if (low === high) low /= 10; }
    const put = (value) => log ? Math.log10(Math.max(value, low)) : value, bottom = put(low), top = put(high);
    const y = (value) => value === Infinity ? TOP - 6 : TOP + (top - Math.min(top, put(value))) / (top - bottom || 1) * HIGH;
    const last = xs[xs.length - 1] || 1, x = (value) => LEFT + (value - xs[0]) / (last - xs[0] || 1) * wide;
    const decades = Math.max(1, Math.round(top - bottom)), every = Math.ceil(decades / 6);
    const ticks = log ? Array.from({ length: Math.floor(decades / every) + 1 }, (_, i) => 10 ** (top - i * every)) : R.ticks(low, high, 4);
    for (const tick of ticks) out.push(R.svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick), stroke: ink.rule }), R.text(LEFT - 8, y(tick) + 4, R.short(tick), { "text-anchor": "end", fill: ink.soft, "font-size": 11 }));
    for (const tick of R.ticks(xs[0], last, Math.max(2, width / 90)).filter(Number.isInteger)) out.push(R.text(x(tick), TOP + HIGH + 18, String(tick), { "text-anchor": "middle", fill: ink.soft }));
    for (const line of lines) {
      if (line.dots) {
        line.ys.forEach((value, i) => { if (value !== null) out.push(R.svg("circle", { cx: x(xs[i]), cy: y(value), r: line.chosen === i ? 6 : 3, fill: line.colour, opacity: line.chosen === i ? 1 : 0.75, stroke: line.chosen === i ? ink.ink : null, "stroke-width": 2 })); });
      } else {
        let d = "", pen = "M";
        line.ys.forEach((value, i) => { if (value === null || (log && value < low)) pen = "M"; else { d += `${pen}${x(xs[i]).toFixed(1)} ${y(value).toFixed(1)}`; pen = "L"; } });
        out.push(R.svg("path", { d, fill: "none", stroke: line.colour, "stroke-width": 2.4, "stroke-linejoin": "round", "stroke-dasharray": line.dash ?? null }));
      }
    }
    let at = LEFT, row = TOP + HIGH + 58;
    const legend = lines.map((line) => {
      const long = 46 + [...line.label].reduce((sum, c) => sum + (c > "\u1100" ? 12 : 6.6), 0);
      if (at > LEFT && at + long > width) { at = LEFT; row += 20; }
      const key = line.dots ? R.svg("circle", { cx: at + 11, cy: row, r: 4, fill: line.colour }) : R.svg("line", { x1: at, x2: at + 22, y1: row, y2: row, stroke: line.colour, "stroke-width": 2.5, "stroke-dasharray": line.dash ?? null });
      const label = R.text(at + 28, row + 4, line.label);
      at += long;
      return [key, label];
    });
    out.push(R.text(LEFT + wide / 2, TOP + HIGH + 38, xlabel, { "text-anchor": "middle", fill: ink.soft }), R.text(0, 0, ylabel, { transform: `translate(14 ${TOP + HIGH / 2}) rotate(-90)`, "text-anchor": "middle", fill: ink.soft }), legend);
    if (mark !== undefined && mark !== null) out.push(R.svg("line", { x1: x(mark), x2: x(mark), y1: TOP, y2: TOP + HIGH, stroke: ink.accent, "stroke-dasharray": "2 3" }));
    const nearest = (pixels) => { let best = 0; xs.forEach((value, i) => { if (Math.abs(x(value) - pixels) < Math.abs(x(xs[best]) - pixels)) best = i; }); return best; };
    return { picture: R.picture(width, row + 16, { role: "img" }, out), nearest };
  };

  // A figure with such lines. It is drawn again when one of `keys` changes, shows a tooltip, and handles a click.
  R.lineFigure = ({ id, title, caption, python, what, tip, choose, keys }) => {
    let shown = null;
    const draw = (width) => plot(width, what());
    const figure = R.figure({ id, title, caption, python, picture: () => draw(720).picture });
    const redraw = () => {
      shown = draw(Math.max(300, figure.body.clientWidth || 560));
      shown.picture.setAttribute("aria-label", title);
      figure.body.replaceChildren(shown.picture);
    };
    const at = (event) => { const box = shown.picture.getBoundingClientRect(); return shown.nearest((event.clientX - box.left) / box.width * shown.picture.viewBox.baseVal.width); };
    figure.body.addEventListener("pointermove", (event) => R.tip(tip(at(event)), event.clientX, event.clientY));
    figure.body.addEventListener("pointerleave", () => R.tip(null));
    if (choose) figure.body.addEventListener("pointerdown", (event) => choose(at(event)));
    let waiting = 0; // while a key is held, many units are selected: draw once after the last
    R.watch((changed) => {
      if (!keys.some((key) => changed.has(key))) return;
      clearTimeout(waiting);
      waiting = setTimeout(redraw, 60);
    });
    return { root: figure.root, draw: redraw };
  };
  R.together = (section, figures) => ({ section, draw: () => figures.forEach((f) => f.draw()), fit: () => figures.forEach((f) => f.draw()) });
}
