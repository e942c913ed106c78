package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	var n int64
	var w sync.WaitGroup
	c := make(chan int, 10)
	for i := 0; i < 1000; i++ {
		w.Add(1)
		go func(i int) { defer w.Done(); atomic.AddInt64(&n, int64(i)); c <- i }(i)
	}
	go func() { w.Wait(); close(c) }()
	s := 0
	for x := range c {
		s += x
	}
	fmt.Println(n, s)
	x, stop := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer stop()
	select {
	case <-x.Done():
		fmt.Println(errors.Is(x.Err(), context.DeadlineExceeded))
	case <-time.After(10 * time.Second):
		fmt.Println("late")
	}
	t := time.NewTicker(time.Millisecond)
	<-t.C
	<-t.C
	t.Stop()
	for i := 0; i < 2; i++ {
		go func() {
			for {
			}
		}()
	}
	time.Sleep(20 * time.Millisecond)
	fmt.Println("preempted")
}
