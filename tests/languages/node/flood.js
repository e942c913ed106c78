// @ box: --output 1MiB
// @ verdict: output_limit
const fs = require("fs");
for (;;) fs.writeSync(1, "more of the same\n");
