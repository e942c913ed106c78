# @ stdin: megabytes
with open("/dev/stdin") as f:
    lines = f.readlines()
with open("/dev/stdout", "w") as f:
    print(len(lines), len(lines[-1]), file=f)
