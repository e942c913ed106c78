// @ box: --memory 64MiB
package main

import (
	"fmt"
)

// @ verdict: memory_limit
func main() {
	h := [][]byte{}
	for {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = byte(i)
		}
		h = append(h, b)
		if len(h) == 0 {
			fmt.Println()
		}
	}
}
