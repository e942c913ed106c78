package main

import (
	"errors"
	"fmt"
	"strconv"
)

type mine struct{ n int }

func (m mine) Error() string { return "mine " + strconv.Itoa(m.n) }
func try(f func())           { defer func() { fmt.Println(recover()) }(); f() }
func main() {
	try(func() { var p *mine; p.n = 1 })
	try(func() { a := []int{}; _ = a[len(a)+3] })
	try(func() { x := 0; fmt.Println(1 / x) })
	try(func() { var i interface{} = 1; _ = i.(string) })
	try(func() { panic(mine{7}) })
	e := fmt.Errorf("wrap: %w", mine{3})
	var m mine
	fmt.Println(errors.As(e, &m), m, e)
	_, e = strconv.Atoi("x")
	fmt.Println(e)
}
