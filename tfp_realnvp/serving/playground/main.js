// Begins: which models there are, which one the link names, and the view that it has.

import { models } from "./api.js";
import { Flow } from "./flow.js";
import { imageView } from "./image_view.js";
import * as link from "./link.js";
import { say } from "./page.js";
import { planeView } from "./plane_view.js";

const chooser = document.querySelector("#model");
const about = document.querySelector("#about");
const main = document.querySelector("main");
let shown = new AbortController();

async function show() {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  main.replaceChildren();
  about.textContent = "";
  try {
    const [model, mostRows] = await ready(signal);
    const flow = await Flow.open(model, mostRows);
    if (signal.aborted) return;
    about.textContent = flow.sentence;
    document.title = `${flow.name}: flow playground`;
    const template = document.querySelector(flow.isImage ? "#image-view" : "#plane-view");
    main.append(template.content.cloneNode(true));
    say("");
    (flow.isImage ? imageView : planeView)(main, flow, signal);
  } catch (error) {
    if (!signal.aborted) say(error.message);
  }
}

/** Returns the chosen model once it has a version, and how many rows a request has at most. */
async function ready(signal) {
  for (;;) {
    const { models: all, max_rows: mostRows } = await models();
    if (!chooser.options.length) chooser.append(...all.map(({ name }) => new Option(name)));
    const named = all.find(({ name }) => name === link.text("model"));
    const model = named ?? all.find(({ version }) => version !== null) ?? all[0];
    chooser.value = model.name;
    if (model.version !== null || signal.aborted) return [model, mostRows];
    say(model.error ? `${model.name} does not load: ${model.error}` : `${model.name} is being loaded.`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function copy() {
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied.");
  } catch {
    say("The link is in the address bar.");
  }
}

chooser.addEventListener("change", () => {
  link.begin(chooser.value);
  show();
});
document.querySelector("#copy").addEventListener("click", copy);
addEventListener("hashchange", () => {
  link.reread();
  show();
});
show();
