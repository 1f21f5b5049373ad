// The server's REST interface, TensorFlow Serving's own, as any other client speaks it.

const ROOT = new URL(".", document.baseURI);
let pending = 0;

/** Returns the models that are served, each with its version and what its export says of it. */
export const models = () => ask("playground/models");

/** Returns the signatures of a model by name. */
export async function signatures(model) {
  const reply = await ask(`v1/models/${encodeURIComponent(model)}/metadata`);
  return reply.metadata.signature_def.signature_def;
}

/** Returns the outputs of a signature: by name, or bare where there is one. */
export async function predict(model, signature, inputs) {
  const body = JSON.stringify({ signature_name: signature, inputs });
  const reply = await ask(`v1/models/${encodeURIComponent(model)}:predict`, { method: "POST", body });
  return reply.outputs;
}

async function ask(path, request) {
  tell(1);
  try {
    const answer = await fetch(new URL(path, ROOT), request).catch(() => {
      throw new Error("The server does not answer.");
    });
    const reply = parsed(await answer.text());
    if (!answer.ok) throw new Error(reply.error ?? `The server answered ${answer.status}.`);
    return reply;
  } finally {
    tell(-1);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    // Python and TensorFlow Serving write what is not finite, which JSON does not have.
    return JSON.parse(text.replace(/-?\b(?:NaN|Infinity)\b/g, "null"));
  }
}

function tell(change) {
  pending += change;
  document.documentElement.dataset.pending = pending;
}
