/* tls_session: a TLS session of OpenSSL on a connection of libiouringnet. All calls are made in callbacks of one net. */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include <iouringnet.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct tls_session;

struct tls_callbacks {
    void (*ready)(void *user, struct tls_session *session); /* the handshake is done; NULL: nothing to do then */
    void (*data)(void *user, struct tls_session *session, const void *data, size_t size);
    void (*end)(void *user, const char *problem); /* once, last; NULL: the peer said close_notify and all went out */
};

/* Takes over both halves and `ssl`, which knows its role (SSL_set_accept_state or SSL_set_connect_state). The callbacks
 * stay where they are until `end` has run. Returns false, and has then closed everything, if there is no memory. */
bool tls_begin(iouringnet_sink *sink, iouringnet_stream *stream, SSL *ssl, const struct tls_callbacks *callbacks,
               void *user);

/* Encrypts and posts a copy of the bytes. What the sink does not take waits in memory. If it was written in a data callback,
 * nothing more is received until it has gone. */
void tls_write(struct tls_session *session, const void *data, size_t size);

/* Says close_notify: this side sends no more. The peer may still send. */
void tls_finish(struct tls_session *session);

#endif
