// BullMQ on Redis: two worker processes of 100 jobs each, finished jobs removed.
// `fill` adds one at a time per caller; `fillbulk` adds 100 at a time.
const fs = require("node:fs");
const readline = require("node:readline");
const { Queue, Worker } = require("bullmq");

const connection = { path: process.env.BENCH_SERVER.replace("unix://", "") };
const mark = fs.openSync(process.env.BENCH_FILE, "a");
const [order, count, callers] = [process.argv[2], +process.argv[3], +process.argv[4]];
const KEPT = { removeOnComplete: true };
const WARM_UP = 20;

function said() {
  const lines = readline.createInterface({ input: process.stdin });
  return new Promise((resolve) => lines.once("line", () => { lines.close(); resolve(); }));
}

async function fill(queue, bulk) {
  let left = count;
  const caller = async () => {
    while (left > 0) {
      const many = Math.min(bulk, left);
      left -= many;
      if (bulk === 1) await queue.add("job", {}, KEPT);
      else await queue.addBulk(Array(many).fill({ name: "job", data: {}, opts: KEPT }));
    }
  };
  console.log("ready");
  await said();
  await Promise.all(Array.from({ length: callers }, caller));
  console.log("done");
}

async function latency(queue) {
  const marks = fs.openSync(process.env.BENCH_FILE, "r");
  const byte = Buffer.alloc(1);
  const took = [];
  for (let n = 0; n < WARM_UP + count; n++) {
    await new Promise((resolve) => setTimeout(resolve, 2 + 13 * ((n * 0.618) % 1)));
    const began = performance.now();
    await queue.add("job", {}, KEPT);
    fs.readSync(marks, byte);
    took.push(performance.now() - began);
  }
  console.log(JSON.stringify(took.slice(WARM_UP)));
}

async function main() {
  if (order === "worker") {
    new Worker("bench", async () => fs.writeSync(mark, "."), { connection, concurrency: 100 });
    return;
  }
  const queue = new Queue("bench", { connection });
  await queue.waitUntilReady();
  if (order === "latency") await latency(queue);
  else await fill(queue, order === "fillbulk" ? 100 : 1);
  process.exit(0);
}

main();
