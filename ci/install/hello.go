// hello.c by cgo.
package main

// #cgo pkg-config: iouringnet
// #include <iouringnet.h>
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

func check(status C.iouringnet_status) {
	if status != 0 {
		fmt.Fprintln(os.Stderr, C.GoString(C.iouringnet_strerror(status)))
		os.Exit(1)
	}
}

func main() {
	var net *C.iouringnet_net
	check(C.net_start(nil, &net))
	loopback := C.CString("127.0.0.1:0")
	var listener *C.iouringnet_listener
	check(C.net_bind(net, loopback, nil, &listener))
	C.free(unsafe.Pointer(loopback))
	var address C.iouringnet_address
	check(C.listener_address(listener, &address))

	var sink, answers *C.iouringnet_sink
	var stream, questions *C.iouringnet_stream
	check(C.net_dial(net, &address.text[0], nil, &sink, &stream))
	check(C.listener_accept(listener, &answers, &questions))
	word := []byte("hello")
	check(C.sink_send(answers, unsafe.Pointer(&word[0]), 5, nil))
	got := make([]byte, 5)
	check(C.stream_recv(stream, unsafe.Pointer(&got[0]), 5, nil))

	C.connection_close(answers, questions)
	C.connection_close(sink, stream)
	C.listener_close(listener)
	check(C.net_stop(net))
	fmt.Println(string(got))
}
