# @ box: --cpu-time 500ms
# @ verdict: cpu_limit
while True:
    pass
