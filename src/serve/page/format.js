// Numbers, durations, colours, and elements of the page.

/** An element with properties, attributes (`aria-*`, `data-*`, `for`, `role`) and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** A number in few characters, such as 12.3k; an en dash for none. */
export function short(number) {
  if (number === null || number === undefined || !Number.isFinite(number)) return "–";
  const size = Math.abs(number);
  const units = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  for (const [unit, letter] of units) {
    if (size >= unit * 9.9995) return trimmed(number / unit, 3) + letter;
  }
  if (size >= 1e3) return Math.round(number).toString();
  if (size > 0 && size < 1e-3) return number.toExponential(2).replace("e-", "e−").replace(/^-/, "−");
  return trimmed(number, 4);
}

function trimmed(number, digits) {
  const text = Number(number.toPrecision(digits)).toString();
  return text.replace("-", "−");
}

/** A whole number with separators. */
export const whole = (number) => Math.round(number).toLocaleString("en-GB");

/** Seconds in words. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Bytes in words. */
export function bytes(number) {
  return number >= 2 ** 30 ? `${(number / 2 ** 30).toFixed(1)} GiB` : `${Math.round(number / 2 ** 20)} MiB`;
}

/** How many of something there are, in words. */
export const count = (number, one, many = `${one}s`) => `${whole(number)} ${number === 1 ? one : many}`;

const COLORS = 8;
/** Dashes of the second, third, … round of colours. */
const DASHES = [undefined, [8, 4], [3, 3], [10, 3, 2, 3]];

/** The colour and dash of the curve at a place of the choice. */
export function stroke(place) {
  const style = getComputedStyle(document.documentElement);
  return {
    color: style.getPropertyValue(`--c${place % COLORS}`).trim(),
    dash: DASHES[Math.floor(place / COLORS) % DASHES.length],
  };
}

/** A short line in the colour of a curve. */
export function swatch(place) {
  const made = element("span", { className: "swatch", "aria-hidden": "true" });
  const { color, dash } = stroke(place);
  const line = dash ? `repeating-linear-gradient(90deg, ${color} 0 3px, transparent 3px 5px)` : color;
  made.style.background = line;
  return made;
}

/** A colour of the page by its name. */
export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Calls a function when nothing has asked for it for a moment. */
export function settled(work, wait) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), wait);
  };
}
