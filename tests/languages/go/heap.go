package main

import (
	"fmt"
	"sort"
)

func main() {
	m := map[int]string{}
	for i := 0; i < 300000; i++ {
		m[i] = fmt.Sprint(i)
	}
	b := make([]byte, 64<<20)
	for i := range b {
		b[i] = 7
	}
	s := 0
	for r := 0; r < 200; r++ {
		x := make([]int, 100000)
		x[r] = r
		s += x[r]
	}
	k := make([]int, 0)
	for i := range m {
		k = append(k, i)
	}
	sort.Ints(k)
	fmt.Println(len(m), b[99], s, k[:3])
}
