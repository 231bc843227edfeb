/* Answers in OpenAI's JSON: what the jobs of a request reported, as one object or as server-sent
 * events. One thread at a time. */
#ifndef CAMBIUM_INFER_SERVE_RESPONSE_H
#define CAMBIUM_INFER_SERVE_RESPONSE_H

#include "infer/serve/request.h"
#include "infer/serve/token_log.h"

typedef struct Response Response;

/* Both are kept. The request's prompts and members are read, its jobs may have been taken. */
Response *response_new(const Request *request, const Protocol *protocol);
void response_free(Response *response);

void response_take(Response *response, const TokenLog *log);

/* How a request of several texts went: 0, or the status and the reason of the one that failed. */
int response_failure(const Response *response, ApiError *error);
bool response_ended(const Response *response); /* all texts have */

json_t *response_whole(const Response *response); /* the caller owns it */

/* Appends the events of what was taken since the last call; behind the last text's end also the
 * usage that was asked for and [DONE], or the error that ended it. */
void response_events(Response *response, StrBuf *out);
bool response_closed(const Response *response); /* the stream has had its last event */

#endif
