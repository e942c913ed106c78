# Ruby waits where no process is to be had: time goes by, and no CPU time.
# @ box: --processes 16 --wall-time 2s
# @ verdict: wall_limit
loop { begin; fork; rescue SystemCallError; end }
