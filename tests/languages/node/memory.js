// @ box: --memory 256MiB
// @ verdict: signaled
const hold = []; for (;;) hold.push(new Array(1e5).fill(hold.length));
