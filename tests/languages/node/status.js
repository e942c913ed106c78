process.on("exit", c => console.log("exit", c));
console.log("before"); process.exitCode = 3; setTimeout(() => process.exit(42), 5);
