// The view of one sequence: toolbar, figures and keys. The report and the page of the server share it.
{
  let pictures = [], place = null, current = null;

  const bar = () => {
    const { state } = R, select = (key, label, options) => options.length < 2 ? null : R.el("label", {}, R.el("span", {}, label),
      R.el("select", { "data-key": key, onchange: (event) => R.set({ [key]: Number(event.target.value) }) }, options.map((text, i) => R.el("option", { value: i, selected: state[key] === i }, text))));
    const stepper = (key, label, extra) => R.el("span.stepper", { role: "group", "aria-label": label }, R.el("span", {}, label),
      R.el("button", { type: "button", "aria-label": `${label}: ${R.t("previous")}`, onclick: () => R.set({ [key]: state[key] - 1 }) }, "‹"),
      R.el("input", { type: "text", inputmode: "numeric", "data-key": key, "aria-label": label, onchange: (event) => jump(key, event.target) }),
      R.el("button", { type: "button", "aria-label": `${label}: ${R.t("next")}`, onclick: () => R.set({ [key]: state[key] + 1 }) }, "›"), extra);
    const part = R.part(), word = R.el("span.word");
    const items = [
      select("part", R.t(R.data.comparison ? "task" : "part"), R.parts.map((p) => p.name || p.cell)),
      select("layer", R.t("layer"), Array.from({ length: part.layers }, (_, i) => String(i))),
      select("direction", R.t("direction"), part.directions.map((name) => R.t(name))),
      stepper("unit", R.t("Unit")), stepper("step", R.t("Step"), word),
    ];
    const show = () => {
      for (const input of place.bar.querySelectorAll("input")) input.value = input.dataset.key === "unit" ? R.part().units[state.unit] : R.part().stepNumber(state.step);
      const token = R.part().token(state.step);
      word.textContent = token === null ? (R.data.seconds ? `${(R.part().stepNumber(state.step) * R.data.seconds).toFixed(2)} s` : "") : `“${token}”`;
    };
    R.watch((changed) => {
      if (changed.has("part")) {
        const figure = document.activeElement?.closest("figure")?.id;
        R.build(place);
        if (figure) document.getElementById(figure)?.querySelector(".plot, .body")?.focus({ preventScroll: true });
        return;
      }
      show();
      R.say(`${R.t("unit")} ${R.part().units[state.unit]}, ${R.stepText(R.part(), state.step)}`);
    });
    return { items, show };
  };

  const jump = (key, input) => {
    const part = R.part(), wanted = Number(input.value);
    const at = key === "unit" ? part.units.indexOf(wanted) : Math.round((wanted - part.first) / part.stride);
    if (Number.isFinite(wanted) && at >= 0) R.set({ [key]: at });
    input.value = key === "unit" ? part.units[R.state.unit] : part.stepNumber(R.state.step);
  };

  // Draws the loaded data into two elements. `figures` chooses sections by name; by default all are drawn.
  R.build = ({ bar: toolbar, main, figures }) => {
    place = { bar: toolbar, main, figures };
    R.listeners.length = 0;
    R.stop?.();
    const controls = current = bar(), drawers = { input: R.input, gates: R.rasters, unit: R.lines, cell: R.cell }, wanted = (name) => !figures || figures.includes(name);
    toolbar.replaceChildren(...controls.items.filter(Boolean));
    pictures = R.data.comparison ? [R.input(), ...R.comparison(), R.cell()]
      : [...Object.keys(drawers).filter(wanted).map((name) => drawers[name]()), ...(wanted("measures") ? R.measures("main") : [])].filter(Boolean);
    main.replaceChildren(...pictures.map((picture) => picture.section));
    controls.show();
    for (const picture of pictures) picture.draw();
  };

  // Draws data that was loaded in place of other data with the same layers, units and number of steps.
  R.refresh = () => {
    current.show();
    for (const picture of pictures) picture.draw();
  };

  // initial selection: the unit that changes most, at the step at which its memory changes most
  R.begin = () => {
    const part = R.part(), name = part.has("cell") ? "cell" : "hidden";
    R.units = R.parts.map(({ orders }) => orders.activity ? orders.activity[0][0][0] : 0);
    const unit = R.units[R.parts.indexOf(part)];
    let step = 0, most = -1;
    if (part.has(name) && unit < part.unitsOf(name)) {
      const course = part.course(name, 0, 0, unit);
      for (let i = 1; i < course.length; i++) if (Math.abs(course[i] - course[i - 1]) > most) { most = Math.abs(course[i] - course[i - 1]); step = i; }
    }
    Object.assign(R.state, { unit, step });
  };

  // keys of the figures, for events inside `root`
  R.keys = (root) => root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT", "TEXTAREA", "PRE"].includes(event.target.tagName)) return;
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const inPicture = event.target.closest?.(".plot, .body, .chips");
    if (by && (Math.abs(by) === 1 || inPicture)) { event.preventDefault(); R.set({ step: R.state.step + by }); }
    else if (inPicture && (event.key === "ArrowUp" || event.key === "ArrowDown")) { event.preventDefault(); R.set({ unit: R.state.unit + (event.key === "ArrowUp" ? -1 : 1) }); }
    else if (/^[1-4]$/.test(event.key)) R.setStage?.(Number(event.key));
    else if (event.key === "p" || event.key === "P") R.play?.();
  });
  let width = innerWidth, waiting = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => { for (const picture of pictures) picture.fit(); });
  });
}
