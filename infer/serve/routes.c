#include "infer/serve/routes.h"

#include <string.h>

#include "infer/serve/exchange_parts.h"
#include "infer/serve/page.h"
#include "infer/serve/pictures.h"

typedef void RouteFn(Exchange *x, const HttpRequest *request);

static void set_text(Exchange *x, const char *type)
{
    x->type = type;
    x->is_whole = true;
}

static const char *page_type(const char *name)
{
    return file_has_suffix(name, ".js")    ? "text/javascript; charset=utf-8"
           : file_has_suffix(name, ".css") ? "text/css; charset=utf-8"
                                           : "text/html; charset=utf-8";
}

static void page_file(Exchange *x, const char *name)
{
    ApiError error;
    for (const PageFile *f = page_files; f->name; f++)
        if (strcmp(f->name, name) == 0) {
            strbuf_puts(&x->out, f->text);
            set_text(x, page_type(name));
            return;
        }
    api_error(&error, 404, "not_found", "the page has no file %.64s", name);
    exchange_set_error(x, &error);
}

static void page(Exchange *x, const HttpRequest *request)
{
    (void)request;
    page_file(x, "index.html");
}

static void page_part(Exchange *x, const HttpRequest *request)
{
    page_file(x, request->path + strlen("/page/"));
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
    return json_pack("{s:s, s:s, s:i, s:s, s:I, s:s, s:b, s:s, s:o}", "id", p->model, "object",
                     "model", "created", 0, "owned_by", "cambium", "max_model_len",
                     (json_int_t)p->context, "chat_template",
                     p->chat ? chat_template_name(p->chat) : "none", "pictures",
                     p->pictures != NULL, "rule", p->rule, "experts", experts);
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

static void pictures(Exchange *x, const HttpRequest *request)
{
    ask_tokenizer(x, request, request_pictures);
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
    {"GET", "/page/", page_part, true},
    {"GET", "/health", health, true},
    {"GET", "/metrics", metrics, false},
    {"GET", "/v1/models", models, false},
    {"GET", "/v1/models/", model, false},
    {"POST", "/v1/completions", completions, false},
    {"POST", "/v1/chat/completions", chat_completions, false},
    {"POST", "/tokenize", tokenize, false},
    {"POST", "/detokenize", detokenize, false},
    {"POST", "/pictures", pictures, false},
};
enum { N_ROUTES = sizeof routes / sizeof *routes };

static bool matches(const Route *route, const char *path)
{
    size_t length = strlen(route->path);
    if (length > 1 && route->path[length - 1] == '/')
        return strncmp(path, route->path, length) == 0 && path[length];
    return strcmp(path, route->path) == 0;
}

static const Route *find_route(const char *path)
{
    for (int i = 0; i < N_ROUTES; i++)
        if (matches(&routes[i], path))
            return &routes[i];
    return NULL;
}

/* The path without doubled slashes and a closing one: how people join addresses. */
static void plain_path(const char *path, StrBuf *out)
{
    for (const char *c = path; *c; c++)
        if (*c != '/' || out->size == 0 || out->data[out->size - 1] != '/')
            strbuf_append(out, c, 1);
    if (out->size > 1 && out->data[out->size - 1] == '/')
        out->data[--out->size] = '\0';
}

/* Hashes are compared, so that the time says nothing of the key. */
static bool has_key(const Service *service, const char *authorization)
{
    if (!service->has_key)
        return true;
    const char *given = access_bearer(authorization);
    if (!given)
        return false;
    Sha256 hash = hash_of(given, strlen(given));
    return hash_equal(&hash, &service->key);
}

static bool is_foreign_page(const Access *access, const HttpRequest *request)
{
    return request->origin && !access_own_page(request->origin, request->host) &&
           !access_allows(access, request->origin);
}

/* Whether the request may be answered at all; fills the error where not. */
static bool may_ask(const Access *access, const HttpRequest *request, ApiError *error)
{
    if (request->host && !access_knows_host(access, request->host, request->local))
        api_error(error, 403, "foreign_host",
                  "this server is not known as '%.128s'; --allow-host gives it another name",
                  request->host);
    else if (is_foreign_page(access, request))
        api_error(error, 403, "foreign_origin",
                  "requests of another server's pages are refused; --allow-origin %.128s lets them "
                  "be answered",
                  request->origin);
    else
        return true;
    return false;
}

static void follow(Exchange *x, const HttpRequest *request)
{
    ApiError error;
    const char *method = strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;
    const Route *route = find_route(request->path);
    bool asks_methods =
        strcmp(method, "OPTIONS") == 0 && (route || strcmp(request->path, "*") == 0);
    if (route)
        x->allow = strcmp(route->method, "GET") == 0 ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
    else if (asks_methods)
        x->allow = "GET, HEAD, POST, OPTIONS";
    if (!may_ask(&x->service->access, request, &error)) {
        x->allow = NULL;
    } else if (asks_methods) {
        x->status = 204;
        set_text(x, NULL);
        return;
    } else if (!has_key(x->service, request->authorization) && !(route && route->open)) {
        api_error(&error, 401, "invalid_api_key",
                  "the API key is missing or wrong (Authorization: Bearer KEY)");
    } else if (!route) {
        api_error(&error, 404, "not_found", "there is nothing at %.64s", request->path);
    } else if (strcmp(route->method, method) != 0) {
        api_error(&error, 405, "method_not_allowed", "%.16s is not a method of %.64s (%s)",
                  request->method, request->path, x->allow);
    } else {
        x->allow = NULL;
        route->fn(x, request);
        return;
    }
    exchange_set_error(x, &error);
}

/* A proxy may name the whole address: http://HOST/PATH. What it says there goes before Host. */
static void split_absolute(const char *target, HttpRequest *request, StrBuf *authority)
{
    const char *rest = strstr(target, "://");
    if (target[0] == '/' || !rest || strcspn(target, "/") != (size_t)(rest - target) + 1)
        return;
    size_t length = strcspn(rest + 3, "/");
    strbuf_append(authority, rest + 3, length);
    request->host = authority->data;
    request->path = rest[3 + length] ? rest + 3 + length : "/";
}

void routes_follow(Exchange *x, const HttpRequest *given)
{
    HttpRequest request = *given;
    StrBuf path = {0}, authority = {0};
    split_absolute(given->path, &request, &authority);
    plain_path(request.path, &path);
    request.path = path.data ? path.data : "";
    follow(x, &request);
    strbuf_clear(&path);
    strbuf_clear(&authority);
}
