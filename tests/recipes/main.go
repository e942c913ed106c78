package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"
)

func main() {
	var wait sync.WaitGroup
	numbers := []int{3, 1, 2}
	wait.Add(1)
	go func() { defer wait.Done(); sort.Ints(numbers) }()
	wait.Wait()
	text, _ := json.Marshal(numbers)
	fmt.Println(string(text), strings.ToUpper("go"), regexp.MustCompile("b+").FindString("abbc"), time.Second)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Print(line)
}
