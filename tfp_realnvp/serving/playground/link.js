// What a link shares, in the URL's fragment: #model=mnist&seed=7&t=0.8,1

let known = new URLSearchParams(location.hash.slice(1));

/** Reads the fragment anew, after somebody has changed it. */
export function reread() {
  known = new URLSearchParams(location.hash.slice(1));
}

/** Forgets all but the model. */
export function begin(model) {
  known = new URLSearchParams();
  put("model", model);
}

/** Puts a value into the address bar; null takes it out. */
export function put(key, value) {
  if (value === null || value === "") known.delete(key);
  else known.set(key, value);
  history.replaceState(null, "", `#${known.toString().replaceAll("%2C", ",")}`);
}

/** Returns a text, or null. */
export const text = (key) => known.get(key);

/** Returns numbers within limits: as many as `otherwise` has, or that. */
export function numbers(key, otherwise, { least, most }) {
  const given = (known.get(key) ?? "").split(",").map((piece) => (piece.trim() ? Number(piece) : NaN));
  const fits = given.length === otherwise.length && given.every(Number.isFinite);
  return fits ? given.map((value) => Math.min(Math.max(value, least), most)) : otherwise;
}

/** Returns a whole number within limits, or `otherwise`. */
export function whole(key, otherwise, limits) {
  return Math.round(numbers(key, [otherwise], limits)[0]);
}
