import os, shutil, tempfile
d = tempfile.mkdtemp()
os.makedirs(d + "/from/below")
with open(d + "/from/below/file", "w") as f:
    f.write("line\n" * 10000)
os.utime(d + "/from/below/file", (7, 7))
shutil.copy2(d + "/from/below/file", d + "/from/two")
shutil.copytree(d + "/from", d + "/to")
shutil.move(d + "/to/two", d + "/moved")
print(sorted(os.listdir(d + "/to")), os.path.getsize(d + "/moved"), os.stat(d + "/moved").st_mtime)
shutil.rmtree(d)
