package main

import (
	"fmt"
	"os"
)

func main() { defer fmt.Println("never"); fmt.Println("before"); os.Exit(42) }
