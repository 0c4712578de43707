"""hello.c by ctypes. The argument is the shared library: a path, or a name that the loader finds."""

import ctypes
import sys

library = ctypes.CDLL(sys.argv[1])
library.iouringnet_strerror.restype = ctypes.c_char_p


def check(status):
    if status != 0:
        sys.exit(library.iouringnet_strerror(status).decode())


def pair():
    return ctypes.c_void_p(), ctypes.c_void_p()


net, listener = pair()
check(library.net_start(None, ctypes.byref(net)))
check(library.net_bind(net, b"127.0.0.1:0", None, ctypes.byref(listener)))
address = ctypes.create_string_buffer(256)
check(library.listener_address(listener, address))
sink, stream = pair()
check(library.net_dial(net, address, None, ctypes.byref(sink), ctypes.byref(stream)))
answers, questions = pair()
check(library.listener_accept(listener, ctypes.byref(answers), ctypes.byref(questions)))
check(library.sink_send(answers, b"hello", ctypes.c_size_t(5), None))
got = ctypes.create_string_buffer(6)
check(library.stream_recv(stream, got, ctypes.c_size_t(5), None))
library.connection_close(answers, questions)
library.connection_close(sink, stream)
library.listener_close(listener)
check(library.net_stop(net))
print(got.value.decode())
