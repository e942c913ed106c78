# @ box: --memory 64MiB
# @ verdict: memory_limit
hold = []
while True:
    hold.append("x" * 1_000_000 + str(len(hold)))
