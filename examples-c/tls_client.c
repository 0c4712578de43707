/* tls_client: sends its input over TLS to a server, and prints what comes back: openssl s_client in small.
 *
 * What it teaches:
 *   - dialling: the callback of net_dial_async gets the connection, which then belongs to the program;
 *   - that the main thread waits for a result that callbacks produce;
 *   - verifying a server: its certificate must lead to a given authority and bear the name that was dialled.
 *
 * To compile it:   cc -o tls_client tls_client.c tls_session.c -liouringnet -lssl -lcrypto
 * To try it:       ./tls_client localhost:7443 authority.pem <some_file | cmp - some_file
 */
#define _GNU_SOURCE /* for strndup under -std=c11 */

#include <openssl/err.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "start.h"
#include "tls_session.h"

struct client {
    SSL_CTX *context;
    char *host; /* whose name the certificate must bear */
    char *input;
    size_t size;
    bool failed;
    sem_t over; /* the connection has ended, and nothing here is touched any more */
};

static void end(struct client *client, const char *problem) {
    client->failed = problem != NULL;
    if (client->failed) {
        fprintf(stderr, "tls_client: %s: %s\n", client->host, problem);
        ERR_print_errors_fp(stderr);
    }
    sem_post(&client->over);
}

static void on_ready(void *user, struct tls_session *session) {
    struct client *client = user;
    tls_write(session, client->input, client->size);
    tls_finish(session); /* the server may still answer */
}

static void on_data(void *user, struct tls_session *session, const void *data, size_t size) {
    (void)user, (void)session;
    fwrite(data, 1, size, stdout);
}

static void on_end(void *user, const char *problem) {
    end(user, problem);
}

/* The dial has succeeded or failed. */
static void on_dialled(void *user, const iouringnet_completion *done) {
    static const struct tls_callbacks callbacks = {.ready = on_ready, .data = on_data, .end = on_end};
    struct client *client = user;
    if (done->status != IOURINGNET_OK) {
        end(client, iouringnet_strerror(done->status));
        return;
    }
    SSL *ssl = SSL_new(client->context);
    if (ssl == NULL || SSL_set1_host(ssl, client->host) != 1) {
        SSL_free(ssl);
        connection_abort(done->sink, done->stream);
        end(client, "no memory");
        return;
    }
    SSL_set_connect_state(ssl);
    if (!tls_begin(done->sink, done->stream, ssl, &callbacks, client))
        end(client, "no memory");
}

static bool read_input(struct client *client) {
    enum { STEP = 65536 };
    size_t got;
    do {
        char *larger = realloc(client->input, client->size + STEP);
        if (larger == NULL)
            return false;
        client->input = larger;
        got = fread(client->input + client->size, 1, STEP, stdin);
        client->size += got;
    } while (got > 0);
    return true;
}

static bool trust(SSL_CTX *context, const char *authority) {
    if (context == NULL || SSL_CTX_load_verify_locations(context, authority, NULL) != 1) {
        fprintf(stderr, "tls_client: cannot use %s:\n", authority);
        ERR_print_errors_fp(stderr);
        return false;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return true;
}

static const char usage[] = "usage: tls_client ADDRESS AUTHORITY <INPUT >ANSWER\n"
                            "  ADDRESS    HOST:PORT\n"
                            "  AUTHORITY  a file in the PEM format: the certificates that are trusted\n";

int main(int argc, char **argv) {
    answer_questions(argc, argv, usage);
    const char *colon = argc == 3 ? strrchr(argv[1], ':') : NULL;
    if (colon == NULL)
        return refuse_arguments(usage);

    struct client client = {.context = SSL_CTX_new(TLS_client_method()), .failed = true};
    client.host = strndup(argv[1], (size_t)(colon - argv[1]));
    sem_init(&client.over, 0, 0);
    iouringnet_net *net = NULL;
    if (client.host != NULL && trust(client.context, argv[2]) && read_input(&client))
        net = start_net("tls_client", NULL);
    if (net != NULL) {
        iouringnet_status status = net_dial_async(net, argv[1], NULL, on_dialled, &client, NULL);
        if (status != IOURINGNET_OK)
            end(&client, iouringnet_strerror(status));
        sem_wait(&client.over);
        net_stop(net);
    }
    SSL_CTX_free(client.context);
    free(client.input);
    free(client.host);
    return client.failed ? 1 : 0;
}
