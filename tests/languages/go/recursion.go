package main

import (
	"fmt"
)

func ack(m, n int) int {
	if m == 0 {
		return n + 1
	}
	if n == 0 {
		return ack(m-1, 1)
	}
	return ack(m-1, ack(m, n-1))
}
func deep(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + deep(n-1)
}
func main() { fmt.Println(ack(2, 300), deep(500000)) }
