/* SPDX-License-Identifier: MIT */
/* What the tests of files share: printing what calls returned. */
#ifndef IMAGES_FILES_FILES_H
#define IMAGES_FILES_FILES_H

/* Linux's name of an error that is expected here. */
const char *name_of(int error);

/* Prints a result, or errno's name if it is negative. */
void show(const char *what, long result);

/* Prints the call and what it returned. */
#define SHOW(call) show(#call, (long)(call))

/* The same for calls whose result is a descriptor, whatever its number. */
#define OPEN(variable, call)                      \
    do {                                          \
        variable = (call);                        \
        show(#call, variable < 0 ? variable : 0); \
    } while (0)

/* Prints what was read, or errno's name if `bytes` is negative. */
void show_text(const char *what, const char *content, long bytes);

/* What was read last. */
extern char text[8192];

#define READ(fd)                                    \
    do {                                            \
        long bytes_ = read(fd, text, sizeof(text)); \
        show_text("read(" #fd ")", text, bytes_);   \
    } while (0)

/* How many names a file has, or -1. */
long links_of(const char *path);

void write_file(const char *path, const char *content);
void show_file(const char *path);

/* What main() runs, each printing what its calls return. */
void check_open(void);
void check_vectors(void);
void check_holes(void);
void check_unlinked(void);
void check_mappings(void);
void check_directories(void);
void check_many(void);
void check_links(void);
void check_rename(void);
void check_attributes(void);
void check_descriptors(void);
void check_pipes(void);
void check_select(void);
void check_epoll(void);
void check_eventfd(void);
void check_limits(void);
void check_devices(void);

#endif
