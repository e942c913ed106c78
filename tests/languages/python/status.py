import sys, atexit
atexit.register(lambda: print("at exit"))
print("before", flush=True)
sys.exit(42)
