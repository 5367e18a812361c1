// Heat maps of gates and states, with a row per unit and a column per step. All share one cursor.
{
  const STORY = ["reset", "forget", "input", "update", "candidate", "cell", "output", "hidden"];
  const HEIGHT = 230;
  let maps = [];

  R.storyOrder = (names) => [...names].sort((a, b) => (STORY.indexOf(a) + 99) % 99 - (STORY.indexOf(b) + 99) % 99);
  const orders = () => ["index", ...Object.keys(R.part().orders), ...(halfLives() ? ["memory"] : [])];
  const halfLives = (part = R.part()) => { const found = R.data.measured.memory?.parts?.[part.name]; return found && (found.gate ?? found.measured); };
  const byMemory = ({ part, layer, direction }) => {
    const values = halfLives(part)?.[layer][direction].map((value) => value === "inf" ? Infinity : value ?? -1);
    return values && part.units.map((_, i) => i).sort((a, b) => values[b] - values[a] || a - b);
  };

  // The heat map of a gate or state. `index` is the number of its recurrent layer; by default the selected one is shown.
  class HeatMap {
    constructor(name, index) {
      Object.assign(this, { name, index });
      const { part } = this.shown, id = index === undefined ? `map-${name}` : `map-${name}-${index}`;
      this.figure = R.figure({
        id, title: index === undefined ? R.name(name) : `${part.name} · ${R.name(name)}`, caption: null,
        python: () => R.python(`plots.plot_raster(${["trace", JSON.stringify(name), ...R.where(index)].join(", ")}).savefig("${name}.svg")`, "trace", this.shown.part),
        picture: () => this.picture(),
      });
      this.figure.root.classList.add("map");
      this.canvas = R.el("canvas");
      this.column = R.el("div.column");
      this.row = R.el("div.row");
      this.ghost = R.el("div.column.ghost", { hidden: true });
      this.plot = R.el("div.plot", { tabindex: 0, role: "application", "aria-roledescription": R.t("heat map") }, this.canvas, this.ghost, this.column, this.row);
      this.axis = R.el("div.axis");
      this.legend = R.el("canvas", { width: 128, height: 1 });
      this.ends = [R.el("span"), R.el("span")];
      this.figure.body.append(R.el("div.legend", {}, this.ends[0], this.legend, this.ends[1]), this.plot, this.axis);
      this.plot.addEventListener("pointermove", (event) => this.hover(event));
      this.plot.addEventListener("pointerleave", () => { R.tip(null); for (const map of maps) map.ghost.hidden = true; });
      this.plot.addEventListener("pointerdown", (event) => { const [unit, step] = this.under(event); this.choose({ unit, step }); });
      this.plot.addEventListener("keydown", (event) => this.key(event));
    }
    get shown() { return R.shown(this.index); }
    choose(change) { R.set(this.index === undefined ? change : { part: this.index, ...change }); }
    setOrder() {
      const { part, layer, direction } = this.shown, chosen = part.orders[R.state.order]?.[layer][direction];
      this.order = chosen ?? (R.state.order === "memory" ? byMemory(this.shown) : null) ?? part.units.map((_, i) => i);
      this.place = [];
      this.order.forEach((unit, row) => { this.place[unit] = row; });
    }
    units() { return this.shown.part.unitsOf(this.name); }
    rows() { return this.units() === this.order.length ? this.order : Array.from({ length: this.units() }, (_, i) => i); }
    // pixels of all units and steps, one each
    paint() {
      const { part, layer, direction } = this.shown, values = part.plane(this.name, layer, direction);
      const rows = this.rows(), steps = part.steps, scale = this.scale = R.scale(this.name, values);
      const image = new ImageData(steps, rows.length), pixels = new Uint32Array(image.data.buffer);
      for (let row = 0, at = 0; row < rows.length; row++) {
        for (let from = rows[row] * steps, end = from + steps; from < end; from++) pixels[at++] = R.pixel(scale, values[from]);
      }
      this.cells = R.el("canvas", { width: steps, height: rows.length });
      this.cells.getContext("2d").putImageData(image, 0, 0);
      const bar = this.legend.getContext("2d");
      for (let i = 0; i < 128; i++) { bar.fillStyle = R.css(scale.pixels[2 * i]); bar.fillRect(i, 0, 1, 1); }
      this.ends[0].textContent = R.number(scale.low).replace(/\.?0+$/, "");
      this.ends[1].textContent = R.number(scale.high).replace(/\.?0+$/, "");
    }
    fit() {
      this.width = this.plot.clientWidth || 300;
      const density = Math.min(2, devicePixelRatio || 1), { canvas } = this;
      canvas.width = Math.round(this.width * density);
      canvas.height = Math.round(HEIGHT * density);
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = canvas.width < this.cells.width || canvas.height < this.cells.height;
      context.imageSmoothingQuality = "high";
      context.drawImage(this.cells, 0, 0, canvas.width, canvas.height);
      const { words, turned, marks } = R.stepLabels(this.shown.part, this.width);
      this.axis.className = `axis${words ? " words" : ""}${turned ? " turned" : ""}`;
      this.axis.replaceChildren(...marks.map((mark) => R.el("span", { style: `left:${mark.at}px` }, mark.text)));
    }
    draw() { this.setOrder(); this.paint(); this.fit(); this.mark(); }
    mark() {
      const { part, unit } = this.shown, { step } = R.state, wide = this.width / part.steps, high = HEIGHT / this.units();
      const row = this.units() === this.order.length ? this.place[unit] : unit;
      this.column.style.width = `${Math.max(3, wide)}px`;
      this.column.style.transform = `translateX(${step * wide - Math.max(0, (3 - wide) / 2)}px)`;
      this.row.hidden = unit >= this.units();
      this.row.style.height = `${Math.max(3, high)}px`;
      this.row.style.transform = `translateY(${row * high - Math.max(0, (3 - high) / 2)}px)`;
      this.plot.setAttribute("aria-label", `${R.name(this.name)}: ${R.t("mapHelp", { units: this.units(), steps: part.steps })} ${R.t("unit")} ${part.units[unit]}, ${R.stepText(part, step)}: ${R.number(R.value(this.name, unit, step, this.index))}`);
    }
    under(event) {
      const box = this.plot.getBoundingClientRect(), rows = this.rows(), { part } = this.shown;
      const row = Math.floor((event.clientY - box.top) / HEIGHT * rows.length), step = Math.floor((event.clientX - box.left) / box.width * part.steps);
      return [rows[Math.max(0, Math.min(rows.length - 1, row))], Math.max(0, Math.min(part.steps - 1, step))];
    }
    hover(event) {
      const { part } = this.shown, [unit, step] = this.under(event);
      R.tip([R.number(R.value(this.name, unit, step, this.index)), R.name(this.name), `${R.t("unit")} ${part.units[unit] ?? unit}`, R.stepText(part, step)], event.clientX, event.clientY);
      for (const map of maps) {
        const each = map.width / map.shown.part.steps;
        map.ghost.hidden = false;
        map.ghost.style.width = `${Math.max(1, each)}px`;
        map.ghost.style.transform = `translateX(${step * each}px)`;
      }
    }
    key(event) {
      const by = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      const { order, place } = this;
      this.choose({ unit: order[Math.max(0, Math.min(order.length - 1, place[this.shown.unit] + by))] });
    }
    picture() {
      const width = 720, height = 360, left = 58, top = 40, wide = width - left - 16, { part } = this.shown, ink = R.plain();
      const axis = R.axis(part, left, top + height, wide), shown = R.el("canvas", { width: 2 * wide, height: 2 * height }), context = shown.getContext("2d");
      context.imageSmoothingEnabled = this.cells.width > shown.width || this.cells.height > shown.height;
      context.drawImage(this.cells, 0, 0, shown.width, shown.height);
      const bar = R.el("canvas", { width: 128, height: 1 });
      bar.getContext("2d").drawImage(this.legend, 0, 0);
      const rows = this.rows(), sorted = rows.some((unit, i) => unit !== i);
      const ticks = sorted ? [] : R.ticks(0, rows.length - 1, 6).filter(Number.isInteger);
      return R.picture(width, top + height + axis.height + 12, {},
        R.text(left, 22, `${R.name(this.name)}${R.placeText(this.index)}`, { "font-size": 15, "font-weight": 600 }),
        R.svg("image", { href: shown.toDataURL(), x: left, y: top, width: wide, height, preserveAspectRatio: "none" }),
        R.svg("image", { href: bar.toDataURL(), x: width - 156, y: 14, width: 100, height: 10, preserveAspectRatio: "none" }),
        R.text(width - 160, 23, this.ends[0].textContent, { "text-anchor": "end", "font-size": 11 }), R.text(width - 52, 23, this.ends[1].textContent, { "font-size": 11 }),
        ticks.map((row) => R.text(left - 8, top + (row + 0.5) * height / rows.length + 4, String(part.units[row] ?? row), { "text-anchor": "end", fill: ink.soft })),
        R.text(0, 0, sorted ? R.t("unitsBy", { order: R.t(`order ${R.state.order}`) }) : R.t("unit"), { transform: `translate(16 ${top + height / 2}) rotate(-90)`, "text-anchor": "middle", fill: ink.soft }),
        axis.drawn);
    }
  }

  // layer and direction in words, if there are several
  R.placeText = (index) => {
    const { part, layer } = R.shown(index), words = [];
    if (R.parts.length > 1) words.push(part.name);
    if (part.layers > 1) words.push(`${R.t("layer")} ${layer}`);
    if (part.directions.length > 1) words.push(R.readingOrder());
    return words.length ? ` · ${words.join(" · ")}` : "";
  };

  // Heat maps of pairs of a gate or state and the number of a recurrent layer. They share the cursor.
  R.heatMaps = (pairs) => {
    maps = pairs.map(([name, index]) => new HeatMap(name, index));
    R.watch((changed) => {
      for (const map of maps) if (["part", "layer", "direction", "order"].some((key) => changed.has(key))) map.draw(); else map.mark();
    });
    return maps;
  };

  R.rasters = () => {
    R.heatMaps(R.storyOrder(R.part().names).map((name) => [name]));
    const choice = R.el("select", { id: "order", onchange: (event) => R.set({ order: event.target.value }) },
      orders().map((name) => R.el("option", { value: name, selected: name === R.state.order }, R.t(`order ${name}`))));
    const section = R.section("gates", R.t("gatesTitle"), R.t(`gatesLead ${R.part().cell}`, {}, "gatesLead"),
      R.el("p.choice", {}, R.el("label", { for: "order" }, R.t("sort")), " ", choice),
      R.el("div.maps", {}, maps.map((map) => map.figure.root)));
    R.watch(() => { choice.value = R.state.order; });
    return { section, draw: () => { for (const map of maps) map.draw(); }, fit: () => { for (const map of maps) { map.fit(); map.mark(); } } };
  };
}
