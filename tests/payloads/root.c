// Attempts to change the root of a box, each beside the same on a writable place.
//   root payload            as the payload: waits for a line of input first
//   root join WHO PID1 PAYLOAD
//                           from outside, with every capability in a user namespace of
//                           the box: "outer", which owns all the others, "inner", which
//                           is the payload's, or "inner-own", with mounts of its own
// Results are lines "who what answer control".
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define AS_MOUNT_REMOUNT 32
#define AS_MOUNT_BIND 4096
extern int mount(const char *, const char *, const char *, unsigned long, const void *);
extern int umount2(const char *, int);

static char path[512], other[512];

static const char *at(const char *dir, const char *name) {
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static const char *beside(const char *dir, const char *name) {
    snprintf(other, sizeof other, "%s/%s", dir, name);
    return other;
}

static int made(int fd) {
    if (fd >= 0) close(fd);
    return fd < 0 ? -1 : 0;
}

// Each is given a directory with a file "file" and a directory "dir" in it.
static int writing(const char *d) { return made(open(at(d, "file"), O_WRONLY)); }
static int creating(const char *d) { return made(open(at(d, "new"), O_WRONLY | O_CREAT, 0600)); }
static int nameless(const char *d) { return made(open(d, O_WRONLY | O_TMPFILE, 0600)); }
static int truncating(const char *d) { return truncate(at(d, "file"), 0); }
static int modes(const char *d) { return chmod(at(d, "file"), 0777); }
static int owners(const char *d) { return chown(at(d, "file"), getuid(), getgid()); }
static int times(const char *d) { return utimensat(AT_FDCWD, at(d, "file"), NULL, 0); }
static int renaming(const char *d) {
    if (rename(at(d, "file"), beside(d, "moved"))) return -1;
    return rename(other, path);
}
static int linking(const char *d) { return link(at(d, "file"), beside(d, "link")); }
static int pointing(const char *d) { return symlink("file", at(d, "pointer")); }
static int making(const char *d) { return mkdir(at(d, "made"), 0755); }
static int removing_dir(const char *d) { return rmdir(at(d, "dir")); }
static int node(const char *d) { return mkfifo(at(d, "fifo"), 0600); }
static int attribute(const char *d) { return setxattr(at(d, "file"), "user.x", "y", 1, 0); }
static int flags(const char *d) {
    int fd = open(at(d, "file"), O_RDONLY), value = FS_NODUMP_FL;
    int answer = ioctl(fd, FS_IOC_SETFLAGS, &value);
    int why = errno;
    close(fd);
    errno = why;
    return answer;
}
static int removing(const char *d) { return unlink(at(d, "file")); }

struct attempt {
    const char *name;
    int (*make)(const char *);
};

// The last ones take away what the others need.
static const struct attempt CONTENT[] = {
    {"write", writing}, {"create", creating}, {"nameless", nameless}, {"truncate", truncating},
    {"chmod", modes}, {"chown", owners}, {"utime", times}, {"rename", renaming}, {"link", linking},
    {"symlink", pointing}, {"mkdir", making}, {"fifo", node}, {"xattr", attribute}, {"chattr", flags},
    {"rmdir", removing_dir}, {"unlink", removing},
};

// Mounts: given the place to change. "/mounted" is a mount of the caller's own for the control.
static int over(const char *p) { return mount("x", p, "tmpfs", 0, NULL); }
static int again(const char *p) { return mount(NULL, p, NULL, AS_MOUNT_REMOUNT, NULL); }
static int flags_again(const char *p) { return mount(NULL, p, NULL, AS_MOUNT_REMOUNT | AS_MOUNT_BIND, NULL); }
static int set_attributes(const char *p) {
    struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
    return syscall(SYS_mount_setattr, AT_FDCWD, p, 0, &attr, sizeof attr);
}
static int upper(const char *p) {
    int fd = syscall(SYS_fspick, AT_FDCWD, p, 0);
    if (fd < 0) return -1;
    int answer = strncmp(p, "/tmp", 4) ? syscall(SYS_fsconfig, fd, FSCONFIG_SET_STRING, "upperdir", "/tmp", 0) : 0;
    if (!answer) answer = syscall(SYS_fsconfig, fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
    int why = errno;
    close(fd);
    errno = why;
    return answer;
}
static int moving(const char *p) {
    int fd = syscall(SYS_open_tree, AT_FDCWD, "/tmp", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0) return -1;
    int answer = syscall(SYS_move_mount, fd, "", AT_FDCWD, p, MOVE_MOUNT_F_EMPTY_PATH);
    int why = errno;
    close(fd);
    errno = why;
    return answer;
}
static int unmounting(const char *p) { return umount2(p, 0); }
static int detaching(const char *p) { return umount2(p, 2); }

static const struct attempt MOUNTS[] = {
    {"remount", again}, {"remount-flags", flags_again}, {"mount-setattr", set_attributes},
    {"upper", upper}, {"mount-over", over}, {"move-mount", moving}, {"unmount", unmounting}, {"detach", detaching},
};

static const char *answer(int result) { return result ? strerrorname_np(errno) : "ok"; }

static void say(const char *who, const char *what, const char *root, const char *control) {
    printf("%s %s %s %s\n", who, what, root, control);
    fflush(stdout);
}

static void contents(const char *who, const char *root) {
    char place[] = "/tmp/control-XXXXXX", name[300];
    if (!mkdtemp(place)) { perror("mkdtemp"); exit(2); }
    snprintf(name, sizeof name, "%s/file", place);
    close(open(name, O_WRONLY | O_CREAT, 0600));
    snprintf(name, sizeof name, "%s/dir", place);
    mkdir(name, 0755);
    for (size_t i = 0; i < sizeof CONTENT / sizeof *CONTENT; i++) {
        const char *on_root = answer(CONTENT[i].make(root));
        say(who, CONTENT[i].name, on_root, answer(CONTENT[i].make(place)));
    }
}

// On the root as it is, and on a mount of one's own below /tmp where that is allowed.
static void mounts(const char *who, const char *const *only) {
    for (size_t i = 0; i < sizeof MOUNTS / sizeof *MOUNTS; i++) {
        int wanted = 0;
        for (const char *const *name = only; *name; name++) wanted |= !strcmp(*name, MOUNTS[i].name);
        if (!wanted) continue;
        int covers = MOUNTS[i].make == over || MOUNTS[i].make == moving;
        const char *on_root = answer(MOUNTS[i].make(covers ? "/data" : "/"));
        char place[] = "/tmp/mount-XXXXXX";
        const char *control = "none";
        // Whoever may mount nothing here has no control here; see "inner-own".
        if (mkdtemp(place) && !over(place)) control = answer(MOUNTS[i].make(place));
        say(who, MOUNTS[i].name, on_root, control);
    }
}

static void must(int result, const char *what) {
    if (result) { perror(what); exit(2); }
}

static int space(const char *pid, const char *kind) {
    char name[64];
    snprintf(name, sizeof name, "/proc/%s/ns/%s", pid, kind);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    must(fd < 0, name);
    return fd;
}

static long inside_id(const char *pid, const char *map) {
    char name[64];
    snprintf(name, sizeof name, "/proc/%s/%s", pid, map);
    FILE *file = fopen(name, "r");
    long id = -1;
    must(!file || fscanf(file, "%ld", &id) != 1, name);
    fclose(file);
    return id;
}

// Owner of the box's files, with every capability in the namespace all the same.
static void become(long uid, long gid) {
    must(prctl(PR_SET_SECUREBITS, 1 << 2 /* SECBIT_NO_SETUID_FIXUP */), "securebits");
    must(syscall(SYS_setresgid, gid, gid, gid) || syscall(SYS_setresuid, uid, uid, uid), "ids");
}

static const char *const ALL[] = {"remount", "remount-flags", "mount-setattr", "upper", "mount-over",
                                  "move-mount", "unmount", "detach", NULL};
static const char *const OWN[] = {"remount", "remount-flags", "mount-setattr", "upper", "unmount", "detach", NULL};
static const char *const SUPER[] = {"remount", "upper", NULL};

static int joined(const char *who, const char *outer, const char *inner) {
    pid_t child = fork();
    must(child < 0, "fork");
    if (child == 0) {
        int in = strcmp(who, "outer") != 0;
        const char *of = in ? inner : outer;
        long uid = inside_id(of, "uid_map"), gid = inside_id(of, "gid_map");
        int outer_user = space(outer, "user"), mounts_of = space(outer, "mnt"), inner_user = space(inner, "user");
        must(setns(outer_user, CLONE_NEWUSER), "outer user namespace");
        must(setns(mounts_of, CLONE_NEWNS), "mount namespace");
        if (in) must(setns(inner_user, CLONE_NEWUSER), "inner user namespace");
        if (!strcmp(who, "inner-own")) must(unshare(CLONE_NEWNS), "unshare");
        become(uid, gid);
        mounts(who, in ? (strcmp(who, "inner") ? OWN : ALL) : SUPER);
        contents(who, "/data");
        exit(0);
    }
    int status;
    must(waitpid(child, &status, 0) < 0, "wait");
    return status != 0;
}

int main(int argc, char **argv) {
    if (argc == 5 && !strcmp(argv[1], "join")) return joined(argv[2], argv[3], argv[4]);
    puts("waiting");
    fflush(stdout);
    if (getchar() == EOF) return 3;
    contents("payload", "/data");
    FILE *file = fopen("/data/file", "r");
    char line[64] = "";
    must(!file || !fgets(line, sizeof line, file), "/data/file");
    printf("sees %s", line);
    return 0;
}
