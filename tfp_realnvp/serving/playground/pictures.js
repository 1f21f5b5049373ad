// Numbers as pictures: images, and latents by a scale of three colours.

// Of a latent in its picture, and between those of two channels.
const [UNIT, GAP] = [6, 3];

/** Draws a flat image `[H, W, C]` of a flow, one canvas pixel each. */
export function drawImage(canvas, pixels, { shape: [height, width, channels], levels }) {
  const picture = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let k = 0; k < 3; k++) {
      const value = pixels[i * channels + Math.min(k, channels - 1)];
      picture.data[4 * i + k] = Math.round((255 * value) / (levels - 1));
    }
    picture.data[4 * i + 3] = 255;
  }
  put(canvas, picture);
}

/** Draws latents of one scale, the channels side by side; what is beyond 3 has the end's colour. */
export function drawLatents(canvas, values, shape) {
  const [height, width, channels] = shape.length === 3 ? shape : flatSides(values.length);
  const across = Math.ceil(Math.sqrt(channels));
  const down = Math.ceil(channels / across);
  const [wide, high] = [UNIT * width + GAP, UNIT * height + GAP];
  Object.assign(canvas, { width: across * wide - GAP, height: down * high - GAP });
  const context = canvas.getContext("2d");
  const [below, middle, above] = ["--low", "--middle", "--high"].map(colour);
  for (let i = 0; i < height * width * channels; i++) {
    const [pixel, channel] = [Math.floor(i / channels), i % channels];
    const x = (channel % across) * wide + UNIT * (pixel % width);
    const y = Math.floor(channel / across) * high + UNIT * Math.floor(pixel / width);
    const part = Math.min(Math.abs(values[i]) / 3, 1);
    context.fillStyle = `rgb(${mixed(middle, values[i] < 0 ? below : above, part).join()})`;
    context.fillRect(x, y, UNIT, UNIT);
  }
}

/** Returns a colour between two. */
export const mixed = (from, to, part) => from.map((value, k) => value + (to[k] - value) * part);

/** Returns a colour of the style sheet, #rrggbb, as three numbers. */
export function colour(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

/** Calls when the page turns light or dark, until the signal ends it. */
export function whenColoursChange(call, signal) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", call, { signal });
}

/** Adds buttons with a picture each, which are called by their number. */
export function addPictures(place, count, choose) {
  return Array.from({ length: count }, (_, i) => {
    const [button, canvas] = ["button", "canvas"].map((name) => document.createElement(name));
    button.type = "button";
    button.append(canvas);
    button.addEventListener("click", () => choose(i));
    place.append(button);
    return { button, canvas };
  });
}

function put(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** Latents without sides, such as those of a flow of patches, in rows as near a square as can be. */
function flatSides(size) {
  let height = Math.floor(Math.sqrt(size));
  while (size % height) height--;
  return [height, size / height, 1];
}
