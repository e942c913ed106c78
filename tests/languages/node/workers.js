const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");
if (isMainThread) {
  const run = n => new Promise((ok, no) => { const w = new Worker(__filename, { workerData: n }); w.on("message", ok); w.on("error", no); });
  Promise.all([1, 2, 3].map(run)).then(r => console.log(r));
} else { let s = 0; for (let i = 0; i < 1e6; i++) s += i % workerData; parentPort.postMessage(s); }
