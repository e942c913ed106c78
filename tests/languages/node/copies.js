const fs = require("fs"), os = require("os"), path = require("path");
const d = fs.mkdtempSync(path.join(os.tmpdir(), "x-"));
fs.mkdirSync(path.join(d, "from")); fs.writeFileSync(path.join(d, "from", "f"), "line\n".repeat(100000));
fs.copyFileSync(path.join(d, "from", "f"), path.join(d, "g")); fs.cpSync(path.join(d, "from"), path.join(d, "to"), { recursive: true });
fs.promises.copyFile(__filename, path.join(d, "own")).then(() => {
  console.log(fs.readdirSync(d).sort(), fs.statSync(path.join(d, "g")).size, fs.statSync(path.join(d, "own")).size === fs.statSync(__filename).size);
  fs.rmSync(d, { recursive: true });
});
