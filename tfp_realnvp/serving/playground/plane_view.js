// The view of a flow of the plane: its density, samples, and two points on either side of it.

import { densities, densityPicture } from "./density.js";
import { drawHistogram, ranks } from "./histogram.js";
import { latest } from "./latest.js";
import * as link from "./link.js";
import { addSlider, fillClasses, freshSeed, parts, say, wholeOf } from "./page.js";
import { whenColoursChange } from "./pictures.js";
import { Plane } from "./plane.js";
import { pointsTable } from "./points_table.js";
import { normals } from "./random.js";
import { scaled } from "./samples.js";

const STEPS = 33; // of the line between the points
const FAR = { least: -1e6, most: 1e6 };

export async function planeView(root, flow, signal) {
  const part = parts(root);
  const classes = fillClasses(part.class, flow);
  if (classes && flow.classes > Number(link.text("class"))) classes.value = link.text("class") ?? "0";
  const label = () => (classes ? Number(classes.value) : null);
  const many = (rows) => rows.map(label);
  const { bounds } = flow;
  part.seed.value = link.whole("seed", 0, { least: 0, most: 2 ** 32 - 1 });
  const count = addSlider(part.sliders, "Samples", {
    min: 0,
    max: 1000,
    step: 50,
    value: link.whole("n", 400, { least: 0, most: 1000 }),
    digits: 0,
  });
  const temperatures = link.numbers("t", flow.scales.map(() => 1), { least: 0, most: 1.5 })
    .map((value, i) => {
      const name = flow.scales.length > 1 ? `Temperature, ${flow.scaleName(i)}` : "Temperature";
      return addSlider(part.sliders, name, { min: 0, max: 1.5, step: 0.05, value });
    });
  if (!flow.reference.length) {
    part.histogram.remove();
    part.against.remove();
  }

  const drawn = (seed, number) => Array.from({ length: number }, (_, i) => normals(seed, i, flow.size));
  const around = await flow.decode(drawn(0, 500), drawn(0, 500).map(label)).catch((error) => say(error.message));
  if (!around || signal.aborted) return;

  const data = new Plane(part.data, { box: boxOf(around), title: "Data", moved: () => moved("data") });
  const latent = new Plane(part.latent, {
    box: { left: -3.5, top: 3.5, size: 7 },
    title: "Latents",
    moved: () => moved("latent"),
  });
  latent.circles = [1, 2, 3];
  const table = pointsTable(part.rows, flow, (i, point) => {
    data.points[i] = point;
    data.draw();
    moved("data");
  });

  const follow = latest(
    async (side, points) => {
      const given = label();
      const ends = side === "data" ? await flow.encode(points, many(points)) : points;
      const line = Array.from({ length: STEPS }, (_, i) => {
        const at = i / (STEPS - 1);
        return ends[0].map((value, k) => (1 - at) * value + at * ends[1][k]);
      });
      const way = await flow.decode(line, line.map(() => given));
      const places = side === "data" ? points : [way[0], way.at(-1)];
      return { side, ends, way, places, costs: await flow.cost(places, places.map(() => given)) };
    },
    ({ side, ends, way, places, costs }) => {
      // The side that is dragged is ahead of the answer.
      if (side === "data") latent.points = ends;
      else data.points = places;
      data.line = way;
      latent.line = ends;
      data.draw();
      latent.draw();
      const against = flow.reference.length && costs.map((cost) => ranks(flow.reference, cost, "nats").likelihood);
      table.show(places, ends, costs, against);
      if (flow.reference.length) {
        drawHistogram(part.histogram, flow.reference, costs.map((c) => Math.min(c, 1e6)), "minus log-density, in nats,");
      }
      const shown = (point) => point.map((value) => Math.round(1e4 * value) / 1e4).join();
      link.put("a", shown(places[0]));
      link.put("b", shown(places[1]));
    },
  );

  function moved(side) {
    follow(side, (side === "data" ? data : latent).points.map((point) => [...point]));
  }

  const scatter = latest(
    async (seed, number, scale) => {
      const rows = drawn(seed, number).map((row) => scaled(row, scale, bounds));
      return [rows, rows.length ? await flow.decode(rows, many(rows)) : []];
    },
    ([rows, points]) => {
      [latent.dots, data.dots] = [rows, points];
      data.draw();
      latent.draw();
    },
  );

  function sample() {
    const scale = temperatures.map((slider) => slider.valueAsNumber);
    const seed = wholeOf(part.seed);
    link.put("model", flow.name);
    link.put("seed", seed);
    link.put("n", count.value);
    link.put("t", scale.join());
    link.put("class", classes?.value || null);
    scatter(seed, count.valueAsNumber, scale);
  }

  let grid = null;
  async function shade() {
    const given = label();
    try {
      for await (const found of densities(flow, data.box, given)) {
        if (signal.aborted || given !== label()) return;
        grid = found;
        paint();
      }
    } catch (error) {
      say(error.message);
    }
  }

  function paint() {
    if (grid) data.picture = densityPicture(grid);
    data.draw();
    latent.draw();
  }

  whenColoursChange(paint, signal);
  for (const control of [count, ...temperatures]) control.addEventListener("input", sample);
  part.seed.addEventListener("change", sample);
  part.next.addEventListener("click", () => {
    part.seed.value = freshSeed();
    sample();
  });
  classes?.addEventListener("change", () => {
    sample();
    shade();
    moved("data");
  });

  const given = ["a", "b"].map((key) => link.text(key) && link.numbers(key, [0, 0], FAR));
  if (given.every(Boolean)) {
    data.points = given;
    moved("data");
  } else {
    latent.points = [[-1, 0.5], [1, -0.5]];
    moved("latent");
  }
  sample();
  shade();
}

/** Returns the square that holds nearly all of some points, with a margin. */
function boxOf(points) {
  const ends = [0, 1].map((k) => {
    const sorted = points.map((point) => point[k]).sort((a, b) => a - b);
    const at = (part) => sorted[Math.round(part * (sorted.length - 1))];
    return [at(0.005), at(0.995)];
  });
  const size = 1.25 * Math.max(...ends.map(([least, most]) => most - least), 1e-6);
  const [x, y] = ends.map(([least, most]) => (least + most) / 2);
  return { left: x - size / 2, top: y + size / 2, size };
}
