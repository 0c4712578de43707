#!/bin/sh
# test_tls.sh TLS_ECHO TLS_CLIENT: our client and openssl's at our server, and our client at openssl's server. Skipped where
# the program openssl is missing.
. "$(dirname "$0")/test_lib.sh"
server=$1
client=$2
for program in openssl nc; do
    command -v $program >/dev/null || {
        echo "$program is not here"
        exit 77
    }
done
cd "$directory" || exit 1
patience=${IOURINGNET_TEST_PATIENCE:-1}
limit=$((30 * patience))

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
    tries=$(($1 * 10 * patience))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "waited in vain for: $*"
        sleep 0.1
    done
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>req.log || fail "no certificate: $(cat req.log)"
mkfifo hold
exec 3<>hold # an input that does not end
head -c $((67108864 / patience)) /dev/urandom >sent # more than all buffers hold
: >empty

start_server server "$server" cert.pem key.pem 127.0.0.1:0 2>server.err
port=${address##*:}

for input in sent empty; do
    timeout $limit "$client" "localhost:$port" cert.pem <$input >received || fail "tls_client failed with $input"
    cmp $input received || fail "tls_client got something else back"
done

# openssl's client: its input ends, and it goes without waiting for the rest; so it waits here for a whole echo
echo "a line for the echo" >line
(cat line && sleep 2) | timeout $limit openssl s_client -quiet -no_ign_eof -verify_return_error -CAfile cert.pem -connect "127.0.0.1:$port" \
    >received 2>s_client.log || fail "openssl s_client failed: $(cat s_client.log)"
cmp line received || fail "openssl s_client got something else back"

# a server that is not trusted, and one of another name
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout other_key.pem -out other.pem -days 2 \
    -subj /CN=other -addext subjectAltName=DNS:other 2>req.log || fail "no certificate: $(cat req.log)"
timeout $limit "$client" "localhost:$port" other.pem <line >received 2>error && fail "tls_client trusted anybody"
grep -q "certificate verify failed" error || fail "tls_client did not say why: $(cat error)"

# what is not TLS at all, and a client that is gone in the middle of a session
printf 'GET / HTTP/1.1\r\n\r\n' | timeout 10 nc -N 127.0.0.1 "$port" >received
openssl s_client -quiet -CAfile cert.pem -connect "127.0.0.1:$port" <hold >received 2>s_client.log &
killed=$!
started="$started $killed"
cat line >&3
wait_for 10 cmp -s received line
kill -s KILL "$killed"
wait_for 10 grep -q "without close_notify" server.err
timeout $limit "$client" "localhost:$port" cert.pem <line >received && cmp line received || fail "the server did not go on"
stop_server TERM
grep -q "wrong version number\|http request" server.err || fail "the server did not say that HTTP came: $(cat server.err)"

# openssl's server, which reverses each line
openssl s_server -rev -cert cert.pem -key key.pem -accept 127.0.0.1:0 <hold >s_server.log 2>&1 &
started="$started $!"
wait_for 10 grep -q '^ACCEPT' s_server.log
timeout $limit "$client" "localhost:$(sed -n 's/^ACCEPT .*://p' s_server.log)" cert.pem <line >received ||
    fail "tls_client failed with openssl s_server"
rev line | cmp - received || fail "openssl s_server got something else"

# a server that ends the connection without close_notify
command -v python3 >/dev/null || exit 0
cat >cut.py <<'END'
import socket, ssl

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
with socket.create_server(("127.0.0.1", 0)) as listener:
    print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    session = context.wrap_socket(listener.accept()[0], server_side=True)
    session.recv(100)
    socket.socket(fileno=session.detach()).close()
END
start_server cut python3 cut.py
timeout $limit "$client" "localhost:${address##*:}" cert.pem <line >received 2>error && fail "tls_client took a cut for an end"
grep -q "without close_notify" error || fail "tls_client did not tell the cut: $(cat error)"
