def inner(x):
    return 10 // x
print("start")
inner(0)
