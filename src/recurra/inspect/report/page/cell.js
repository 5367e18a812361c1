// The cell at one step: the state moves on a conveyor belt, each gate is a valve that opens to the value of the gate, and
// the equations contain the numbers.
{
  const WIDTH = 960, HEIGHT = 430, BELT = 92, HALF = 27; // the belt's centre and half its height

  // the numbers of the selected unit and step; null if unknown
  const numbers = () => {
    const part = R.part(), v = {}, { step } = R.state, before = R.before(step);
    for (const name of part.names) v[name] = R.value(name);
    for (const gate of part.names) {
      for (const side of ["input", "past"]) v[`${side} of ${gate}`] = R.value(`${side} of ${gate}`);
      for (const side of ["bias", "past bias"]) v[`${side} of ${gate}`] = R.value(`${side} of ${gate}`, R.state.unit, 0); // has one step
    }
    const memory = part.cell === "lstm" ? "cell" : "hidden";
    v.before = before === null ? null : R.value(memory, R.state.unit, before);
    v.start = before === null && R.atBeginning(step) && starts(part, v, memory);
    if (v.start) v.before = 0;
    return v;
  };
  // true if the state before the step is 0: the first step of a run without an initial state
  const starts = (part, v, memory) => {
    const expected = { lstm: () => v.input * v.candidate, gru: () => (1 - v.update) * v.candidate, rnn: () => v.candidate }[part.cell]?.();
    return expected !== undefined && Math.abs(expected - v[memory]) < 1e-3;
  };
  const needs = { lstm: ["forget", "input", "candidate", "output", "cell"], gru: ["reset", "update", "candidate", "hidden"], rnn: ["candidate", "hidden"] };
  const drawable = () => needs[R.part().cell]?.every((name) => R.part().has(name));
  const stages = () => R.part().cell === "rnn" ? 3 : 4;

  // ---- pieces of the drawing ----
  const sub = (base, below) => [R.svg("tspan", { "font-style": "italic" }, base), below ? R.svg("tspan", { dy: 4, "font-size": "75%" }, below) : null];
  const shade = (stage) => (R.state.stage < stage ? 0.2 : 1);
  const group = (stage, ...children) => R.svg("g", { opacity: shade(stage), "data-stage": stage }, children);

  let most = 1; // absolute value with full colour
  const crate = (stage, x, y, label, value, note) => {
    const ink = R.plain(), known = value !== null && value !== undefined, pixel = R.pixel(R.signed(most), known ? value : 0), now = R.state.stage === stage;
    return R.svg("g", { transform: `translate(${x} ${y})`, opacity: shade(stage), "data-stage": stage },
      R.svg("rect", { x: -47, y: -20, width: 94, height: 40, rx: 7, fill: R.css(pixel), stroke: now ? ink.accent : ink.faint, "stroke-width": now ? 2.5 : 1 }),
      R.text(0, 6, R.number(value), { "text-anchor": "middle", "font-size": 17, "font-weight": 650, fill: R.inkOn(pixel) }),
      R.svg("text", { x: 0, y: -29, "text-anchor": "middle", fill: ink.ink, "font-size": 14 }, label),
      note ? R.text(0, 38, note, { "text-anchor": "middle", fill: ink.soft, "font-size": 11.5 }) : null);
  };
  // a valve: two shutters with an opening of the gate's value; with `across` the flow goes from below to above
  const valve = (stage, x, y, value, name, words, across) => {
    const ink = R.plain(), colour = R.lineColour(name), open = Math.max(0, Math.min(1, value ?? 0)), long = 2 * HALF + 12, shut = (1 - open) * long / 2, now = R.state.stage === stage;
    const bar = (at) => across
      ? R.svg("rect", { x: at ? long / 2 - shut : -long / 2, y: -9, width: shut, height: 18, fill: colour })
      : R.svg("rect", { x: -9, y: at ? long / 2 - shut : -long / 2, width: 18, height: shut, fill: colour });
    const frame = across ? { x: -long / 2, y: -12, width: long, height: 24 } : { x: -12, y: -long / 2, width: 24, height: long };
    return R.svg("g", { transform: `translate(${x} ${y})`, opacity: shade(stage), "data-stage": stage, class: "valve" },
      R.svg("rect", { ...frame, rx: 5, fill: ink.ground, stroke: now ? ink.accent : colour, "stroke-width": now ? 3 : 2 }), bar(0), bar(1),
      across
        ? [R.svg("text", { x: 44, y: -4, "font-size": 13, fill: ink.ink }, words.label, R.svg("tspan", { "font-weight": 650 }, ` ${R.number(value)}`)), R.text(44, 13, words.note, { fill: ink.soft, "font-size": 11.5 })]
        : [R.svg("text", { y: -long / 2 - 10, "text-anchor": "middle", "font-size": 13, fill: ink.ink }, words.label, R.svg("tspan", { "font-weight": 650 }, ` ${R.number(value)}`)), R.text(0, long / 2 + 18, words.note, { "text-anchor": "middle", fill: ink.soft, "font-size": 11.5 })]);
  };
  const wire = (stage, d, colour, more = {}) => R.svg("path", { d, fill: "none", stroke: colour, "stroke-width": 2.5, opacity: shade(stage), "data-stage": stage, "marker-end": "url(#arrow)", ...more });
  const thin = (stage, d) => wire(stage, d, R.plain().faint, { "stroke-width": 1.2, "stroke-dasharray": "3 3" });
  const round = (stage, x, y, text, size = 17) => group(stage,
    R.svg("circle", { cx: x, cy: y, r: size, fill: R.plain().ground, stroke: R.state.stage === stage ? R.plain().accent : R.plain().soft, "stroke-width": R.state.stage === stage ? 2.5 : 1.5 }),
    R.text(x, y + 5, text, { "text-anchor": "middle", "font-size": text.length > 1 ? 12 : 20, "font-weight": 600 }));
  const belt = (from, to) => {
    const ink = R.plain(), wheels = [];
    for (let x = from + 14; x < to; x += 28) wheels.push(R.svg("circle", { cx: x, cy: BELT + HALF, r: 4, fill: ink.ground, stroke: ink.faint }));
    return R.svg("g", {}, R.svg("rect", { x: from, y: BELT - HALF, width: to - from, height: 2 * HALF, rx: 12, fill: ink.belt }),
      R.svg("line", { x1: from + 10, x2: to - 10, y1: BELT + HALF, y2: BELT + HALF, stroke: ink.faint, "stroke-width": 2, "stroke-dasharray": "9 7", class: "moving" }), wheels);
  };
  const source = (x, y, label, text) => {
    const ink = R.plain(), shown = text && [...text].length > 9 ? [...text].slice(0, 8).join("") + "…" : text;
    return R.svg("g", {}, R.svg("rect", { x: x - 58, y: y - 19, width: 116, height: 38, rx: 19, fill: ink.ground, stroke: ink.soft }),
      R.svg("text", { x, y: y + 5, "text-anchor": "middle", "font-size": 14, fill: ink.ink }, label, shown ? R.svg("tspan", { "font-weight": 650 }, `  ${shown}`) : null));
  };

  // ---- the three cells ----
  const scenes = {
    lstm(v) {
      const ink = R.plain(), kept = product(v.forget, v.before), written = product(v.input, v.candidate), part = R.part();
      return [
        belt(20, 940),
        wire(1, `M150 ${BELT} H ${232}`, ink.soft), wire(1, `M268 ${BELT} H 348`, ink.soft), wire(3, `M447 ${BELT} H 518`, ink.soft), wire(3, `M562 ${BELT} H 638`, ink.soft), wire(4, `M737 ${BELT} H 926`, ink.soft),
        thin(1, `M250 388 V ${BELT + 66}`), thin(2, "M540 388 V 344"), thin(2, `M430 388 V 232 H 494`), thin(4, "M700 388 V 232 H 764"),
        R.svg("path", { d: "M150 388 H 700", stroke: ink.faint, "stroke-width": 1.5, fill: "none" }),
        source(92, 388, sub("x", "t"), part.token(R.state.step)), source(92, 338, sub("h", "t−1")), R.svg("path", { d: "M150 338 H 170 V 388", stroke: ink.faint, "stroke-width": 1.5, fill: "none" }),
        wire(2, "M540 303 V 250", ink.soft), wire(2, "M540 216 V 196", ink.soft), wire(3, `M540 152 V ${BELT + 22}`, ink.soft),
        wire(4, `M810 ${BELT + HALF} V 150`, ink.soft), wire(4, "M810 186 V 216", ink.soft), wire(4, "M810 246 V 302", ink.soft),
        crate(0, 100, BELT, sub("c", "t−1"), v.before, v.start ? R.t("start") : null),
        valve(1, 250, BELT, v.forget, "forget", { label: sub("f", "t"), note: R.t("keeps", { p: R.percent(v.forget) }) }),
        crate(1, 398, BELT, ["f ∘ ", sub("c", "t−1")].flat(), kept),
        crate(2, 540, 324, null, v.candidate), R.svg("text", { x: 600, y: 329, fill: ink.ink, "font-size": 14, opacity: shade(2) }, sub("g", "t"), R.svg("tspan", { dy: -4, "font-size": 12, fill: ink.soft }, `  ${R.name("candidate")}`)),
        valve(2, 540, 232, v.input, "input", { label: sub("i", "t"), note: R.t("writes", { p: R.percent(v.input) }) }, true),
        crate(2, 540, 174, null, written), R.svg("text", { x: 600, y: 179, fill: ink.ink, "font-size": 14, opacity: shade(2) }, "i ∘ g"),
        round(3, 540, BELT, "+"), crate(3, 688, BELT, sub("c", "t"), v.cell),
        round(4, 810, 168, "tanh", 20), valve(4, 810, 232, v.output, "output", { label: sub("o", "t"), note: R.t("shows", { p: R.percent(v.output) }) }, true),
        crate(4, 810, 324, null, projected() ? v.output * Math.tanh(v.cell) : v.hidden), R.svg("text", { x: 868, y: 329, fill: ink.ink, "font-size": 14, opacity: shade(4) }, sub("h", "t")),
        R.text(936, BELT - HALF - 8, R.t("toNext"), { "text-anchor": "end", fill: ink.soft, "font-size": 11.5, opacity: shade(4) }),
      ];
    },
    gru(v) {
      const ink = R.plain(), kept = product(v.update, v.before), taken = (1 - v.update) * v.candidate, part = R.part();
      return [
        belt(20, 940),
        wire(3, `M150 ${BELT} H 262`, ink.soft), wire(3, `M298 ${BELT} H 358`, ink.soft), wire(4, `M457 ${BELT} H 518`, ink.soft), wire(4, `M562 ${BELT} H 638`, ink.soft), wire(4, `M737 ${BELT} H 926`, ink.soft),
        wire(1, `M170 ${BELT + HALF} V 324 H 284`, ink.soft), wire(2, "M322 324 H 486", ink.soft),
        thin(1, "M215 388 V 346 H 284"), thin(2, "M540 388 V 350"), thin(3, `M390 388 V 256 H 280 V ${BELT + 66}`),
        R.svg("path", { d: "M150 388 H 540", stroke: ink.faint, "stroke-width": 1.5, fill: "none" }), source(92, 388, sub("x", "t"), part.token(R.state.step)),
        wire(3, "M540 303 V 250", ink.soft), wire(3, "M540 216 V 196", ink.soft), wire(4, `M540 152 V ${BELT + 22}`, ink.soft),
        thin(3, `M280 ${BELT + 66} V 232 H 494`),
        crate(0, 100, BELT, sub("h", "t−1"), v.before, v.start ? R.t("start") : null),
        valve(1, 303, 324, v.reset, "reset", { label: sub("r", "t"), note: R.t("sees", { p: R.percent(v.reset) }) }),
        crate(2, 540, 324, null, v.candidate), R.svg("text", { x: 600, y: 329, fill: ink.ink, "font-size": 14, opacity: shade(2) }, sub("n", "t"), R.svg("tspan", { dy: -4, "font-size": 12, fill: ink.soft }, `  ${R.name("candidate")}`)),
        valve(3, 280, BELT, v.update, "update", { label: sub("z", "t"), note: R.t("keeps", { p: R.percent(v.update) }) }),
        crate(3, 408, BELT, ["z ∘ ", sub("h", "t−1")].flat(), kept),
        valve(3, 540, 232, 1 - v.update, "update", { label: ["1 − ", sub("z", "t")].flat(), note: R.t("takes", { p: R.percent(1 - v.update) }) }, true),
        crate(3, 540, 174, null, taken), R.svg("text", { x: 600, y: 179, fill: ink.ink, "font-size": 14, opacity: shade(3) }, "(1 − z) ∘ n"),
        round(4, 540, BELT, "+"), crate(4, 688, BELT, sub("h", "t"), v.hidden),
        R.text(936, BELT - HALF - 8, R.t("toNext"), { "text-anchor": "end", fill: ink.soft, "font-size": 11.5, opacity: shade(4) }),
      ];
    },
    rnn(v) {
      const ink = R.plain(), part = R.part(), squash = part.relu ? "relu" : "tanh", past = v["past of candidate"], input = v["input of candidate"], bias = v["bias of candidate"];
      return [
        belt(20, 250), belt(690, 940),
        wire(1, `M150 ${BELT} H 318`, ink.soft), wire(1, `M447 ${BELT} H 518`, ink.soft), wire(2, `M540 154 V ${BELT + 22}`, ink.soft), wire(3, `M562 ${BELT} H 606`, ink.soft), wire(3, `M654 ${BELT} H 722`, ink.soft), wire(3, `M822 ${BELT} H 926`, ink.soft),
        crate(0, 100, BELT, sub("h", "t−1"), v.before, v.start ? R.t("start") : null),
        group(1, R.svg("path", { d: `M318 ${BELT - 44} V ${BELT + 44} L346 ${BELT + 22} V ${BELT - 22} Z`, fill: ink.belt, stroke: ink.soft })),
        crate(1, 398, BELT, [sub("W", "hn"), " ", sub("h", "t−1")].flat(), past, R.t("past")),
        source(398, 300, sub("x", "t"), part.token(R.state.step)), thin(2, "M456 300 H 540 V 200"),
        bias === null ? null : [wire(2, "M643 176 H 606 V 132 L 560 106", ink.soft), crate(2, 690, 176, null, bias), R.svg("text", { x: 748, y: 181, fill: ink.ink, "font-size": 14, opacity: shade(2) }, sub("b"), R.svg("tspan", { "font-size": 12, fill: ink.soft }, `  ${R.t("biasPart")}`))],
        crate(2, 540, 176, null, input), R.svg("text", { x: 482, y: 181, "text-anchor": "end", fill: ink.ink, "font-size": 14, opacity: shade(2) }, sub("W", "in"), R.svg("tspan", { dy: -4 }, " "), sub("x", "t")),
        round(2, 540, BELT, "+"), round(3, 630, BELT, squash, 23), crate(3, 773, BELT, sub("h", "t"), v.hidden),
        R.text(936, BELT - HALF - 8, R.t("toNext"), { "text-anchor": "end", fill: ink.soft, "font-size": 11.5, opacity: shade(3) }),
      ];
    },
  };
  const product = (a, b) => (a === null || b === null ? null : a * b);
  const projected = () => R.part().has("hidden") && R.part().unitsOf("hidden") !== R.part().units.length;

  const drawing = () => {
    const part = R.part(), v = numbers(), ink = R.plain(), memory = part.cell === "lstm" ? "cell" : "hidden";
    most = Math.max(0.2, ...part.course(memory, R.state.layer, R.state.direction, R.state.unit).map(Math.abs), Math.abs(v.candidate ?? 0));
    const height = part.cell === "rnn" ? 340 : HEIGHT;
    return R.picture(WIDTH, height, { role: "img", style: "width:100%;height:auto" },
      R.svg("defs", {}, R.svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto-start-reverse" }, R.svg("path", { d: "M0 0 L8 4 L0 8 z", fill: ink.soft }))),
      R.svg("g", { transform: "translate(0 14)" }, scenes[part.cell](v)));
  };

  // ---- the equations: symbols, numbers, the result, and the value in the trace ----
  const variable = (base, below) => R.el("span.var", {}, R.el("i", {}, base), below ? R.el("sub", {}, below) : null);
  const n = (value) => R.el("span.num", {}, value !== null && value !== undefined && value < 0 ? `(${R.number(value)})` : R.number(value));
  const result = (value, recorded) => {
    const list = [" = ", R.el("b.result", { "data-value": value === null ? "" : String(value) }, R.number(value))];
    if (recorded !== undefined && value !== null) {
      const fine = Math.abs(value - recorded) <= 1e-3;
      list.push(R.el("span.check", { "data-recorded": String(recorded) }, `${fine ? "✓" : "≠"} ${R.t("recorded")} ${R.number(recorded)}`));
    }
    return list;
  };
  const drive = (v, gate, symbol, name, times) => {
    const [input, past, bias, pastBias] = ["input", "past", "bias", "past bias"].map((term) => v[`${term} of ${gate}`]);
    if (input === null || past === null) return [variable(symbol, "t"), " = ", R.el("b.result", {}, R.number(v[gate]))];
    const labelled = (value, key) => R.el("span.labelled", { "data-label": R.t(key), "data-value": String(value) }, n(value));
    const withBias = (product, key, own) => own === null ? [labelled(product, key)] : [labelled(product, key), " + ", labelled(own, "biasPart")];
    const fromPast = withBias(past, "pastPart", pastBias), scaled = times === undefined ? fromPast : [n(times), " × ", ...(pastBias === null ? fromPast : ["( ", ...fromPast, " )"])];
    const sum = input + (bias ?? 0) + (times ?? 1) * (past + (pastBias ?? 0)), value = name === "σ" ? 1 / (1 + Math.exp(-sum)) : name === "relu" ? Math.max(0, sum) : Math.tanh(sum);
    return [variable(symbol, "t"), ` = ${name}( `, withBias(input, "inputPart", times === undefined ? null : bias), " + ", scaled, times === undefined && bias !== null ? [" + ", labelled(bias, "biasPart")] : null, " )", result(value, v[gate])];
  };
  const equations = {
    lstm: (v) => [
      [drive(v, "forget", "f", "σ"), [variable("f", "t"), " ∘ ", variable("c", "t−1"), " = ", n(v.forget), " × ", n(v.before), result(product(v.forget, v.before))]],
      [drive(v, "candidate", "g", "tanh"), drive(v, "input", "i", "σ"), [variable("i", "t"), " ∘ ", variable("g", "t"), " = ", n(v.input), " × ", n(v.candidate), result(v.input * v.candidate)]],
      [[variable("c", "t"), " = ", variable("f", "t"), " ∘ ", variable("c", "t−1"), " + ", variable("i", "t"), " ∘ ", variable("g", "t"), " = ", n(product(v.forget, v.before)), " + ", n(v.input * v.candidate), result(v.before === null ? null : v.forget * v.before + v.input * v.candidate, v.cell)]],
      [drive(v, "output", "o", "σ"), [variable("h", "t"), " = ", variable("o", "t"), " ∘ tanh(", variable("c", "t"), ") = ", n(v.output), " × ", n(Math.tanh(v.cell)), result(v.output * Math.tanh(v.cell), projected() || v.hidden === null || v.hidden === undefined ? undefined : v.hidden)]],
    ],
    gru: (v) => [
      [drive(v, "reset", "r", "σ")],
      [drive(v, "candidate", "n", "tanh", v.reset)],
      [drive(v, "update", "z", "σ"), [variable("z", "t"), " ∘ ", variable("h", "t−1"), " = ", n(v.update), " × ", n(v.before), result(product(v.update, v.before))], ["(1 − ", variable("z", "t"), ") ∘ ", variable("n", "t"), " = ", n(1 - v.update), " × ", n(v.candidate), result((1 - v.update) * v.candidate)]],
      [[variable("h", "t"), " = (1 − ", variable("z", "t"), ") ∘ ", variable("n", "t"), " + ", variable("z", "t"), " ∘ ", variable("h", "t−1"), " = ", n((1 - v.update) * v.candidate), " + ", n(product(v.update, v.before)), result(v.before === null ? null : (1 - v.update) * v.candidate + v.update * v.before, v.hidden)]],
    ],
    rnn: (v) => {
      const known = v["past of candidate"] !== null && v["input of candidate"] !== null;
      return [
        [[variable("W", "hn"), " ", variable("h", "t−1"), " = ", known ? n(v["past of candidate"]) : "—"]],
        [[variable("W", "in"), " ", variable("x", "t"), " = ", known ? n(v["input of candidate"]) : "—"], ...(v["bias of candidate"] === null ? [] : [[variable("b"), " = ", n(v["bias of candidate"])]])],
        [known ? drive(v, "candidate", "h", R.part().relu ? "relu" : "tanh") : [variable("h", "t"), " = ", R.el("b.result", {}, R.number(v.hidden))]],
      ];
    },
  };

  R.cell = () => {
    if (!drawable()) {
      R.setStage = R.play = null;
      const none = R.section("cell", R.t("cellTitle"), R.t("noCell"));
      return { section: none, draw: () => {}, fit: () => {} };
    }
    const kind = R.part().cell, count = stages();
    const figure = R.figure({
      id: "cell-step", title: R.t("cellFigure"), caption: R.t("cellWide"), picture: drawing,
      python: () => R.python(`step = dict(batch=${R.data.code.row}, time=${R.state.step}, unit=${R.state.unit}, layer=${R.state.layer}, direction=${R.state.direction})\nfor name, array in ${R.parts.length > 1 ? `trace.part(${JSON.stringify(R.part().name)})` : "trace"}.to_xarray().data_vars.items():\n    print(name, float(array.isel(step)))`),
    });
    figure.body.tabIndex = 0;
    // on a narrow screen the drawing is wider than its box: shows the elements of the stage
    const follow = () => {
      const { body } = figure, boxes = [...body.querySelectorAll(`[data-stage="${R.state.stage}"]`)].map((piece) => piece.getBoundingClientRect());
      if (!boxes.length || body.scrollWidth <= body.clientWidth) return;
      const left = Math.min(...boxes.map((box) => box.left)), right = Math.max(...boxes.map((box) => box.right));
      body.scrollLeft += (left + right) / 2 - body.getBoundingClientRect().left - body.clientWidth / 2;
    };
    const steps = R.el("div.stages", { role: "group", "aria-label": R.t("stage") }), formula = R.el("div.equations"), words = R.el("p.says", { "aria-live": "polite" });
    for (let stage = 1; stage <= count; stage++) steps.append(R.el("button", { type: "button", "data-stage": stage, onclick: () => R.setStage(stage) }, R.el("span.count", {}, String(stage)), R.t(`${kind} ${stage}`)));
    const play = R.el("button.play", { type: "button", onclick: () => R.play() }, `▶ ${R.t("play")}`);
    steps.append(play, R.el("button", { type: "button", id: "next-step", onclick: () => advance() }, `${R.t("nextStep")} →`));

    const draw = () => {
      R.state.stage = Math.min(R.state.stage, count);
      figure.body.replaceChildren(drawing());
      const v = numbers(), gate = { lstm: ["forget", "input", null, "output"], gru: ["reset", null, "update", null], rnn: [null, null, null] }[kind][R.state.stage - 1];
      for (const button of steps.querySelectorAll("[data-stage]")) button.setAttribute("aria-pressed", String(Number(button.dataset.stage) === R.state.stage));
      words.textContent = R.t(kind === "rnn" && R.state.stage === 2 && v["bias of candidate"] !== null ? "rnn 2 bias" : `${kind} ${R.state.stage} says`, { p: gate ? R.percent(v[gate]) : "", f: R.part().relu ? "relu" : "tanh" });
      formula.replaceChildren(...equations[kind](v).map((lines, i) => R.el("div.stage", { "data-stage": i + 1, class: `stage${i + 1 === R.state.stage ? " now" : i + 1 < R.state.stage ? " done" : ""}` },
        R.el("span.count", {}, String(i + 1)), R.el("div", {}, lines.map((line) => R.el("div.line", {}, line))))), v.before === null ? R.el("p.hint", {}, R.t("noBefore")) : "");
      follow();
      figure.body.firstChild.setAttribute("aria-label", `${R.t("cellFigure")}: ${R.t(`${kind} ${R.state.stage}`)}. ${formula.querySelector(".now")?.textContent ?? ""}`);
    };
    R.setStage = (stage) => { if (stage <= count) { const from = R.state.stage; R.set({ stage }); if (from < stage) move(stage); } };
    const advance = () => {
      const step = R.state.step + (R.part().backward(R.state.direction) ? -1 : 1);
      R.set({ step: step < 0 || step >= R.part().steps ? (R.part().backward(R.state.direction) ? R.part().steps - 1 : 0) : step, stage: 1 });
      move(1);
    };
    // short animation of the new elements of this stage, unless the reader prefers reduced motion
    const move = (stage) => {
      if (R.calm()) return;
      for (const piece of figure.body.querySelectorAll(`g[data-stage="${stage}"]`)) {
        const inner = piece.classList.contains("valve") ? "scale" : "ride";
        piece.animate(inner === "ride" ? [{ opacity: 0, translate: "-28px 0" }, { opacity: 1, translate: "0 0" }] : [{ opacity: 0.3 }, { opacity: 1 }], { duration: 480, easing: "cubic-bezier(.2,.8,.3,1)" });
      }
      figure.body.querySelector(".moving")?.animate([{ strokeDashoffset: 16 }, { strokeDashoffset: 0 }], { duration: 480 });
    };
    let timer = 0;
    R.stop = () => { clearInterval(timer); timer = 0; play.textContent = `▶ ${R.t("play")}`; };
    R.play = () => {
      if (timer) { R.stop(); return; }
      play.textContent = `■ ${R.t("stop")}`;
      timer = setInterval(() => { if (R.state.stage < count) R.setStage(R.state.stage + 1); else advance(); }, R.calm() ? 2200 : 1400);
    };
    R.watch((changed) => { if (["layer", "direction", "unit", "step", "stage"].some((key) => changed.has(key))) draw(); });
    return { section: R.section("cell", R.t("cellTitle"), R.t("cellLead"), steps, words, figure.root, formula), draw, fit: follow };
  };
}
