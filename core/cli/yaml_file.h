/* YAML files that people write: a mapping whose every key stands once. */
#ifndef CAMBIUM_CORE_CLI_YAML_FILE_H
#define CAMBIUM_CORE_CLI_YAML_FILE_H

#include <yaml.h>

#include "core/base/err.h"

/* What is done with a document; errors in it get the file's name. */
typedef Status YamlFn(void *context, yaml_document_t *document, Err *err);

/* Reads the file and gives its one document to `fn`. Several documents, and keys that stand twice
 * in a mapping at any depth, are errors: which one was meant is not known. */
Status yaml_file_read(const char *path, YamlFn *fn, void *context, Err *err);

/* The text of a plain value, or NULL. Borrowed from the document. */
const char *yaml_scalar(const yaml_node_t *node);

#endif
