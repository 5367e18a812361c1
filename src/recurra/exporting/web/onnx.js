// Reads what the ONNX files of Recurra contain besides their graph, for programs that run them with onnxruntime-web.

import { Tokenizer } from "./tokenizer.js";

const METADATA = 14; // number of the field `metadata_props` in ONNX's ModelProto

/**
 * The metadata of an ONNX file: texts by name.
 * @param {Uint8Array} bytes
 * @returns {Record<string, string>}
 */
export function readMetadata(bytes) {
  const found = {};
  for (const [field, entry] of fields(bytes)) {
    if (field !== METADATA) continue;
    const [name, text] = [1, 2].map((part) => fields(entry).find(([number]) => number === part)?.[1]);
    found[decode(name)] = decode(text);
  }
  return found;
}

/**
 * The tokenizer of a tokenizer.json, which the metadata of an ONNX file has as `tokenizer`.
 * @param {string} text
 */
export function readTokenizer(text) {
  const { model, pre_tokenizer: split, added_tokens: added } = JSON.parse(text);
  const kind = { Split: "char", Whitespace: "word", Metaspace: "bpe" }[split?.type];
  if (!kind) throw new Error(`recurra-web has no tokenizer of the type ${split?.type}`);
  const { vocab, merges } = model;
  return new Tokenizer({ kind, vocab, merges, specials: added.map(({ content }) => content) });
}

function decode(bytes) {
  return new TextDecoder().decode(bytes ?? new Uint8Array());
}

// The fields of a protobuf message that have a length: pairs of number and bytes.
function fields(bytes) {
  const found = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = bytes[at++];
      value += (byte % 128) * unit;
      if (!(byte >= 128)) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    const length = kind === 1 ? 8 : kind === 5 ? 4 : varint();
    if (![0, 1, 2, 5].includes(kind) || (kind === 2 && !(at + length <= bytes.length)))
      throw new Error("this is not an ONNX file");
    if (kind === 2) found.push([Math.floor(tag / 8), bytes.subarray(at, at + length)]);
    if (kind !== 0) at += length;
  }
  return found;
}
