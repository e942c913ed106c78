// @ box: --output 1MiB
// @ verdict: output_limit
package main

import "fmt"

func main() {
	for {
		fmt.Println("more of the same")
	}
}
