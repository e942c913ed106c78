import sys
sys.setrecursionlimit(20000)
def ack(m, n):
    return n + 1 if m == 0 else ack(m - 1, 1) if n == 0 else ack(m - 1, ack(m, n - 1))
print(ack(2, 300))
def down(n):
    return down(n + 1)
sys.setrecursionlimit(1000)
try:
    down(0)
except RecursionError as e:
    print("RecursionError", e)
