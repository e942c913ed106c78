const d = new Date(Date.UTC(2024, 6, 1, 12));
for (const timeZone of ["Europe/Berlin", "America/New_York", "Asia/Kathmandu"]) console.log(d.toLocaleString("en-GB", { timeZone, timeZoneName: "short" }));
console.log(d.toISOString(), d.getTimezoneOffset(), String(d));
