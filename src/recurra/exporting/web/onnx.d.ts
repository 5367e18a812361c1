import type { Tokenizer } from "./recurra-web.js";

/** The metadata of an ONNX file: texts by name. */
export function readMetadata(bytes: Uint8Array): Record<string, string>;

/** The tokenizer of a tokenizer.json, which the metadata of an ONNX file has as `tokenizer`. */
export function readTokenizer(text: string): Tokenizer;
