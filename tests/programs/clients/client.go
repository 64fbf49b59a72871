// METHOD URL [BODY_FILE]: prints the status, and the response's body in the next line.
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
	fmt.Printf("%d\n%s\n", response.StatusCode, text)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
