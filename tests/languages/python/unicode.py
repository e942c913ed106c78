import sys, locale, json
print(sys.stdout.encoding, sys.getfilesystemencoding())
words = ["Zebra", "äpfel", "Ähre", "日本語", "🙂", "ß", "ﬁ"]
print(sorted(words), [w.upper() for w in words], [len(w.encode()) for w in words])
print(json.dumps(words), json.loads('"\\ud83d\\ude42"'), "\u00e9".encode("latin-1"), "ｆ".casefold())
try:
    b"\xff".decode()
except UnicodeDecodeError as e:
    print(e.reason)
