#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <math.h>
#include <fenv.h>
int main(void) { double x[] = {0.1, 1.0 / 3, 1e308 * 10, -0.0, 5e-324, 123456789.123456789, sin(1e22), sqrt(-1.0) * 0 + 1}; for (int i = 0; i < 7; i++) printf("%.17g %a %e %.3f %Lg\n", x[i], x[i], x[i], x[i], (long double)x[i]); printf("%g %g %g\n", pow(2, 0.5), tgamma(5.5), fma(2, 3, 4)); fesetround(FE_DOWNWARD); printf("%.0f %g\n", rint(2.7), strtod("0x1.8p3", NULL)); return 0; }
