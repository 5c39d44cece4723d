/** Writes SVG. */

type Attributes = Readonly<Record<string, string | number>>;

/** Formats an element; `children` are SVG already. */
export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const head = Object.entries(attributes).map(([key, value]) => ` ${key}="${attribute(value)}"`);
  const open = `<${name}${head.join("")}`;
  return children.length === 0 ? `${open}/>` : `${open}>${children.join("")}</${name}>`;
}

export function label(text: string, x: number, y: number, attributes: Attributes = {}): string {
  return element("text", { x, y, ...attributes }, escaped(text));
}

/** Formats a line through points. */
export function path(points: readonly (readonly [x: number, y: number])[], attributes: Attributes): string {
  const steps = points.map(([x, y], at) => `${at === 0 ? "M" : "L"}${short(x)} ${short(y)}`);
  return element("path", { d: steps.join(""), ...attributes });
}

function attribute(value: string | number): string {
  return typeof value === "number" ? short(value) : escaped(value);
}

/** Rounds to a tenth of a pixel, which is finer than the eye can see. */
function short(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
