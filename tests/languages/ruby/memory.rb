# @ box: --memory 96MiB
# @ verdict: memory_limit
a = []
loop { a << "x" * 1_000_000 }
