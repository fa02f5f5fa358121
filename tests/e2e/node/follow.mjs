// Follow one job's events with npm's eventsource over a unix socket: `node follow.mjs SOCKET PATH`.
// Prints "id type" a line. Reconnects by itself, with Last-Event-ID; ends when the server says 204.
import { EventSource } from "eventsource";
import { Agent, fetch } from "undici";

const [socketPath, path] = process.argv.slice(2);
const dispatcher = new Agent({ connect: { socketPath } });
const source = new EventSource(`http://localhost${path}`, {
  fetch: (url, init) => fetch(url, { ...init, dispatcher }),
});
for (const type of ["queued", "processing", "progress", "retrying", "completed", "failed", "cancelled"]) {
  source.addEventListener(`job.${type}`, (event) => console.log(event.lastEventId, event.type));
}
source.addEventListener("error", () => {
  if (source.readyState === source.CLOSED) process.exit(0);
});
