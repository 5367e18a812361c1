// Single steps of one sequence, whose state stays in the memory of the engine.

/** The stream of a model. */
export class StepStream {
  #steps;
  #encode;
  #finish;
  #known = null;
  #pooled = null;

  /**
   * @param {import("./engine.js").StackStream} steps
   * @param {(input: any, known: Float32Array | null) => {x: Float32Array, known: Float32Array | null}} encode
   * @param {(output: Float32Array, pooled: any) => {pooled?: any}} finish the answer for the output of the top layer
   */
  constructor(steps, encode, finish) {
    this.#steps = steps;
    this.#encode = encode;
    this.#finish = finish;
  }

  step(input) {
    const { x, known } = this.#encode(input, this.#known);
    const output = this.#steps.step(x);
    const { pooled, ...answer } = this.#finish(output, this.#pooled);
    this.#known = known;
    this.#pooled = pooled ?? null;
    answer.output = output;
    return answer;
  }

  get state() {
    const state = this.#steps.state;
    if (this.#known) state.known = this.#known;
    if (this.#pooled) state.pooled = this.#pooled;
    return state;
  }

  set state(state) {
    this.#steps.state = state;
    this.#known = state?.known ?? null;
    this.#pooled = state?.pooled ?? null;
  }

  reset() {
    this.state = null;
  }

  close() {
    this.#steps.close();
  }
}
