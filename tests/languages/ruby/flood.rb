# @ box: --output 1MiB
# @ verdict: output_limit
loop { puts "more of the same" }
