// Section of `half_lives` and `impulse_response`: half-lives of all units, and the response of one unit.
R.addStrings({
  en: {
    halfFigure: "Half-life of every unit", pushFigure: "Response to a perturbation of the unit", pushCaption: "Share that is left after each step. Other units can feed it back; the curve is then above that of the gate.",
    "memorySays gate": "By the gate, the median unit keeps half for {middle} steps, the longest for {most}.", "memorySays measured": "After a perturbation, {middle} and {most}.",
    rank: "units, longest memory first", halfLife: "steps until half is left", byPush: "by a perturbation", byGate: "by the gate", gateAlone: "gate only", stepsAfter: "steps after the perturbation", stepsLater: "{n} steps later", left: "share left",
  },
  ko: {
    halfFigure: "모든 유닛의 반감기", pushFigure: "유닛의 섭동 응답", pushCaption: "스텝마다 남은 비율입니다. 다른 유닛을 거쳐 되돌아온 값이 더해지면 게이트만의 곡선보다 높아집니다.",
    "memorySays gate": "게이트로 계산하면 반감기의 중앙값은 {middle}스텝, 최댓값은 {most}스텝입니다.", "memorySays measured": "섭동으로 측정하면 각각 {middle}, {most}스텝입니다.",
    rank: "유닛 (반감기가 긴 순)", halfLife: "절반으로 줄 때까지의 스텝 수", byPush: "섭동으로 측정", byGate: "게이트로 계산", gateAlone: "게이트만", stepsAfter: "섭동 후 스텝 수", stepsLater: "{n}스텝 뒤", left: "남은 비율",
  },
});
{
  const infinite = (value) => value === "inf" ? Infinity : value;
  const middle = (values) => { const known = values.filter((v) => v !== null).sort((a, b) => a - b); return known[Math.floor(known.length / 2)]; };

  R.measure("memory", (found, about) => {
    const part = R.part();
    const mine = found.parts[part.name];
    if (!mine) return null;
    mine.values ??= R.decode(mine.response);
    const curve = (name) => mine[name]?.[R.state.layer][R.state.direction];
    const kept = {}; // for each layer and direction: half-lives as numbers, and the order of the units
    const now = () => kept[`${R.state.layer} ${R.state.direction}`] ??= (() => {
      const measured = curve("measured").map(infinite), gate = curve("gate")?.map(infinite), by = gate ?? measured;
      return { measured, gate, order: part.units.map((_, i) => i).sort((a, b) => (by[b] ?? -1) - (by[a] ?? -1)) };
    })();
    const lags = mine.lags;
    const response = () => { const [, directions, units, count] = mine.response.shape, from = ((R.state.layer * directions + R.state.direction) * units + R.state.unit) * count; return [...mine.values.subarray(from, from + count)]; };
    const says = () => ["gate", "measured"].filter((name) => mine[name]).map((name) => R.t(`memorySays ${name}`, { middle: R.short(middle(now()[name])), most: R.short(Math.max(...now()[name].filter((v) => v !== null))) })).join(" ");
    const all = R.lineFigure({
      id: "half-lives", title: R.t("halfFigure"), caption: R.language === "en" ? found.verdicts.join("; ") : says(), keys: ["layer", "direction", "unit"],
      python: () => R.python(`from recurra.inspect import half_lives, impulse_response\nplots.plot_half_lives(${[...(mine.gate ? ["half_lives(model, x)"] : []), "impulse_response(model, x)", ...R.wherePart()].join(", ")}).savefig("half-lives.svg")`, "model"),
      what: () => { const { order, measured, gate } = now(), chosen = order.indexOf(R.state.unit); return { xs: order.map((_, i) => i), log: true, xlabel: R.t("rank"), ylabel: R.t("halfLife"), mark: chosen, lines: [
        { ys: order.map((u) => measured[u]), colour: R.lineColour("hidden"), label: R.t("byPush"), dots: true, chosen },
        ...(mine.gate ? [{ ys: order.map((u) => gate[u]), colour: R.lineColour("forget"), label: R.t("byGate"), dots: true, chosen }] : []),
      ] }; },
      tip: (i) => { const { order, measured, gate } = now(), unit = order[i]; return [`${R.t("unit")} ${part.units[unit]}`, `${R.t("byPush")}: ${R.short(measured[unit])}`, ...(gate ? [`${R.t("byGate")}: ${R.short(gate[unit])}`] : [])]; },
      choose: (i) => R.set({ unit: now().order[i] }),
    });
    const one = R.lineFigure({
      id: "impulse", title: R.t("pushFigure"), caption: R.t("pushCaption"), keys: ["layer", "direction", "unit"],
      python: () => R.python(`from recurra.inspect import impulse_response\nplots.plot_response(${["impulse_response(model, x)", `unit=${part.units[R.state.unit]}`, ...R.where().filter((w) => !w.startsWith("row"))].join(", ")}).savefig("response.svg")`, "model"),
      what: () => ({ xs: lags, log: false, xlabel: R.t("stepsAfter"), ylabel: R.t("left"), ymax: Math.max(1, ...response()), lines: [
        { ys: response(), colour: R.lineColour("hidden"), label: `${R.t("unit")} ${part.units[R.state.unit]}` },
        ...(mine.kept ? [{ ys: lags.map((lag) => curve("kept")[R.state.unit] ** lag), colour: R.lineColour("forget"), label: R.t("gateAlone"), dash: "6 3" }] : []),
      ] }),
      tip: (i) => [R.t("stepsLater", { n: lags[i] }), `${R.t("left")}: ${R.number(response()[i])}`, ...(mine.kept ? [`${R.t("gateAlone")}: ${R.number(curve("kept")[R.state.unit] ** lags[i])}`] : [])],
    });
    return R.together(R.section("memory", about.title, about.description, R.el("div.pair", {}, all.root, one.root)), [all, one]);
  });
}
