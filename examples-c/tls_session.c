#include "tls_session.h"

#include <openssl/err.h>
#include <stdlib.h>

enum { RECORD = 16384 }; /* bytes that one TLS record carries at most */

struct tls_session {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    SSL *ssl;      /* owns both BIOs */
    BIO *arrived;  /* what OpenSSL has still to read */
    BIO *to_send;  /* what the sink has still to take */
    bool is_ready; /* the handshake is done */
    bool is_over;  /* no more is read: the connection closes as soon as to_send is empty */
    bool in_data;  /* the data callback is running */
    bool answers;  /* to_send holds what was written in a data callback */
    const char *problem;
    const struct tls_callbacks *callbacks;
    void *user;
};

static void flush(struct tls_session *s) {
    char *bytes, record[RECORD];
    long size;
    while ((size = BIO_get_mem_data(s->to_send, &bytes)) > 0) {
        size = size < RECORD ? size : RECORD;
        iouringnet_status status = sink_post(s->sink, bytes, (size_t)size);
        if (status == IOURINGNET_FULL && s->answers)
            stream_pause(s->stream); /* until on_room: a peer that does not read its answers must ask no more */
        if (status != IOURINGNET_OK)
            return;
        BIO_read(s->to_send, record, (int)size); /* it is posted: out of the BIO */
    }
    s->answers = false;
    if (s->is_over)
        connection_close(s->sink, s->stream); /* what was posted still goes out */
}

static void give_up(struct tls_session *s, const char *problem) {
    if (s->problem == NULL)
        s->problem = problem;
    s->is_over = true;
}

/* Lets OpenSSL work on what has arrived: the handshake first, then the data. */
static void work(struct tls_session *s) {
    char plain[RECORD];
    int size;
    ERR_clear_error();
    s->in_data = true;
    while ((size = SSL_read(s->ssl, plain, sizeof plain)) > 0)
        s->callbacks->data(s->user, s, plain, (size_t)size);
    s->in_data = false;
    int reason = SSL_get_error(s->ssl, size);
    if (!s->is_ready && SSL_is_init_finished(s->ssl)) {
        s->is_ready = true;
        if (s->callbacks->ready != NULL)
            s->callbacks->ready(s->user, s);
    }
    if (reason == SSL_ERROR_ZERO_RETURN) { /* close_notify */
        s->is_over = true;
        SSL_shutdown(s->ssl); /* answered with our own */
    } else if (reason != SSL_ERROR_WANT_READ) {
        const char *text = ERR_reason_error_string(ERR_peek_last_error());
        give_up(s, text != NULL ? text : "TLS failed"); /* the alert to the peer still goes out */
    }
    flush(s);
}

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct tls_session *s = user;
    if (status != IOURINGNET_OK) { /* the last call of this callback */
        if (!s->is_over)
            give_up(s, "the connection ended without close_notify, bytes may be missing");
        connection_close(s->sink, s->stream);
    } else if (!s->is_over && BIO_write(s->arrived, data, (int)size) == (int)size) {
        work(s);
    } else if (!s->is_over) {
        give_up(s, "no memory");
        flush(s);
    }
    return size;
}

static void on_room(void *user, iouringnet_status status) {
    struct tls_session *s = user;
    if (status == IOURINGNET_OK) {
        stream_resume(s->stream);
        flush(s); /* which may pause it again */
    } else {
        give_up(s, iouringnet_strerror(status));
        connection_close(s->sink, s->stream);
    }
}

static void on_end(void *user, iouringnet_status status) {
    struct tls_session *s = user;
    if (status != IOURINGNET_OK)
        give_up(s, iouringnet_strerror(status));
    s->callbacks->end(s->user, s->problem);
    SSL_free(s->ssl);
    free(s);
}

bool tls_begin(iouringnet_sink *sink, iouringnet_stream *stream, SSL *ssl, const struct tls_callbacks *callbacks,
               void *user) {
    static const iouringnet_connection_callbacks watch = {
        .size = sizeof watch, .data = on_data, .room = on_room, .end = on_end};
    struct tls_session *s = calloc(1, sizeof *s);
    BIO *arrived = BIO_new(BIO_s_mem()), *to_send = BIO_new(BIO_s_mem());
    if (s != NULL && arrived != NULL && to_send != NULL) {
        *s = (struct tls_session){.sink = sink,
                                  .stream = stream,
                                  .ssl = ssl,
                                  .arrived = arrived,
                                  .to_send = to_send,
                                  .callbacks = callbacks,
                                  .user = user};
        SSL_set_bio(ssl, arrived, to_send);
        if (connection_watch(sink, stream, &watch, s) == IOURINGNET_OK) {
            work(s); /* a client speaks first */
            return true;
        }
        arrived = to_send = NULL; /* SSL_free frees them */
    }
    BIO_free(arrived);
    BIO_free(to_send);
    SSL_free(ssl);
    free(s);
    connection_abort(sink, stream);
    return false;
}

void tls_write(struct tls_session *s, const void *data, size_t size) {
    s->answers = s->answers || s->in_data;
    if (size > 0 && SSL_write(s->ssl, data, (int)size) != (int)size)
        give_up(s, "cannot encrypt");
    flush(s);
}

void tls_finish(struct tls_session *s) {
    SSL_shutdown(s->ssl);
    flush(s);
}
