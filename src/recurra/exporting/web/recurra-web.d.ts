/** Steps of numbers, where a step of one number may be given as the number. null and NaN are missing. */
export type Steps = ArrayLike<number | null | ArrayLike<number | null>>;

/** The input of a forecaster. A step has the targets, then features and known columns, as in `config.columns`. */
export interface History {
  history: Steps;
  /** The known columns of the steps to forecast, if the model has them. */
  future?: Steps;
  /**
   * The time of the first step, needed if `config.input.cycles` is not empty: in milliseconds since 1970, on the clock
   * of the training data as if it were UTC. If the times of the training data are numbers, it is a number too.
   */
  time?: number | null;
  /** The name of the series, for the mean and scale of the training data. Those of other series are of the history. */
  series?: string | null;
}

/** A text to continue, and its label if the model was trained with labels. */
export interface Prompt {
  text: string;
  condition?: string | null;
}

/** The samples of a recording, from -1 to 1, and their rate in Hz, which must be that of the model. */
export interface Recording {
  samples: ArrayLike<number>;
  rate: number;
}

/**
 * A text, steps of numbers, or a recording. Taggers also read the words of a sentence, forecasters a history, and language models a
 * prompt.
 */
export type Input = string | Steps | string[] | History | Prompt | Recording;

/** A stack of recurrent layers, as the model file describes it. */
export interface Recurrent {
  cell: "rnn_tanh" | "rnn_relu" | "lstm" | "gru";
  /** Numbers of a step. */
  input: number;
  /** Units per layer and direction. */
  hidden: number;
  /** Size of the projected hidden state of an LSTM, 0 without projection. */
  projected: number;
  layers: number;
  bidirectional: boolean;
  bias: boolean;
  /** Names of the gates, in the order of their rows in the weights. */
  gates: string[];
  states: string[];
  /** Names of the weights, in torch's order. */
  weights: string[];
}

/** Settings of a model. */
export interface Config {
  version: number;
  task: "classify" | "regress" | "layer" | "tag" | "forecast" | "generate" | "fill" | "translate" | "transcribe";
  input:
    | { kind: "text"; tokenizer: TokenizerConfig }
    | { kind: "series"; features: number; mean: number[]; scale: number[]; masked: number[] }
    | { kind: "vectors"; features: number }
    | {
        kind: "words";
        characters: "jamo" | "char" | "none";
        words: Record<string, number>;
        signs: Record<string, number>;
      }
    | {
        kind: "audio";
        rate: number;
        bands: number;
        /** Spectra of a step; there is one every 10 ms. */
        frames: number;
        scale: { mean: number[]; scale: number[] };
      }
    | {
        kind: "history";
        context: number;
        targets: number;
        features: number;
        known: number;
        cycles: ("minute" | "hour" | "weekday" | "year")[];
        masked: boolean;
        /** Mean and scale of the targets of each series; the only series has no name. */
        scales: [string | null, [number[], number[]]][];
        /** Those of features and known columns. */
        side: [number[], number[]];
        frequency: { kind: "number" | "fixed" | "month" | "business"; step: number; end: boolean; local: boolean };
      };
  /** The recurrent stacks, by the name that `recurra.trace` gives them. */
  stacks: Record<string, Recurrent>;
  pooling?: "last" | "mean" | "max" | "attention" | null;
  /** The classes, or the tags and their scheme; or the statistics of the numbers that are predicted. */
  target?:
    | { classes: Label[] }
    | { classes: string[]; scheme: string | null }
    | { mean: number[]; scale: number[]; several: boolean }
    | null;
  /** Of forecasters: names of the columns, steps to forecast, levels of the quantiles, the time step, and sizes. */
  columns?: { time: string[]; target: string[]; features: string[]; known: string[] };
  horizon?: number;
  levels?: number[];
  step?: string;
  sizes?: Record<string, number>;
  /** Of language models: labels, whether texts have an end, and the factor of the embedding. */
  classes?: string[];
  documents?: boolean;
  scale?: number;
  /** Of blank fillers: the share of words of 1, 2, … tokens. */
  spans?: number[];
  /** Of translators: the tokens of the translation, its greatest length by that of the source, and the search. */
  output?: { kind: "text"; tokenizer: TokenizerConfig };
  limit?: [number, number];
  beam?: number;
  lengthPenalty?: number;
  /** Of transcribers, which also have `output` and `beam`. */
  lengthBonus?: number;
}

export type Label = string | number | boolean;

