/* SPDX-License-Identifier: MIT */
/* One request, and the answer to it as it comes in. */
#ifndef TESTS_LOAD_LOAD_ANSWER_H
#define TESTS_LOAD_LOAD_ANSWER_H

#include "tests/load/load.h"

enum answer_kind {
    ANSWER_TEXT,    /* one that is known */
    ANSWER_RANDOM,  /* hexadecimal digits never seen before */
    ANSWER_LETTERS, /* the alphabet again and again */
    ANSWER_ECHO,    /* what was sent */
    ANSWER_TIME,    /* the time, within two seconds */
    ANSWER_NONE,    /* whatever it is, it is wrong, but for a gateway's */
    ANSWER_VANISH,  /* nobody waits for it */
};

/* What is expected of a path. */
struct answer_rule {
    enum answer_kind kind;
    const char *text;           /* ANSWER_TEXT */
    uint64_t bytes;             /* of ANSWER_LETTERS, ANSWER_ECHO */
    enum load_outcome expected; /* at the end */
    unsigned vanish;            /* which way */
};

enum { VANISH_SILENT = 1, VANISH_HALF, VANISH_ANSWER };

/* What random numbers came so far. */
struct answer_seen {
    uint64_t (*values)[2]; /* {0, 0}: free */
    size_t room, count;
};

/* An answer that is coming in. */
struct answer {
    const struct answer_rule *rule;
    uint64_t number; /* of the request */
    char text[768];  /* the header, then a short body */
    size_t got;      /* bytes there */
    bool in_body;
    bool wrong; /* whatever else comes */
    bool has_length, closes;
    int status;
    uint64_t body_bytes; /* expected, if has_length */
    uint64_t body_got;
};

/* What a path should answer; `path` stays the caller's. */
void answer_rule_of(const char *path, struct answer_rule *rule);

/* Writes a request. Returns its length: header, and for ANSWER_ECHO the body,
 * which fits if there are 256 bytes more than the body's. */
size_t answer_request(const struct answer_rule *rule, const char *path,
                      uint64_t number, bool last, char *to, size_t room);

void answer_begin(struct answer *answer, const struct answer_rule *rule,
                  uint64_t number);

/* Takes bytes that came. True once the answer is complete. */
bool answer_take(struct answer *answer, const char *data, size_t bytes);

/* How a complete answer ended. */
enum load_outcome answer_judge(struct answer *answer, struct answer_seen *seen);

#endif
