const a = new Array(3e6).fill(0).map((_, i) => ({ i }));
const m = new Map(a.slice(0, 3e5).map(x => [x.i, String(x.i)]));
const b = Buffer.alloc(64 << 20, 7);
console.log(a.length, m.size, b[12345], a.reduce((s, x) => s + x.i, 0));
