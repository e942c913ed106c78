package main

import (
	"fmt"
	"math/big"
)

func main() {
	f := big.NewInt(1)
	for i := int64(1); i <= 200; i++ {
		f.Mul(f, big.NewInt(i))
	}
	fmt.Println(f, new(big.Int).Exp(big.NewInt(3), f, big.NewInt(998244353)), big.NewRat(355, 113), new(big.Float).SetPrec(200).Sqrt(big.NewFloat(2)))
}
