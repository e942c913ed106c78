/* Nanoseconds that a call takes, under a filter of so many instructions.
 *
 * getppid has no argument and does next to nothing; fcntl has an argument that
 * policies look at. usage: getppid ROUNDS INSTRUCTIONS
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct sock_filter code[4096];

/* Allows everything, after as many comparisons of the number as there is room for. */
static int install(int instructions) {
    struct sock_fprog program = {(unsigned short)instructions, code};
    int n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    while (n < instructions - 1) {
        code[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 100000 + n, 0, 0);
        n++;
    }
    code[n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

/* So many calls at once: less than what a scheduler lets a process run for. */
#define BATCH 1000

/* The least of all batches, in nanoseconds a call: other programs disturb the others. */
static double least(int rounds, long number, long second) {
    double best = 1e18;
    for (int batch = 0; batch < rounds / BATCH; batch++) {
        double begin = now();
        for (int i = 0; i < BATCH; i++)
            syscall(number, 0, second);
        double took = (now() - begin) / BATCH;
        if (took < best)
            best = took;
    }
    return best;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : BATCH, instructions = argc > 2 ? atoi(argv[2]) : 0;
    if (instructions && install(instructions)) {
        perror("seccomp");
        return 1;
    }
    double getppid_took = least(rounds, SYS_getppid, 0);
    printf("%.2f %.2f\n", getppid_took, least(rounds, SYS_fcntl, F_GETFD));
    return 0;
}
