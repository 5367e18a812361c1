// The report: header, figures and footer of one sequence, whose data is in the file.
{
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
      data.remarks.length ? R.el("p.remark", {}, data.remarks.map(R.term).join("; ")) : null,
      R.el("dl.facts", {}, facts.map(([name, value]) => R.el("div", {}, R.el("dt", {}, name), R.el("dd", {}, String(value))))),
    ];
  };

  const footer = () => {
    const notes = R.data.notes.map(({ say, model, ...values }) => (model ? `${model}: ` : "") + R.t(`note ${say}`, Object.fromEntries(Object.entries(values).map(([k, v]) => [k, v.toLocaleString("en")]))));
    for (const part of R.parts) if (part.steps < part.of && !R.data.notes.some((n) => n.say === "steps")) notes.push(R.t("note subset", { from: part.first, to: part.stepNumber(part.steps - 1), of: part.of.toLocaleString("en") }));
    if (R.data.deviation) notes.push(R.t("deviation", { d: R.data.deviation.toExponential(1).replace("-", "−") }));
    return [
      R.el("p", {}, R.el("b", {}, `${R.t("footKeys")}: `), ["keySteps", "keyUnits", "keyStages", "keyPlay"].map((key) => R.el("kbd", {}, R.t(key)))),
      notes.length ? R.el("div.notes", {}, R.el("b", {}, R.t("notesTitle")), R.el("ul", {}, notes.map((note) => R.el("li", {}, note)))) : null,
      R.el("p", {}, R.t("madeBy", { v: R.data.version })),
    ];
  };

  // The weights of several epochs: the same data for each. A page without them has one frame.
  const found = JSON.parse(document.getElementById("data").textContent), frames = found.frames ?? [{ data: found }];
  const last = frames.length - 1, controls = R.el("span.controls");
  let at = last;

  const slider = () => {
    const output = R.el("output", { for: "epoch" });
    const input = R.el("input", { type: "range", id: "epoch", min: 0, max: last, step: 1, value: at, "aria-label": R.t("epoch"), oninput: () => {
      const top = scrollY;
      at = Number(input.value);
      load();
      name();
      draw();
      scrollTo(0, top);
    } });
    const name = () => {
      const { epoch, metrics } = frames[at], values = metrics.length > 1 ? [] : Object.entries(metrics[0].values).map(([key, value]) => `${R.metric(key)} ${R.number(value)}`);
      output.textContent = [epoch ? String(epoch) : R.t("beforeTraining"), ...values].join(" · ");
      input.setAttribute("aria-valuetext", output.textContent);
    };
    name();
    return R.el("label.epochs", {}, R.el("span", {}, R.t("epoch")), input, output);
  };

  const load = () => R.load({ ...frames[at].data, inputs: frames[last].data.inputs, metrics: frames[at].metrics });
  const draw = () => {
    document.getElementById("top").replaceChildren(...header().filter(Boolean));
    R.build({ bar: controls, main: document.getElementById("main") });
    document.getElementById("foot").replaceChildren(...footer().filter(Boolean));
  };

  // builds the whole page: at the beginning, and after a change of language or colours
  const build = (focus) => {
    document.documentElement.lang = R.language;
    for (const element of document.querySelectorAll("[data-text]")) element.textContent = R.t(element.dataset.text);
    document.getElementById("bar").replaceChildren(...(last ? [slider()] : []), controls);
    draw();
    if (focus) document.getElementById(focus)?.focus();
  };

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => build());
  R.keys(document);
  load();
  R.language = found.language ?? R.browserLanguage();
  R.begin();
  build();
}
