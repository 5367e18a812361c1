// The tokenizers of Recurra's text encoders (characters, words, byte-pair pieces), with the same numbers as in Python.

const SPACE = "▁"; // what Metaspace writes for a space

// Words, and runs of other characters, as Rust's Unicode classes \w and \s define them. JavaScript's are of ASCII only.
const LETTERS = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`;
const WORDS = new RegExp(String.raw`[${LETTERS}]+|[^${LETTERS}\p{White_Space}]+`, "gu");

// Words of byte-level pieces, with the space before them.
const SPACED = [String.raw`\p{L}+`, String.raw`\p{N}+`, String.raw`[^\p{White_Space}\p{L}\p{N}]+`].map(
  (kind) => ` ?${kind}`,
);
const BLANKS = [String.raw`\p{White_Space}+(?!\P{White_Space})`, String.raw`\p{White_Space}+`];
const CHUNKS = new RegExp(["'s|'t|'re|'ve|'m|'ll|'d", ...SPACED, ...BLANKS].join("|"), "gu");

// The letter of each byte in byte-level pieces: printable bytes are kept, others begin at 256.
const BYTE_LETTERS = Array.from({ length: 256 }, (_, byte) => byte);
BYTE_LETTERS.filter((byte) => byte < 0x21 || (byte > 0x7e && byte < 0xa1) || byte === 0xad).forEach((byte, i) => {
  BYTE_LETTERS[byte] = 256 + i;
});
const BYTES_OF = new Map(BYTE_LETTERS.map((letter, byte) => [String.fromCharCode(letter), byte]));

// Punctuation marks, as the crate tokenizers defines them.
const MARKS = /([\p{P}!-/:-@[-`{-~])/u;

const SPLITS = {
  char: (text) => Array.from(text),
  word: (text) => text.match(WORDS) ?? [],
  spaced: (text) => text.match(/\n|\P{White_Space}+/gu) ?? [],
  bpe: (text) => {
    const spaced = text.replaceAll(" ", SPACE);
    return (spaced.startsWith(SPACE) ? spaced : SPACE + spaced).split(/(?=▁)/u);
  },
  bytes: (text) =>
    (text.match(CHUNKS) ?? []).map((chunk) =>
      String.fromCharCode(...Array.from(new TextEncoder().encode(chunk), (byte) => BYTE_LETTERS[byte])),
    ),
};

/** A tokenizer from the tokenizer.json that Recurra writes. */
export class Tokenizer {
  #vocab;
  #pieces = [];
  #merges = null;
  #specials;
  #split;
  #names;
  #kept = new Map();

  /**
   * @param {import("./recurra-web.js").TokenizerConfig} config
   */
  constructor({ kind, vocab, merges, specials, apart = false }) {
    this.kind = kind;
    const split = SPLITS[kind];
    this.#split = apart ? (text) => split(text).flatMap((word) => word.split(MARKS).filter((part) => part)) : split;
    this.#vocab = new Map(Object.entries(vocab));
    for (const [piece, id] of this.#vocab) this.#pieces[id] = piece;
    if (merges) this.#merges = new Map(merges.map(([left, right], rank) => [left + "\0" + right, rank]));
    // of several that begin at one place, the longest
    this.#names = new Set(specials);
    const names = [...specials].sort((a, b) => b.length - a.length);
    const literal = names.map((name) => name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
    this.#specials = names.length ? new RegExp(`(${literal.join("|")})`, "u") : null;
  }

  /** The number of different tokens. */
  get size() {
    return this.#pieces.length;
  }

  /**
   * The tokens of a text: their numbers, and the piece of the text of each one.
   * @param {string} text
   * @returns {{ids: Int32Array, pieces: string[]}}
   */
  encode(text) {
    const ids = [];
    const pieces = [];
    const take = (piece) => {
      ids.push(this.#vocab.get(piece) ?? 0);
      pieces.push(piece);
    };
    const valid = text.replace(/\p{Surrogate}/gu, "?");
    const parts = this.#specials ? valid.split(this.#specials) : [valid];
    parts.forEach((part, i) => {
      if (i % 2) return take(part); // a special token that the text contains
      if (!part) return;
      for (const piece of this.#split(part.normalize("NFC")))
        if (this.#merges) this.#merged(piece).forEach(take);
        else take(piece);
    });
    if (this.kind === "bpe") for (let i = 0; i < pieces.length; ++i) pieces[i] = pieces[i].replace(SPACE, "") || " ";
    if (this.kind === "bytes")
      for (let i = 0; i < pieces.length; ++i) pieces[i] = new TextDecoder().decode(bytesOf(pieces[i])).trim() || " ";
    return { ids: Int32Array.from(ids), pieces };
  }

  /** The number of a token, or an error if there is no token with this number. */
  number(id) {
    if (!(Number.isInteger(id) && id >= 0 && id < this.size))
      throw new RangeError(`a step is the number of a token, 0 to ${this.size - 1}, not ${id}`);
    return id;
  }

  /** The bytes of a token in UTF-8. */
  bytes(id) {
    const piece = this.#pieces[id];
    if (this.kind === "bytes") return bytesOf(piece);
    return new TextEncoder().encode(this.kind === "spaced" && piece !== "\n" ? ` ${piece}` : piece);
  }

  /** The token with a number. */
  piece(id) {
    return this.#pieces[id];
  }

  /** A token as readable text. */
  shown(id) {
    const piece = this.#pieces[id];
    return (this.kind === "bpe" && piece.startsWith(SPACE) && piece.slice(SPACE.length)) || piece;
  }

  /** The text of some tokens, without special ones. */
  decode(ids) {
    const pieces = Array.from(ids, (id) => this.#pieces[id]).filter((piece) => !this.#names.has(piece));
    if (this.kind !== "bpe") return pieces.join(this.kind === "word" ? " " : "");
    return pieces.map((piece, i) => piece.replaceAll(SPACE, i ? " " : "")).join("");
  }

  // Merges the characters of a word: the pair that was learned first, then the next, until none is left.
  #merged(word) {
    const known = this.#kept.get(word);
    if (known) return known;
    let parts = Array.from(word);
    for (let best; (best = this.#lowest(parts)) < Infinity; ) parts = this.#mergedAt(parts, best);
    if (this.#kept.size > 10000) this.#kept.clear();
    this.#kept.set(word, parts);
    return parts;
  }

  #rank(left, right) {
    return this.#merges.get(left + "\0" + right) ?? Infinity;
  }

  #lowest(parts) {
    let best = Infinity;
    for (let i = 0; i + 1 < parts.length; ++i) best = Math.min(best, this.#rank(parts[i], parts[i + 1]));
    return best;
  }

  // Merges the pairs of a rank from left to right, until a new pair has a lower rank and is merged first.
  #mergedAt(parts, best) {
    const found = [];
    for (let i = 0; i < parts.length; ++i) {
      if (i + 1 === parts.length || this.#rank(parts[i], parts[i + 1]) !== best) {
        found.push(parts[i]);
        continue;
      }
      const joined = parts[i] + parts[++i];
      const lower = this.#rank(found.at(-1), joined) < best || this.#rank(joined, parts[i + 1]) < best;
      found.push(joined);
      if (lower) return found.concat(parts.slice(i + 1));
    }
    return found;
  }
}

function bytesOf(piece) {
  return Uint8Array.from(piece, (letter) => BYTES_OF.get(letter));
}
