// The density of a flow of the plane on a grid, as a picture: coarse at once, then fine.

import { colour, mixed } from "./pictures.js";

const SIDES = [32, 96];

/** Yields grids of log-densities over a box, rows from the top: `{ side, values }`. */
export async function* densities(flow, box, label) {
  for (const side of SIDES) {
    const points = Array.from({ length: side * side }, (_, i) => [
      box.left + ((i % side) + 0.5) * (box.size / side),
      box.top - (Math.floor(i / side) + 0.5) * (box.size / side),
    ]);
    const values = [];
    for (let at = 0; at < points.length; at += flow.mostRows) {
      const rows = points.slice(at, at + flow.mostRows);
      for (const cost of await flow.cost(rows, rows.map(() => label))) values.push(-cost);
    }
    yield { side, values };
  }
}

/** Returns a canvas of a grid, the density's square root from the background to the accent. */
export function densityPicture({ side, values }) {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const picture = new ImageData(side, side);
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const [from, to] = ["--empty", "--dense"].map(colour);
  values.forEach((value, i) => {
    picture.data.set([...mixed(from, to, Math.exp((value - most) / 2)), 255], 4 * i);
  });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}
