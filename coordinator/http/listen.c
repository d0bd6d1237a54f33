/* SPDX-License-Identifier: Apache-2.0 */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

/* ---- TCP ---- */

/* "[::1]:80" → "::1" and "80". */
static bool split(const char *address, char host[256], const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    bool bracketed = address[0] == '[';
    const char *begin = address + bracketed;
    const char *end = bracketed ? strchr(address, ']') : colon;

    if (!colon || !end || end == begin || end - begin > 255 || (bracketed && end + 1 != colon))
        return false;
    if (!colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon) > 6 ||
        atol(colon + 1) > 65535)
        return false;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    *ret_port = colon + 1;
    return bracketed || !strchr(host, ':');
}

static bool is_loopback(const struct sockaddr *address)
{
    const struct sockaddr_in *four = (const void *)address;
    const struct sockaddr_in6 *six = (const void *)address;

    return address->sa_family == AF_INET ? ntohl(four->sin_addr.s_addr) >> 24 == 127
                                         : IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) != 0;
}

/* The host as it was given, with the port that the socket got. */
static bool name_it(struct listener *listener, const char *host)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char port[16];

    if (getsockname(listener->fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof port, NI_NUMERICSERV) != 0)
        return false;
    snprintf(listener->name, sizeof listener->name, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    return true;
}

bool listen_tcp(const char *address, struct listener *ret_listener, bool *ret_loopback, struct error *error)
{
    struct listener listener = {.fd = -1};
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    const char *port;
    char host[256];
    const int on = 1;

    if (!split(address, host, &port))
        return error_set(error, ERROR_PARSE, "%s is no address to listen on (HOST:PORT)", address);
    int result = getaddrinfo(host, port, &hints, &found);
    if (result != 0)
        return error_set(error, ERROR_PARSE, "%s: %s", address, gai_strerror(result));
    listener.fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool fine = listener.fd >= 0 && setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                bind(listener.fd, found->ai_addr, found->ai_addrlen) == 0 && name_it(&listener, host);
    if (fine) {
        *ret_loopback = is_loopback(found->ai_addr);
        *ret_listener = listener;
    } else {
        error_set(error, ERROR_UNAVAILABLE, "cannot listen on %s: %s", address, strerror(errno));
        if (listener.fd >= 0)
            close(listener.fd);
    }
    freeaddrinfo(found);
    return fine;
}

/* ---- Unix ---- */

static bool bind_at(int fd, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mode_t before;
    bool bound;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    before = umask(0177);
    bound = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    umask(before);
    return bound;
}

static bool bind_elsewhere(struct listener *listener, struct error *error)
{
    char path[LIMIT_SOCKET_PATH_MAX + 1];

    if (!sockets_make(&listener->sockets, error))
        return false;
    sockets_path(&listener->sockets, 0, path, sizeof path);
    return (bind_at(listener->fd, path) && symlink(path, listener->link) == 0) ||
           error_set(error, ERROR_UNAVAILABLE, "%s: %s", listener->link, strerror(errno));
}

/* Away with the socket, or the link to one, of a coordinator that was killed; anything else is somebody's. */
static bool clear_place(const char *path, struct error *error)
{
    struct stat status;

    if (lstat(path, &status) != 0)
        return true; /* bind will say what is wrong, if anything is */
    if (!S_ISSOCK(status.st_mode) && !S_ISLNK(status.st_mode))
        return error_set(error, ERROR_UNAVAILABLE, "%s: what is there is no socket, and is left alone: move it away",
                         path);
    (void)unlink(path);
    return true;
}

bool listen_unix(const char *directory, const char *name, struct listener *ret_listener, struct error *error)
{
    struct listener listener = {.fd = -1, .sockets.lock_fd = -1};

    if (asprintf(&listener.link, "%s/%s", directory, name) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    snprintf(listener.name, sizeof listener.name, "%s", listener.link);
    if (!clear_place(listener.link, error)) {
        free(listener.link);
        return false;
    }
    listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool fine;
    if (listener.fd < 0)
        fine = error_set(error, ERROR_UNAVAILABLE, "no Unix socket: %s", strerror(errno));
    else if (strlen(listener.link) > LIMIT_SOCKET_PATH_MAX)
        fine = bind_elsewhere(&listener, error);
    else
        fine = bind_at(listener.fd, listener.link) ||
               error_set(error, ERROR_UNAVAILABLE, "%s: %s", listener.link, strerror(errno));
    if (fine)
        *ret_listener = listener;
    else
        listen_close(&listener);
    return fine;
}

/* ---- both ---- */

bool listen_open(const struct listener *listener, struct error *error)
{
    return listen(listener->fd, BACKLOG) == 0 ||
           error_set(error, ERROR_UNAVAILABLE, "cannot listen on %s: %s", listener->name, strerror(errno));
}

void listen_close(struct listener *listener)
{
    if (listener->fd >= 0)
        close(listener->fd);
    if (listener->link)
        (void)unlink(listener->link);
    if (listener->sockets.path[0])
        sockets_remove(&listener->sockets);
    free(listener->link);
    *listener = (struct listener){.fd = -1};
}
