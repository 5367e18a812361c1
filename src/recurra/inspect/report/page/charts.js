// What the answer rests on, how far gradients reach, how long units remember.
{
  const LEFT = 62, RIGHT = 16, TOP = 14, HIGH = 210;
  const infinite = (value) => value === "inf" ? Infinity : value;
  const short = (value) => value === 0 ? "0" : value === null || value === undefined ? "—" : !Number.isFinite(value) ? "∞" : value >= 100 ? String(Math.round(value)) : value >= 0.01 ? +value.toPrecision(3) + "" : value.toExponential(0).replace("-", "−");

  // steps until a curve has fallen to half of its beginning, between two points as an exponential does
  const halfOf = (xs, ys) => {
    const i = ys.findIndex((y) => y !== null && y <= ys[0] / 2);
    if (i < 1) return i < 0 ? Infinity : 0;
    const above = Math.log(ys[i - 1] / ys[0] * 2), below = Math.log(Math.max(ys[i], 1e-300) / ys[0] * 2);
    return xs[i - 1] + (xs[i] - xs[i - 1]) * above / (above - below);
  };
  const middle = (values) => { const known = values.filter((v) => v !== null).sort((a, b) => a - b); return known[Math.floor(known.length / 2)]; };
  const part1 = () => R.where().filter((w) => w.startsWith("part"));

  // why there is no picture, in a line
  const reason = (found) => found.why === "said" ? found.text : R.t(`why ${found.why}`, { most: found.most?.toLocaleString("en") });

  // Lines over lags or ranks; y may be a power of ten. Returns the drawing and a way to ask what lies at a place.
  const plot = (width, { xs, lines, log, xlabel, ylabel, ymax, mark, xlog }) => {
    const ink = R.plain(), wide = width - LEFT - RIGHT, out = [], all = lines.flatMap((line) => line.ys).filter((y) => y !== null && Number.isFinite(y) && (!log || y > 0));
    let high = ymax ?? Math.max(...all, log ? 1e-3 : 0.1), low = log ? Math.max(Math.min(...all, 1), high * 1e-9) : Math.min(0, ...all);
    if (log) { high = 10 ** Math.ceil(Math.log10(high) - 1e-9); low = 10 ** Math.floor(Math.log10(low) + 1e-9); if (low === high) low /= 10; }
    const put = (value) => log ? Math.log10(Math.max(value, low)) : value, bottom = put(low), top = put(high);
    const y = (value) => value === Infinity ? TOP - 6 : TOP + (top - Math.min(top, put(value))) / (top - bottom || 1) * HIGH;
    const last = xs[xs.length - 1] || 1, x = (value) => LEFT + (value - xs[0]) / (last - xs[0] || 1) * wide;
    const decades = Math.max(1, Math.round(top - bottom)), every = Math.ceil(decades / 6);
    const ticks = log ? Array.from({ length: Math.floor(decades / every) + 1 }, (_, i) => 10 ** (top - i * every)) : R.ticks(low, high, 4);
    for (const tick of ticks) out.push(R.svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick), stroke: ink.rule }), R.text(LEFT - 8, y(tick) + 4, short(tick), { "text-anchor": "end", fill: ink.soft, "font-size": 11 }));
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
    let at = LEFT;
    const legend = lines.map((line) => {
      const key = line.dots ? R.svg("circle", { cx: at + 11, cy: TOP + HIGH + 58, r: 4, fill: line.colour }) : R.svg("line", { x1: at, x2: at + 22, y1: TOP + HIGH + 58, y2: TOP + HIGH + 58, stroke: line.colour, "stroke-width": 2.5, "stroke-dasharray": line.dash ?? null });
      const label = R.text(at + 28, TOP + HIGH + 62, line.label);
      at += 46 + [...line.label].reduce((sum, c) => sum + (c > "\u1100" ? 12 : 6.6), 0);
      return [key, label];
    });
    out.push(R.text(LEFT + wide / 2, TOP + HIGH + 38, xlabel, { "text-anchor": "middle", fill: ink.soft }), R.text(0, 0, ylabel, { transform: `translate(14 ${TOP + HIGH / 2}) rotate(-90)`, "text-anchor": "middle", fill: ink.soft }), legend);
    if (mark !== undefined && mark !== null) out.push(R.svg("line", { x1: x(mark), x2: x(mark), y1: TOP, y2: TOP + HIGH, stroke: ink.accent, "stroke-dasharray": "2 3" }));
    const nearest = (pixels) => { let best = 0; xs.forEach((value, i) => { if (Math.abs(x(value) - pixels) < Math.abs(x(xs[best]) - pixels)) best = i; }); return best; };
    return { picture: R.picture(width, TOP + HIGH + 74, { role: "img" }, out), nearest };
  };

  // a figure of such lines that draws itself anew, tells what lies below the pointer, and takes a choice
  const lineFigure = ({ id, title, caption, python, what, tip, choose, keys }) => {
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
    let waiting = 0; // a held key goes through many units: these pictures follow when it rests
    R.watch((changed) => {
      if (!keys.some((key) => changed.has(key))) return;
      clearTimeout(waiting);
      waiting = setTimeout(redraw, 60);
    });
    return { root: figure.root, draw: redraw };
  };
  const together = (section, figures) => ({ section, draw: () => figures.forEach((f) => f.draw()), fit: () => figures.forEach((f) => f.draw()) });

  const reach = () => {
    const found = R.data.measured.reach;
    if (found.why) return together(R.section("reach", R.t("reachTitle"), reason(found)), []);
    const curve = () => found.parts[R.part().name], of = (name) => curve()[name][R.state.layer][R.state.direction];
    if (!curve()) return null;
    const says = () => {
      const { lags } = curve(), ys = of("all"), half = halfOf(lags, ys), end = ys.findLastIndex((y) => y !== null);
      return R.t(Number.isFinite(half) ? "reachSays" : "reachStays", { h: short(+half.toPrecision(2)), p: `${short(100 * ys[end] / ys[0])} %`, n: lags[end] });
    };
    const figure = lineFigure({
      id: "gradient-reach", title: R.t("reachFigure"), caption: R.language === "en" ? found.verdict : says(), keys: ["layer", "direction"],
      python: () => R.python(`reach = recurra.gradient_reach(model, x)\n${curve().kept ? 'kept = recurra.gradient_reach(model, x, via="cell")\n' : ""}figures.plot_reach(${["reach", ...(curve().kept ? ["kept"] : []), ...part1()].join(", ")}).savefig("reach.svg")`, "model"),
      what: () => ({ xs: curve().lags, log: true, xlabel: R.t("lag"), ylabel: R.t("gradient"), lines: [
        { ys: of("all"), colour: R.lineColour("hidden"), label: R.t("allPaths") },
        ...(curve().kept ? [{ ys: of("kept"), colour: R.lineColour("forget"), label: R.t("gatePath"), dash: "6 3" }] : []),
      ] }),
      tip: (i) => [R.t("stepsBack", { n: curve().lags[i] }), `${R.t("allPaths")} ${short(of("all")[i])}`, ...(curve().kept ? [`${R.t("gatePath")} ${short(of("kept")[i])}`] : [])],
    });
    return together(R.section("reach", R.t("reachTitle"), R.t("reachLead"), figure.root), [figure]);
  };

  const memory = () => {
    const found = R.data.measured.memory, part = R.part();
    if (found.why) return together(R.section("memory", R.t("memoryTitle"), reason(found)), []);
    const mine = found.parts[part.name];
    if (!mine) return null;
    mine.values ??= R.decode(mine.response);
    const strand = (name) => mine[name]?.[R.state.layer][R.state.direction];
    const kept = {}; // half-lives as numbers, and units by them, for each layer and direction
    const now = () => kept[`${R.state.layer} ${R.state.direction}`] ??= (() => {
      const measured = strand("measured").map(infinite), gate = strand("gate")?.map(infinite), by = gate ?? measured;
      return { measured, gate, order: part.units.map((_, i) => i).sort((a, b) => (by[b] ?? -1) - (by[a] ?? -1)) };
    })();
    const lags = mine.lags;
    const response = () => { const [, directions, units, count] = mine.response.shape, from = ((R.state.layer * directions + R.state.direction) * units + R.state.unit) * count; return [...mine.values.subarray(from, from + count)]; };
    const says = () => ["gate", "measured"].filter((name) => mine[name]).map((name) => R.t(`memorySays ${name}`, { middle: short(middle(now()[name])), most: short(Math.max(...now()[name].filter((v) => v !== null))) })).join(" ");
    const all = lineFigure({
      id: "half-lives", title: R.t("halfFigure"), caption: R.language === "en" ? found.verdicts.join("; ") : says(), keys: ["layer", "direction", "unit"],
      python: () => R.python(`from recurra.inspect import half_lives, impulse_response\nfigures.plot_half_lives(${[...(mine.gate ? ["half_lives(model, x)"] : []), "impulse_response(model, x)", ...part1()].join(", ")}).savefig("half-lives.svg")`, "model"),
      what: () => { const { order, measured, gate } = now(), chosen = order.indexOf(R.state.unit); return { xs: order.map((_, i) => i), log: true, xlabel: R.t("rank"), ylabel: R.t("halfLife"), mark: chosen, lines: [
        { ys: order.map((u) => measured[u]), colour: R.lineColour("hidden"), label: R.t("byPush"), dots: true, chosen },
        ...(mine.gate ? [{ ys: order.map((u) => gate[u]), colour: R.lineColour("forget"), label: R.t("byGate"), dots: true, chosen }] : []),
      ] }; },
      tip: (i) => { const { order, measured, gate } = now(), unit = order[i]; return [`${R.t("unit")} ${part.units[unit]}`, `${R.t("byPush")}: ${short(measured[unit])}`, ...(gate ? [`${R.t("byGate")}: ${short(gate[unit])}`] : [])]; },
      choose: (i) => R.set({ unit: now().order[i] }),
    });
    const one = lineFigure({
      id: "impulse", title: R.t("pushFigure"), caption: R.t("pushCaption"), keys: ["layer", "direction", "unit"],
      python: () => R.python(`from recurra.inspect import impulse_response\nfigures.plot_response(${["impulse_response(model, x)", `unit=${part.units[R.state.unit]}`, ...R.where().filter((w) => !w.startsWith("row"))].join(", ")}).savefig("response.svg")`, "model"),
      what: () => ({ xs: lags, log: false, xlabel: R.t("stepsAfter"), ylabel: R.t("left"), ymax: Math.max(1, ...response()), lines: [
        { ys: response(), colour: R.lineColour("hidden"), label: `${R.t("unit")} ${part.units[R.state.unit]}` },
        ...(mine.kept ? [{ ys: lags.map((lag) => strand("kept")[R.state.unit] ** lag), colour: R.lineColour("forget"), label: R.t("gateAlone"), dash: "6 3" }] : []),
      ] }),
      tip: (i) => [R.t("stepsLater", { n: lags[i] }), `${R.t("left")}: ${R.number(response()[i])}`, ...(mine.kept ? [`${R.t("gateAlone")}: ${R.number(strand("kept")[R.state.unit] ** lags[i])}`] : [])],
    });
    return together(R.section("memory", R.t("memoryTitle"), R.t("memoryLead"), R.el("div.pair", {}, all.root, one.root)), [all, one]);
  };

  // signed bars over the steps, and the same on the words
  R.attribution = () => {
    const found = R.data.measured.attribution, part = R.part();
    if (found.why) return { node: R.el("p.hint", {}, `${R.t("whyTitle")}: ${reason(found)}`), draw: () => {} };
    if (found.part !== part.name) return null;
    const values = found.values, most = Math.max(1e-9, ...values.map(Math.abs)), scale = () => R.signed(most);
    const drawing = (width) => {
      const ink = R.plain(), wide = width - LEFT - RIGHT, each = wide / part.steps, high = 150, low = Math.min(0, ...values), top = Math.max(0, ...values), room = (top - low) * 0.05 || 1;
      const y = (value) => TOP + (top + room - value) / (top - low + 2 * room) * high, x = (step) => LEFT + (step + 0.5) * each, bar = Math.max(1, Math.min(each - 3, 90)), out = [];
      for (const tick of R.ticks(low, top, 4)) out.push(R.svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick), stroke: tick ? ink.rule : ink.faint }), R.text(LEFT - 8, y(tick) + 4, String(+tick.toPrecision(6)).replace("-", "−"), { "text-anchor": "end", fill: ink.soft, "font-size": 11 }));
      values.forEach((value, step) => out.push(R.svg("rect", { x: x(step) - bar / 2, width: bar, y: Math.min(y(value), y(0)), height: Math.max(0.5, Math.abs(y(value) - y(0))), rx: Math.min(3, bar / 4), fill: value < 0 ? R.lineColour("hidden") : R.lineColour("forget") })));
      if (each > 46) values.forEach((value, step) => out.push(R.text(x(step), value < 0 ? y(value) + 14 : y(value) - 5, R.number(value), { "text-anchor": "middle", "font-size": 11.5, fill: ink.soft })));
      const axis = R.axis(part, LEFT, TOP + high + 10, wide), cursor = R.svg("rect", { y: TOP, height: high + 8, width: Math.max(3, each), fill: ink.accent, opacity: 0.13 });
      const mark = (step) => cursor.setAttribute("x", x(step) - Math.max(3, each) / 2);
      mark(R.state.step);
      return { picture: R.picture(width, TOP + high + axis.height + 18, { role: "img", "aria-label": R.t("whyTitle") }, cursor, out, axis.drawn), mark, stepAt: (pixels) => Math.max(0, Math.min(part.steps - 1, Math.floor((pixels - LEFT) / each))) };
    };
    const sum = R.t("whySum", { total: R.number(found.total), score: R.number(found.score), nothing: R.number(found.nothing), unit: R.term(found.unit) });
    const gap = Math.abs(found.gap) > 0.05 * Math.abs(found.score - found.nothing) ? ` ${R.t("whyGap", { gap: R.number(found.gap) })}` : "";
    let now = null;
    const figure = R.figure({ id: "attribution", title: R.t("whyTitle"), caption: `${R.t("whyCaption")} ${sum}${gap}`, picture: () => drawing(900).picture,
      python: () => R.python(`from recurra.inspect import attribute\nfigures.plot_attribution(attribute(model, x, steps=${found.points})${R.data.code.row ? `, row=${R.data.code.row}` : ""}).savefig("attribution.svg")`, "model") });
    const draw = () => { now = drawing(Math.max(300, figure.body.clientWidth || 900)); figure.body.replaceChildren(now.picture); };
    const at = (event) => { const box = now.picture.getBoundingClientRect(); return now.stepAt((event.clientX - box.left) / box.width * now.picture.viewBox.baseVal.width); };
    figure.body.addEventListener("pointermove", (event) => { const step = at(event); R.tip([R.number(values[step]), R.stepText(part, step)], event.clientX, event.clientY); });
    figure.body.addEventListener("pointerleave", () => R.tip(null));
    figure.body.addEventListener("pointerdown", (event) => R.set({ step: at(event) }));
    R.watch((changed) => { if (changed.has("step")) now.mark(R.state.step); });
    const paint = (chips) => chips.forEach((chip, step) => {
      const pixel = R.pixel(scale(), 0.85 * values[step]);
      chip.style.background = R.css(pixel);
      chip.style.color = R.inkOn(pixel);
    });
    return { node: figure.root, draw, paint };
  };

  R.charts = () => [reach(), memory()];
}
