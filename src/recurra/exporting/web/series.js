// Numeric inputs: steps of numbers, standardized with the statistics of the training data.

const FARTHEST = 1e18; // the largest standardized value: float32 can hold its square

/** The numbers of a step; a step of one number may be given as the number. null is missing. */
export function numbersOf(step, count) {
  const values = typeof step === "number" || step === null ? [step] : Array.from(step ?? []);
  if (values.length !== count) throw new RangeError(`a step has ${count} numbers, not ${values.length}`);
  return values.map((value) => {
    if (value === null) return NaN;
    if (typeof value !== "number") throw new TypeError(`a step has numbers, not ${JSON.stringify(value)}`);
    return value;
  });
}

/** (value - mean) / scale of each column; a column that was constant in training has scale 0 and becomes 0. */
export function standardized(values, mean, scale) {
  return values.map((value, i) => {
    if (Number.isNaN(value)) return NaN;
    if (Math.abs(value) === Infinity) throw new RangeError("a value is infinite");
    const found = scale[i] ? (value - mean[i]) / scale[i] : 0;
    if (Math.abs(found) > FARTHEST) {
      const away = `${Math.abs(found).toExponential(0)} standard deviations from the mean of the training data`;
      throw new RangeError(`the value ${value} is ${away} (${mean[i]}); give the data in the same unit`);
    }
    return found;
  });
}

/** Steps of a model, as an array. */
export function stepsOf(input) {
  if (typeof input === "string" || typeof input?.length !== "number")
    throw new TypeError("the model reads steps of numbers");
  return Array.from(input);
}
