console.log("start"); setTimeout(() => { throw new Error("nobody catches this"); }, 1);
