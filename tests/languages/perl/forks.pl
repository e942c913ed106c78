# @ box: --processes 16 --cpu-time 1s
# @ verdict: cpu_limit
fork while 1;
