// A walk between two images, on the straight line between their latents.

import { latest } from "./latest.js";
import { addPictures, drawImage } from "./pictures.js";
import { addSlider, parts } from "./page.js";

const STEPS = 8;

/** @param current returns the image that is looked at, and its class */
export function walkPanel(root, flow, { current }) {
  const part = parts(root);
  const place = addSlider(part.place, "Place on the way", { min: 0, max: 1, step: 0.01, value: 0.5 });
  const pictures = addPictures(part.grid, STEPS, (i) => {
    place.value = i / (STEPS - 1);
    place.dispatchEvent(new Event("input"));
  });
  let [start, stop, label, ends] = [null, null, null, null];

  const lay = latest(
    async (from, to, given) => {
      const latents = await flow.encode([from, to], [given, given]);
      const rows = Array.from({ length: STEPS }, (_, i) => between(latents, i / (STEPS - 1)));
      return { latents, given, images: await flow.decode(rows, rows.map(() => given)) };
    },
    ({ latents, given, images }) => {
      ends = { latents, given };
      images.forEach((image, i) => {
        drawImage(pictures[i].canvas, image, flow);
        const percent = Math.round((100 * i) / (STEPS - 1));
        pictures[i].button.setAttribute("aria-label", `${percent}% of the way: go there`);
      });
      stand();
    },
  );

  const go = latest(
    async ({ latents, given }, at) => [at, ...(await flow.decode([between(latents, at)], [given]))],
    ([at, image]) => {
      drawImage(part.here, image, flow);
      part.here.setAttribute("aria-label", `The image at ${Math.round(100 * at)}% of the way`);
    },
  );

  function stand() {
    if (ends) go(ends, place.valueAsNumber);
  }

  function set(from, to, given) {
    [start, stop, label] = [from, to, given];
    lay(start, stop, label);
  }

  place.addEventListener("input", stand);
  part.from.addEventListener("click", () => {
    const [image, given] = current();
    set(image, stop ?? image, given);
  });
  part.to.addEventListener("click", () => {
    const [image, given] = current();
    set(start ?? image, image, label ?? given);
  });
  part.swap.addEventListener("click", () => start && set(stop, start, label));

  return { between: set };
}

function between([start, stop], at) {
  return start.map((value, i) => (1 - at) * value + at * stop[i]);
}
