#include "core/cli/yaml_file.h"

#include <string.h>

#include "core/base/file.h"

enum { FILE_LIMIT = 1 << 20 };

const char *yaml_scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static Status check_mapping(yaml_document_t *document, const yaml_node_t *node, Err *err)
{
    const yaml_node_pair_t *pairs = node->data.mapping.pairs.start;
    for (const yaml_node_pair_t *a = pairs; a < node->data.mapping.pairs.top; a++) {
        const yaml_node_t *key = yaml_document_get_node(document, a->key);
        for (const yaml_node_pair_t *b = pairs; b < a && yaml_scalar(key); b++) {
            const yaml_node_t *other = yaml_document_get_node(document, b->key);
            if (yaml_scalar(other) && strcmp(yaml_scalar(key), yaml_scalar(other)) == 0)
                return err_set(err, "line %zu: '%s' stands in line %zu already; keep one of them",
                               key->start_mark.line + 1, yaml_scalar(key),
                               other->start_mark.line + 1);
        }
    }
    return STATUS_OK;
}

/* Nodes are numbered from 1, so nothing is followed and a circle of aliases is none here. */
static Status check_keys(yaml_document_t *document, Err *err)
{
    const yaml_node_t *node;
    for (int i = 1; (node = yaml_document_get_node(document, i)) != NULL; i++)
        if (node->type == YAML_MAPPING_NODE)
            TRY(check_mapping(document, node, err));
    return STATUS_OK;
}

static Status syntax_error(const yaml_parser_t *parser, Err *err)
{
    return err_set(err, "line %zu: %s", parser->problem_mark.line + 1,
                   parser->problem ? parser->problem : "not YAML");
}

static Status check_end(yaml_parser_t *parser, Err *err)
{
    yaml_document_t further;
    if (!yaml_parser_load(parser, &further))
        return syntax_error(parser, err);
    const yaml_node_t *root = yaml_document_get_root_node(&further);
    Status status = root ? err_set(err, "line %zu: a second document begins; keep one of them",
                                   root->start_mark.line + 1)
                         : STATUS_OK;
    yaml_document_delete(&further);
    return status;
}

static Status read_document(yaml_parser_t *parser, YamlFn *fn, void *context, Err *err)
{
    yaml_document_t document;
    if (!yaml_parser_load(parser, &document))
        return syntax_error(parser, err);
    Status status = check_keys(&document, err);
    if (status == STATUS_OK && yaml_document_get_root_node(&document))
        status = check_end(parser, err);
    if (status == STATUS_OK)
        status = fn(context, &document, err);
    yaml_document_delete(&document);
    return status;
}

Status yaml_file_read(const char *path, YamlFn *fn, void *context, Err *err)
{
    StrBuf text = {0};
    Status status = file_read(path, FILE_LIMIT, &text, err);
    if (status == STATUS_OK) {
        yaml_parser_t parser;
        CHECK(yaml_parser_initialize(&parser), "libyaml");
        yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, (size_t)text.size);
        status = read_document(&parser, fn, context, err);
        if (status != STATUS_OK)
            err_wrap(err, "%s", path);
        yaml_parser_delete(&parser);
    }
    strbuf_clear(&text);
    return status;
}
