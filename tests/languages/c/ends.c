#include <stdio.h>
#include <string.h>

// @ stdin: megabytes
int main(void) { FILE *in = fopen("/proc/self/fd/0", "r"), *out = fopen("/proc/self/fd/1", "w"); char line[999]; long lines = 0, bytes = 0; if (!in || !out) return 3; while (fgets(line, sizeof line, in)) { lines++; bytes += strlen(line); } fprintf(out, "%ld %ld\n", lines, bytes); if (!freopen("/proc/self/fd/1", "a", stdout)) return 4; fclose(out); puts("end"); return 0; }
