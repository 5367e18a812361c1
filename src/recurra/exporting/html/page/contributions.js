// Terms of the argument of each gate, as in Python (inspect/report/gate_inputs.py): the product of the input, the product
// of the previous state, and the bias. The candidate of a GRU has a second bias, which the reset gate scales.
import { standardized } from "./web/series.js";

const MOST = 8e6; // multiplications

// The numbers that the first layer of a classifier or regressor reads, a row for each step.
export function inputsOf(input, { model, config, tensors }) {
  if (typeof input === "string") {
    const { data, shape: [, width] } = tensors["embedding.weight"];
    return Array.from(model.tokenizer.encode(input).ids, (id) => data.subarray(id * width, (id + 1) * width));
  }
  const { mean, scale, masked } = config.input;
  let known = mean.map(() => 0);
  return input.map((step) => {
    const scaled = standardized([step].flat().map((value) => value ?? NaN), mean, scale);
    known = scaled.map((value, i) => Number.isNaN(value) ? known[i] : value);
    return Float32Array.from([...known, ...masked.map((i) => Number(Number.isNaN(scaled[i])))]);
  });
}

// weight · x
function product({ data, shape: [rows, columns] }, x) {
  const found = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let i = 0, at = row * columns; i < columns; i++) sum += data[at + i] * x[i];
    found[row] = sum;
  }
  return found;
}

// Arrays (layer, direction, step, unit) by name, such as "input of forget"; none if they would take too long. A bias has
// one step.
// hidden: the hidden states; rows: the numbers that the first layer reads.
export function contributions(stack, hidden, rows, tensors) {
  const { shape: [layers, directions, steps, size] } = hidden, { gates, hidden: units } = stack;
  const each = units * gates.length * (stack.input + size + (layers - 1) * (directions + 1) * size) * directions;
  if (!steps || each * steps > MOST) return {};
  const stateOf = (layer, direction, step) => hidden.data.subarray(((layer * directions + direction) * steps + step) * size, ((layer * directions + direction) * steps + step + 1) * size);
  const nothing = new Float32Array(size), planes = layers * directions, found = {};
  const put = (term, gate, count, plane, step, values) => {
    const { data } = found[`${term} of ${gate}`] ??= { data: new Float32Array(planes * count * units), shape: [layers, directions, count, units] };
    data.set(values, (plane * count + step) * units);
  };
  for (let layer = 0; layer < layers; layer++) {
    for (let direction = 0; direction < directions; direction++) {
      const plane = layer * directions + direction, weight = (name) => tensors[`recurrent.${name}_l${layer}${direction ? "_reverse" : ""}`];
      for (let step = 0; step < steps; step++) {
        const below = layer ? Float32Array.from(Array.from({ length: directions }, (_, i) => [...stateOf(layer - 1, i, step)]).flat()) : rows[step];
        const before = step + (direction ? 1 : -1), past = before >= 0 && before < steps ? stateOf(layer, direction, before) : nothing;
        const sides = { input: product(weight("weight_ih"), below), past: product(weight("weight_hh"), past) };
        gates.forEach((gate, i) => {
          for (const [side, values] of Object.entries(sides)) put(side, gate, steps, plane, step, values.subarray(i * units, (i + 1) * units));
        });
      }
      const [input, state] = ["bias_ih", "bias_hh"].map((name) => weight(name)?.data);
      for (const [i, gate] of input ? gates.entries() : []) {
        const [own, past] = [input, state].map((values) => values.subarray(i * units, (i + 1) * units)), apart = gate === "candidate" && gates.includes("reset");
        put("bias", gate, 1, plane, 0, apart ? own : own.map((value, unit) => value + past[unit]));
        if (apart) put("past bias", gate, 1, plane, 0, past);
      }
    }
  }
  return found;
}
