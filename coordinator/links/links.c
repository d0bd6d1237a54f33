/* SPDX-License-Identifier: Apache-2.0 */
#include "links.h"

#include "supervisor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct links {
    struct supervisor *supervisor;
};

void link_event_release(struct link_event *event)
{
    nng_msg_free(event->handle);
    event->handle = NULL;
    event->bytes = NULL;
    event->len = 0;
}

static bool host_is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    size_t len = strlen(host);
    char inner[INET6_ADDRSTRLEN];
    if (len < 3 || len - 2 >= sizeof inner || host[0] != '[' || host[len - 1] != ']')
        return false;
    memcpy(inner, host + 1, len - 2);
    inner[len - 2] = '\0';
    return inet_pton(AF_INET6, inner, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* tcp://HOST:PORT on loopback, as nng takes it. NULL with `error` for anything else. */
static char *url_of(const char *address, const char *database, struct error *error)
{
    static const char scheme[] = "tcp://";
    char host[64], *url = NULL, *end;
    const char *rest = address + strlen(scheme), *colon = strrchr(address, ':');
    bool fine = !strncmp(address, scheme, strlen(scheme)) && colon > rest && (size_t)(colon - rest) < sizeof host;
    if (fine) {
        snprintf(host, sizeof host, "%.*s", (int)(colon - rest), rest);
        if (!strcmp(host, "localhost"))
            snprintf(host, sizeof host, "127.0.0.1"); /* and not whichever of its addresses a resolver names first */
        unsigned long port = strtoul(colon + 1, &end, 10);
        fine = colon[1] >= '0' && colon[1] <= '9' && !*end && port >= 1 && port <= 65535 && host_is_loopback(host);
    }
    if (!fine) {
        error_set(error, ERROR_PARSE,
                  "database %s: the address %s is not tcp://HOST:PORT with a loopback host (127.0.0.0/8, [::1], "
                  "localhost)",
                  database, address);
        return NULL;
    }
    if (asprintf(&url, "%s%s%s", scheme, host, colon) < 0) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return url;
}

bool links_address_valid(const char *address, const char *database, struct error *error)
{
    char *url = url_of(address, database, error);
    free(url);
    return url != NULL;
}

/* shardd beside this program, else the bare name, which is looked for in PATH. */
static void find_program(char *path, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", path, size - sizeof "shardd");
    if (len > 0) {
        path[len] = '\0';
        char *slash = strrchr(path, '/');
        if (slash) {
            memcpy(slash + 1, "shardd", sizeof "shardd"); /* there is room: readlink left it */
            if (!access(path, X_OK))
                return;
        }
    }
    snprintf(path, size, "shardd");
}

struct links *links_open(const struct links_options *options, struct error *error)
{
    char *urls[LIMIT_DATABASES_MAX] = {0}, program[4096];
    const struct schema *schema = options->schema;
    struct links *links = NULL;
    if (schema->database_count > LIMIT_DATABASES_MAX) {
        error_set(error, ERROR_TOO_LARGE, "%u databases: at most %d are allowed", schema->database_count,
                  LIMIT_DATABASES_MAX);
        return NULL;
    }
    for (size_t i = 0; i < schema->database_count; i++)
        if (options->addresses && options->addresses[i] &&
            !(urls[i] = url_of(options->addresses[i], schema->databases[i].name, error)))
            goto out;
    if (options->shardd)
        snprintf(program, sizeof program, "%s", options->shardd);
    else
        find_program(program, sizeof program);
    links = calloc(1, sizeof *links);
    if (!links) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        goto out;
    }
    links->supervisor = supervisor_start(options, program, urls, error);
    if (!links->supervisor) {
        free(links);
        links = NULL;
    }
out:
    for (size_t i = 0; i < LIMIT_DATABASES_MAX; i++)
        free(urls[i]);
    return links;
}

bool links_send(struct links *links, database_id database, uint64_t generation, const void *head, size_t head_len,
                const void *body, size_t body_len)
{
    return supervisor_send(links->supervisor, database, generation, head, head_len, body, body_len);
}

void links_restart(struct links *links, database_id database, uint64_t generation)
{
    supervisor_restart(links->supervisor, database, generation);
}

int64_t links_pid(const struct links *links, database_id database)
{
    return supervisor_pid(links->supervisor, database);
}

void links_close(struct links *links)
{
    if (!links)
        return;
    supervisor_stop(links->supervisor);
    free(links);
}
