// A simulated sensor: a sine for each feature, noise, and faults from time to time.
const FAULTS = ["offset", "noise", "stuck"];

// Standard normal random number (Box-Muller).
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

export class Sensor {
  // mean and scale: of each feature, from the training data of the model
  constructor(mean, scale) {
    Object.assign(this, { mean, scale: scale.map((value) => value || 1), step: 0, noise: 0.1, faults: 1, fault: null, last: mean.slice() });
  }

  // Begins a fault of one feature, as long as 8 to 24 steps.
  fail() {
    const kind = FAULTS[Math.floor(Math.random() * FAULTS.length)], sign = Math.random() < 0.5 ? -1 : 1;
    this.fault = { kind, feature: Math.floor(Math.random() * this.mean.length), left: 8 + Math.floor(17 * Math.random()), by: sign * (3 + 2 * Math.random()) };
  }

  // Returns the next step, and whether a fault is active.
  next() {
    if (this.fault === null && Math.random() < this.faults / 100) this.fail();
    const { fault } = this, row = this.mean.map((mean, f) => {
      let value = 0.6 * Math.sin(2 * Math.PI * this.step / 24 + 2.1 * f) + 0.3 * Math.sin(2 * Math.PI * this.step / 168 + f) + this.noise * normal();
      if (fault?.feature === f) {
        if (fault.kind === "offset") value += fault.by;
        else if (fault.kind === "noise") value += 2 * normal();
        else return this.last[f];
      }
      return Number((mean + this.scale[f] * value).toPrecision(6));
    });
    this.step += 1;
    this.last = row;
    if (fault && (fault.left -= 1) <= 0) this.fault = null;
    return { row, fault: fault !== null };
  }
}
