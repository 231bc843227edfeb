/* Which path does what. */
#ifndef CAMBIUM_INFER_SERVE_ROUTES_H
#define CAMBIUM_INFER_SERVE_ROUTES_H

#include "infer/serve/exchange.h"

/* Checks the key, finds the path, and makes or begins the answer. */
void routes_follow(Exchange *exchange, const HttpRequest *request);

#endif
