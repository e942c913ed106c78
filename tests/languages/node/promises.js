const wait = ms => new Promise(ok => setTimeout(ok, ms));
(async () => {
  const order = [];
  setImmediate(() => order.push("immediate"));
  process.nextTick(() => order.push("tick"));
  await Promise.resolve().then(() => order.push("micro"));
  await Promise.all([3, 1, 2].map(async n => { await wait(n * 20); order.push(n); }));
  console.log(order.join(" "));
  try { await Promise.reject(new TypeError("no")); } catch (e) { console.log(e.name, e.message); } finally { console.log("finally"); }
  console.log(await Promise.allSettled([1, Promise.reject(2)]));
})();
