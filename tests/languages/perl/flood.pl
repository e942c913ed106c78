# @ box: --output 1MiB
# @ verdict: output_limit
print "more of the same\n" while 1;