/** The answer for a sequence. The task decides which fields there are. */
export interface Answer {
  /** Of a layer: its outputs `(steps, directions * size)`. */
  output?: Float32Array;
  /** Of classification and regression: the output of the network. Of language models: that for each next token. */
  scores?: Float32Array;
  /** Of classification: by class, in the order of `config.target.classes`. Of tagging: `(words, tags)`. */
  probabilities?: Float32Array | Tensor;
  label?: Label;
  /** Of regression: the numbers, in the unit of the training targets. Of forecasting: `[step][target]`. */
  values?: number[] | number[][];
  /** Of forecasting: `[step][target][level]`, the levels, and the time of each step if that of the history is given. */
  quantiles?: number[][][];
  levels?: number[];
  times?: number[] | null;
  /** Of tagging: the words, the best tags, and the probability of each of them. */
  words?: string[];
  tags?: string[];
  confidence?: number[] | number;
  /** Of language models: the most probable next token, and the most probable ones. */
  token?: string;
  probability?: number;
  top?: Token[];
  /** Of transcription: the `text` and its confidence, and the tokens with the seconds where they begin and end. */
  tokens?: { token: string; start: number; end: number }[];
  /** Of blank filling: the filled text, whose words together have the `probability`, and the best words of each blank. */
  text?: string;
  blanks?: { word: string; probability: number }[][];
  /** Of translation: the best one, the mean log-probability of its tokens, and all that the search found. */
  translation?: string;
  score?: number;
  candidates?: { translation: string; score: number }[];
}

/** A token that may come next; the token "" is the end of the text. */
export interface Token {
  token: string;
  probability: number;
}

/** How the tokens of a text are drawn. */
export interface Sampling {
  /** Greatest number of tokens to write, by default 500. */
  length?: number;
  /** Below 1 more of the probable, above 1 more of the improbable; 0 takes the most probable. By default 0.8. */
  temperature?: number;
  /** Draw among so many of the most probable tokens. */
  topK?: number | null;
  /** Draw among the most probable tokens that together have this probability. */
  topP?: number | null;
  /** The same seed gives the same text, as in Python. */
  seed?: number | bigint | null;
  /** The label of the text, if the model was trained with labels. */
  condition?: string | null;
}

/** Numbers with a shape, in row-major order. */
export interface Tensor {
  data: Float32Array;
  shape: number[];
}

/** What a recurrent stack did with a sequence. */
export interface Part {
  /** Of the stack, as in `recurra.trace`. */
  name: string;
  /** What the sequence is, such as a word; null if the stack reads only one. */
  of: string | null;
  /** The piece of the text of each step; null for numbers. */
  pieces: string[] | null;
  /** By name, `(layers, directions, steps, units)`. */
  gates: Record<string, Tensor>;
  states: Record<string, Tensor>;
}

/** An answer with every gate and state. Pieces, gates and states of the main part are also here. */
export interface Inspection extends Answer, Pick<Part, "pieces" | "gates" | "states"> {
  /** Every sequence that a recurrent stack read, the main one first. */
  parts: Part[];
  /** With attention pooling: the weight of each step. */
  attention: Float32Array | null;
  /** Of translation: the weight of each source token for each token of the translation, `(target, source)`. */
  alignment?: { source: string[]; target: string[]; weights: Tensor };
}

/** The state after a step. Contents other than the states of the layers may change between versions. */
export interface State {
  /** `(layers, size)`. */
  hidden: Float32Array;
  /** Of an LSTM: `(layers, hidden)`. */
  cell?: Float32Array;
  known?: Float32Array;
  pooled?: unknown;
}

/** The answer for a sequence up to a step. `output` is that of the top layer, `(size,)`: a view of the state. */
export interface Step extends Answer {
  output: Float32Array;
  state: State;
}

/** Single steps of one sequence, whose state stays in the memory of the engine. */
export interface Stream {
  /** The answer up to a step. `output` is a view of the memory of the engine, which the next step overwrites. */
  step(input: number | null | ArrayLike<number | null>): Omit<Step, "state">;
  /** A copy of the state; or one to continue from, null to begin. */
  state: State | null;
  /** Begins another sequence. */
  reset(): void;
  /** Releases the memory of the engine. */
  close(): void;
}

/** Options of the answers. */
export interface Options {
  /** Of forecasting: steps to forecast, by default those of the training. */
  horizon?: number;
  /** Number of most probable tokens of a language model, or of words for each blank; by default 5. */
  top?: number;
  /** Of blank filling: whether a blank may be a punctuation mark. */
  marks?: boolean;
  /** Of translation and transcription: size of the search, by default that of the training; 1 is greedy. */
  beam?: number;
  /** Of transcription: what the search adds to the log-probability for each token, by default as in training. */
  lengthBonus?: number;
}

