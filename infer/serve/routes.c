#include "infer/serve/routes.h"

#include <string.h>

#include "infer/serve/exchange_parts.h"
#include "infer/serve/page.h"

typedef void RouteFn(Exchange *x, const HttpRequest *request);

static void set_text(Exchange *x, const char *type)
{
    x->type = type;
    x->is_whole = true;
}

static void page(Exchange *x, const HttpRequest *request)
{
    (void)request;
    strbuf_puts(&x->out, serve_page);
    set_text(x, "text/html; charset=utf-8");
}

static void health(Exchange *x, const HttpRequest *request)
{
    (void)request;
    Err why;
    if (scheduler_failed(x->service->scheduler, &why))
        exchange_refuse(x, 500, why.text);
    else
        exchange_set_json(x, 200, json_pack("{s:s}", "status", "ok"));
}

static void metrics(Exchange *x, const HttpRequest *request)
{
    (void)request;
    metrics_print(x->service->metrics, &x->out);
    set_text(x, "text/plain; version=0.0.4; charset=utf-8");
}

/* OpenAI's object, and what the web page wants to know. */
static json_t *model_json(const Protocol *p)
{
    json_t *experts = json_array();
    for (int64_t e = 0; e < p->n_experts; e++)
        json_array_append_new(experts, json_string(p->experts[e]));
    return json_pack("{s:s, s:s, s:i, s:s, s:I, s:s, s:s, s:o}", "id", p->model, "object", "model",
                     "created", 0, "owned_by", "cambium", "max_model_len", (json_int_t)p->context,
                     "chat_template", p->chat ? chat_template_name(p->chat) : "none", "rule",
                     p->rule, "experts", experts);
}

static void models(Exchange *x, const HttpRequest *request)
{
    (void)request;
    exchange_set_json(
        x, 200,
        json_pack("{s:s, s:[o]}", "object", "list", "data", model_json(&x->service->protocol)));
}

static void model(Exchange *x, const HttpRequest *request)
{
    ApiError error;
    const char *name = request->path + strlen("/v1/models/");
    if (strcmp(name, x->service->protocol.model) == 0) {
        exchange_set_json(x, 200, model_json(&x->service->protocol));
        return;
    }
    api_error(&error, 404, "model_not_found", "there is no model '%.64s' here; it is '%s'", name,
              x->service->protocol.model);
    exchange_set_error(x, &error);
}

static void completions(Exchange *x, const HttpRequest *request)
{
    exchange_generate(x, REQUEST_COMPLETION, request);
}

static void chat_completions(Exchange *x, const HttpRequest *request)
{
    exchange_generate(x, REQUEST_CHAT, request);
}

typedef Status TokenizerFn(const Protocol *protocol, const char *body, int64_t bytes, json_t **out,
                           ApiError *error);

static void ask_tokenizer(Exchange *x, const HttpRequest *request, TokenizerFn *fn)
{
    ApiError error;
    json_t *answer;
    if (fn(&x->service->protocol, request->body, request->bytes, &answer, &error) == STATUS_OK)
        exchange_set_json(x, 200, answer);
    else
        exchange_set_error(x, &error);
}

static void tokenize(Exchange *x, const HttpRequest *request)
{
    ask_tokenizer(x, request, request_tokenize);
}

static void detokenize(Exchange *x, const HttpRequest *request)
{
    ask_tokenizer(x, request, request_detokenize);
}

typedef struct Route {
    const char *method, *path; /* a path that ends with / stands for all below it */
    RouteFn *fn;
    bool open; /* without the key */
} Route;

static const Route routes[] = {
    {"GET", "/", page, true},
    {"GET", "/health", health, true},
    {"GET", "/metrics", metrics, false},
    {"GET", "/v1/models", models, false},
    {"GET", "/v1/models/", model, false},
    {"POST", "/v1/completions", completions, false},
    {"POST", "/v1/chat/completions", chat_completions, false},
    {"POST", "/tokenize", tokenize, false},
    {"POST", "/detokenize", detokenize, false},
};
enum { N_ROUTES = sizeof routes / sizeof *routes };

static bool matches(const Route *route, const char *path)
{
    size_t length = strlen(route->path);
    if (length > 1 && route->path[length - 1] == '/')
        return strncmp(path, route->path, length) == 0 && path[length];
    return strcmp(path, route->path) == 0;
}

/* Hashes are compared, so that the time says nothing of the key. */
static bool has_key(const Service *service, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (!service->has_key)
        return true;
    if (!authorization || strncmp(authorization, scheme, strlen(scheme)) != 0)
        return false;
    const char *given = authorization + strlen(scheme);
    Sha256 hash = hash_of(given, strlen(given));
    return hash_equal(&hash, &service->key);
}

/* Browsers send requests of any page to any server, and name the page: a server without a key would
 * work for whatever page its user looks at. */
static bool is_foreign(const HttpRequest *request)
{
    const char *page = request->origin ? strstr(request->origin, "://") : NULL;
    return request->origin && (!page || !request->host || strcmp(page + 3, request->host) != 0);
}

void routes_follow(Exchange *x, const HttpRequest *request)
{
    ApiError error;
    const char *method = strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;
    const Route *route = NULL;
    bool other_method = false;
    for (int i = 0; i < N_ROUTES && !route; i++)
        if (matches(&routes[i], request->path)) {
            other_method = strcmp(routes[i].method, method) != 0;
            route = other_method ? NULL : &routes[i];
        }
    if (is_foreign(request))
        api_error(&error, 403, "foreign_origin", "requests of another server's pages are refused");
    else if (!has_key(x->service, request->authorization) && !(route && route->open))
        api_error(&error, 401, "invalid_api_key",
                  "the API key is missing or wrong (Authorization: Bearer KEY)");
    else if (other_method)
        api_error(&error, 405, "method_not_allowed", "%.16s is not the method of %.64s",
                  request->method, request->path);
    else if (!route)
        api_error(&error, 404, "not_found", "there is nothing at %.64s", request->path);
    else {
        route->fn(x, request);
        return;
    }
    exchange_set_error(x, &error);
}
