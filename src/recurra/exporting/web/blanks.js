// Texts with blanks: how they are written, and how they become tokens. See recurra/tasks/fill/blanks.py.

import { splitWords } from "./words.js";

export { FIRST, LATER };

const BLANK = /\[\s*\]|_{3,}/gu;
const MOST_BLANKS = 20;
const OUTSIDE = "\ue000"; // a character of private use, which no vocabulary has

const [FIRST, LATER] = [0, 1]; // tokens that begin a word, and tokens that continue it

/**
 * Finds the blanks `[ ]` or `___` of a text.
 * @param {string} given
 * @param {import("./tokenizer.js").Tokenizer} tokenizer
 * @returns the text, the tokens before, between and after the blanks, and for each blank whether it continues a word
 */
export function parseBlanks(given, tokenizer) {
  const text = splitWords(given).join(" ");
  if (!text) throw new RangeError("the text is empty: write one with a blank [ ] in it");
  const pieces = text.split(BLANK);
  const blanks = pieces.length - 1;
  if (!blanks)
    throw new RangeError(`there is no blank in ${JSON.stringify(text)}: write [ ] or ___ where a word is missing`);
  if (blanks > MOST_BLANKS)
    throw new RangeError(`the text has ${blanks} blanks; at most ${MOST_BLANKS} are filled together`);
  if (!pieces.join("").trim())
    throw new RangeError("the text is nothing but blanks: write some of the words around them");
  const glued = pieces.slice(0, -1).map((piece) => piece !== "" && !piece.endsWith(" "));
  const parts = pieces.map((piece, i) => encodePart(piece, i > 0 && piece !== "" && !piece.startsWith(" "), tokenizer));
  return { text, parts, glued };
}

/** The text with words in its blanks. */
export function withWords({ text }, words) {
  const rest = [...words];
  return text.replace(BLANK, () => rest.shift());
}

// The tokens of a piece of text; `glued` if it continues a word.
function encodePart(piece, glued, tokenizer) {
  if (tokenizer.kind === "char") return tokenizer.encode(piece);
  const text = piece.trim();
  if (tokenizer.kind === "word" || !glued || !text) return tokenizer.encode(marked(text, tokenizer.kind));
  const { ids, pieces } = tokenizer.encode(marked(OUTSIDE + text, tokenizer.kind));
  return { ids: ids.slice(2), pieces: pieces.slice(2) }; // without the mark and the space that begins every text
}

// Corpora whose rare words were removed have `<unk>` in their place.
function marked(text, kind) {
  return splitWords(text)
    .join(" ")
    .replace(kind === "bpe" ? /\s*<unk>/giu : /<unk>/giu, "[UNK]");
}
