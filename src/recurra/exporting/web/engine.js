// Calls of engine.wasm, the C++ engine of Recurra as WebAssembly. Arrays are copied into its memory and out of it.

const CELLS = { rnn_tanh: 0, rnn_relu: 1, lstm: 2, gru: 3 };
const GATES = { rnn_tanh: 1, rnn_relu: 1, lstm: 4, gru: 3 };

/** The engine. It computes in float32 on one thread. */
export class Engine {
  #exports;

  /**
   * Compiles the engine.
   * @param {BufferSource | Response | Promise<Response>} source content of engine.wasm, or the answer to a request
   */
  static async load(source) {
    const given = await source;
    const bytes = typeof Response !== "undefined" && given instanceof Response ? await given.arrayBuffer() : given;
    return new Engine((await WebAssembly.instantiate(bytes, {})).instance.exports);
  }

  /** @param {WebAssembly.Exports} exports */
  constructor(exports) {
    exports._initialize();
    this.#exports = exports;
  }

  /** The functions of csrc/wasm/interface.cpp. */
  get functions() {
    return this.#exports;
  }

  /** Numbers at an address. The array is invalid after the next allocation. */
  floats(address, count) {
    return new Float32Array(this.#exports.memory.buffer, address, count);
  }

  /** Allocates memory for a number of 32-bit words. */
  space(count) {
    const address = this.#exports.allocate(4 * count);
    if (!address) throw new RangeError(`no memory for ${4 * count} bytes`);
    return address;
  }

  /** Copies numbers into the memory of the engine. */
  put(numbers) {
    const address = this.space(numbers.length);
    new numbers.constructor(this.#exports.memory.buffer, address, numbers.length).set(numbers);
    return address;
  }

  /** Calls `work` with functions like `put` and `space` whose memory is released afterwards. */
  scope(work) {
    const blocks = [];
    const kept = (address) => (blocks.push(address), address);
    try {
      return work({
        put: (numbers) => (numbers ? kept(this.put(numbers)) : 0),
        space: (count) => kept(this.space(count)),
      });
    } finally {
      blocks.forEach((address) => this.#exports.release(address));
    }
  }

  /** rows · weight' + bias, for `count` rows. */
  linear(rows, count, weight, bias) {
    const depth = rows.length / count;
    const columns = weight.length / depth;
    return this.scope(({ put, space }) => {
      const out = space(count * columns);
      this.#exports.linear(put(rows), count, columns, depth, put(weight), put(bias), out);
      return this.floats(out, count * columns).slice();
    });
  }

  /** Attention pooling of `(batch, steps, features)`: the pooled rows, and the weight of each step. */
  attend(rows, lengths, steps, vector, bias) {
    const batch = lengths.length;
    const features = vector.length;
    return this.scope(({ put, space }) => {
      const weights = put(new Float32Array(batch * steps));
      const out = space(batch * features);
      const { attend } = this.#exports;
      attend(put(rows), put(lengths), batch, steps, features, put(vector), put(bias), weights, out);
      return {
        pooled: this.floats(out, batch * features).slice(),
        weights: this.floats(weights, batch * steps).slice(),
      };
    });
  }
}

/** A stack of recurrent layers. */
export class Stack {
  #engine;
  #layout;
  #weights;
  #whole = 0; // address of the stack for whole sequences, 0 before the first one
  #steps = null; // the same for single steps

  /**
   * @param {Engine} engine
   * @param {import("./recurra-web.js").Recurrent} recurrent
   * @param {Float32Array[]} weights in torch's order
   */
  constructor(engine, recurrent, weights) {
    this.#engine = engine;
    this.#weights = weights;
    this.recurrent = recurrent;
    this.directions = recurrent.bidirectional ? 2 : 1;
    this.size = recurrent.projected || recurrent.hidden;
    const { cell, input, hidden, projected, layers, bidirectional, bias } = recurrent;
    this.#layout = Int32Array.of(CELLS[cell], input, hidden, projected, layers, Number(bidirectional), Number(bias));
    if (String(this.#counts()) !== String(weights.map(({ length }) => length)))
      throw new TypeError("the weights do not have the sizes of the layers");
  }

  // Numbers of each weight, in torch's order.
  #counts() {
    const { cell, input, hidden, projected, layers, bias } = this.recurrent;
    const rows = GATES[cell] * hidden;
    return Array.from({ length: layers * this.directions }, (_, i) => [
      rows * (i < this.directions ? input : this.directions * this.size),
      rows * this.size,
      ...(bias ? [rows, rows] : []),
      ...(projected ? [projected * hidden] : []),
    ]).flat();
  }

  get #lstm() {
    return this.recurrent.cell === "lstm";
  }

  #open(name) {
    return this.#engine.scope(({ put }) => {
      const addresses = Int32Array.from(this.#weights, (tensor) => put(tensor));
      return this.#engine.functions[name](put(this.#layout), put(addresses));
    });
  }

  /**
   * Runs whole sequences.
   * @param {Float32Array} x `(batch, steps, input)`
   * @param {Int32Array} lengths steps of each sequence
   * @param {{steps: number, hidden?: Float32Array, cell?: Float32Array, inspect?: boolean}} options number of steps in
   *   `x`; initial states `(layers * directions, batch, size)`; whether to return the gates
   */
  run(x, lengths, { steps, hidden, cell, inspect = false }) {
    const { input, layers, gates, states } = this.recurrent;
    const batch = lengths.length;
    sized(x, batch * steps * input, "x");
    if (!lengths.every((n) => n >= 0 && n <= steps)) throw new RangeError(`lengths must be from 0 to ${steps}`);
    const rows = layers * this.directions;
    sized(hidden, rows * batch * this.size, "the hidden state");
    sized(cell, rows * batch * this.recurrent.hidden, "the cell state");
    this.#whole ||= this.#open("stack_open");
    const engine = this.#engine;
    const sizes = [...gates.map(() => this.recurrent.hidden), this.size, this.recurrent.hidden];
    return engine.scope(({ put, space }) => {
      const counts = { output: batch * steps * this.directions * this.size, hidden: rows * batch * this.size };
      if (this.#lstm) counts.cell = rows * batch * this.recurrent.hidden;
      const to = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, space(count)]));
      const names = inspect ? [...gates, ...states] : [];
      const kept = names.map((_, i) => space(rows * batch * steps * sizes[i]));
      const places = [to.output, to.hidden, to.cell ?? 0, ...kept, 0, 0, 0, 0, 0, 0].slice(0, 9);
      const call = [steps, batch, put(x), put(lengths), put(hidden), put(cell), ...places];
      engine.functions.stack_run(this.#whole, put(Int32Array.from(call)));
      const found = Object.entries(to).map(([name, at]) => [name, engine.floats(at, counts[name]).slice()]);
      const inspected = names.map((name, i) => {
        const shape = [layers, this.directions, batch, steps, sizes[i]];
        return [name, { data: engine.floats(kept[i], rows * batch * steps * sizes[i]).slice(), shape }];
      });
      return { ...Object.fromEntries(found), inspected: Object.fromEntries(inspected) };
    });
  }

