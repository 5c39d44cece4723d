/** Panels on a sheet, with colours for light and dark. */
import { drawPanel, type Panel, panelSize } from "./panel.ts";
import { element, label } from "./svg.ts";

interface Colours {
  readonly sheet: string;
  readonly text: string;
  readonly strong: string;
  readonly grid: string;
  readonly subject: string;
  readonly baseline: string;
}

const light: Colours = {
  sheet: "#ffffff",
  text: "#57606a",
  strong: "#1f2328",
  grid: "#d8dee4",
  subject: "#0969da",
  baseline: "#bc4c00",
};
const dark: Colours = {
  sheet: "#0d1117",
  text: "#9198a1",
  strong: "#e6edf3",
  grid: "#30363d",
  subject: "#58a6ff",
  baseline: "#f0883e",
};

/** The sheet has its own background, so the picture is readable on any page. */
function style(colours: Colours): string {
  return [
    `.sheet{fill:${colours.sheet}}`,
    `text{fill:${colours.text}}`,
    `.title{fill:${colours.strong}}`,
    `.grid{stroke:${colours.grid}}`,
    `.ring{stroke:${colours.strong}}`,
    `.line.subject,.line.tail{stroke:${colours.subject}}`,
    `.line.baseline{stroke:${colours.baseline}}`,
    `text.subject,circle.subject,text.tail,circle.tail{fill:${colours.subject}}`,
    `text.baseline,circle.baseline{fill:${colours.baseline}}`,
  ].join("");
}

const shapes = [
  "text{font:12px system-ui,sans-serif}",
  ".title{font-weight:600;font-size:13px}",
  ".name{font-weight:600}",
  ".grid{stroke-width:1;fill:none}",
  ".ring{stroke-width:1.5;fill:none}",
  ".line{stroke-width:2;fill:none;stroke-linejoin:round}",
  ".line.baseline{stroke-dasharray:5 4}",
  ".line.tail{stroke-dasharray:1 4}",
].join("");

const padding = 12;
const noteHeight = 18;

/** Draws the panels in two columns with the note below. The same input always gives the same text. */
export function drawPicture(title: string, panels: readonly Panel[], note: string): string {
  const columns = Math.min(panels.length, 2);
  const rows = Math.ceil(panels.length / columns);
  const width = padding * 2 + columns * panelSize.width;
  const height = padding * 2 + rows * panelSize.height + noteHeight;
  const placed = panels.map((panel, at) => {
    const x = padding + (at % columns) * panelSize.width;
    const y = padding + Math.floor(at / columns) * panelSize.height;
    return element("g", { transform: `translate(${x} ${y})` }, `\n${drawPanel(panel)}\n`);
  });
  const parts = [
    element("title", {}, title),
    element("style", {}, `${shapes}${style(light)}@media (prefers-color-scheme:dark){${style(dark)}}`),
    element("rect", { width, height, rx: 8, class: "sheet" }),
    ...placed,
    label(note, padding + 4, height - padding),
  ];
  const attributes = {
    xmlns: "http://www.w3.org/2000/svg",
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
  };
  return `${element("svg", { ...attributes, role: "img" }, `\n${parts.join("\n")}\n`)}\n`;
}
