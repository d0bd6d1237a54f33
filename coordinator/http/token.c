/* SPDX-License-Identifier: Apache-2.0 */
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (TOKEN_BYTES_MAX + 2) /* with its line end */

static bool is_private(int fd, const char *path, struct error *error)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return error_set(error, ERROR_PARSE, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(error, ERROR_PARSE, "%s is no file", path);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return error_set(error, ERROR_PARSE, "%s belongs to somebody else", path);
    if (status.st_mode & 077)
        return error_set(error, ERROR_PARSE, "%s can be read by others: its mode is to be 0600", path);
    return true;
}

/* One line of visible ASCII. */
static bool is_token(char *text, size_t len)
{
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    text[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return len > 0 && len <= TOKEN_BYTES_MAX;
}

bool token_read(const char *path, char **ret_token, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char *text = calloc(1, FILE_BYTES_MAX + 2);
    bool fine = false;

    if (fd < 0)
        error_set(error, ERROR_PARSE, "%s: %s", path, strerror(errno));
    else if (!text)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else if (is_private(fd, path, error)) {
        ssize_t len = read(fd, text, FILE_BYTES_MAX + 1);

        if (len < 0)
            error_set(error, ERROR_PARSE, "%s: %s", path, strerror(errno));
        else if (len > (ssize_t)FILE_BYTES_MAX || !is_token(text, (size_t)len))
            error_set(error, ERROR_PARSE, "%s does not hold a token: one line of visible ASCII, at most %u bytes", path,
                      TOKEN_BYTES_MAX);
        else
            fine = true;
    }
    if (fd >= 0)
        close(fd);
    if (fine)
        *ret_token = text;
    else
        token_free(text);
    return fine;
}

void token_free(char *token)
{
    if (token)
        explicit_bzero(token, FILE_BYTES_MAX + 2);
    free(token);
}
