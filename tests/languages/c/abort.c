#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) { puts("before"); fflush(stdout); abort(); }
