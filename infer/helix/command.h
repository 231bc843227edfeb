/* What the leader tells the followers. Calls that only change sequences are collected and travel
 * with the next one that all ranks take part in. */
#ifndef CAMBIUM_INFER_HELIX_COMMAND_H
#define CAMBIUM_INFER_HELIX_COMMAND_H

#include "infer/helix/rank.h"

typedef enum HelixOp {
    HELIX_OP_NONE = 0, /* only what was collected */
    HELIX_OP_OPEN,
    HELIX_OP_CLOSE,
    HELIX_OP_TRUNCATE,
    HELIX_OP_SHARE,
    HELIX_OP_EXTEND,
    /* The following end a message. */
    HELIX_OP_MAKE,
    HELIX_OP_FREE,
    HELIX_OP_FILL,
    HELIX_OP_READ_KV,
    HELIX_OP_WRITE_KV,
    HELIX_OP_RUN,
    HELIX_OP_LOGITS,
    HELIX_OP_TARGETS,
    HELIX_OP_QUIT,
} HelixOp;

enum { HELIX_PENDING = 24, HELIX_INLINE = 96 };

typedef struct HelixCommand {
    int32_t op;
    int64_t a, b, c;
} HelixCommand;

/* Sent as it lies in memory: all ranks run one program. */
typedef struct HelixMessage {
    int32_t n_pending;
    HelixCommand pending[HELIX_PENDING];
    HelixCommand last;
    DecoderOptions options;     /* of MAKE */
    int64_t n_ints;             /* RUN: tokens, positions, sequences; TARGETS: targets;
                                   READ_KV, WRITE_KV: the rows */
    int32_t ints[HELIX_INLINE]; /* where they fit; else they follow in a broadcast of their own */
} HelixMessage;

/* The ranks' communicators. */
typedef struct HelixComms {
    Comm *world, *kvp, *tpf, *ep;
} HelixComms;

/* One rank's side: its model and, while there is a decoder, its HelixRank. */
typedef struct HelixMember {
    HelixComms comms;
    const Ensemble *ensemble;
    HelixGrid grid;
    int64_t block;
    bool hopb;
    HelixRank *rank;
} HelixMember;

/* Whether all ranks are well; otherwise all get the first failing rank's sentence. Collective. */
Status helix_agree(Comm *world, Status status, Err *err);

/* Follows the leader's commands until it quits. */
Status helix_follow_commands(HelixMember *member, Err *err);

/* The leader's side: where its decoder's layers run. */
typedef struct HelixLeader {
    RunnerSource source;
    HelixMember *member;
    HelixMessage message;
    HelixTimes times;                         /* of the last decoder that ended */
    void (*explain)(void *context, Err *err); /* says more of a failure, or NULL */
    void *context;
} HelixLeader;
void helix_leader_init(HelixLeader *leader, HelixMember *member);
Status helix_leader_quit(HelixLeader *leader, Err *err);

#endif
