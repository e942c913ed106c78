# @ box: --processes 16 --cpu-time 1s
# @ verdict: cpu_limit
loop { begin; fork; rescue SystemCallError; end }
