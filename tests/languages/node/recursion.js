const ack = (m, n) => m === 0 ? n + 1 : n === 0 ? ack(m - 1, 1) : ack(m - 1, ack(m, n - 1));
console.log(ack(2, 200));
try { (function f() { f(); })(); } catch (e) { console.log(e.constructor.name, e.message); }
