// What all panels need of the page: its parts by name, controls, a place for sentences.

/** Returns the elements within `root` that have a name; those of named sections are theirs. */
export function parts(root) {
  const found = {};
  for (const element of root.querySelectorAll("[data-part]")) {
    const owner = element.parentElement.closest("section[data-part]");
    if (!owner || owner === root || !root.contains(owner)) found[element.dataset.part] = element;
  }
  return found;
}

/** Says a sentence, to screen readers too; an empty one clears the place. */
export function say(sentence) {
  const place = document.querySelector("#status");
  if (place.textContent !== sentence) place.textContent = sentence;
}

/** Shows how long the last answer took. */
export function showLatency(milliseconds) {
  const whole = Math.round(milliseconds);
  document.documentElement.dataset.latency = whole;
  document.querySelector("#latency").textContent = `The last answer took ${whole} ms.`;
}

/** Adds a slider with its label and its value; returns the input. */
export function addSlider(place, text, { min, max, step, value, digits = 2 }) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const input = document.createElement("input");
  const shown = document.createElement("output");
  name.textContent = text;
  Object.assign(input, { type: "range", min, max, step });
  input.value = value;
  const show = () => (shown.textContent = input.valueAsNumber.toFixed(digits));
  input.addEventListener("input", show);
  show();
  label.append(name, input, shown);
  place.append(label);
  return input;
}

/** Fills a choice of classes, or removes it where there are none; returns the select or null. */
export function fillClasses(label, flow, first) {
  if (flow.classes === null) {
    label.remove();
    return null;
  }
  const select = label.querySelector("select");
  if (first) select.add(new Option(first, ""));
  for (let k = 0; k < flow.classes; k++) select.add(new Option(String(k), String(k)));
  return select;
}

/** Returns a seed that nobody chose. */
export const freshSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/** Returns a whole number of an input, within its limits. */
export function wholeOf(input) {
  const value = Math.round(input.valueAsNumber) || 0;
  return Math.min(Math.max(value, Number(input.min)), Number(input.max));
}
