package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	b, e := os.ReadFile("/box/program")
	if e != nil {
		b, e = os.ReadFile(os.Args[0])
	}
	fmt.Println(string(b[1:4]), e)
	d, _ := os.MkdirTemp("", "x")
	os.MkdirAll(filepath.Join(d, "a", "b"), 0755)
	os.WriteFile(filepath.Join(d, "a", "b", "f"), bytes.Repeat([]byte("x"), 9999), 0644)
	filepath.Walk(d, func(p string, i os.FileInfo, e error) error {
		r, _ := filepath.Rel(d, p)
		fmt.Println(r, i.Mode(), i.Size() == 9999)
		return e
	})
	fmt.Println(os.RemoveAll(d))
	_, e = os.Open("/nowhere")
	fmt.Println(e)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(make([]byte, 9999))
	w.Close()
	r, _ := gzip.NewReader(&z)
	o, _ := io.ReadAll(r)
	fmt.Printf("%x\n", sha256.Sum256(o))
	j, _ := json.Marshal(map[string]interface{}{"b": 1, "a": []string{"é", "<"}})
	fmt.Println(string(j))
}
