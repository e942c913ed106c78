# @ stdin: megabytes
my ($t, %c); while (<STDIN>) { my @w = split; $t += $w[0]; $c{$w[-1]}++ } print "$t ", join(",", map { "$_=$c{$_}" } sort keys %c), "\n";
