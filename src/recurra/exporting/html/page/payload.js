// The data of the figures of the inspection report, from the parts of an inspection of recurra-web.

// (layer, direction, step, unit) to (layer, direction, unit, step)
function turned({ data, shape: [layers, directions, steps, units] }) {
  const found = new Float32Array(data.length);
  for (let plane = 0; plane < layers * directions; plane++) {
    const from = plane * steps * units;
    for (let step = 0; step < steps; step++) for (let unit = 0; unit < units; unit++) found[from + unit * steps + step] = data[from + step * units + unit];
  }
  return { data: found, shape: [layers, directions, units, steps] };
}

// Units by the standard deviation over the steps, the largest first, for each layer and direction.
function byActivity({ data, shape: [layers, directions, units, steps] }) {
  const deviation = (from) => {
    let sum = 0, squares = 0;
    for (let i = from; i < from + steps; i++) sum += data[i];
    for (let i = from; i < from + steps; i++) squares += (data[i] - sum / steps) ** 2;
    return squares;
  };
  return Array.from({ length: layers }, (_, layer) => Array.from({ length: directions }, (_, direction) => {
    const begin = (layer * directions + direction) * units * steps, spread = Array.from({ length: units }, (_, unit) => deviation(begin + unit * steps));
    return spread.map((_, unit) => unit).sort((a, b) => spread[b] - spread[a] || a - b);
  }));
}

function part({ name, of, pieces, gates, states, more = {} }, stack) {
  const arrays = Object.fromEntries(Object.entries({ ...gates, ...states, ...more }).map(([key, tensor]) => [key, turned(tensor)]));
  const { hidden, cell } = arrays, [layers, directions, , steps] = hidden.shape, units = (cell ?? Object.values(arrays)[0]).shape[2];
  return {
    name: of ? `${name} (${of})` : name, cell: stack.cell.replace(/_\w+$/, ""), relu: stack.cell === "rnn_relu", layers, directions: ["forward", "backward"].slice(0, directions),
    units: Array.from({ length: units }, (_, i) => i), first: 0, stride: 1, steps, of: steps, tokens: pieces, arrays, orders: { activity: byActivity(cell ?? hidden) },
  };
}

// parts: of the inspection; about: the description of the model; input: what was inspected.
export function payload(parts, config, about, input) {
  const stackOf = ({ name }) => config.stacks[name.replace(/ \(call \d+\)$/, "")];
  return {
    title: about.name, task: about.title, seconds: null, inputs: null, remarks: [], notes: [], sections: [], measured: {}, colours: about.colours,
    code: { model: `recurra.load(${JSON.stringify(about.file)})`, x: typeof input === "string" ? `[${JSON.stringify(input)}]` : "x", row: 0 },
    parts: parts.map((one) => part(one, stackOf(one))),
  };
}
