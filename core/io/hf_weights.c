#include "core/io/hf_weights.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/hf_tokenizer.h"
#include "core/io/json_get.h"

enum { SHARDS_MAX = 4096 };

static const char suffix[] = ".safetensors", whole[] = "model.safetensors",
                  index_name[] = "model.safetensors.index.json";

struct HfWeights {
    char *folder;
    StringList names; /* of the opened files */
    SafeFile **files;
    json_t *index; /* or NULL */
    json_t *map;   /* the index's: which file holds which tensor */
};

/* ---- the folder ------------------------------------------------------------------------------ */

static Status list_folder(const char *folder, StringList *out, Err *err)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort);
    if (n < 0)
        return err_set(err, "cannot read the folder %s: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.')
            string_list_add(out, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return STATUS_OK;
}

static bool is_there(const HfWeights *w, const char *name)
{
    char *path = file_join(w->folder, name);
    bool there = file_exists(path);
    free(path);
    return there;
}

static int64_t place_of(const HfWeights *w, const char *name)
{
    int64_t i = 0;
    while (i < w->names.count && strcmp(w->names.items[i], name) != 0)
        i++;
    return i;
}

static Status open_file(HfWeights *w, const char *name, Err *err)
{
    if (place_of(w, name) < w->names.count)
        return STATUS_OK;
    if (w->names.count == SHARDS_MAX)
        return err_set(err, "%s has more than %d safetensors files", w->folder, SHARDS_MAX);
    SafeFile *file;
    char *path = file_join(w->folder, name);
    Status status = safe_open(&file, path, err);
    free(path);
    TRY(status);
    w->files = xrealloc(w->files, (size_t)(w->names.count + 1) * sizeof *w->files);
    w->files[w->names.count] = file;
    string_list_add(&w->names, name);
    return STATUS_OK;
}

/* ---- the index ------------------------------------------------------------------------------- */

static Status read_index(HfWeights *w, Err *err)
{
    char *path;
    Status status = hf_read_json(w->folder, index_name, &w->index, &path, err);
    if (status == STATUS_OK && w->index)
        status = json_get_object(w->index, "weight_map", path, &w->map, err);
    const char *tensor;
    json_t *file;
    json_object_foreach(w->map, tensor, file)
    {
        const char *name = json_string_value(file);
        if (status == STATUS_OK && (!name || name[0] == '/' || strstr(name, "..")))
            status = err_set(err, "%s names no file of its folder for '%.200s'", path, tensor);
    }
    free(path);
    return status;
}

static void forget_index(HfWeights *w)
{
    json_decref(w->index);
    w->index = w->map = NULL;
}

/* A file that the index names and the folder lacks, or NULL. */
static const char *missing_shard(const HfWeights *w)
{
    const char *tensor, *last = "";
    json_t *file;
    json_object_foreach(w->map, tensor, file)
    {
        const char *name = json_string_value(file);
        if (strcmp(name, last) != 0 && !is_there(w, name))
            return name;
        last = name;
    }
    return NULL;
}

static bool index_names(const HfWeights *w, const char *wanted)
{
    const char *tensor;
    json_t *file;
    json_object_foreach(w->map, tensor, file)
    {
        if (strcmp(json_string_value(file), wanted) == 0)
            return true;
    }
    return false;
}

static Status open_indexed(HfWeights *w, Err *err)
{
    const char *tensor, *missing = missing_shard(w);
    json_t *file;
    if (missing)
        return err_set(err, "%s has no %s, which its %s names; fetch that file too", w->folder,
                       missing, index_name);
    json_object_foreach(w->map, tensor, file)
    {
        const char *name = json_string_value(file);
        TRY(open_file(w, name, err));
        if (!safe_find(w->files[place_of(w, name)], tensor))
            return err_set(err,
                           "%s: %s has no tensor '%.200s', for which %s names it; fetch both "
                           "files again",
                           w->folder, name, tensor, index_name);
    }
    return STATUS_OK;
}

/* ---- without an index ------------------------------------------------------------------------ */

/* "model-00002-of-00003.safetensors": the bytes of "model", and the 3; 0 for other names. */
static int64_t shard_of(const char *name, int64_t *prefix)
{
    int index, total, end = 0;
    const char *dash = strstr(name, "-of-");
    if (!dash || dash - name < 6 || dash[-6] != '-')
        return 0;
    *prefix = dash - 6 - name;
    if (sscanf(name + *prefix, "-%5d-of-%5d.safetensors%n", &index, &total, &end) != 2 ||
        end != (int)strlen(name + *prefix) || index < 1 || index > total)
        return 0;
    return total;
}

static bool same_set(const char *a, const char *b)
{
    int64_t p, q, n = shard_of(a, &p), m = shard_of(b, &q);
    return n > 0 && n == m && p == q && strncmp(a, b, (size_t)p) == 0;
}

/* All files of the set that `name` is one of. */
static Status open_set(HfWeights *w, const char *name, Err *err)
{
    int64_t prefix, n = shard_of(name, &prefix);
    for (int64_t i = 1; i <= n; i++) {
        char *shard = xasprintf("%.*s-%05lld-of-%05lld%s", (int)prefix, name, (long long)i,
                                (long long)n, suffix);
        Status status = is_there(w, shard)
                            ? open_file(w, shard, err)
                            : err_set(err, "%s has no %s; fetch that file too", w->folder, shard);
        free(shard);
        TRY(status);
    }
    return STATUS_OK;
}

/* Files that other programs keep beside the model. */
static bool is_beside(const char *name)
{
    return strncmp(name, "adapter_", 8) == 0 || strncmp(name, "consolidated", 12) == 0;
}

static const char *find_named(const StringList *files, const char *begin, const char *end)
{
    for (int64_t i = 0; i < files->count; i++)
        if (strncmp(files->items[i], begin, strlen(begin)) == 0 &&
            file_has_suffix(files->items[i], end))
            return files->items[i];
    return NULL;
}

/* Why there is nothing to read. */
static Status explain(const HfWeights *w, const StringList *files, Err *err)
{
    static const char *const pickles[] = {".bin", ".pth", ".pt", ".ckpt"};
    const char *found;
    for (int i = 0; i < 4; i++)
        if ((found = find_named(files, "", pickles[i])))
            return err_set(err,
                           "%s holds %s, a pickle of PyTorch, which is not read (loading one can "
                           "run any program); in Python, AutoModelForCausalLM.from_pretrained("
                           "FOLDER).save_pretrained(NEW_FOLDER) writes safetensors",
                           w->folder, found);
    if ((found = find_named(files, "", ".gguf")))
        return err_set(err, "%s is no Hugging Face folder; import its file %s", w->folder, found);
    if (find_named(files, "adapter_model", suffix))
        return err_set(err,
                       "%s holds an adapter alone; in Python, peft's merge_and_unload and "
                       "save_pretrained make a whole model of it and its base",
                       w->folder);
    if (find_named(files, "consolidated", suffix))
        return err_set(err,
                       "%s holds the model only as Mistral's own programs read it (consolidated); "
                       "fetch model.safetensors, or the shards and their index",
                       w->folder);
    return err_set(err, "%s has no *.safetensors files", w->folder);
}

/* One file, or one set of shards; those named "model" before others. */
static Status choose(const StringList *files, const HfWeights *w, const char **out, Err *err)
{
    const char *other = NULL;
    int64_t prefix;
    *out = NULL;
    for (int pass = 0; pass < 2 && !*out; pass++) {
        for (int64_t i = 0; i < files->count; i++) {
            const char *name = files->items[i];
            if (!file_has_suffix(name, suffix) || is_beside(name) || (*out && same_set(*out, name)))
                continue;
            if (pass == 0 && !(shard_of(name, &prefix) > 0 && strncmp(name, "model-", 6) == 0))
                continue;
            other = *out ? name : other;
            *out = *out ? *out : name;
        }
    }
    if (!*out)
        return explain(w, files, err);
    return !other ? STATUS_OK
                  : err_set(err,
                            "%s holds %s and %s, and no %s that says which of them is the model; "
                            "name the file that is meant",
                            w->folder, *out, other, index_name);
}

static Status open_named(HfWeights *w, const char *name, Err *err)
{
    int64_t prefix;
    return shard_of(name, &prefix) > 0 ? open_set(w, name, err) : open_file(w, name, err);
}

/* ---- all ------------------------------------------------------------------------------------- */

static Status open_folder(HfWeights *w, Err *err)
{
    bool has_whole = is_there(w, whole);
    if (w->map && has_whole && !index_names(w, whole)) {
        /* A folder that was saved into twice. */
        bool is_old = missing_shard(w) != NULL;
        log_warn("%s: %s is not read; %s", w->folder, is_old ? index_name : whole,
                 is_old ? "it names files that are not there" : "the index names other files");
        if (is_old)
            forget_index(w);
    }
    if (w->map)
        return open_indexed(w, err);
    if (has_whole)
        return open_file(w, whole, err);
    StringList files = {0};
    const char *name;
    Status status = list_folder(w->folder, &files, err);
    if (status == STATUS_OK)
        status = choose(&files, w, &name, err);
    if (status == STATUS_OK)
        status = open_named(w, name, err);
    string_list_clear(&files);
    return status;
}

static Status open_all(HfWeights *w, const char *file, Err *err)
{
    TRY(read_index(w, err));
    if (!file || (w->map && index_names(w, file)) || (!w->map && strcmp(file, whole) == 0))
        return open_folder(w, err);
    forget_index(w);
    return open_named(w, file, err);
}

/* Says which weight files of the folder are none of the model's. */
static void tell_others(const HfWeights *w)
{
    StringList files = {0};
    Err ignored;
    const char *other = NULL;
    int64_t n = 0;
    (void)list_folder(w->folder, &files, &ignored);
    for (int64_t i = 0; i < files.count; i++) {
        if (file_has_suffix(files.items[i], suffix) &&
            place_of(w, files.items[i]) == w->names.count) {
            other = other ? other : files.items[i];
            n++;
        }
    }
    if (n == 1)
        log_info("%s: %s is not the model's and is left alone", w->folder, other);
    else if (n > 1)
        log_info("%s: %s and %lld more safetensors files are not the model's and are left alone",
                 w->folder, other, (long long)n - 1);
    string_list_clear(&files);
}

Status hf_weights_open(HfWeights **out, const char *folder, const char *file, Err *err)
{
    HfWeights *w = xcalloc(1, sizeof *w);
    w->folder = xstrdup(folder);
    Status status = open_all(w, file, err);
    *out = status == STATUS_OK ? w : NULL;
    if (status == STATUS_OK)
        tell_others(w);
    else
        hf_weights_close(w);
    return status;
}

void hf_weights_close(HfWeights *w)
{
    if (!w)
        return;
    for (int64_t i = 0; i < w->names.count; i++)
        safe_close(w->files[i]);
    free(w->files);
    string_list_clear(&w->names);
    forget_index(w);
    free(w->folder);
    free(w);
}

const SafeEntry *hf_weights_find(const HfWeights *w, const char *name)
{
    const SafeEntry *entry = NULL;
    if (w->map) {
        const char *file = json_string_value(json_object_get(w->map, name));
        return file ? safe_find(w->files[place_of(w, file)], name) : NULL;
    }
    for (int64_t i = 0; i < w->names.count && !entry; i++)
        entry = safe_find(w->files[i], name);
    return entry;
}

int64_t hf_weights_count(const HfWeights *w)
{
    int64_t count = 0;
    const char *name;
    json_t *unused;
    json_object_foreach(w->map, name, unused)
    {
        count += hf_weights_find(w, name)->bytes > 0;
    }
    for (int64_t i = 0; !w->map && i < w->names.count; i++)
        for (int64_t k = 0; k < safe_count(w->files[i]); k++)
            count += safe_entry(w->files[i], k)->bytes > 0;
    return count;
}
