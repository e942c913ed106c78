# @ box: --memory 64MiB
# @ verdict: memory_limit
my @l; push @l, "x" x 1000000 while 1;
