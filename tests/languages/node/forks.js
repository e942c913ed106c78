// @ box: --processes 32 --cpu-time 2s
// @ verdict: cpu_limit
const { Worker } = require("worker_threads");
function more() {
  try { new Worker("for (;;);", { eval: true }).on("error", () => {}); } catch {}
  setImmediate(more);
}
more();
