// Where a value stands among those of the test set.

const [WIDTH, HEIGHT, BARS] = [400, 90, 40];

/** Returns two scores of strangeness in words: by likelihood, and by the distance from the mean. */
export function ranks(reference, value, unit) {
  const mean = reference.reduce((sum, each) => sum + each, 0) / reference.length;
  const far = Math.abs(value - mean);
  const below = reference.filter((each) => each < value).length;
  const nearer = reference.filter((each) => Math.abs(each - mean) < far).length;
  const percent = (part) => `${((100 * part) / reference.length).toFixed(0)}%`;
  return {
    likelihood: `more ${unit} than ${percent(below)} of the test set's ${count(reference)}`,
    typicality: `${far.toFixed(2)} from their mean of ${mean.toFixed(2)}, farther than ${percent(nearer)}`,
  };
}

/** Draws the test set's values as bars and others as lines; those outside stand at the edge. */
export function drawHistogram(figure, reference, values, unit) {
  const svg = figure.querySelector("svg");
  const [first, last] = [reference[0], reference.at(-1)];
  const least = first - 0.25 * (last - first || 1);
  const span = 1.5 * (last - first || 1);
  const counts = new Array(BARS).fill(0);
  for (const value of reference) counts[Math.floor((BARS * (value - least)) / span)]++;
  const tallest = Math.max(...counts);
  const bars = counts.map((count, i) => {
    const [x, width, height] = [(i * WIDTH) / BARS, WIDTH / BARS - 1, (count / tallest) * (HEIGHT - 4)];
    return count ? `M${x} ${HEIGHT}v${-height.toFixed(1)}h${width}V${HEIGHT}z` : "";
  });
  const marks = values.map((value) => {
    const x = Math.min(Math.max((WIDTH * (value - least)) / span, 2), WIDTH - 2);
    return `M${x.toFixed(1)} 0V${HEIGHT}`;
  });
  svg.querySelector(".bars").setAttribute("d", bars.join(""));
  svg.querySelector(".mark").setAttribute("d", marks.join(""));
  const [left, right] = figure.querySelectorAll(".axis span");
  left.textContent = least.toFixed(2);
  right.textContent = (least + span).toFixed(2);
  figure.querySelector("figcaption").textContent =
    `${unit[0].toUpperCase()}${unit.slice(1)} of the test set's ${count(reference)}; ` +
    (values.length > 1 ? "the lines are the points." : "the line is this image.");
  const shown = values.map((value) => value.toFixed(2)).join(" and ");
  svg.setAttribute("aria-label", `From ${first.toFixed(2)} to ${last.toFixed(2)}; here ${shown}.`);
}

const count = (reference) => reference.length.toLocaleString("en");
