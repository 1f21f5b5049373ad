// Samples with a temperature for each scale, of each class in turn or of one, by a seed.

import { latest } from "./latest.js";
import * as link from "./link.js";
import { addPictures, drawImage } from "./pictures.js";
import { addSlider, fillClasses, freshSeed, parts, wholeOf } from "./page.js";
import { normals } from "./random.js";

const COUNT = 16;
const SEEDS = { least: 0, most: 2 ** 32 - 1 };

/**
 * @param choose is given the pixels and the class of the sample that somebody chooses
 * @param first is given the pixels and the classes of the first ones
 */
export function samplesPanel(root, flow, { choose, first }) {
  const part = parts(root);
  const { bounds } = flow;
  const classes = fillClasses(part.class, flow, "each in turn");
  const pictures = addPictures(part.grid, COUNT, (i) => shown && choose(shown.images[i], shown.labels[i]));
  const given = link.numbers("t", flow.scales.map(() => 1), { least: 0, most: 1.5 });
  const temperatures = given.map((value, i) => {
    const name = flow.scales.length > 1 ? `Temperature, ${flow.scaleName(i)}` : "Temperature";
    const slider = addSlider(part.temperatures, name, { min: 0, max: 1.5, step: 0.05, value });
    slider.addEventListener("input", update);
    return slider;
  });
  part.seed.value = link.whole("seed", 0, SEEDS);
  if (classes && flow.classes > Number(link.text("class"))) classes.value = link.text("class") ?? "";
  let shown = null;

  const draw = latest(
    async (seed, scale, labels) => {
      const latents = labels.map((_, i) => scaled(normals(seed, i, flow.size), scale, bounds));
      return { images: await flow.decode(latents, labels), labels };
    },
    (result) => {
      result.images.forEach((image, i) => {
        drawImage(pictures[i].canvas, image, flow);
        const name = flow.classes === null ? "" : ` of class ${result.labels[i]}`;
        pictures[i].button.setAttribute("aria-label", `Sample ${i + 1}${name}: look at it`);
      });
      if (!shown) first(result.images, result.labels);
      shown = result;
    },
  );

  function update() {
    const scale = temperatures.map((slider) => slider.valueAsNumber);
    const seed = wholeOf(part.seed);
    link.put("model", flow.name);
    link.put("seed", seed);
    link.put("t", scale.join());
    link.put("class", classes?.value || null);
    const label = (i) => (classes?.value ? Number(classes.value) : i % flow.classes);
    draw(seed, scale, Array.from({ length: COUNT }, (_, i) => (classes ? label(i) : null)));
  }

  part.seed.addEventListener("change", update);
  classes?.addEventListener("change", update);
  part.next.addEventListener("click", () => {
    part.seed.value = freshSeed();
    update();
  });
  update();
}

/** Returns latents times the temperature of their scale, with the digits that a picture needs. */
export function scaled(latents, temperatures, bounds) {
  let scale = 0;
  return Array.from(latents, (value, i) => {
    if (i === bounds[scale + 1]) scale++;
    return Math.round(1e4 * temperatures[scale] * value) / 1e4;
  });
}
