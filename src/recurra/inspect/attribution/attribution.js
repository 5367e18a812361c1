// Drawing of `attribute` inside the section "input": signed bars over the steps, and the colours of the tokens.
R.addStrings({
  en: {
    whyCaption: "How much each step supports the prediction (blue, up) or opposes it (orange, down), by integrated gradients.",
    whySum: "The sum is {total}: the {unit} is {score} for this input and {nothing} for an empty one.",
    whyGap: "The sum differs from the actual difference by {gap}. The score does not change smoothly between the two inputs, so the bars are approximate.",
  },
  ko: {
    whyCaption: "각 스텝이 예측을 뒷받침하는 정도(파랑, 위)와 거스르는 정도(주황, 아래)를 통합 그래디언트(Integrated Gradients)로 구했습니다.",
    whySum: "합은 {total}입니다. {unit} 값은 이 입력에서 {score}, 빈 입력에서 {nothing}입니다.",
    whyGap: "합이 실제 차이와 {gap}만큼 다릅니다. 두 입력 사이에서 점수가 매끄럽게 변하지 않으므로 막대는 근삿값입니다.",
  },
});
R.measure("attribution", (found, about) => {
  const { LEFT, RIGHT, TOP } = R, part = R.part();
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
    return { picture: R.picture(width, TOP + high + axis.height + 18, { role: "img", "aria-label": about.title }, cursor, out, axis.drawn), mark, stepAt: (pixels) => Math.max(0, Math.min(part.steps - 1, Math.floor((pixels - LEFT) / each))) };
  };
  const sum = R.t("whySum", { total: R.number(found.total), score: R.number(found.score), nothing: R.number(found.nothing), unit: R.term(found.unit) });
  const gap = Math.abs(found.gap) > 0.05 * Math.abs(found.score - found.nothing) ? ` ${R.t("whyGap", { gap: R.number(found.gap) })}` : "";
  let now = null;
  const figure = R.figure({ id: "attribution", title: about.title, caption: `${R.t("whyCaption")} ${sum}${gap}`, picture: () => drawing(900).picture,
    python: () => R.python(`from recurra.inspect import attribute\nplots.plot_attribution(attribute(model, x, steps=${found.points})${R.data.code.row ? `, row=${R.data.code.row}` : ""}).savefig("attribution.svg")`, "model") });
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
}, "input");
