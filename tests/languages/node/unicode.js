const w = ["Zebra", "äpfel", "Ähre", "日本語", "🙂", "ß"];
console.log(w.sort(), w.map(x => x.toUpperCase()), [..."👩‍👩‍👧"].length, "é".normalize("NFD").length, encodeURIComponent("é☺"));
console.log(new Intl.Collator("de").compare("ä", "z"), new Intl.NumberFormat("de-DE").format(1234567.891), Buffer.from("é").toString("hex"), new TextDecoder("utf-16le").decode(new Uint8Array([65, 0])));
