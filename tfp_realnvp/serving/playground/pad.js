// A pad to draw on: strokes on a fine canvas, whose averages are the pixels that the flow sees.

import { colour, drawImage } from "./pictures.js";

const FINE = 8; // points of the fine canvas along a pixel

export class Pad {
  /** @param changed is called after every stroke */
  constructor(canvas, flow, changed) {
    const [height, width, channels] = flow.shape;
    Object.assign(this, { canvas, flow, changed, height, width, channels });
    Object.assign(this, { pen: 1.5, ink: "#ffffff", at: null, keyed: false });
    this.pixels = new Array(height * width * channels).fill(0);
    const fine = Object.assign(document.createElement("canvas"), {
      width: FINE * width,
      height: FINE * height,
    });
    this.fine = fine.getContext("2d", { willReadFrequently: true });
    this.cursor = [Math.floor(width / 2), Math.floor(height / 2)];
    this.#listen();
    this.set(this.pixels);
  }

  /** Shows an image. */
  set(pixels) {
    this.pixels = Array.from(pixels);
    this.#draw();
    this.fine.imageSmoothingEnabled = false;
    this.fine.drawImage(this.canvas, 0, 0, FINE * this.width, FINE * this.height);
  }

  /** Shows a picture of any size, its middle, on black. */
  place(picture) {
    const { width, height } = this.fine.canvas;
    const scale = Math.max(width / picture.width, height / picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    this.fine.fillStyle = "#000000";
    this.fine.fillRect(0, 0, width, height);
    this.fine.imageSmoothingEnabled = true;
    this.fine.imageSmoothingQuality = "high";
    this.fine.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
    this.#read();
  }

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.at = this.#where(event);
      this.keyed = false;
      this.#stroke(this.at, this.at);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.at) return;
      const to = this.#where(event);
      this.#stroke(this.at, to);
      this.at = to;
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => (this.at = null));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      this.keyed = false;
      this.#draw();
    });
  }

  #key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    this.keyed = true;
    if (step) {
      const most = [this.width - 1, this.height - 1];
      this.cursor = this.cursor.map((at, k) => Math.min(Math.max(at + step[k], 0), most[k]));
      this.#draw();
    } else {
      const middle = this.cursor.map((at) => FINE * (at + 0.5));
      this.#stroke(middle, middle);
    }
  }

  #where(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.fine.canvas;
    return [
      ((event.clientX - box.left) / box.width) * width,
      ((event.clientY - box.top) / box.height) * height,
    ];
  }

  #stroke(from, to) {
    const { fine } = this;
    fine.strokeStyle = this.ink;
    fine.lineWidth = FINE * this.pen;
    fine.lineCap = "round";
    fine.beginPath();
    fine.moveTo(...from);
    fine.lineTo(to[0] + 0.01, to[1]); // of no length it would have no ends
    fine.stroke();
    this.#read();
  }

  #read() {
    const { width, height, channels, flow } = this;
    const { data } = this.fine.getImageData(0, 0, FINE * width, FINE * height);
    const sums = new Float64Array(width * height * 3);
    for (let i = 0; i < data.length / 4; i++) {
      const [x, y] = [i % (FINE * width), Math.floor(i / (FINE * width))];
      const pixel = Math.floor(y / FINE) * width + Math.floor(x / FINE);
      for (let k = 0; k < 3; k++) sums[3 * pixel + k] += data[4 * i + k];
    }
    const whole = FINE * FINE * 255;
    const level = (value) => Math.round((value / whole) * (flow.levels - 1));
    this.pixels = Array.from({ length: width * height * channels }, (_, i) => {
      if (channels >= 3) return level(sums[3 * Math.floor(i / channels) + Math.min(i % channels, 2)]);
      const at = 3 * Math.floor(i / channels);
      return level(0.299 * sums[at] + 0.587 * sums[at + 1] + 0.114 * sums[at + 2]);
    });
    this.#draw();
    this.changed();
  }

  #draw() {
    const { canvas, width, height, cursor, keyed } = this;
    drawImage(canvas, this.pixels, this.flow);
    canvas.setAttribute(
      "aria-label",
      `Drawing pad of ${width} by ${height} pixels` +
        (keyed ? `, pen at column ${cursor[0] + 1}, row ${cursor[1] + 1}` : ""),
    );
    if (!keyed) return;
    const context = canvas.getContext("2d");
    context.globalAlpha = 0.6;
    context.fillStyle = `rgb(${colour("--accent").join()})`;
    context.fillRect(...cursor, 1, 1);
  }
}
