// Several models on one input, side by side: a figure of a unit and heat maps for each model, and one of the gradients.
R.addStrings({
  en: {
    compareTitle: "Side by side", compareLead: "All models read the same input. Every figure shows the selected step. Click on a heat map to select a unit of its model.",
    noGate: "{model} has no such gate.", noCandidate: "{model} has no separate candidate: it is the new state.", noState: "{model} has one state only.", reachShares: "Share of the gradient at the last step that is left at earlier steps. The higher the curve, the further back the model can learn.", gradientShare: "share of the gradient",
  },
  ko: {
    compareTitle: "나란히 비교", compareLead: "모든 모델이 같은 입력을 읽습니다. 모든 그림이 선택한 스텝을 보여 줍니다. 히트맵을 클릭하면 그 모델의 유닛을 선택합니다.",
    noGate: "{model}에는 이런 게이트가 없습니다.", noCandidate: "{model}에는 후보값이 따로 없습니다. 후보값이 새 상태입니다.", noState: "{model}에는 상태가 하나뿐입니다.", reachShares: "마지막 스텝의 기울기가 앞선 스텝에 얼마나 남는지 비율로 나타냅니다. 곡선이 높을수록 더 앞선 스텝에서도 배울 수 있습니다.", gradientShare: "기울기의 비율",
  },
});
{
  // gates and states with the same task, one of each model in a row
  const ROLES = [["cell", "hidden"], ["forget", "update"], ["input"], ["candidate"], ["output", "reset"], ["hidden"]];
  const COLOURS = ["hidden", "forget", "output", "candidate", "input", "cell"];

  const rows = () => {
    const left = R.parts.map((part) => part.names.filter((name) => !(name === "candidate" && part.cell === "rnn"))), found = [];
    const take = (names) => {
      const row = left.map((own) => names.find((name) => own.includes(name)) ?? null);
      row.forEach((name, i) => { if (name) left[i] = left[i].filter((other) => other !== name); });
      if (row.some(Boolean)) found.push(row);
    };
    ROLES.forEach(take);
    for (const name of new Set(left.flat())) take([name]); // of other cells
    return found;
  };

  const table = () => {
    const { comparison, metrics } = R.data, measured = [...new Set((metrics ?? []).flatMap(({ values }) => Object.keys(values)))], predicts = comparison.some(({ answer }) => answer);
    const head = ["model", "cell", "units", ...(predicts ? ["answers"] : [])].map((key) => R.el("th", { scope: "col" }, R.t(key === "model" ? "task" : key))).concat(measured.map((key) => R.el("th", { scope: "col" }, R.metric(key))));
    const body = R.parts.map((part, i) => R.el("tr", {}, R.el("th", { scope: "row" }, part.name), R.el("td", {}, part.cell.toUpperCase()), R.el("td", {}, String(part.units.length)), predicts ? R.el("td", {}, comparison[i].answer ?? "—") : null, measured.map((key) => R.el("td", {}, R.number(metrics[i].values[key])))));
    return R.el("div.scroll", {}, R.el("table.models", {}, R.el("thead", {}, R.el("tr", {}, head)), R.el("tbody", {}, body)));
  };

  // The gradients of all models as shares of that at the last step.
  const reach = () => {
    const { reach: found } = R.data.measured, { title, description } = R.data.sections.find(({ name }) => name === "reach");
    const about = [title, description].map((text) => text[R.language]);
    if (found.why) return { section: R.section("reach", about[0], found.why === "said" ? R.term(found.text) : R.t(`why ${found.why}`, { most: found.most?.toLocaleString("en") })), draw: () => {} };
    const curve = (index) => { const { part, layer, direction } = R.shown(index), own = found.parts[part.name], ys = own.all[layer][direction]; return ys.map((y) => ys[0] && y !== null ? y / ys[0] : null); };
    const { lags } = found.parts[R.parts[0].name];
    const figure = R.lineFigure({
      id: "gradient-reach", title: R.t("reachFigure"), caption: R.t("reachShares"), keys: ["layer", "direction"],
      python: () => R.python(`reach = recurra.gradient_reach(model, x)\nplots.plot_reach(${["reach", ...R.where().filter((argument) => argument.startsWith("part"))].join(", ")}).savefig("reach.svg")`, "model"),
      what: () => ({ xs: lags, log: true, xlabel: R.t("lag"), ylabel: R.t("gradientShare"), lines: R.parts.map((part, i) => ({ ys: curve(i), colour: R.lineColour(COLOURS[i]), label: part.name, dash: ["", "6 3", "2 3"][i % 3] || null })) }),
      tip: (i) => [R.t("stepsBack", { n: lags[i] }), ...R.parts.map((part, index) => `${part.name} ${R.short(curve(index)[i])}`)],
    });
    return R.together(R.section("reach", ...about, figure.root), [figure]);
  };

  R.comparison = () => {
    const models = R.parts.map((_, i) => i), list = rows();
    const units = models.map((i) => R.unitFigure(`unit-lines-${i}`, R.parts[i].name, null, i));
    const maps = R.heatMaps(list.flatMap((row) => row.map((name, i) => [name, i])).filter(([name]) => name)), left = [...maps];
    const columns = (cells) => R.el("div.columns", { style: `--models: ${models.length}` }, cells);
    const grid = list.map((row) => columns(row.map((name, i) => name ? left.shift().figure.root : R.el("p.none", {}, R.t(row.includes("candidate") ? "noCandidate" : row.includes("hidden") ? "noState" : "noGate", { model: R.parts[i].name })))));
    const gradients = reach();
    return [
      { section: R.section("compare", R.t("compareTitle"), R.t("compareLead"), table(), R.el("h3", {}, R.t("unitTitle")), R.el("p.hint", {}, R.t("linesCaption")), columns(units.map(({ root }) => root))), draw: () => units.forEach((unit) => unit.draw()), fit: () => units.forEach((unit) => unit.draw()) },
      { section: R.section("gates", R.t("gatesTitle"), R.t("gatesLead"), ...grid), draw: () => maps.forEach((map) => map.draw()), fit: () => maps.forEach((map) => { map.fit(); map.mark(); }) },
      { fit: gradients.draw, ...gradients },
    ];
  };
}
