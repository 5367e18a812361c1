// Words and their characters as numbers, as in Python.

const LONGEST = 64; // characters of a word that are read; the middle of a longer one is left out
const MOST_LETTERS = 3; // letters of a character that are read
const UNKNOWN_SIGN = 1; // 0 is no character

// What Python's str.split splits at.
const BLANK_CLASS = String.raw`[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+`;
const BETWEEN = new RegExp(BLANK_CLASS, "u");
const AROUND = new RegExp(`^${BLANK_CLASS}|${BLANK_CLASS}$`, "gu");

/** The words of a text. */
export function splitWords(text) {
  return text.split(BETWEEN).filter((word) => word);
}

/** A text without white space at its begin and end. */
export function stripped(text) {
  return text.replace(AROUND, "");
}

/** A text in NFC, so that Hangul in single letters and in syllables is equal. Lone surrogates become `?`. */
export function composed(text) {
  return text.replace(/\p{Surrogate}/gu, "?").normalize("NFC");
}

/** Numbers of the words and characters of a tagger. */
export class WordEncoder {
  #words;
  #signs;
  #characters;

  /** @param {{words: Record<string, number>, signs: Record<string, number>, characters: string}} config */
  constructor({ words, signs, characters }) {
    this.#words = new Map(Object.entries(words));
    this.#signs = new Map(Object.entries(signs));
    this.#characters = characters;
  }

  /** The number of a word, and its characters: each is a list of itself and its letters, and their numbers. */
  encode(word) {
    const key = composed(word);
    const spelt = this.#spell(key);
    const numbers = spelt.map((signs) => signs.map((sign) => this.#signs.get(sign) ?? UNKNOWN_SIGN));
    return { number: this.#words.get(key) ?? 0, pieces: spelt.map(([sign]) => sign), signs: numbers };
  }

  #spell(word) {
    if (this.#characters === "none") return [];
    let signs = Array.from(word);
    if (signs.length > LONGEST) signs = [...signs.slice(0, LONGEST / 2), ...signs.slice(-LONGEST / 2)];
    if (this.#characters === "char") return signs.map((sign) => [sign]);
    return signs.map((sign) => {
      const letters = Array.from(sign.normalize("NFD"));
      return letters.length > 1 ? [sign, ...letters.slice(0, MOST_LETTERS)] : [sign];
    });
  }
}
