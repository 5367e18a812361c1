// Times of steps, and the cycles of the calendar. Times are microseconds since 1970, on the clock of the training data.

const DAY = 86400000000;
const CYCLES = { minute: DAY / 24, hour: DAY, weekday: 7 * DAY };

/** The time of a number of steps after the first one. `frequency`: as in Python, see `Config`. */
export function timeOf(frequency, first, steps) {
  const { kind, step, end } = frequency;
  if (kind === "month") return monthly(first, steps * step, end);
  if (kind === "business") return businessDay(first, steps);
  return first + steps * step;
}

/** Sine and cosine of a time in each cycle. */
export function phasesOf(time, cycles) {
  return cycles.flatMap((cycle) => {
    const angle = 2 * Math.PI * phaseOf(time, cycle);
    return [Math.sin(angle), Math.cos(angle)];
  });
}

function phaseOf(time, cycle) {
  if (cycle !== "year") return (((time % CYCLES[cycle]) + CYCLES[cycle]) % CYCLES[cycle]) / CYCLES[cycle];
  const year = new Date(time / 1000).getUTCFullYear();
  const [begin, next] = [year, year + 1].map((one) => 1000 * Date.UTC(one, 0, 1));
  return (time - begin) / (next - begin);
}

// The time as far from the begin, or the end, of a later month.
function monthly(first, months, end) {
  const date = new Date(first / 1000);
  const from = (later) => {
    const month = date.getUTCMonth() + later;
    return 1000 * Date.UTC(date.getUTCFullYear(), end ? month + 1 : month, end ? 0 : 1);
  };
  return from(months) + (first - from(0));
}

// The time on a later day of Monday to Friday.
function businessDay(first, steps) {
  const day = Math.floor(first / DAY);
  const weekday = (((day + 3) % 7) + 7) % 7; // 1970 began on a Thursday
  if (weekday > 4) throw new RangeError("the time of the first step is not from Monday to Friday");
  const later = weekday + steps;
  return first + (7 * Math.floor(later / 5) + (later % 5) - weekday) * DAY;
}
