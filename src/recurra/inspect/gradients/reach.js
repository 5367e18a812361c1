// Section of `gradient_reach`: size of the gradient by lag.
R.addStrings({
  en: {
    reachFigure: "Gradient by distance", lag: "steps back", gradient: "size of the gradient", stepsBack: "{n} steps back",
    allPaths: "all paths", gatePath: "through the gate only",
    reachSays: "Half is left after {h} steps, {p} after {n}.", reachStays: "{p} is left after {n} steps.",
  },
  ko: {
    reachFigure: "거리에 따른 기울기", lag: "거슬러 올라간 스텝 수", gradient: "기울기의 크기", stepsBack: "{n}스텝 전",
    allPaths: "모든 경로", gatePath: "게이트 경로만",
    reachSays: "{h}스텝 전에서 절반으로 줄고 {n}스텝 전에는 {p}가 남습니다.", reachStays: "{n}스텝 전에도 {p}가 남습니다.",
  },
});
{
  // number of steps until a curve falls to half of its first value, with exponential interpolation
  const halfOf = (xs, ys) => {
    const i = ys.findIndex((y) => y !== null && y <= ys[0] / 2);
    if (i < 1) return i < 0 ? Infinity : 0;
    const above = Math.log(ys[i - 1] / ys[0] * 2), below = Math.log(Math.max(ys[i], 1e-300) / ys[0] * 2);
    return xs[i - 1] + (xs[i] - xs[i - 1]) * above / (above - below);
  };

  R.measure("reach", (found, about) => {
    const curve = () => found.parts[R.part().name], of = (name) => curve()[name][R.state.layer][R.state.direction];
    if (!curve()) return null;
    const says = () => {
      const { lags } = curve(), ys = of("all"), half = halfOf(lags, ys), end = ys.findLastIndex((y) => y !== null);
      return R.t(Number.isFinite(half) ? "reachSays" : "reachStays", { h: R.short(+half.toPrecision(2)), p: `${R.short(100 * ys[end] / ys[0])} %`, n: lags[end] });
    };
    const figure = R.lineFigure({
      id: "gradient-reach", title: R.t("reachFigure"), caption: R.language === "en" ? found.verdict : says(), keys: ["layer", "direction"],
      python: () => R.python(`reach = recurra.gradient_reach(model, x)\n${curve().kept ? 'kept = recurra.gradient_reach(model, x, via="cell")\n' : ""}plots.plot_reach(${["reach", ...(curve().kept ? ["kept"] : []), ...R.wherePart()].join(", ")}).savefig("reach.svg")`, "model"),
      what: () => ({ xs: curve().lags, log: true, xlabel: R.t("lag"), ylabel: R.t("gradient"), lines: [
        { ys: of("all"), colour: R.lineColour("hidden"), label: R.t("allPaths") },
        ...(curve().kept ? [{ ys: of("kept"), colour: R.lineColour("forget"), label: R.t("gatePath"), dash: "6 3" }] : []),
      ] }),
      tip: (i) => [R.t("stepsBack", { n: curve().lags[i] }), `${R.t("allPaths")} ${R.short(of("all")[i])}`, ...(curve().kept ? [`${R.t("gatePath")} ${R.short(of("kept")[i])}`] : [])],
    });
    return R.together(R.section("reach", about.title, about.description, figure.root), [figure]);
  });
}
