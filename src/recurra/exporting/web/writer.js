// Writes a text token by token. A token may begin or end within a character.

/** Decodes tokens, and returns characters as soon as they are complete. */
export class Writer {
  #words;
  #pending = []; // bytes of a character that is not complete
  #possible = new Map();

  /** @param {Uint8Array[]} words bytes of each token in UTF-8 */
  constructor(words) {
    this.#words = words;
  }

  /** The text that a token completes. */
  write(token) {
    const bytes = [...this.#pending, ...this.#words[token]];
    const end = completeOf(bytes);
    this.#pending = bytes.slice(end);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes.slice(0, end)));
  }

  /** Whether the text so far ends within a character. */
  get within() {
    return this.#pending.length > 0;
  }

  /** For each token whether it can come next in a valid text. */
  possible() {
    const key = String(this.#pending);
    if (!this.#possible.has(key)) {
      const found = this.#words.map((word) => completeOf([...this.#pending, ...word]) >= 0);
      this.#possible.set(key, found);
    }
    return this.#possible.get(key);
  }
}

// The end of the last complete character of a text in UTF-8, which may end within a character; -1 for invalid bytes.
function completeOf(bytes) {
  let at = 0;
  while (at < bytes.length) {
    const [count, low, high] = characterOf(bytes[at]);
    if (!count) return -1;
    for (let i = 1; i < count; ++i) {
      const byte = bytes[at + i];
      if (byte === undefined) return at;
      if (byte < (i === 1 ? low : 0x80) || byte > (i === 1 ? high : 0xbf)) return -1;
    }
    at += count;
  }
  return at;
}

// The number of bytes of a character by its first byte (0: it begins none), and the range of the second byte.
function characterOf(first) {
  if (first < 0x80) return [1];
  if (first < 0xc2 || first > 0xf4) return [0];
  if (first < 0xe0) return [2, 0x80, 0xbf];
  if (first < 0xf0) return [3, first === 0xe0 ? 0xa0 : 0x80, first === 0xed ? 0x9f : 0xbf];
  return [4, first === 0xf0 ? 0x90 : 0x80, first === 0xf4 ? 0x8f : 0xbf];
}
