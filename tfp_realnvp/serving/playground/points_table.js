// The two points in numbers, to read and to type: what a drag does, without one.

/** @param typed is given the number of a point and its new place */
export function pointsTable(body, flow, typed) {
  const rows = ["A", "B"].map((name, index) => {
    const row = body.insertRow();
    const head = Object.assign(document.createElement("th"), { scope: "row", textContent: name });
    row.append(head);
    const inputs = ["x", "y"].map((axis) => {
      const input = document.createElement("input");
      Object.assign(input, { type: "number", step: "any" });
      input.setAttribute("aria-label", `${axis} of point ${name}`);
      row.insertCell().append(input);
      return input;
    });
    for (const input of inputs) {
      input.addEventListener("change", () => {
        const point = inputs.map((each) => each.valueAsNumber);
        if (point.every(Number.isFinite)) typed(index, point);
      });
    }
    const cells = Array.from({ length: flow.reference.length ? 3 : 2 }, () => row.insertCell());
    return { inputs, cells };
  });

  return {
    /** Shows places, latents, costs in nats, and sentences on these or nothing. */
    show(places, latents, costs, against) {
      rows.forEach(({ inputs, cells }, i) => {
        inputs.forEach((input, k) => {
          if (input !== document.activeElement) input.value = places[i][k].toFixed(3);
        });
        cells[0].textContent = latents[i].map((value) => value.toFixed(2)).join(", ");
        cells[1].textContent = `${(-costs[i]).toFixed(2)} nats`;
        if (against) cells[2].textContent = against[i];
      });
    },
  };
}
