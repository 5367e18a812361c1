// Assembles the page, and handles the toolbar and the keys.
{
  let pictures = [];

  const header = () => {
    const { data } = R, part = R.parts[0], same = (list) => [...new Set(list)].join(", ");
    const facts = [
      [R.t("task"), R.term(data.task)],
      [R.t("cell"), same(R.parts.map((p) => p.cell.toUpperCase()))],
      [R.t("layers"), same(R.parts.map((p) => p.layers))],
      [R.t("reads"), same(R.parts.map((p) => p.directions.length > 1 ? R.t("both") : R.t(p.directions[0])))],
      [R.t("units"), same(R.parts.map((p) => p.units.length))],
      [R.t("steps"), same(R.parts.map((p) => p.steps === p.of ? p.of.toLocaleString("en") : `${p.steps.toLocaleString("en")} / ${p.of.toLocaleString("en")}`))],
    ].filter(([, value]) => value !== "" && value !== undefined);
    const dark = R.theme() === "dark";
    return [
      R.el("div.brand", {}, R.el("span.mark", { "aria-hidden": "true" }, "↻"), "Recurra",
        R.el("span.switches", {},
          R.el("button", { type: "button", id: "language", lang: R.language === "en" ? "ko" : "en", onclick: () => { R.language = R.languages[(R.languages.indexOf(R.language) + 1) % R.languages.length]; build("language"); } }, R.t("language")),
          R.el("button", { type: "button", id: "theme", "aria-label": R.t("theme"), onclick: () => { document.documentElement.dataset.theme = dark ? "light" : "dark"; build("theme"); } }, dark ? `☀ ${R.t("toLight")}` : `☾ ${R.t("toDark")}`))),
      R.el("h1", { class: data.title.length > 60 ? "long" : null }, part.tokens ? `“${data.title.slice(0, 400)}${data.title.length > 400 ? "…" : ""}”` : data.title),
      data.answer ? R.el("p.answer", {}, `${R.t("answers")}: `, R.el("b", {}, data.answer)) : null,
      data.remarks.length ? R.el("p.remark", {}, data.remarks.join("; ")) : null,
      R.el("dl.facts", {}, facts.map(([name, value]) => R.el("div", {}, R.el("dt", {}, name), R.el("dd", {}, String(value))))),
    ];
  };

  const bar = () => {
    const { state } = R, select = (key, label, options) => options.length < 2 ? null : R.el("label", {}, R.el("span", {}, label),
      R.el("select", { "data-key": key, onchange: (event) => R.set({ [key]: Number(event.target.value) }) }, options.map((text, i) => R.el("option", { value: i, selected: state[key] === i }, text))));
    const stepper = (key, label, extra) => R.el("span.stepper", { role: "group", "aria-label": label }, R.el("span", {}, label),
      R.el("button", { type: "button", "aria-label": `${label}: ${R.t("previous")}`, onclick: () => R.set({ [key]: state[key] - 1 }) }, "‹"),
      R.el("input", { type: "text", inputmode: "numeric", "data-key": key, "aria-label": label, onchange: (event) => jump(key, event.target) }),
      R.el("button", { type: "button", "aria-label": `${label}: ${R.t("next")}`, onclick: () => R.set({ [key]: state[key] + 1 }) }, "›"), extra);
    const part = R.part(), word = R.el("span.word");
    const items = [
      select("part", R.t("part"), R.parts.map((p) => p.name || p.cell)),
      select("layer", R.t("layer"), Array.from({ length: part.layers }, (_, i) => String(i))),
      select("direction", R.t("direction"), part.directions.map((name) => R.t(name))),
      stepper("unit", R.t("Unit")), stepper("step", R.t("Step"), word),
    ];
    const show = () => {
      for (const input of document.querySelectorAll("#bar input")) input.value = input.dataset.key === "unit" ? R.part().units[state.unit] : R.part().stepNumber(state.step);
      const token = R.part().token(state.step);
      word.textContent = token === null ? (R.data.seconds ? `${(R.part().stepNumber(state.step) * R.data.seconds).toFixed(2)} s` : "") : `“${token}”`;
    };
    R.watch((changed) => {
      if (changed.has("part")) { build(); return; }
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

  const footer = () => {
    const notes = R.data.notes.map(({ say, ...values }) => R.t(`note ${say}`, Object.fromEntries(Object.entries(values).map(([k, v]) => [k, v.toLocaleString("en")]))));
    for (const part of R.parts) if (part.steps < part.of && !R.data.notes.some((n) => n.say === "steps")) notes.push(R.t("note subset", { from: part.first, to: part.stepNumber(part.steps - 1), of: part.of.toLocaleString("en") }));
    if (R.data.deviation) notes.push(R.t("deviation", { d: R.data.deviation.toExponential(1).replace("-", "−") }));
    return [
      R.el("p", {}, R.el("b", {}, `${R.t("footKeys")}: `), ["keySteps", "keyUnits", "keyStages", "keyPlay"].map((key) => R.el("kbd", {}, R.t(key)))),
      notes.length ? R.el("div.notes", {}, R.el("b", {}, R.t("notesTitle")), R.el("ul", {}, notes.map((note) => R.el("li", {}, note)))) : null,
      R.el("p", {}, R.t("madeBy", { v: R.data.version })),
    ];
  };

  // builds the whole page: at the beginning, and after a change of language, colours or network
  const build = (focus) => {
    R.listeners.length = 0;
    R.stop?.();
    document.documentElement.lang = R.language;
    for (const element of document.querySelectorAll("[data-text]")) element.textContent = R.t(element.dataset.text);
    document.getElementById("top").replaceChildren(...header().filter(Boolean));
    const controls = bar();
    document.getElementById("bar").replaceChildren(...controls.items.filter(Boolean));
    pictures = [R.input(), R.rasters(), R.lines(), R.cell(), ...R.measures("main")].filter(Boolean);
    document.getElementById("main").replaceChildren(...pictures.map((picture) => picture.section));
    document.getElementById("foot").replaceChildren(...footer().filter(Boolean));
    controls.show();
    for (const picture of pictures) picture.draw();
    if (focus) document.getElementById(focus)?.focus();
  };

  // initial selection: the unit that changes most, at the step at which its memory changes most
  const begin = () => {
    const part = R.part(), name = part.has("cell") ? "cell" : "hidden";
    const unit = part.orders.activity ? part.orders.activity[0][0][0] : 0;
    let step = 0, most = -1;
    if (part.has(name) && unit < part.unitsOf(name)) {
      const course = part.course(name, 0, 0, unit);
      for (let i = 1; i < course.length; i++) if (Math.abs(course[i] - course[i - 1]) > most) { most = Math.abs(course[i] - course[i - 1]); step = i; }
    }
    Object.assign(R.state, { unit, step });
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT", "TEXTAREA", "PRE"].includes(event.target.tagName)) return;
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const inPicture = event.target.closest?.(".plot, .body, .chips");
    if (by && (Math.abs(by) === 1 || inPicture)) { event.preventDefault(); R.set({ step: R.state.step + by }); }
    else if (inPicture && (event.key === "ArrowUp" || event.key === "ArrowDown")) { event.preventDefault(); R.set({ unit: R.state.unit + (event.key === "ArrowUp" ? -1 : 1) }); }
    else if (/^[1-4]$/.test(event.key)) R.setStage?.(Number(event.key));
    else if (event.key === "p" || event.key === "P") R.play?.();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => build());
  let width = innerWidth, waiting = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => { for (const picture of pictures) picture.fit(); });
  });

  R.parts = R.data.parts.map((about) => new R.Part(about));
  begin();
  build();
}
