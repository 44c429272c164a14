/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Generic netlink by hand: the tests need messages that no library would
 * send, and every byte of the answer.
 */
#ifndef VDT_NL_H
#define VDT_NL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NL_TEXT		512
#define NL_PAYLOAD	16384

/* A socket and what the family's name resolved to. One user at a time. */
struct nl {
	int fd;
	uint16_t family;
	uint32_t group;		/* of the "events" multicast group */
	uint32_t seq;
};

/* A request being put together; buf is grown as needed. */
struct nl_req {
	uint8_t *buf;
	size_t len;
	size_t cap;
};

/**
 * struct nl_reply - an answer
 * @error: 0 or the negative errno of the acknowledgement
 * @text: its extack sentence, "" if there was none
 * @cmd: command of the data message, 0 if there was none
 * @len: bytes of attributes at @payload
 */
struct nl_reply {
	int error;
	char text[NL_TEXT];
	uint8_t cmd;
	size_t len;
	uint8_t payload[NL_PAYLOAD];
};

int nl_open(struct nl *nl);	/* 0 or -errno; -ENOENT: no such family */
void nl_close(struct nl *nl);

void nl_begin(struct nl_req *req, uint8_t cmd);
void nl_put(struct nl_req *req, uint16_t type, const void *data, size_t len);
void nl_put_u32(struct nl_req *req, uint16_t type, uint32_t value);
void nl_put_str(struct nl_req *req, uint16_t type, const char *value);
void nl_end(struct nl_req *req);

/* Send and wait for the acknowledgement; returns reply->error. */
int nl_call(struct nl *nl, struct nl_req *req, struct nl_reply *reply);

/* As nl_call(), then nl_end(). */
int nl_call_end(struct nl *nl, struct nl_req *req, struct nl_reply *reply);

/* Dump with @req; @each sees one reply for each message. 0 or -errno. */
int nl_dump(struct nl *nl, struct nl_req *req,
	    void (*each)(void *ctx, const struct nl_reply *reply), void *ctx);

/* Events: join the group, take the next one. -EAGAIN after @timeout_ms. */
int nl_subscribe(struct nl *nl);
int nl_event(struct nl *nl, struct nl_reply *event, int timeout_ms);

/* The @nth attribute of @type; NULL if there is none. */
const void *nl_attr(const struct nl_reply *reply, uint16_t type, unsigned int nth, size_t *len);
bool nl_get_u32(const struct nl_reply *reply, uint16_t type, uint32_t *value);
bool nl_get_u64(const struct nl_reply *reply, uint16_t type, uint64_t *value);
const char *nl_get_str(const struct nl_reply *reply, uint16_t type, unsigned int nth);

#endif /* VDT_NL_H */
