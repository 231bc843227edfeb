#include "core/cli/options.h"

#include <limits.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/inputs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/cli/config_file.h"
#include "core/io/json_put.h"

static CommonSettings common;
static const char *config;    /* the file of --config, borrowed from the command line, or NULL */
static StringList given;      /* names that the config file and the command line set */
static StringList given_here; /* of these, names that the place which is read now has set */

static const Option common_options[] = {
    {"config", OPTION_TEXT, 0, "FILE", NULL,
     "read options from a YAML file (keys are option names)", NULL, 0, "Common"},
    {"threads", OPTION_INT, offsetof(CommonSettings, threads), "N", "0",
     "threads to use (0: all cores)", NULL, 0, NULL},
    {"quiet", OPTION_FLAG, offsetof(CommonSettings, quiet), NULL, NULL,
     "no progress and no remarks", NULL, 'q', NULL},
    {"verbose", OPTION_FLAG, offsetof(CommonSettings, verbose), NULL, NULL, "more remarks", NULL, 0,
     NULL},
    {0},
};

const Option *options_of_all_verbs(void)
{
    return common_options;
}

const CommonSettings *options_common(void)
{
    return &common;
}

static bool has_name(const StringList *names, const char *name)
{
    for (int64_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0)
            return true;
    return false;
}

bool options_given(const char *name)
{
    return has_name(&given, name);
}

static void *field(const Option *option, void *settings)
{
    return (char *)settings + option->offset;
}

static const Option *find_in(const Option *table, const char *name, size_t length)
{
    for (const Option *o = table; o->name; o++)
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0)
            return o;
    return NULL;
}

static const Option *find_letter(const Option *table, char letter)
{
    for (const Option *o = table; o->name; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

static int edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    int n = (int)strlen(a), m = (int)strlen(b);
    if (n >= LONGEST || m >= LONGEST)
        return LONGEST;
    int row[LONGEST + 1];
    for (int j = 0; j <= m; j++)
        row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            int best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            row[j] = replace < best ? replace : best;
        }
    }
    return row[m];
}

const char *nearest_name(const char *wrong, const char *const *names, int count)
{
    const char *best = NULL;
    int best_distance = (int)strlen(wrong) / 3 + 2;
    for (int i = 0; i < count; i++) {
        int distance = edit_distance(wrong, names[i]);
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}

static Status unknown_option(const Verb *verb, const char *name, Err *err)
{
    const char *names[256];
    int count = 0;
    for (const Option *o = verb->options; o->name && count < 250; o++)
        names[count++] = o->name;
    for (const Option *o = common_options; o->name && count < 256; o++)
        names[count++] = o->name;
    const char *near = nearest_name(name, names, count);
    if (near)
        return err_set(err, "no option --%s; did you mean --%s? ('cambium %s --help' lists them)",
                       name, near, verb->name);
    return err_set(err, "no option --%s; 'cambium %s --help' lists the options", name, verb->name);
}

Status option_parse_int(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || errno == ERANGE || !isfinite(value))
        return STATUS_FAIL;
    if (*end) {
        static const char units[] = "KMGT";
        const char *unit = strchr(units, *end == 'k' ? 'K' : *end);
        if (!unit)
            return STATUS_FAIL;
        bool binary = end[1] == 'i';
        if (end[binary ? 2 : 1])
            return STATUS_FAIL;
        for (const char *u = units; u <= unit; u++)
            value *= binary ? 1024.0 : 1000.0;
    } else {
        errno = 0;
        long long whole = strtoll(text, &end, 10);
        if (*end == '\0' && errno == 0) {
            *out = whole;
            return STATUS_OK;
        }
    }
    if (value != floor(value) || fabs(value) > 9.0e18)
        return STATUS_FAIL;
    *out = (int64_t)value;
    return STATUS_OK;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = choices; p; p = strchr(p, '|')) {
        p += *p == '|';
        if (strncmp(p, text, n) == 0 && (p[n] == '|' || p[n] == '\0'))
            return true;
    }
    return false;
}

/* "0..1" or "0..": both ends belong to it. */
static Status check_range(const Option *option, double value, Err *err)
{
    if (!option->choices)
        return STATUS_OK;
    double least = strtod(option->choices, NULL);
    const char *top = strstr(option->choices, "..") + 2;
    if (value >= least && (!*top || value <= strtod(top, NULL)))
        return STATUS_OK;
    if (*top)
        return err_set(err, "--%s is between %.*s and %s, not %g", option->name,
                       (int)(top - 2 - option->choices), option->choices, top, value);
    return err_set(err, "--%s is %g or more, not %g", option->name, least, value);
}

