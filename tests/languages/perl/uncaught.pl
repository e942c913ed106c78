use strict; $| = 1; print "start\n"; my $x = undef; $x->method;
