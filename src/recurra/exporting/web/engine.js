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

  /** rows · weight' + bias, for `count` rows. `weight` and `bias` are addresses; 0 is no bias. */
  linear(rows, count, columns, weight, bias) {
    return this.scope(({ put, space }) => {
      const out = space(count * columns);
      this.#exports.linear(put(rows), count, columns, rows.length / count, weight, bias, out);
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
  #steps = null; // the stream of `step`

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

  /** Opens a stream: single steps of one sequence. It has its own copy of the weights. */
  stream() {
    const { input, hidden, layers } = this.recurrent;
    if (this.directions > 1) throw new TypeError("a bidirectional model reads whole sequences, not single steps");
    const sizes = { input, output: this.size, hidden: layers * this.size, cell: this.#lstm ? layers * hidden : 0 };
    return new StackStream(this.#engine, this.#open("session_open"), sizes);
  }

  /**
   * Runs one step of one sequence.
   * @param {Float32Array} x `(input,)`
   * @param {{hidden: Float32Array, cell?: Float32Array} | null} state states `(layers, size)`; null to begin
   */
  step(x, state) {
    this.#steps ??= this.stream();
    this.#steps.state = state;
    this.#steps.step(x);
    const after = this.#steps.state;
    return { output: after.hidden.subarray(after.hidden.length - this.size), state: after };
  }

  /** Releases the memory of the engine. */
  close() {
    if (this.#whole) this.#engine.functions.stack_close(this.#whole);
    this.#steps?.close();
    [this.#whole, this.#steps] = [0, null];
  }
}

/** Single steps of one sequence. The state stays in the memory of the engine. */
export class StackStream {
  #engine;
  #session;
  #sizes;
  #at; // addresses of the input, the output and the states
  #views = [];

  /**
   * @param {Engine} engine
   * @param {number} session from session_open
   * @param {{input: number, output: number, hidden: number, cell: number}} sizes
   */
  constructor(engine, session, sizes) {
    this.#engine = engine;
    this.#session = session;
    this.#sizes = sizes;
    const { input, output, hidden, cell } = sizes;
    this.#at = { x: engine.space(input), y: engine.space(output), h: engine.space(hidden + cell) };
  }

  // Arrays in the memory of the engine. When the memory grows, they become empty.
  #arrays() {
    if (!this.#at) throw new TypeError("the stream is closed");
    if (!this.#views[0]?.length) {
      const { input, output, hidden, cell } = this.#sizes;
      const { x, y, h } = this.#at;
      this.#views = [
        [x, input],
        [y, output],
        [h, hidden + cell],
      ].map(([at, n]) => this.#engine.floats(at, n));
    }
    return this.#views;
  }

  /**
   * Runs a step. The output is a view of the memory of the engine, which the next step overwrites.
   * @param {Float32Array} x `(input,)`
   */
  step(x) {
    const [given, output] = this.#views[0]?.length ? this.#views : this.#arrays();
    if (x.length !== given.length) sized(x, given.length, "a step");
    given.set(x);
    this.#engine.functions.session_step(this.#session, this.#at.x, this.#at.y);
    return output;
  }

  /** A copy of the states `(layers, size)`, or states to continue from; null to begin. */
  get state() {
    const [, , states] = this.#arrays();
    const { hidden, cell } = this.#sizes;
    this.#engine.functions.session_read(this.#session, this.#at.h, this.#at.h + 4 * hidden);
    const found = states.slice(); // one array for all: an allocation takes a tenth of the time of a step
    const kept = { hidden: found.subarray(0, hidden) };
    if (cell) kept.cell = found.subarray(hidden);
    return kept;
  }

  set state(state) {
    const [, , states] = this.#arrays();
    const { hidden, cell } = this.#sizes;
    sized(state?.hidden, hidden, "the hidden state");
    sized(state?.cell, cell, "the cell state");
    if (state) states.set(state.hidden);
    else states.fill(0);
    if (cell && state) states.set(state.cell, hidden);
    this.#engine.functions.session_write(this.#session, this.#at.h, this.#at.h + 4 * hidden);
  }

  /** Releases the memory of the engine. */
  close() {
    if (!this.#at) return;
    const { session_close, release } = this.#engine.functions;
    session_close(this.#session);
    Object.values(this.#at).forEach((address) => release(address));
    [this.#at, this.#views] = [null, []];
  }
}

function sized(numbers, count, what) {
  if (numbers && numbers.length !== count) throw new RangeError(`${what} has ${count} numbers, not ${numbers.length}`);
}