static Status set_value(const Option *option, void *settings, const char *text, Err *err)
{
    void *at = field(option, settings);
    char *end;
    bool first = !has_name(&given_here, option->name);
    string_list_add(&given, option->name);
    string_list_add(&given_here, option->name);
    switch (option->kind) {
    case OPTION_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return err_set(err, "--%s takes true or false, not '%s'", option->name, text);
        *(bool *)at = text[0] == 't';
        return STATUS_OK;
    case OPTION_INT:
        if (option_parse_int(text, at) != STATUS_OK)
            return err_set(err, "--%s takes a whole number (also 64K, 2M, 4Gi), not '%s'",
                           option->name, text);
        return check_range(option, (double)*(int64_t *)at, err);
    case OPTION_REAL: {
        double value = strtod(text, &end);
        if (end == text || *end || !isfinite(value))
            return err_set(err, "--%s takes a number, not '%s'", option->name, text);
        *(double *)at = value;
        return check_range(option, value, err);
    }
    case OPTION_CHOICE:
        if (!is_choice(option->choices, text))
            return err_set(err, "--%s takes one of %s, not '%s'", option->name, option->choices,
                           text);
        /* fall through */
    case OPTION_TEXT:
    case OPTION_INPUT:
    case OPTION_OUTPUT:
        free(*(char **)at);
        *(char **)at = xstrdup(text);
        return STATUS_OK;
    case OPTION_LIST:
    case OPTION_INPUTS:
        if (first)
            string_list_clear(at);
        string_list_add(at, text);
        return STATUS_OK;
    }
    return STATUS_OK;
}

static bool is_list(const Option *option)
{
    return option->kind == OPTION_LIST || option->kind == OPTION_INPUTS;
}

static void set_defaults(const Option *table, void *settings)
{
    for (const Option *o = table; o->name; o++) {
        if (!o->standard)
            continue;
        Err err;
        CHECK(set_value(o, settings, o->standard, &err) == STATUS_OK, "default of --%s: %s",
              o->name, err.text);
    }
}

/* The option that `name` (without dashes) means, and the struct its value goes to. */
static const Option *look_up(const Verb *verb, const char *name, size_t length, void *settings,
                             void **target)
{
    const Option *option = find_in(verb->options, name, length);
    *target = settings;
    if (!option) {
        option = find_in(common_options, name, length);
        *target = &common;
    }
    return option;
}

Status options_set(const Verb *verb, void *settings, const char *name, const char *text, Err *err)
{
    void *target;
    const Option *option = look_up(verb, name, strlen(name), settings, &target);
    if (!option || strcmp(name, "config") == 0)
        return unknown_option(verb, name, err);
    return set_value(option, target, text, err);
}

bool options_is_list(const Verb *verb, const char *name)
{
    const Option *option = find_in(verb->options, name, strlen(name));
    return option && is_list(option);
}

/* Parses one long option; `*index` advances when the value is the next argument. */
static Status parse_long(const Verb *verb, int argc, char **argv, int *index, void *settings,
                         Err *err)
{
    const char *name = argv[*index] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    void *target;
    const Option *option = look_up(verb, name, length, settings, &target);
    const char *value = equals ? equals + 1 : NULL;
    if (!option && strncmp(name, "no-", 3) == 0) {
        option = look_up(verb, name + 3, length - 3, settings, &target);
        if (option && option->kind == OPTION_FLAG && !value)
            return set_value(option, target, "false", err);
        option = NULL;
    }
    if (!option) {
        char wrong[128];
        snprintf(wrong, sizeof wrong, "%.*s", (int)(length < 120 ? length : 120), name);
        return unknown_option(verb, wrong, err);
    }
    if (option->kind == OPTION_FLAG && !value)
        value = "true";
    if (!value) {
        if (*index + 1 >= argc)
            return err_set(err, "--%s wants a value (%s)", option->name, option->placeholder);
        value = argv[++*index];
    }
    if (target == &common && strcmp(option->name, "config") == 0)
        return STATUS_OK; /* read before everything else */
    return set_value(option, target, value, err);
}

static Status parse_short(const Verb *verb, int argc, char **argv, int *index, void *settings,
                          Err *err)
{
    const char *text = argv[*index];
    void *target = settings;
    const Option *option = find_letter(verb->options, text[1]);
    if (!option) {
        option = find_letter(common_options, text[1]);
        target = &common;
    }
    if (!option)
        return err_set(err, "no option -%c; 'cambium %s --help' lists the options", text[1],
                       verb->name);
    if (option->kind == OPTION_FLAG && !text[2])
        return set_value(option, target, "true", err);
    if (text[2])
        return set_value(option, target, text + 2, err);
    if (*index + 1 >= argc)
        return err_set(err, "-%c wants a value (%s)", text[1], option->placeholder);
    return set_value(option, target, argv[++*index], err);
}

static Status config_path(int argc, char **argv, const char **path, Err *err)
{
    *path = NULL;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *next = NULL;
        if (strncmp(argv[i], "--config=", 9) == 0)
            next = argv[i] + 9;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            next = argv[++i];
        if (next && *path)
            return err_set(err, "--config %s and --config %s: give one file", *path, next);
        *path = next ? next : *path;
    }
    return STATUS_OK;
}

