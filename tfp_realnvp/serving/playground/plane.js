// A square of the plane with points that can be dragged: a canvas, and a button for each point.

const NAMES = ["A", "B"];

export class Plane {
  /**
   * @param box the square: its left, its top and its size
   * @param moved is called when somebody moves a point
   */
  constructor(place, { box, title, moved }) {
    Object.assign(this, { place, box, title, moved });
    Object.assign(this, { picture: null, dots: [], line: [], circles: [] });
    this.points = NAMES.map(() => [0, 0]);
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.handles = NAMES.map((name, i) => this.#handle(name, i));
    place.append(this.canvas, ...this.handles);
    new ResizeObserver(() => this.draw()).observe(place);
  }

  /** Draws all that there is. */
  draw() {
    const { canvas, place } = this;
    const size = Math.round(place.clientWidth * devicePixelRatio);
    if (!size) return;
    Object.assign(canvas, { width: size, height: size });
    const context = canvas.getContext("2d");
    const style = getComputedStyle(place);
    const unit = size / this.box.size;
    if (this.picture) context.drawImage(this.picture, 0, 0, size, size);
    context.lineWidth = devicePixelRatio;
    context.strokeStyle = style.getPropertyValue("--line");
    for (const radius of this.circles) {
      context.beginPath();
      context.arc(...this.#at([0, 0], size), radius * unit, 0, 2 * Math.PI);
      context.stroke();
    }
    context.fillStyle = style.getPropertyValue("--dot");
    for (const dot of this.dots) {
      const [x, y] = this.#at(dot, size);
      context.fillRect(x - devicePixelRatio, y - devicePixelRatio, 2 * devicePixelRatio, 2 * devicePixelRatio);
    }
    context.lineWidth = 2 * devicePixelRatio;
    context.strokeStyle = style.getPropertyValue("--mark");
    context.beginPath();
    for (const point of this.line) context.lineTo(...this.#at(point, size));
    context.stroke();
    this.points.forEach((point, i) => {
      const [x, y] = this.#at(point, 100).map((value) => Math.min(Math.max(value, 0), 100));
      this.handles[i].style.left = `${x}%`;
      this.handles[i].style.top = `${y}%`;
      const shown = point.map((value) => value.toFixed(2)).join(", ");
      this.handles[i].setAttribute("aria-label", `${this.title}, point ${NAMES[i]} at ${shown}`);
    });
    const between = this.dots.length ? `${this.dots.length} samples and ` : "";
    canvas.setAttribute("aria-label", `${this.title}: ${between}two points, A and B`);
  }

  #at([x, y], size) {
    const { left, top, size: whole } = this.box;
    return [((x - left) / whole) * size, ((top - y) / whole) * size];
  }

  #handle(name, index) {
    const handle = document.createElement("button");
    Object.assign(handle, { type: "button", className: "handle", textContent: name });
    let held = false;
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      held = true;
    });
    handle.addEventListener("pointermove", (event) => {
      if (!held) return;
      const frame = this.place.getBoundingClientRect();
      this.#move(index, [
        this.box.left + ((event.clientX - frame.left) / frame.width) * this.box.size,
        this.box.top - ((event.clientY - frame.top) / frame.height) * this.box.size,
      ]);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      handle.addEventListener(end, () => (held = false));
    }
    handle.addEventListener("keydown", (event) => {
      const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      if (!ways[event.key]) return;
      event.preventDefault();
      const step = this.box.size * (event.shiftKey ? 0.05 : 0.01);
      this.#move(index, this.points[index].map((value, k) => value + step * ways[event.key][k]));
    });
    return handle;
  }

  #move(index, [x, y]) {
    const { left, top, size } = this.box;
    this.points[index] = [
      Math.min(Math.max(x, left), left + size),
      Math.min(Math.max(y, top - size), top),
    ];
    this.draw();
    this.moved();
  }
}
