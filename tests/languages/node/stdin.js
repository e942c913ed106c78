// @ stdin: megabytes
let total = 0, lines = 0;
require("readline").createInterface({ input: process.stdin }).on("line", l => { lines++; total += parseInt(l); }).on("close", () => console.log(lines, total));
