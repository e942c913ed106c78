// Forks before main, without an end.
// @ box: --processes 32 --cpu-time 1s
// @ verdict: cpu_limit
package main

import "syscall"

func init() {
	for {
		syscall.RawSyscall(syscall.SYS_FORK, 0, 0, 0)
	}
}

func main() {}
