// The view of a flow of images: its panels, and what one hands to another.

import { latentsPanel } from "./latents.js";
import { onePanel } from "./one.js";
import { parts } from "./page.js";
import { samplesPanel } from "./samples.js";
import { walkPanel } from "./walk.js";

export function imageView(root, flow, signal) {
  const sections = parts(root);
  const latents = latentsPanel(sections.latents, flow, { choose, signal });
  const one = onePanel(sections.one, flow, { looked: latents.show });
  const walk = walkPanel(sections.walk, flow, { current: one.current });

  function choose(pixels, label) {
    one.show(pixels, label);
    sections.one.scrollIntoView({ block: "nearest" });
  }

  samplesPanel(sections.samples, flow, {
    choose,
    first([start, stop], [label]) {
      one.show(start, label);
      walk.between(start, stop, label);
    },
  });
}
