# @ stdin: megabytes
import sys, collections
count, total = collections.Counter(), 0
for line in sys.stdin:
    words = line.split()
    total += int(words[0])
    count[words[-1]] += 1
print(total, sorted(count.items()))
