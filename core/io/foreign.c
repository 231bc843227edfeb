#include "core/io/foreign.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"

/* ---- kinds ----------------------------------------------------------------------------------- */

static bool has_file(const char *folder, const char *name)
{
    char *path = file_join(folder, name);
    bool there = file_exists(path) && !file_is_folder(path);
    free(path);
    return there;
}

static ForeignKind folder_kind(const char *path)
{
    return has_file(path, "config.json") ? FOREIGN_HF_FOLDER
           : has_file(path, "model.h5")  ? FOREIGN_RUN
                                         : FOREIGN_FOLDER;
}

static ForeignKind content_kind(const uint8_t *head, size_t n, const char *path)
{
    static const uint8_t hdf5[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'},
                         pickle[] = {0x80, 2, 0x8a, 10}; /* how torch.save once began */
    if (n >= sizeof hdf5 && memcmp(head, hdf5, sizeof hdf5) == 0)
        return FOREIGN_OURS;
    if (n >= 4 && memcmp(head, "GGUF", 4) == 0)
        return FOREIGN_GGUF;
    if (n >= 4 && (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, pickle, sizeof pickle) == 0))
        return FOREIGN_PICKLE;
    if (n >= 10 && head[8] == '{' && head[9] == '"' && head[5] == 0 && head[6] == 0 && head[7] == 0)
        return FOREIGN_SAFETENSORS; /* a length of 8 bytes, then a JSON object */
    if (file_has_suffix(path, ".json"))
        return FOREIGN_JSON;
    return FOREIGN_UNKNOWN;
}

ForeignKind foreign_kind(const char *path)
{
    uint8_t head[16];
    if (file_is_folder(path))
        return folder_kind(path);
    FILE *file = fopen(path, "rb");
    if (!file)
        return FOREIGN_UNKNOWN;
    size_t n = fread(head, 1, sizeof head, file);
    fclose(file);
    return content_kind(head, n, path);
}

/* ---- remedies -------------------------------------------------------------------------------- */

/* "models/llama-7b.gguf" or "models/llama-7b/": "llama-7b.h5". */
static char *model_name(const char *path, bool is_folder)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    char *name = xstrndup(path + start, end - start), *dot = strrchr(name, '.');
    if (dot && dot > name && !is_folder)
        *dot = '\0';
    bool is_name = name[0] && name[0] != '.' && name[0] != '/';
    char *file = xasprintf("%s.h5", is_name ? name : "model");
    free(name);
    return file;
}

/* `import`: what the command is to be given, for `path`. */
static Status refuse(const char *path, const char *what, const char *import, Err *err)
{
    char *name = model_name(import, file_is_folder(import));
    Status status =
        err_set(err, "%s is %s and not a Cambium file; 'cambium import %s -o %s' makes one", path,
                what, import, name);
    free(name);
    return status;
}

/* A file of the folder that would be a model, or NULL; the caller frees it. */
static char *model_within(const char *folder)
{
    struct dirent *entry;
    char *found = NULL;
    DIR *listing = opendir(folder);
    while (listing && !found && (entry = readdir(listing))) {
        char *path = file_join(folder, entry->d_name);
        bool is_model = file_has_suffix(path, ".gguf") || file_has_suffix(path, ".h5");
        if (is_model && entry->d_name[0] != '.')
            found = path;
        else
            free(path);
    }
    if (listing)
        closedir(listing);
    return found;
}

static Status refuse_folder(const char *path, Err *err)
{
    char *within = model_within(path);
    Status status;
    if (!within)
        status = err_set(
            err, "%s is a folder without a model (config.json, model.h5 or a .gguf file)", path);
    else if (file_has_suffix(within, ".gguf"))
        status = refuse(path, "a folder with a GGUF file", within, err);
    else
        status = err_set(err, "%s is a folder; name a file of it, such as %s", path, within);
    free(within);
    return status;
}

/* A file of a Hugging Face folder, or one that lies about alone. */
static Status refuse_part(const char *path, const char *what, Err *err)
{
    size_t length = (size_t)(file_base_name(path) - path);
    char *folder = length > 1 ? xstrndup(path, length - 1) : xstrdup(length ? "/" : ".");
    Status status;
    if (has_file(folder, "config.json"))
        status = refuse(path, what, folder, err);
    else
        status =
            err_set(err,
                    "%s is %s and not a Cambium file; in one folder with config.json, "
                    "model.safetensors and tokenizer.json, 'cambium import FOLDER -o MODEL.h5' "
                    "makes one",
                    path, what);
    free(folder);
    return status;
}

Status foreign_refuse(const char *path, Err *err)
{
    switch (foreign_kind(path)) {
    case FOREIGN_UNKNOWN:
    case FOREIGN_OURS:
        return STATUS_OK;
    case FOREIGN_GGUF:
        return refuse(path, "a GGUF file", path, err);
    case FOREIGN_HF_FOLDER:
        return refuse(path, "a Hugging Face folder", path, err);
    case FOREIGN_RUN:
        return err_set(err, "%s is the folder of a run; its model is %s%smodel.h5", path, path,
                       path[strlen(path) - 1] == '/' ? "" : "/");
    case FOREIGN_FOLDER:
        return refuse_folder(path, err);
    case FOREIGN_SAFETENSORS:
        return refuse_part(path, "safetensors", err);
    case FOREIGN_JSON:
        return refuse_part(path, "JSON", err);
    case FOREIGN_PICKLE:
        return err_set(
            err,
            "%s is a pickle of PyTorch, which is not read (loading one can run any "
            "program); in Python, AutoModelForCausalLM.from_pretrained(FOLDER)"
            ".save_pretrained(NEW_FOLDER) writes safetensors, which 'cambium import' reads",
            path);
    }
    return STATUS_OK;
}
