import os, tempfile, pathlib, io, sqlite3, csv, zlib, hashlib
own = pathlib.Path(__file__).read_text()
print(len(own), own.count("tempfile"))
with tempfile.TemporaryDirectory() as d:
    p = pathlib.Path(d) / "a" / "b"
    p.mkdir(parents=True)
    (p / "f.txt").write_text("line\n" * 1000)
    print(sorted(x.name for x in pathlib.Path(d).rglob("*")), (p / "f.txt").stat().st_size)
    os.rename(p / "f.txt", p / "g.txt")
    print(os.listdir(p))
    db = sqlite3.connect(":memory:")
    db.execute("create table t(a, b)")
    db.executemany("insert into t values(?, ?)", [(i, str(i)) for i in range(100)])
    print(db.execute("select sum(a), max(b) from t").fetchone())
with tempfile.TemporaryFile("w+") as f:
    csv.writer(f).writerow([1, "a,b", 'c"d'])
    f.seek(0)
    print(repr(f.read()))
print(hashlib.sha256(zlib.compress(b"x" * 10000)).hexdigest())
