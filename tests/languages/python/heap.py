import heapq, array
squares = [i * i for i in range(1_000_000)]
table = {i: str(i) for i in range(200_000)}
block = bytearray(64 << 20)
for i in range(0, len(block), 4096):
    block[i] = i % 251
numbers = array.array("q", range(500_000))
print(sum(squares), len(table), sum(block), sum(numbers), heapq.nlargest(3, squares))
