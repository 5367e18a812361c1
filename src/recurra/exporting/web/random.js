// NumPy's default generator of random numbers (PCG64, seeded by SeedSequence): the same seed gives the same numbers.

const MASK = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/** Returns a function that draws numbers from 0 to 1. Without a seed they are different each time. */
export function randomNumbers(seed = null) {
  const words = seed === null ? Array.from(crypto.getRandomValues(new Uint32Array(4))) : wordsOf(seed);
  const [high, low, otherHigh, otherLow] = seedState(words);
  const increment = ((((otherHigh << 64n) | otherLow) << 1n) | 1n) & MASK;
  let state = 0n;
  const advance = () => (state = (state * MULTIPLIER + increment) & MASK);
  advance();
  state = (state + ((high << 64n) | low)) & MASK;
  advance();
  return () => {
    advance();
    const turn = state >> 122n;
    const mixed = BigInt.asUintN(64, (state >> 64n) ^ state);
    const turned = BigInt.asUintN(64, (mixed >> turn) | (mixed << (64n - turn)));
    return Number(turned >> 11n) / 2 ** 53;
  };
}

// The 32-bit words of a seed, the lowest first.
function wordsOf(seed) {
  if (!(typeof seed === "bigint" || Number.isSafeInteger(seed)) || seed < 0)
    throw new RangeError(`a seed is a whole number of at least 0, not ${seed}`);
  const words = [];
  for (let rest = BigInt(seed); rest || !words.length; rest >>= 32n) words.push(Number(rest & 0xffffffffn));
  return words;
}

// Four 64-bit words, by the hash of SeedSequence.
function seedState(words) {
  let constant = 0x43b0d7e5;
  const hash = (value) => {
    value ^= constant;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return (value ^ (value >>> 16)) >>> 0;
  };
  const mix = (a, b) => {
    const found = Math.imul(a, 0xca01f9dd) - Math.imul(b, 0x4973f715);
    return (found ^ ((found | 0) >>> 16)) >>> 0;
  };
  const pool = Array.from({ length: 4 }, (_, i) => hash(words[i] ?? 0));
  for (let from = 0; from < 4; ++from)
    for (let to = 0; to < 4; ++to) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  for (const word of words.slice(4)) for (let to = 0; to < 4; ++to) pool[to] = mix(pool[to], hash(word));
  constant = 0x8b51f9dd;
  const halves = Array.from({ length: 8 }, (_, i) => {
    let value = pool[i % 4] ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    value = Math.imul(value, constant);
    return BigInt((value ^ (value >>> 16)) >>> 0);
  });
  return [0, 2, 4, 6].map((i) => halves[i] | (halves[i + 1] << 32n));
}
