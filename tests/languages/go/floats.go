package main

import (
	"fmt"
	"math"
	"math/rand"
	"strconv"
)

func main() {
	for _, x := range []float64{0.1, 1.0 / 3, math.Inf(1), math.Copysign(0, -1), 5e-324, 123456789.123456789, 1e22, math.NaN()} {
		fmt.Printf("%v %.3f %e %g %x\n", x, x, x, x, math.Float64bits(x))
	}
	fmt.Println(math.Sin(1e22), rand.New(rand.NewSource(42)).Intn(1000), strconv.FormatFloat(2.5e-7, 102, -1, 64))
}
