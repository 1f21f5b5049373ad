// Latents of an image as pictures, scale by scale, and the image with some of them drawn anew.

import { latest } from "./latest.js";
import * as link from "./link.js";
import { addPictures, drawImage, drawLatents, whenColoursChange } from "./pictures.js";
import { addSlider, freshSeed, parts } from "./page.js";
import { normals } from "./random.js";

const COUNT = 8;
const STREAM = 1000; // beside those of the samples

/** @param choose is given the pixels and the class of the image that somebody chooses */
export function latentsPanel(root, flow, { choose, signal }) {
  const part = parts(root);
  const { bounds } = flow;
  const scales = flow.scales.map((shape, i) => addScale(part.scales, flow, shape, i));
  const slider = addSlider(part.temperature, "Temperature of what is drawn anew", {
    min: 0,
    max: 1.5,
    step: 0.05,
    value: 1,
  });
  const pictures = addPictures(part.grid, COUNT, (i) => images.length && choose(images[i], label));
  let [latents, label, images] = [null, null, []];
  let seed = link.whole("redraw", 0, { least: 0, most: 2 ** 32 - 1 });

  const redraw = latest(
    (from, given, key, temperature, chosen) => {
      const rows = Array.from({ length: COUNT }, (_, i) => {
        const fresh = normals(key, STREAM + i, flow.size);
        const row = Array.from(from);
        for (const k of chosen) {
          for (let at = bounds[k]; at < bounds[k + 1]; at++) row[at] = temperature * fresh[at];
        }
        return row;
      });
      return flow.decode(rows, rows.map(() => given));
    },
    (found) => {
      images = found;
      images.forEach((image, i) => {
        drawImage(pictures[i].canvas, image, flow);
        pictures[i].button.setAttribute("aria-label", `Variant ${i + 1}: look at it`);
      });
    },
  );

  function update() {
    if (!latents) return;
    const chosen = scales.flatMap(({ box }, i) => (box.checked ? [i] : []));
    redraw(latents, label, seed, slider.valueAsNumber, chosen);
  }

  function draw() {
    if (!latents) return;
    scales.forEach(({ canvas, caption }, i) => {
      const values = latents.slice(bounds[i], bounds[i + 1]);
      const square = values.reduce((sum, value) => sum + value * value, 0) / values.length;
      drawLatents(canvas, values, flow.scales[i]);
      caption.textContent = `${flow.scales[i].join("×")}, mean square ${square.toFixed(2)}`;
      canvas.setAttribute("aria-label", `Latents, ${flow.scaleName(i)}: mean square ${square.toFixed(2)}`);
    });
  }

  whenColoursChange(draw, signal);
  slider.addEventListener("input", update);
  part.scales.addEventListener("change", update);
  part.next.addEventListener("click", () => {
    seed = freshSeed();
    link.put("redraw", seed);
    update();
  });

  return {
    /** Shows the latents of an image, and the class that it was given. */
    show(found, given) {
      [latents, label] = [found, given];
      draw();
      update();
    },
  };
}

function addScale(place, flow, shape, index) {
  const figure = document.createElement("figure");
  const canvas = document.createElement("canvas");
  const label = document.createElement("label");
  const box = document.createElement("input");
  const caption = document.createElement("figcaption");
  canvas.setAttribute("role", "img");
  Object.assign(box, { type: "checkbox", checked: index === 0 });
  label.className = "check";
  const name = flow.scaleName(index);
  label.append(box, ` Draw ${name === "all" ? name : `the ${name}`} anew`);
  figure.append(canvas, label, caption);
  place.append(figure);
  return { canvas, box, caption };
}
