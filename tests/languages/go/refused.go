package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

func say(n string, e error) {
	if e == nil {
		fmt.Println(n, "allowed")
	} else {
		fmt.Println(n, "refused")
	}
}
func main() {
	own := "/box"
	if len(os.Args) > 1 {
		own = filepath.Dir(os.Args[0])
	}

	say("spawn", exec.Command("/bin/true").Run())
	_, e := net.Listen("tcp", "127.0.0.1:0")
	say("tcp", e)
	_, e = net.ListenPacket("udp", "127.0.0.1:0")
	say("udp", e)
	say("write", os.WriteFile(filepath.Join(own, "made"), nil, 0644))
	if len(os.Args) > 1 {
		return
	}
	_, e = os.ReadFile("/etc/shadow")
	say("shadow", e)
	_, _, n := syscall.Syscall(313, 0, 0, 0)
	if n != 0 {
		e = n
	} else {
		e = nil
	}
	say("module", e)
	for i := 0; i < 500; i++ {
		p, _, n := syscall.RawSyscall(syscall.SYS_FORK, 0, 0, 0)
		if n != 0 {
			say("bomb", n)
			return
		}
		if p == 0 {
			for {
				syscall.RawSyscall(syscall.SYS_PAUSE, 0, 0, 0)
			}
		}
	}
	say("bomb", nil)
}
