// Log-mel spectra of recordings, as kaldi_native_fbank computes them: windows of 25 ms, one every 10 ms.

const [WINDOW_MS, HOP_MS] = [25, 10];
const [PREEMPHASIS, LOWEST] = [0.97, 20]; // LOWEST: Hz
const FLOOR = 2 ** -23; // smallest energy

/**
 * Logarithms of the energies in mel bands, `(time, bands)`; empty below 5 ms.
 * @param {Float32Array} samples
 * @param {number} rate in Hz
 * @param {number} bands
 */
export function logMel(samples, rate, bands) {
  const [length, hop] = [WINDOW_MS, HOP_MS].map((ms) => Math.floor(rate * 0.001 * ms));
  const size = 2 ** Math.ceil(Math.log2(length));
  const shape = Float64Array.from(
    { length },
    (_, i) => (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (length - 1))) ** 0.85,
  );
  const filters = melFilters(rate, size, bands);
  const frames = Math.floor((samples.length + (hop >> 1)) / hop);
  const found = new Float32Array(frames * bands);
  for (let frame = 0; frame < frames; ++frame) {
    const energies = spectrum(windowAt(samples, frame * hop + (hop >> 1) - (length >> 1), shape), size);
    filters.forEach(({ first, weights }, band) => {
      const energy = weights.reduce((sum, weight, i) => sum + weight * energies[first + i], 0);
      found[frame * bands + band] = Math.log(Math.max(energy, FLOOR));
    });
  }
  return found;
}

// The samples of a window without their mean, with high frequencies raised. Beyond its ends a recording is mirrored.
function windowAt(samples, begin, shape) {
  const { length } = samples;
  const at = (i) => {
    for (;;) {
      if (i < 0) i = -i - 1;
      else if (i >= length) i = 2 * length - 1 - i;
      else return samples[i];
    }
  };
  const values = shape.map((_, i) => at(begin + i));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value, i) => shape[i] * (value - mean - PREEMPHASIS * (values[Math.max(i - 1, 0)] - mean)));
}

// Energies of the frequencies of a window, by a fast Fourier transform.
function spectrum(values, size) {
  const real = new Float64Array(size);
  const imaginary = new Float64Array(size);
  const bits = Math.log2(size);
  values.forEach((value, i) => {
    let place = 0;
    for (let bit = 0; bit < bits; ++bit) if ((i >> bit) & 1) place |= 1 << (bits - 1 - bit);
    real[place] = value;
  });
  for (let half = 1; half < size; half *= 2)
    for (let k = 0; k < half; ++k) {
      const [cosine, sine] = [Math.cos((Math.PI * k) / half), -Math.sin((Math.PI * k) / half)];
      for (let i = k; i < size; i += 2 * half) {
        const j = i + half;
        const [re, im] = [cosine * real[j] - sine * imaginary[j], cosine * imaginary[j] + sine * real[j]];
        [real[j], imaginary[j]] = [real[i] - re, imaginary[i] - im];
        [real[i], imaginary[i]] = [real[i] + re, imaginary[i] + im];
      }
    }
  return real.subarray(0, size / 2).map((re, i) => re * re + imaginary[i] * imaginary[i]);
}

const melOf = (hertz) => 1127 * Math.log(1 + hertz / 700);

// For each band the first frequency and the weights of the triangle.
function melFilters(rate, size, bands) {
  const mels = Array.from({ length: size / 2 }, (_, i) => melOf((rate / size) * i));
  const [low, high] = [melOf(LOWEST), melOf(rate / 2)];
  const step = (high - low) / (bands + 1);
  return Array.from({ length: bands }, (_, band) => {
    const weight = (mel) => 1 - Math.abs(mel - low - (band + 1) * step) / step;
    const first = mels.findIndex((mel) => weight(mel) > 0);
    const inside = mels.map(weight).filter((value) => value > 0);
    return { first: Math.max(first, 0), weights: inside };
  });
}
