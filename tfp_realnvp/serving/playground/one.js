// One image, drawn, dropped or sampled: what it costs, how strange that is, and what comes back.

import { drawHistogram, ranks } from "./histogram.js";
import { latest } from "./latest.js";
import { Pad } from "./pad.js";
import { drawImage } from "./pictures.js";
import { fillClasses, parts, say } from "./page.js";

/** @param looked is given the latents and the class of an image, once the server has them */
export function onePanel(root, flow, { looked }) {
  const part = parts(root);
  const pad = new Pad(part.pad, flow, look);
  const classes = fillClasses(part.class, flow);
  if (flow.shape[2] < 3) part.colour.remove();
  if (!flow.reference.length) part.histogram.remove();
  const label = () => (classes ? Number(classes.value) : null);

  const ask = latest(async (pixels, given) => {
    const [[bits], latents] = await Promise.all([
      flow.cost([pixels], [given]),
      flow.encode([pixels], [given]),
    ]);
    const [decoded] = await flow.decode(latents, [given]);
    return { pixels, given, bits, latents: latents[0], decoded };
  }, show);

  function look() {
    ask(pad.pixels, label());
  }

  function show({ pixels, given, bits, latents, decoded }) {
    part.bits.textContent = bits === null ? "not finite" : bits.toFixed(3);
    if (flow.reference.length && bits !== null) {
      const { likelihood, typicality } = ranks(flow.reference, bits, "bits");
      part.rank.textContent =
        `Anomaly score by likelihood: ${likelihood}. By typicality: ${typicality}.`;
      drawHistogram(part.histogram, flow.reference, [bits], "bits per dimension");
    } else {
      part.rank.textContent = "No likelihoods of a test set came with this export.";
    }
    drawImage(part.reconstruction, decoded, flow);
    const differ = decoded.filter((value, i) => value !== pixels[i]).length;
    part.differs.textContent =
      `Encoded and decoded again: ${differ || "none"} of ${pixels.length} values differ`;
    part.reconstruction.setAttribute("aria-label", "The image, encoded and decoded again");
    looked(latents, given);
  }

  async function open(file) {
    try {
      pad.place(await createImageBitmap(file));
      say("");
    } catch {
      say(`${file.name} is no picture that this browser reads.`);
    }
  }

  part.clear.addEventListener("click", () => {
    pad.set(pad.pixels.map(() => 0));
    look();
  });
  part.invert.addEventListener("click", () => {
    pad.set(pad.pixels.map((value) => flow.levels - 1 - value));
    look();
  });
  const choosePen = () => {
    pad.pen = part.pen.valueAsNumber;
    pad.ink = part.erase.checked ? "#000000" : part.colour.querySelector("input").value;
  };
  for (const control of [part.pen, part.erase, part.colour]) control.addEventListener("input", choosePen);
  classes?.addEventListener("change", look);
  part.file.addEventListener("change", () => {
    if (part.file.files.length) open(part.file.files[0]);
    part.file.value = "";
  });
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });

  return {
    /** Shows an image, of a class where the flow has classes. */
    show(pixels, given) {
      if (classes) classes.value = given;
      pad.set(pixels);
      look();
    },
    /** Returns the image and its class. */
    current: () => [pad.pixels, label()],
  };
}
