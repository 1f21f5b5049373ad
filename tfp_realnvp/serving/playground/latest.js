// Of many calls the newest matters: one is worked on, the newest waits, those between are dropped.
// So a drag is answered as fast as the server can, and never by a queue.

import { say, showLatency } from "./page.js";

/**
 * @param work what to do; it may be asynchronous
 * @param done is given its result
 */
export function latest(work, done) {
  let running = false;
  let waiting = null;
  let failed = false;

  return async function call(...args) {
    waiting = { args, since: performance.now() };
    if (running) return;
    running = true;
    while (waiting) {
      const { args, since } = waiting;
      waiting = null;
      try {
        done(await work(...args));
        showLatency(performance.now() - since);
        if (failed) say("");
        failed = false;
      } catch (error) {
        failed = true;
        say(error.message);
      }
    }
    running = false;
  };
}
