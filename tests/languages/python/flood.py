# @ box: --output 1MiB
# @ verdict: output_limit
while True:
    print("more of the same")
