// One unit over the steps: its states as lines, its gates as ribbons below, the steps as the axis.
{
  const STATES = 190, RIBBON = 40, GAP = 14;

  const path = (values, x, y) => {
    let text = "", pen = "M";
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i])) { pen = "M"; continue; }
      text += `${pen}${x(i).toFixed(1)} ${y(values[i]).toFixed(1)}`;
      pen = "L";
    }
    return text;
  };
  const area = (values, x, y, base) => values.length ? `${path(values, x, y)}L${x(values.length - 1).toFixed(1)} ${base}L${x(0).toFixed(1)} ${base}Z` : "";

  const drawing = (width, index) => {
    const { part, layer, direction, unit } = R.shown(index), ink = R.plain(), narrow = width < 560, TOP = narrow ? 48 : 30, left = narrow ? 92 : 128, wide = width - left - 14;
    const has = (name) => part.has(name) && unit < part.unitsOf(name), course = (name) => part.course(name, layer, direction, unit);
    const states = ["cell", "hidden"].filter(has), gates = R.storyOrder(part.names.filter((name) => !["cell", "hidden"].includes(name))).filter(has);
    const x = (step) => left + (step + 0.5) * wide / part.steps, out = [], moving = [];
    let low = -0.1, high = 0.1;
    for (const name of states) for (const value of course(name)) { if (value < low) low = value; if (value > high) high = value; }
    const room = (high - low) * 0.06, y = (value) => TOP + (high + room - value) / (high - low + 2 * room) * STATES;
    if (states.length) {
      for (const tick of R.ticks(low, high, 4)) {
        out.push(R.svg("line", { x1: left, x2: width - 14, y1: y(tick), y2: y(tick), stroke: ink.rule, "stroke-width": tick ? 1 : 1.5 }));
        out.push(R.text(left - 8, y(tick) + 4, String(+tick.toPrecision(6)).replace("-", "−"), { "text-anchor": "end", fill: ink.soft, "font-size": 11 }));
      }
      states.forEach((name, i) => {
        out.push(R.svg("path", { d: path(course(name), x, y), fill: "none", stroke: R.lineColour(name), "stroke-width": name === "cell" ? 2.5 : 2, "stroke-linejoin": "round", "stroke-dasharray": name === "hidden" && states.length > 1 ? "6 3" : null }));
        if (part.steps === 1 || part.steps <= 40) for (let s = 0; s < part.steps; s++) out.push(R.svg("circle", { cx: x(s), cy: y(course(name)[s]), r: 2.5, fill: R.lineColour(name) }));
        const at = narrow ? left : left + i * 190, line = narrow ? 14 + 18 * i : 14;
        out.push(R.svg("line", { x1: at, x2: at + 22, y1: line, y2: line, stroke: R.lineColour(name), "stroke-width": 2.5, "stroke-dasharray": name === "hidden" && states.length > 1 ? "6 3" : null }));
        const label = R.text(at + 28, line + 4, "", { "font-size": 12.5 });
        out.push(label);
        moving.push((step) => { label.textContent = `${R.name(name)} ${R.number(course(name)[step])}`; });
      });
    }
    let top = states.length ? TOP + STATES + 18 : 10;
    for (const name of gates) {
      const share = R.isShare(name), values = course(name), colour = R.lineColour(name), at = top;
      const most = share ? 1 : Math.max(1, ...values.map(Math.abs));
      const yy = share ? (value) => at + RIBBON * (1 - value) : (value) => at + RIBBON / 2 * (1 - value / most), base = share ? at + RIBBON : at + RIBBON / 2;
      out.push(R.svg("rect", { x: left, y: at, width: wide, height: RIBBON, fill: ink.belt, opacity: 0.6, rx: 3 }));
      if (part.steps <= 60) {
        const bar = Math.max(1, wide / part.steps - 2);
        for (let s = 0; s < part.steps; s++) {
          const h = yy(values[s]);
          out.push(R.svg("rect", { x: x(s) - bar / 2, y: Math.min(h, base), width: bar, height: Math.max(1, Math.abs(base - h)), fill: colour, rx: 2 }));
        }
      } else out.push(R.svg("path", { d: area(values, x, yy, base), fill: colour }));
      const label = R.text(left - 10, at + 34, "", { "text-anchor": "end", "font-size": 12.5, "font-weight": 600 });
      out.push(R.text(left - 10, at + 17, R.name(name, "short"), { "text-anchor": "end", fill: ink.soft }), label);
      moving.push((step) => { label.textContent = R.number(values[step]); });
      top += RIBBON + GAP;
    }
    const axis = R.axis(part, left, top - GAP + 2, wide), bottom = top - GAP;
    const cursor = R.svg("g", { "pointer-events": "none" }, R.svg("rect", { y: TOP - 6, height: bottom - TOP + 6, width: Math.max(3, wide / part.steps), fill: ink.accent, opacity: 0.13 }), R.svg("line", { y1: TOP - 6, y2: bottom, stroke: ink.accent, "stroke-width": 1.5 }));
    const dots = states.map((name) => R.svg("circle", { r: 5, fill: R.lineColour(name), stroke: ink.ground, "stroke-width": 2 }));
    const mark = (step) => {
      cursor.firstChild.setAttribute("x", x(step) - Math.max(3, wide / part.steps) / 2);
      cursor.lastChild.setAttribute("x1", x(step));
      cursor.lastChild.setAttribute("x2", x(step));
      dots.forEach((dot, i) => { dot.setAttribute("cx", x(step)); dot.setAttribute("cy", y(course(states[i])[step])); });
      for (const move of moving) move(step);
    };
    const picture = R.picture(width, bottom + axis.height + 8, { role: "img" }, out, axis.drawn, cursor, dots);
    const stepAt = (pixels) => Math.max(0, Math.min(part.steps - 1, Math.floor((pixels - left) / wide * part.steps)));
    mark(R.state.step);
    return { picture, mark, stepAt };
  };

  // The figure of one unit. `index` is the number of its recurrent layer; by default the selected one is shown.
  R.unitFigure = (id, title, caption, index) => {
    let shown = null;
    const of = () => R.shown(index), number = () => of().part.units[of().unit];
    const figure = R.figure({
      id, title, caption,
      python: () => R.python(`plots.plot_unit(${["trace", `unit=${number()}`, ...R.where(index)].join(", ")}).savefig("unit.svg")`, "trace", of().part),
      picture: () => drawing(900, index).picture,
    });
    figure.body.tabIndex = 0;
    const draw = () => {
      shown = drawing(Math.max(320, figure.body.clientWidth || 900), index);
      shown.picture.setAttribute("aria-label", `${title}: ${R.t("unit")} ${number()}`);
      figure.body.replaceChildren(shown.picture);
    };
    const at = (event) => shown.stepAt((event.clientX - shown.picture.getBoundingClientRect().left) / shown.picture.getBoundingClientRect().width * shown.picture.viewBox.baseVal.width);
    figure.body.addEventListener("pointerdown", (event) => R.set({ step: at(event) }));
    figure.body.addEventListener("pointermove", (event) => {
      const step = at(event), { part, unit } = of();
      shown.mark(step);
      const names = [...["cell", "hidden"].filter((name) => part.has(name)), ...R.storyOrder(part.names.filter((name) => !["cell", "hidden"].includes(name)))];
      R.tip([R.stepText(part, step), ...names.map((name) => `${R.name(name)} ${R.number(R.value(name, unit, step, index))}`)], event.clientX, event.clientY);
    });
    figure.body.addEventListener("pointerleave", () => { R.tip(null); shown.mark(R.state.step); });
    R.watch((changed) => {
      if (["part", "layer", "direction", "unit"].some((key) => changed.has(key))) draw();
      else if (changed.has("step")) shown.mark(R.state.step);
    });
    return { root: figure.root, draw };
  };

  R.lines = () => {
    const figure = R.unitFigure("unit-lines", R.t("linesTitle"), R.t("linesCaption"));
    return R.together(R.section("unit", R.t("unitTitle"), R.t("unitLead"), figure.root), [figure]);
  };
}
