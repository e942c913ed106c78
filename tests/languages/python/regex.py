import re, unicodedata
text = "The rain in Spain; 2024-02-29, 1999-12-31; Ünïcödé_42 " * 200
print(len(re.findall(r"(\d{4})-(\d\d)-(\d\d)", text)), re.sub(r"(?i)rain", "snow", text)[:40])
print(re.split(r"[;,]\s*", text)[:3], re.fullmatch(r"(?P<a>\w+) (?P<b>\w+)", "naïve café").groupdict())
print(unicodedata.name("é"), unicodedata.normalize("NFD", "é").encode(), len(re.findall(r"\w+", text)))