/** The engine, compiled from C++. It computes in float32 on one thread. */
export class Engine {
  /** Compiles engine.wasm from its content or from the answer to a request of it. */
  static load(source: BufferSource | Response | Promise<Response>): Promise<Engine>;
}

/** A model that `recurra export --format web` wrote. */
export class Model {
  /** Compiles the engine and reads a model. */
  static load(sources: {
    engine: BufferSource | Response | Promise<Response>;
    model: ArrayBuffer | Uint8Array;
  }): Promise<Model>;
  constructor(engine: Engine, content: ArrayBuffer | Uint8Array);
  readonly config: Config;
  /** The tokenizer of a model of texts, null for others. */
  readonly tokenizer: Tokenizer | null;
  /** Answers for some inputs, in order. */
  predict(inputs: readonly Input[], options?: Options): Answer[];
  /** The answer for one input, with every gate and state. */
  inspect(input: Input, options?: Options): Inspection;
  /**
   * One step of a sequence: the number of a token, or the numbers of a step. `state` is what the step before returned;
   * null to begin. A bidirectional model has no steps.
   */
  step(input: number | null | ArrayLike<number | null>, state?: State | null): Step;
  /** Opens a stream of single steps, which is faster than `step`. It has its own copy of the weights of the layers. */
  stream(): Stream;
  /** Continues a text, piece by piece, without the prompt. Only language models do. */
  generate(prompt?: string, options?: Sampling): Generator<string, void>;
  /** Releases the memory of the engine. */
  close(): void;
}

export interface TokenizerConfig {
  /** `"bytes"` and `"spaced"` are the kinds of language models with byte-pair pieces and with words. */
  kind: "char" | "word" | "bpe" | "bytes" | "spaced";
  vocab: Record<string, number>;
  merges?: [string, string][] | null;
  specials: string[];
  /** Whether punctuation marks are separate pieces. */
  apart?: boolean;
}

/** A tokenizer with the same numbers as in Python. */
export class Tokenizer {
  constructor(config: TokenizerConfig);
  readonly kind: TokenizerConfig["kind"];
  /** The number of different tokens. */
  readonly size: number;
  /** The numbers of the tokens of a text, and the piece of the text of each one. */
  encode(text: string): { ids: Int32Array; pieces: string[] };
  /** The token with a number. */
  piece(id: number): string | undefined;
  /** The bytes of a token in UTF-8. */
  bytes(id: number): Uint8Array;
}

/** A stack of recurrent layers, for networks that a model file does not describe. */
export class Stack {
  constructor(engine: Engine, recurrent: Recurrent, weights: Float32Array[]);
  readonly recurrent: Recurrent;
  /** 1 or 2. */
  readonly directions: number;
  /** Size of a hidden state. */
  readonly size: number;
  /**
   * Runs whole sequences. `x` is `(batch, steps, input)`; the initial states are `(layers * directions, batch, size)`.
   * With `inspect`, `inspected` has each gate and state `(layers, directions, batch, steps, units)`, NaN after the end
   * of a sequence.
   */
  run(
    x: Float32Array,
    lengths: Int32Array,
    options: { steps: number; hidden?: Float32Array; cell?: Float32Array; inspect?: boolean },
  ): { output: Float32Array; hidden: Float32Array; cell?: Float32Array; inspected: Record<string, Tensor> };
  /** Runs one step of one sequence. The states are `(layers, size)`; null to begin. */
  step(
    x: Float32Array,
    state: { hidden: Float32Array; cell?: Float32Array } | null,
  ): { output: Float32Array; state: { hidden: Float32Array; cell?: Float32Array } };
  /** Opens a stream of single steps, which has its own copy of the weights. */
  stream(): StackStream;
  /** Releases the memory of the engine. */
  close(): void;
}

/** Single steps of a stack. */
export interface StackStream {
  /** The output of the top layer `(size,)`: a view of the memory of the engine, which the next step overwrites. */
  step(x: Float32Array): Float32Array;
  /** A copy of the states `(layers, size)`; or states to continue from, null to begin. */
  state: { hidden: Float32Array; cell?: Float32Array } | null;
  /** Releases the memory of the engine. */
  close(): void;
}

/** Reads a safetensors file of 32-bit floats. */
export function readTensors(content: ArrayBuffer | Uint8Array): {
  tensors: Record<string, Tensor>;
  metadata: Record<string, string>;
};
