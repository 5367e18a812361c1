// The input of the model: words that can be selected, or lines of a series.
{
  const chips = () => {
    const part = R.part(), list = R.el("div.chips", { role: "listbox", "aria-label": R.t("tokens"), tabindex: 0 });
    const items = part.tokens.map((token, step) => R.el("span.chip", { role: "option", id: `chip-${step}`, "data-step": step, title: `${R.t("step")} ${part.stepNumber(step)}` }, token.trim() ? token : "␣"));
    list.append(...items);
    list.addEventListener("click", (event) => { const chip = event.target.closest("[data-step]"); if (chip) R.set({ step: Number(chip.dataset.step) }); });
    let current = null;
    const mark = () => {
      current?.removeAttribute("aria-selected");
      current = items[R.state.step];
      current?.setAttribute("aria-selected", "true");
      list.setAttribute("aria-activedescendant", `chip-${R.state.step}`);
    };
    return { list, items, mark };
  };

  const series = (width) => {
    const { shape: [features, steps], kind } = R.data.inputs.values, values = R.inputs ??= R.decode(R.data.inputs.values), ink = R.plain();
    const names = R.data.inputs.names || [], left = 44, wide = width - left - 14, high = 150, top = 12, x = (i) => left + (i + 0.5) * wide / steps;
    const part = R.part(), out = [];
    let low = Infinity, most = -Infinity;
    for (const value of values) { if (value < low) low = value; if (value > most) most = value; }
    if (features > 16) {
      const scale = R.signed(Math.max(Math.abs(low), Math.abs(most)) || 1), canvas = R.el("canvas", { width: steps, height: features });
      const image = new ImageData(steps, features), pixels = new Uint32Array(image.data.buffer);
      for (let f = 0; f < features; f++) for (let i = 0; i < steps; i++) pixels[(features - 1 - f) * steps + i] = R.pixel(scale, values[f * steps + i]);
      canvas.getContext("2d").putImageData(image, 0, 0);
      out.push(R.svg("image", { href: canvas.toDataURL(), x: left, y: top, width: wide, height: high, preserveAspectRatio: "none", style: "image-rendering:pixelated" }));
    } else {
      const y = (value) => top + (most - value) / ((most - low) || 1) * high;
      for (const tick of R.ticks(low, most, 3)) out.push(R.svg("line", { x1: left, x2: width - 14, y1: y(tick), y2: y(tick), stroke: ink.rule }), R.text(left - 8, y(tick) + 4, String(+tick.toPrecision(6)).replace("-", "−"), { "text-anchor": "end", fill: ink.soft, "font-size": 11 }));
      const scale = R.scale("forget", []); // viridis from the first feature to the last
      for (let f = 0; f < features; f++) {
        let d = "";
        for (let i = 0; i < steps; i++) d += `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(values[f * steps + i]).toFixed(1)}`;
        out.push(R.svg("path", { d, fill: "none", stroke: R.css(R.pixel(scale, features > 1 ? 0.1 + 0.75 * f / (features - 1) : 0.35)), "stroke-width": 1.6 }, R.svg("title", {}, names[f] || `${f + 1}`)));
      }
    }
    const axis = R.axis(part, left, top + high, wide), cursor = R.svg("rect", { y: top, height: high, fill: ink.accent, opacity: 0.16, width: Math.max(3, wide / part.steps) });
    const mark = (step) => cursor.setAttribute("x", left + (step + 0.5) * wide / part.steps - Math.max(3, wide / part.steps) / 2);
    mark(R.state.step);
    return { picture: R.picture(width, top + high + axis.height + 8, { role: "img", "aria-label": R.t("inputFigure") }, out, axis.drawn, cursor), mark, stepAt: (px) => Math.floor((px - left) / wide * part.steps) };
  };

  R.input = () => {
    const part = R.part(), shown = [];
    const measures = R.measures("input"), section = R.section("input", R.t("inputTitle"), R.t("inputLead"));
    if (part.tokens) {
      const { list, items, mark } = chips();
      section.append(list);
      shown.push({ draw: () => { for (const measure of measures) measure.paint?.(items); mark(); }, fit: () => {} });
      R.watch((changed) => { if (changed.has("step")) mark(); });
    }
    if (R.data.inputs) {
      let now = null;
      const figure = R.figure({ id: "input-lines", title: R.t("inputFigure"), caption: R.t("inputSeries"), python: () => R.python(`plots.plot_input(trace${R.data.code.row ? `, row=${R.data.code.row}` : ""}).savefig("numbers.svg")`), picture: () => series(900).picture });
      const draw = () => { now = series(Math.max(320, figure.body.clientWidth || 900)); figure.body.replaceChildren(now.picture); };
      figure.body.addEventListener("pointerdown", (event) => { const box = now.picture.getBoundingClientRect(); R.set({ step: now.stepAt((event.clientX - box.left) / box.width * now.picture.viewBox.baseVal.width) }); });
      const { shape: [features, steps] } = R.data.inputs.values, names = R.data.inputs.names || [];
      figure.body.addEventListener("pointermove", (event) => {
        const box = now.picture.getBoundingClientRect(), step = now.stepAt((event.clientX - box.left) / box.width * now.picture.viewBox.baseVal.width);
        if (step < 0 || step >= R.part().steps) return;
        const at = Math.min(steps - 1, Math.floor((step + 0.5) / R.part().steps * steps));
        R.tip([R.stepText(R.part(), step), ...Array.from({ length: Math.min(14, features) }, (_, f) => `${names[f] || `${R.t("feature")} ${f}`}: ${R.number(R.inputs[f * steps + at])}`), ...(features > 14 ? ["…"] : [])], event.clientX, event.clientY);
      });
      figure.body.addEventListener("pointerleave", () => R.tip(null));
      section.append(figure.root);
      shown.push({ draw, fit: draw });
      R.watch((changed) => { if (changed.has("part")) draw(); else if (changed.has("step")) now.mark(R.state.step); });
    }
    for (const { node, draw } of measures) {
      section.append(node);
      shown.push({ draw, fit: draw });
    }
    return { section, draw: () => shown.forEach((s) => s.draw()), fit: () => shown.forEach((s) => s.fit()) };
  };
}
