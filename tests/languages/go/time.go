package main

import (
	"fmt"
	"time"
)

func main() {
	t := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	fmt.Println(t.Format(time.RFC1123Z), t.YearDay(), t.AddDate(1, 0, 0), t.In(time.FixedZone("X", 5*3600+45*60)))
	a := time.Now()
	time.Sleep(3 * time.Millisecond)
	fmt.Println(time.Since(a) >= 3*time.Millisecond, time.Unix(0, 0).UTC())
}