Status options_parse(const Verb *verb, int argc, char **argv, void *settings,
                     StringList *positionals, Err *err)
{
    memset(settings, 0, verb->settings_size);
    common = (CommonSettings){0};
    set_defaults(verb->options, settings);
    string_list_clear(&given);
    string_list_clear(&given_here);
    TRY(config_path(argc, argv, &config, err));
    if (config)
        TRY(config_file_apply(verb, settings, config, err));
    string_list_clear(&given_here);
    bool only_names = false;
    for (int i = 0; i < argc; i++) {
        if (only_names || argv[i][0] != '-' || argv[i][1] == '\0')
            string_list_add(positionals, argv[i]);
        else if (strcmp(argv[i], "--") == 0)
            only_names = true;
        else if (argv[i][1] == '-')
            TRY(parse_long(verb, argc, argv, &i, settings, err));
        else
            TRY(parse_short(verb, argc, argv, &i, settings, err));
    }
    if (positionals->count < verb->positionals_min)
        return err_set(err, "too few arguments; usage: cambium %s %s [OPTIONS]", verb->name,
                       verb->positionals);
    if (verb->positionals_max >= 0 && positionals->count > verb->positionals_max)
        return err_set(err, "'%s' is one argument too many; usage: cambium %s %s%s[OPTIONS]",
                       positionals->items[verb->positionals_max], verb->name, verb->positionals,
                       verb->positionals[0] ? " " : "");
    if (common.threads < 0 || common.threads > INT_MAX)
        return err_set(err, "--threads takes 0 to %d", INT_MAX);
    if (common.threads > 0)
        parallel_set_width((int)common.threads);
    log_set_level(common.quiet ? LOG_WARN : common.verbose ? LOG_DEBUG : LOG_INFO);
    return STATUS_OK;
}

static void note_inputs(const Verb *verb, const void *settings, const StringList *positionals)
{
    for (int64_t i = 0; i < positionals->count; i++)
        inputs_add_text(positionals->items[i]);
    if (config)
        inputs_add(config);
    for (const Option *o = verb->options; o->name; o++) {
        const void *at = (const char *)settings + o->offset;
        if (o->kind == OPTION_INPUT && *(char *const *)at)
            inputs_add_text(*(char *const *)at);
        for (int64_t i = 0; o->kind == OPTION_INPUTS && i < ((const StringList *)at)->count; i++)
            inputs_add_text(((const StringList *)at)->items[i]);
    }
}

static const char *output_of(const Option *option, const void *settings)
{
    return option->kind == OPTION_OUTPUT ? *(char *const *)((const char *)settings + option->offset)
                                         : NULL;
}

Status options_check_paths(const Verb *verb, const void *settings, const StringList *positionals,
                           Err *err)
{
    inputs_begin(verb->results);
    note_inputs(verb, settings, positionals);
    for (const Option *o = verb->options; o->name; o++) {
        const char *output = output_of(o, settings);
        if (!output)
            continue;
        TRY(inputs_check(output, err));
        for (const Option *other = verb->options; other < o; other++)
            if (output_of(other, settings))
                TRY(inputs_check_pair(output_of(other, settings), output, err));
    }
    return STATUS_OK;
}

void options_clear(const Verb *verb, void *settings)
{
    string_list_clear(&given);
    string_list_clear(&given_here);
    for (const Option *o = verb->options; o->name; o++) {
        void *at = field(o, settings);
        if (is_list(o)) {
            string_list_clear(at);
        } else if (o->kind >= OPTION_TEXT) {
            free(*(char **)at);
            *(char **)at = NULL;
        }
    }
}

json_t *options_json(const Verb *verb, const void *settings)
{
    json_t *object = json_object();
    for (const Option *o = verb->options; o->name; o++) {
        const void *at = (const char *)settings + o->offset;
        json_t *value = NULL;
        switch (o->kind) {
        case OPTION_FLAG:
            value = json_boolean(*(const bool *)at);
            break;
        case OPTION_INT:
            value = json_integer(*(const int64_t *)at);
            break;
        case OPTION_REAL:
            value = json_real(*(const double *)at);
            break;
        case OPTION_TEXT:
        case OPTION_INPUT:
        case OPTION_OUTPUT:
        case OPTION_CHOICE: {
            const char *text = *(char *const *)at;
            value = text ? json_name(text) : json_null();
            break;
        }
        case OPTION_LIST:
        case OPTION_INPUTS: {
            const StringList *list = at;
            value = json_array();
            for (int64_t i = 0; i < list->count; i++)
                json_array_append_new(value, json_name(list->items[i]));
            break;
        }
        }
        /* Text that is not UTF-8 (a file name may be anything) has no JSON form. */
        json_object_set_new(object, o->name, value ? value : json_null());
    }
    return object;
}
