// Colours that are safe for colour-blind readers: viridis for shares, blue to orange for signed numbers, and for lines
// the palette of all figures, which comes with the data.
{
  const VIRIDIS = ["440154", "482475", "414487", "355f8d", "2a788e", "21918c", "22a884", "44bf70", "7ad151", "bddf26", "fde725"];
  const SIGNED = {
    light: ["8a3b00", "c65a10", "ee9a4d", "f8d3ab", "f6f4ef", "b9d5ea", "6ba6d2", "2871b0", "0b3f75"],
    dark: ["ffb877", "ee8a35", "b9601c", "6d3f1f", "23272e", "1f4a6d", "2a78ad", "55a7e0", "a9d6fa"],
  };
  const PLAIN = {
    light: { ink: "#1d2430", soft: "#5b6472", faint: "#8a919c", rule: "#d9d6cf", ground: "#ffffff", accent: "#0b5ea8", belt: "#ebe7df", crate: "#ffffff" },
    dark: { ink: "#eceae5", soft: "#a9b0bb", faint: "#7f8793", rule: "#383f49", ground: "#1b2027", accent: "#7cc0ff", belt: "#2a3039", crate: "#1b2027" },
  };
  const rgb = (hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
  // 256 colours between the anchors, as little-endian pixels
  const table = (anchors) => {
    const stops = anchors.map(rgb), pixels = new Uint32Array(256);
    for (let i = 0; i < 256; i++) {
      const place = i / 255 * (stops.length - 1), from = Math.min(stops.length - 2, Math.floor(place)), share = place - from;
      const [r, g, b] = [0, 1, 2].map((c) => Math.round(stops[from][c] + share * (stops[from + 1][c] - stops[from][c])));
      pixels[i] = (255 << 24 | b << 16 | g << 8 | r) >>> 0;
    }
    return pixels;
  };
  const tables = { viridis: table(VIRIDIS), light: table(SIGNED.light), dark: table(SIGNED.dark) };

  R.theme = () => document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  R.plain = () => PLAIN[R.theme()];
  R.lineColour = (name) => R.data.colours[R.theme()][name] || R.plain().accent;
  R.isShare = (name) => ["forget", "input", "output", "reset", "update"].includes(name);
  R.scale = (name, values) => {
    if (R.isShare(name)) return { low: 0, high: 1, pixels: tables.viridis };
    // a few units with large values would leave the other units without colour
    const step = Math.max(1, Math.floor(values.length / 20000)), sample = [];
    for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) sample.push(Math.abs(values[i]));
    sample.sort((a, b) => a - b);
    const most = sample.length ? sample[Math.floor(0.995 * (sample.length - 1))] : 0;
    const high = name === "candidate" && most <= 1 ? 1 : most || 1;
    return { low: -high, high, pixels: tables[R.theme()] };
  };
  R.pixel = (scale, value) => {
    const place = (value - scale.low) / (scale.high - scale.low) * 255;
    return scale.pixels[place > 255 ? 255 : place > 0 ? place | 0 : 0]; // NaN gets the first colour
  };
  R.css = (pixel) => `rgb(${pixel & 255},${pixel >> 8 & 255},${pixel >> 16 & 255})`;
  R.signed = (high) => ({ low: -high, high, pixels: tables[R.theme()] });
  // dark or light text on a colour, the one with more contrast
  R.inkOn = (pixel) => 0.299 * (pixel & 255) + 0.587 * (pixel >> 8 & 255) + 0.114 * (pixel >> 16 & 255) > 140 ? "#14181f" : "#ffffff";
}
