// A served flow: what its signatures and its export say of it, and calls on rows of numbers.

import { predict, signatures } from "./api.js";

export class Flow {
  /** Returns a flow, or throws a sentence where the playground has nothing for it. */
  static async open({ name, version, about }, mostRows) {
    return new Flow(name, version, about ?? {}, await signatures(name), mostRows);
  }

  constructor(name, version, about, defined, mostRows) {
    for (const signature of ["serving_default", "encode", "decode"]) {
      if (!defined[signature]) throw new Error(`${name} has no signature ${signature}: it is no flow.`);
    }
    const { inputs } = defined.encode;
    this.name = name;
    this.version = version;
    this.about = about;
    this.mostRows = mostRows;
    this.isImage = "images" in inputs;
    this.key = this.isImage ? "images" : "x";
    const [rows, ...shape] = sides(inputs[this.key]);
    this.shape = shape;
    this.levels = about.levels ?? (this.isImage ? 256 : null);
    this.classes = "labels" in inputs ? (about.num_classes ?? 10) : null;
    this.size = sides(defined.decode.inputs.latents)[1];
    this.scales = about.latent_shapes ?? [[this.size]];
    this.reference = about.reference ?? [];
    if (rows !== -1) throw new Error(`${name} takes batches of ${rows}: the playground wants any size.`);
    if ("condition" in inputs) throw new Error(`${name} takes a condition: the playground has none.`);
    if (!this.isImage && shape.join() !== "2") {
      throw new Error(`${name} is of shape [${shape}]: the playground has images and the plane.`);
    }
  }

  /** What stands under the title. */
  get sentence() {
    const { flow, parameters, facts = {} } = this.about;
    const event = this.shape.join("×") + (this.isImage ? `, ${this.levels} levels` : "");
    return [
      `${flow ?? this.name}, version ${this.version}`,
      this.isImage ? event : "points in the plane",
      this.classes === null ? null : `${this.classes} classes`,
      parameters ? `${parameters.toLocaleString("en")} parameters` : null,
      ...Object.entries(facts).map(([what, value]) => `${what}: ${value.replaceAll("`", "")}`),
    ].filter(Boolean).join(" · ");
  }

  /** Where each scale begins among the latents, and where the last ends. */
  get bounds() {
    const bounds = [0];
    for (const shape of this.scales) bounds.push(bounds.at(-1) + shape.reduce((a, b) => a * b));
    return bounds;
  }

  /** The name of a scale. */
  scaleName(index) {
    const last = this.scales.length - 1;
    const place = { 0: "finest", [last]: "coarsest" }[index] ?? `scale ${index + 1}`;
    return last === 0 ? "all" : place;
  }

  /** Returns the latents of rows of data. */
  async encode(rows, labels) {
    return predict(this.name, "encode", this.inputs(rows, labels));
  }

  /** Returns the data of rows of latents, each one flat list. */
  async decode(latents, labels) {
    const rows = latents.map((row) => Array.from(row, (value) => Math.round(value * 1e5) / 1e5));
    const decoded = await predict(this.name, "decode", { latents: rows, ...this.given(rows, labels) });
    return decoded.map((row) => row.flat(2));
  }

  /** Returns what rows cost: bits per dimension of images, nats of points. */
  async cost(rows, labels) {
    const outputs = await predict(this.name, "serving_default", this.inputs(rows, labels));
    return this.isImage ? outputs.bits_per_dim : outputs.map((value) => (value === null ? Infinity : -value));
  }

  inputs(rows, labels) {
    const data = this.isImage ? rows.map((row) => nested(Array.from(row), this.shape)) : rows;
    return { [this.key]: data, ...this.given(rows, labels) };
  }

  given(rows, labels) {
    return this.classes === null ? {} : { labels: rows.map((_, i) => labels[i]) };
  }
}

const sides = (info) => info.tensor_shape.dim.map((side) => Number(side.size));

function nested(flat, shape) {
  for (const side of shape.slice(1).reverse()) {
    flat = Array.from({ length: flat.length / side }, (_, i) => flat.slice(i * side, (i + 1) * side));
  }
  return flat;
}
