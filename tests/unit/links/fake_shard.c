/* SPDX-License-Identifier: Apache-2.0 */
/* Takes shardd's place: speaks its start and its messages, keeps nothing, and misbehaves as $FAKE_SHARD says.
 *
 *   echo (default)  ready; a request is answered with its own body
 *   failed          says `failed io …`
 *   exits           exits with status 3 without a word
 *   silent          never says a word
 *   closes          closes the ready descriptor and stays
 *   deaf            ready; answers nothing at all, not even pings
 *   stuck           ready; answers pings with a counter that stands still, and no request
 *   busy            ready; answers pings with a counter that moves, and no request
 *   stale           ready; answers each request with an earlier generation first
 *   garbage         ready; answers with what is no answer
 *   dies            ready; exits with status 5 at the first request
 *   chatters        ready; answers the first request a hundred times and exits with status 5
 *   deaf_to_term    echo that ignores SIGTERM
 * With $FAKE_SHARD_ONCE naming a file, only the first life misbehaves: it makes the file. */
#include "wire.h"

#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char *option(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return argv[i + 1];
    fprintf(stderr, "fake_shard: %s is missing\n", name);
    exit(2);
}

static void say(int fd, const char *line)
{
    if (write(fd, line, strlen(line)) < 0)
        exit(2);
    close(fd);
}

static const char *chosen_mode(void)
{
    const char *mode = getenv("FAKE_SHARD"), *once = getenv("FAKE_SHARD_ONCE");
    if (!mode)
        return "echo";
    if (once) {
        int fd = open(once, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
            return "echo";
        close(fd);
    }
    return mode;
}

static void answer(nng_socket socket, const struct wire_header *header, const struct cursor *body)
{
    struct buffer message = {0};
    static uint64_t progress;
    bool ping = header->kind == WIRE_PING, stuck = !strcmp(chosen_mode(), "stuck");
    bool fine = wire_put_done(&message, header) && (ping ? wire_put_ping_answer(&message, stuck ? 7 : ++progress)
                                                         : pack_raw(&message, body->at, cursor_left(body)));
    if (!fine || nng_send(socket, message.bytes, message.len, 0))
        exit(2);
    buffer_release(&message);
}

static void serve(nng_socket socket, const char *mode)
{
    for (;;) {
        void *bytes;
        size_t len;
        struct wire_header header;
        struct cursor body;
        struct error error;
        if (nng_recv(socket, &bytes, &len, NNG_FLAG_ALLOC))
            exit(2);
        if (!wire_get_request(bytes, len, &header, &body, &error))
            exit(2);
        if (!strcmp(mode, "dies") && header.kind != WIRE_PING)
            _exit(5);
        if (!strcmp(mode, "chatters") && header.kind != WIRE_PING) {
            for (int i = 0; i < 100; i++)
                answer(socket, &header, &body);
            _exit(5);
        }
        if (!strcmp(mode, "garbage"))
            nng_send(socket, (char[]){"no answer"}, 9, 0);
        bool silent = !strcmp(mode, "stuck") || !strcmp(mode, "busy");
        if (!strcmp(mode, "stale") && header.kind != WIRE_PING) {
            header.generation--;
            answer(socket, &header, &body);
            header.generation++;
        }
        if (strcmp(mode, "deaf") != 0 && (!silent || header.kind == WIRE_PING))
            answer(socket, &header, &body);
        nng_free(bytes, len);
    }
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != atoi(option(argc, argv, "--parent")))
        return 2;
    const char *mode = chosen_mode();
    int ready = atoi(option(argc, argv, "--ready-fd"));
    if (!strcmp(mode, "failed")) {
        say(ready, "failed io the disk is full of holes\n");
        return 3;
    }
    if (!strcmp(mode, "exits"))
        return 3;
    if (!strcmp(mode, "closes"))
        close(ready);
    if (!strcmp(mode, "silent") || !strcmp(mode, "closes"))
        for (;;)
            pause();
    if (!strcmp(mode, "deaf_to_term"))
        signal(SIGTERM, SIG_IGN);
    nng_socket socket;
    if (nng_pair0_open(&socket) || nng_listen(socket, option(argc, argv, "--listen"), NULL, 0))
        return 2;
    say(ready, "ready\n");
    serve(socket, mode);
}