  /**
   * Runs one step of one sequence.
   * @param {Float32Array} x `(input,)`
   * @param {{hidden: Float32Array, cell?: Float32Array} | null} state states `(layers, size)`; null to begin
   */
  step(x, state) {
    const { input, hidden, layers } = this.recurrent;
    if (this.directions > 1) throw new TypeError("a bidirectional model reads whole sequences, not single steps");
    sized(x, input, "a step");
    sized(state?.hidden, layers * this.size, "the hidden state");
    sized(state?.cell, layers * hidden, "the cell state");
    const engine = this.#engine;
    const ends = [layers * this.size, layers * (this.size + (this.#lstm ? hidden : 0))]; // of h and c, side by side
    const steps = (this.#steps ??= {
      session: this.#open("session_open"),
      x: engine.space(input),
      y: engine.space(this.size),
      h: engine.space(ends[1]),
      views: [],
    });
    // when the memory grows, arrays in it become empty
    if (!steps.views[0]?.length) steps.views = [engine.floats(steps.x, input), engine.floats(steps.h, ends[1])];
    const [given, states] = steps.views;
    given.set(x);
    if (state) states.set(state.hidden);
    else states.fill(0);
    if (this.#lstm && state) states.set(state.cell, ends[0]);
    engine.functions.session_step(steps.session, steps.x, steps.y, steps.h, steps.h + 4 * ends[0]);
    const found = states.slice(); // one array for all: an allocation takes a tenth of the time of a step
    const after = { hidden: found.subarray(0, ends[0]) };
    if (this.#lstm) after.cell = found.subarray(ends[0]);
    return { output: found.subarray(ends[0] - this.size, ends[0]), state: after };
  }

  /** Releases the memory of the engine. */
  close() {
    const { stack_close, session_close, release } = this.#engine.functions;
    if (this.#whole) stack_close(this.#whole);
    if (this.#steps) {
      const { session, x, y, h } = this.#steps;
      session_close(session);
      [x, y, h].forEach((address) => release(address));
    }
    [this.#whole, this.#steps] = [0, null];
  }
}

function sized(numbers, count, what) {
  if (numbers && numbers.length !== count) throw new RangeError(`${what} has ${count} numbers, not ${numbers.length}`);
}
