// Recordings as the input of a network: standardized spectra, several of them in a step.

import { logMel } from "./logmel.js";
import { standardized } from "./series.js";

/**
 * The steps of a recording, `(steps, frames * bands)`.
 * @param {{rate: number, bands: number, frames: number, scale: {mean: number[], scale: number[]}}} config
 * @param {import("./recurra-web.js").Recording} input
 */
export function encodeRecording({ rate, bands, frames, scale }, input) {
  const { samples } = input ?? {};
  if (typeof samples?.length !== "number" || typeof samples === "string")
    throw new TypeError("the model reads recordings: objects with samples and their rate");
  if (input.rate !== rate)
    throw new RangeError(
      `the model reads recordings of ${rate} Hz, not ${input.rate} Hz: resample first, such as with OfflineAudioContext`,
    );
  const numbers = Float32Array.from(samples);
  if (!numbers.every(Number.isFinite)) throw new RangeError("a sample is not a finite number");
  const spectra = logMel(numbers, rate, bands);
  const count = spectra.length / bands;
  const rows = new Float32Array(Math.ceil(count / frames) * frames * bands);
  for (let i = 0; i < count; ++i) {
    const row = Array.from(spectra.subarray(i * bands, (i + 1) * bands));
    rows.set(standardized(row, scale.mean, scale.scale), i * bands);
  }
  return rows;
}
