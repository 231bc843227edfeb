#include "core/cli/config_file.h"

#include <yaml.h>

#include "core/base/strbuf.h"

static const char *scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static Status apply_value(const Verb *verb, void *settings, yaml_document_t *document,
                          const char *name, yaml_node_t *value, Err *err)
{
    if (scalar(value))
        return options_set(verb, settings, name, scalar(value), err);
    if (!value || value->type != YAML_SEQUENCE_NODE)
        return err_set(err, "'%s' wants a value or a list of values", name);
    for (yaml_node_item_t *item = value->data.sequence.items.start;
         item < value->data.sequence.items.top; item++) {
        const char *text = scalar(yaml_document_get_node(document, *item));
        if (!text)
            return err_set(err, "'%s' wants a list of plain values", name);
        TRY(options_set(verb, settings, name, text, err));
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
        if (!scalar(key))
            return err_set(err, "an option name must be plain text");
        Status status = apply_value(verb, settings, document, scalar(key),
                                    yaml_document_get_node(document, pair->value), err);
        if (status != STATUS_OK)
            return err_wrap(err, "line %zu", key->start_mark.line + 1);
    }
    return STATUS_OK;
}

Status config_file_apply(const Verb *verb, void *settings, const char *path, Err *err)
{
    StrBuf text = {0};
    Status status = file_read(path, 1 << 20, &text, err);
    if (status != STATUS_OK) {
        strbuf_clear(&text);
        return status;
    }
    yaml_parser_t parser;
    yaml_document_t document;
    CHECK(yaml_parser_initialize(&parser), "libyaml");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, (size_t)text.size);
    if (!yaml_parser_load(&parser, &document)) {
        status = err_set(err, "%s, line %zu: %s", path, parser.problem_mark.line + 1,
                         parser.problem ? parser.problem : "not YAML");
    } else {
        status = apply_document(verb, settings, &document, err);
        if (status != STATUS_OK)
            err_wrap(err, "%s", path);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    strbuf_clear(&text);
    return status;
}
