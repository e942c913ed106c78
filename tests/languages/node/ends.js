// @ stdin: megabytes
const fs = require("fs");
const text = fs.readFileSync("/dev/stdin", "utf8");
fs.writeFileSync("/dev/stdout", text.length + " " + text.split("\n").length + "\n");
