// Starts a program on a host that refuses some calls: refuse NR:ERRNO[:ARG:MASK]... -- PROGRAM ARGS
// With ARG and MASK a call is refused only when one of those bits is set in that argument.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sock_filter code[512];
static unsigned short length;

static void add(unsigned short op, unsigned char jt, unsigned char jf, unsigned k) {
    code[length++] = (struct sock_filter){op, jt, jf, k};
}

int main(int argc, char **argv) {
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--"); i++) {
        unsigned long nr, error, arg = 9, mask = 0;
        int n = sscanf(argv[i], "%lu:%lu:%lu:%lu", &nr, &error, &arg, &mask);
        if (n != 2 && n != 4) { fprintf(stderr, "bad rule %s\n", argv[i]); return 99; }
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, n == 2 ? 1 : 3, nr);
        if (n == 4) {
            add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args) + 8 * arg);
            add(BPF_JMP | BPF_JSET | BPF_K, 0, 1, mask);
        }
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error);
    }
    add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {length, code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) {
        perror("refuse");
        return 99;
    }
    if (i + 1 >= argc) return 99;
    execv(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 99;
}
