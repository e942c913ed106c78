const fs = require("fs"), os = require("os"), path = require("path"), zlib = require("zlib"), crypto = require("crypto");
console.log(fs.readFileSync(__filename, "utf8").length);
const d = fs.mkdtempSync(path.join(os.tmpdir(), "x-"));
fs.writeFileSync(path.join(d, "f"), "line\n".repeat(1000)); fs.renameSync(path.join(d, "f"), path.join(d, "g"));
console.log(fs.readdirSync(d), fs.statSync(path.join(d, "g")).size); fs.rmSync(d, { recursive: true });
console.log(crypto.createHash("sha256").update(zlib.gunzipSync(zlib.gzipSync("x".repeat(9999)))).digest("hex"));
fs.promises.readFile("/nowhere").catch(e => console.log(e.code));
