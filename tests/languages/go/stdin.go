// @ stdin: megabytes
package main

import (
	"bufio"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
)

func main() {
	s := bufio.NewScanner(os.Stdin)
	m := map[string]int{}
	t := 0
	for s.Scan() {
		f := strings.Fields(s.Text())
		n, _ := strconv.Atoi(f[0])
		t += n
		m[f[len(f)-1]]++
	}
	k := []string{}
	for x := range m {
		k = append(k, x)
	}
	sort.Strings(k)
	fmt.Println(t, k, m[k[0]])
}
