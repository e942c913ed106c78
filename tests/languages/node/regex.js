const t = "The rain in Spain; 2024-02-29, 1999-12-31; Ünïcödé_42 ".repeat(100);
console.log([...t.matchAll(/(?<y>\d{4})-(\d\d)/g)].length, t.replace(/rain/gi, "snow").slice(0, 30), "aBc".match(/(?<=a)B/).index, t.match(/\p{L}+/gu).length);
