package main

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

func main() {
	s := "Ünïcödé ☺ 🙂 ß on 2024-02-29 and 1999-12-31"
	fmt.Println(len(s), utf8.RuneCountInString(s), strings.ToUpper(s), regexp.MustCompile(`(\d{4})-(\d\d)`).FindAllStringSubmatch(s, -1), regexp.MustCompile(`\p{L}+`).FindString(s))
	for i, r := range "aé🙂" {
		fmt.Printf("%d %q %U;", i, r, r)
	}
	fmt.Printf("%q %x %v\n", "a\xff", "é", utf8.ValidString("\xff"))
}
