#include "core/io/hf_folder.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/io/safetensors.h"

/* Names of files that belong to a model, whoever wrote them. */
static const char *const model_files[] = {"*.safetensors",
                                          "*.index.json",
                                          "pytorch_model*.bin",
                                          "consolidated.*",
                                          "config.json",
                                          "generation_config.json",
                                          "tokenizer.json",
                                          "tokenizer.model",
                                          "vocab.json",
                                          "merges.txt",
                                          "special_tokens_map.json",
                                          "added_tokens.json",
                                          "chat_template.*",
                                          "tokenizer_config.json",
                                          "params.json"};

/* Those of an export. */
static const char *const own_files[] = {"model.safetensors", "config.json", "tokenizer.json",
                                        "tokenizer_config.json", "generation_config.json"};

static bool is_model_file(const char *name)
{
    for (size_t i = 0; i < sizeof model_files / sizeof *model_files; i++)
        if (fnmatch(model_files[i], name, 0) == 0)
            return true;
    return false;
}

static bool is_own_name(const char *name)
{
    for (size_t i = 0; i < sizeof own_files / sizeof *own_files; i++)
        if (strcmp(own_files[i], name) == 0)
            return true;
    return false;
}

/* Whether the weights in the folder say that this program wrote them. */
static bool is_own_export(const char *folder)
{
    char *path = file_join(folder, "model.safetensors");
    FileMap map = {0};
    SafeFile *file;
    Err ignored;
    bool own = false;
    if (file_map_open(&map, path, &ignored) == STATUS_OK &&
        safe_parse(&file, map.data ? map.data : "", map.bytes, path, &ignored) == STATUS_OK) {
        const char *producer = json_string_value(json_object_get(safe_metadata(file), "producer"));
        own = producer && strcmp(producer, SAFE_PRODUCER) == 0;
        safe_close(file);
    }
    file_map_close(&map);
    free(path);
    return own;
}

Status hf_folder_check(const char *folder, Err *err)
{
    DIR *stream = opendir(folder);
    if (!stream)
        return STATUS_OK; /* what makes it will say why it cannot */
    Status status = STATUS_OK;
    const struct dirent *entry;
    while (status == STATUS_OK && (entry = readdir(stream)) != NULL) {
        const char *name = entry->d_name;
        /* Asked when the file is seen: another process may just have written it. */
        if (is_model_file(name) && !(is_own_name(name) && is_own_export(folder)))
            status = err_set(err,
                             "%s holds a model that 'cambium export' did not write (%s); name "
                             "another folder, or remove that model",
                             folder, name);
    }
    closedir(stream);
    return status;
}
