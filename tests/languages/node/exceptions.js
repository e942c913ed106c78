class Mine extends Error { constructor(m, cause) { super(m, { cause }); this.name = "Mine"; } }
for (const f of [() => null.x, () => undefinedName, () => JSON.parse("{"), () => new Array(-1), () => { throw new Mine("m", 1); }])
  try { f(); } catch (e) { console.log(e.name, e instanceof Error, e.cause); }
