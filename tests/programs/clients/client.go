// METHOD URL [BODY_FILE]: prints the status, type and length of the response in a line each, and its body.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	var body io.Reader
	if len(os.Args) > 3 {
		file, err := os.Open(os.Args[3])
		check(err)
		body = file
	}
	request, err := http.NewRequest(os.Args[1], os.Args[2], body)
	check(err)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	check(err)
	text, err := io.ReadAll(response.Body)
	check(err)
	header := response.Header
	fmt.Printf("%d\n%s\n%s\n", response.StatusCode, header.Get("Content-Type"), header.Get("Content-Length"))
	fmt.Printf("%s\n", text)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
