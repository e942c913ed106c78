import ctypes, os, socket, subprocess, sys
def attempt(name, act):
    try:
        act()
        print(name, "allowed")
    except (OSError, subprocess.SubprocessError):
        print(name, "refused")
def bomb():
    pids = []
    try:
        for _ in range(500):
            pid = os.fork()
            if pid == 0:
                import time
                time.sleep(5)
                os._exit(0)
            pids.append(pid)
    finally:
        for pid in pids:
            os.kill(pid, 9)
def module():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(313, 0, b"", 0) != 0:
        raise OSError(ctypes.get_errno(), "finit_module")
attempt("spawn", lambda: subprocess.run(["/bin/true"], check=True))
attempt("system", lambda: os.execv("/usr/bin/python3", ["python3", "-c", "print(1)"]) if len(sys.argv) < 2 else None)
attempt("socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
attempt("unix", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
attempt("write", lambda: open(os.path.dirname(os.path.abspath(__file__)) + "/made", "w").close())
if len(sys.argv) < 2:
    attempt("shadow", lambda: open("/etc/shadow"))
    attempt("module", module)
    attempt("bomb", bomb)
