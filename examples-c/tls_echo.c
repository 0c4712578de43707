/* tls_echo: an echo server over TLS, by OpenSSL. tls_client is its client; openssl s_client is another.
 *
 * What it teaches:
 *   - how a protocol sits on a connection (tls_session.c): OpenSSL reads and writes two buffers in memory, and the
 *     callbacks move bytes between these buffers and the connection;
 *   - back-pressure: what the sink does not take stays in OpenSSL's buffer, and the stream pauses until there is room;
 *   - the end: a client that said close_notify has sent everything; a connection that ends without it was cut off.
 *
 * To compile it:   cc -o tls_echo tls_echo.c tls_session.c -liouringnet -lssl -lcrypto
 * To try it:       ./tls_echo cert.pem key.pem &   then   openssl s_client -connect 127.0.0.1:7443
 */
#define _GNU_SOURCE /* for sigset_t and sigwait under -std=c11 */

#include <openssl/err.h>
#include <string.h>

#include "serve.h"
#include "tls_session.h"

#define DEFAULT_ADDRESS "127.0.0.1:7443"

static void on_data(void *user, struct tls_session *session, const void *data, size_t size) {
    (void)user;
    tls_write(session, data, size);
}

static void on_end(void *user, const char *problem) {
    (void)user;
    if (problem != NULL)
        fprintf(stderr, "tls_echo: a client: %s\n", problem);
}

/* The listener's watch brings a connection. `user` is the context of OpenSSL. */
static void on_connection(void *user, const iouringnet_completion *done) {
    static const struct tls_callbacks callbacks = {.data = on_data, .end = on_end};
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */
    SSL *ssl = SSL_new(user);
    if (ssl == NULL) {
        connection_abort(done->sink, done->stream);
        return;
    }
    SSL_set_accept_state(ssl);
    tls_begin(done->sink, done->stream, ssl, &callbacks, NULL);
}

static SSL_CTX *load(const char *certificate, const char *key) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context != NULL && SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1)
        return context;
    fprintf(stderr, "tls_echo: cannot use %s and %s:\n", certificate, key);
    ERR_print_errors_fp(stderr);
    SSL_CTX_free(context);
    return NULL;
}

static const char usage[] =
    "usage: tls_echo CERTIFICATE KEY [ADDRESS]\n"
    "  CERTIFICATE, KEY  files in the PEM format\n"
    "  ADDRESS           where to listen, HOST:PORT; default: " DEFAULT_ADDRESS "; port 0 takes a free one\n";

int main(int argc, char **argv) {
    answer_questions(argc, argv, usage);
    if (argc < 3 || argc > 4 || argv[1][0] == '-')
        return refuse_arguments(usage);
    SSL_CTX *context = load(argv[1], argv[2]);
    if (context == NULL)
        return 1;
    int code = serve_until_signal("tls_echo", argc == 4 ? argv[3] : DEFAULT_ADDRESS, on_connection, context);
    SSL_CTX_free(context);
    return code;
}
