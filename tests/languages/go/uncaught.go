package main

import (
	"fmt"
)

func main() { fmt.Println("start"); var m map[string]int; m["x"] = 1 }
