#include "core/cli/config_file.h"

#include "core/cli/yaml_file.h"

static Status apply_value(const Verb *verb, void *settings, yaml_document_t *document,
                          const char *name, yaml_node_t *value, Err *err)
{
    if (yaml_scalar(value))
        return options_set(verb, settings, name, yaml_scalar(value), err);
    if (!value || value->type != YAML_SEQUENCE_NODE)
        return err_set(err, "'%s' wants a value or a list of values", name);
    for (yaml_node_item_t *item = value->data.sequence.items.start;
         item < value->data.sequence.items.top; item++) {
        const char *text = yaml_scalar(yaml_document_get_node(document, *item));
        if (!text)
            return err_set(err, "'%s' wants a list of plain values", name);
        TRY(options_set(verb, settings, name, text, err));
        if (item > value->data.sequence.items.start && !options_is_list(verb, name))
            return err_set(err, "'%s' wants one value, not several", name);
    }
    return STATUS_OK;
}

static Status apply_document(const Verb *verb, void *settings, yaml_document_t *document, Err *err)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (!root)
        return STATUS_OK; /* an empty file sets nothing */
    if (root->type != YAML_MAPPING_NODE)
        return err_set(err, "wants lines of the form 'option: value'");
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(document, pair->key);
        if (!yaml_scalar(key))
            return err_set(err, "an option name must be plain text");
        Status status = apply_value(verb, settings, document, yaml_scalar(key),
                                    yaml_document_get_node(document, pair->value), err);
        if (status != STATUS_OK)
            return err_wrap(err, "line %zu", key->start_mark.line + 1);
    }
    return STATUS_OK;
}

typedef struct Target {
    const Verb *verb;
    void *settings;
} Target;

static Status apply(void *context, yaml_document_t *document, Err *err)
{
    const Target *target = context;
    return apply_document(target->verb, target->settings, document, err);
}

Status config_file_apply(const Verb *verb, void *settings, const char *path, Err *err)
{
    Target target = {verb, settings};
    return yaml_file_read(path, apply, &target, err);
}
