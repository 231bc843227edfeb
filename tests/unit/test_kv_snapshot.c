/* KV snapshots: what goes on from one is, to the last bit, what went on without it, on any grid, in
 * every type, with the weights of merged experts; and a file that is not such a snapshot is refused
 * with its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/io/container.h"
#include "infer/helix/helix.h"
#include "infer/kv_snapshot.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/tiny_file.h"
#include "tests/support/tiny_model.h"

enum { V = 97, TEXT = 151, MORE = 3 };

static char model_path[256], other_path[256];
static ContextExtension rope; /* that models are opened with */

static char *words(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* Two experts of unlike depth under the rule whose weights move. */
static void write_model(const char *name, uint64_t seed, char path[256])
{
    ModelConfig a = tiny_config(), b = tiny_config();
    a.n_heads = 6;
    a.n_kv_heads = 3; /* two ranks have unlike numbers of them */
    b.n_heads = b.n_kv_heads = 4;
    b.n_layers = a.n_layers + 1;
    a.context = b.context = 256;
    Model *models[] = {tiny_model(&a, DTYPE_F32, seed, 3), tiny_model(&b, DTYPE_F32, seed + 1, 3)};
    Ensemble *ensemble = tiny_ensemble(models, 2, MERGE_BAYES);
    snprintf(path, 256, "%s", tiny_file(name, ensemble));
    ensemble_free(ensemble);
}

static int set_up(void **state)
{
    (void)state;
    folder_begin();
    write_model("model.h5", 5, model_path);
    write_model("other.h5", 7, other_path);
    return 0;
}

static int32_t token_at(int64_t i)
{
    return (int32_t)((i * 37 + i * i % 7) % V);
}

/* A decoder over ranks, and one sequence of it. */
typedef struct Rig {
    Helix *helix;
    Decoder *decoder;
    KvSource source;
    int64_t sequence;
} Rig;

static void rig_open(Rig *rig, const char *path, const char *kv, int ranks, const char *grid)
{
    Err err = {.text = ""};
    LoadSettings load = {
        .device = words("cpu"), .weights = words("float32"), .kv = words(kv), .rope = rope};
    HelixSettings settings = {.ranks = ranks,
                              .block = HELIX_BLOCK,
                              .grid = words(grid),
                              .hopb = words("on"),
                              .comm = words("auto")};
    ASSERT_OK(helix_open(&rig->helix, path, &load, &settings, NULL, &err));
    const LoadedModel *model = helix_model(rig->helix);
    DecoderOptions options = {.max_sequences = 2,
                              .max_positions = 256,
                              .kv_dtype = model->kv_dtype,
                              .source = helix_source(rig->helix)};
    ASSERT_OK(decoder_new(&rig->decoder, model->ensemble, &options, &err));
    rig->source = (KvSource){path, model->ensemble, model->kv_dtype};
    rig->sequence = decoder_open(rig->decoder);
}

static void rig_close(Rig *rig)
{
    Err err = {.text = ""};
    decoder_free(rig->decoder);
    ASSERT_OK(helix_close(rig->helix, STATUS_OK, &err));
}

static void step(Rig *rig, int64_t first, int64_t n)
{
    Err err = {.text = ""};
    int32_t tokens[TEXT + MORE];
    for (int64_t i = 0; i < n; i++)
        tokens[i] = token_at(first + i);
    DecodeItem item = {rig->sequence, tokens, n};
    ASSERT_OK(decoder_step(rig->decoder, &item, 1, &err));
}

static IdList text_of(int64_t n)
{
    IdList list = {0};
    for (int64_t i = 0; i < n; i++)
        id_list_add(&list, token_at(i));
    return list;
}

/* (MORE, V + 2): logits and weights of the steps that follow the text. */
static void go_on(Rig *rig, float *out)
{
    Err err = {.text = ""};
    Device device = decoder_device(rig->decoder);
    for (int64_t i = 0; i < MORE; i++, out += V + 2) {
        step(rig, TEXT - 1 + i, 1);
        Tensor logits = decoder_logits(rig->decoder);
        ASSERT_OK(device_download(&device, &logits, out, &err));
        memcpy(out + V, decoder_weights(rig->decoder, rig->sequence), 2 * sizeof *out);
    }
}

static void save(Rig *rig, const char *path, int64_t n)
{
    Err err = {.text = ""};
    IdList text = text_of(n);
    ASSERT_OK(kv_snapshot_save(path, &rig->source, rig->decoder, rig->sequence, &text, &err));
    id_list_clear(&text);
}

/* Saves after all tokens but the last, or after all; what follows without the snapshot. */
static void first_run(const char *kv, int ranks, const char *grid, bool all, const char *path,
                      float *out)
{
    Rig rig;
    rig_open(&rig, model_path, kv, ranks, grid);
    step(&rig, 0, TEXT - 1);
    if (!all)
        save(&rig, path, TEXT);
    go_on(&rig, out);
    rig_close(&rig);
    if (!all)
        return;
    rig_open(&rig, model_path, kv, ranks, grid);
    step(&rig, 0, TEXT - 1);
    step(&rig, TEXT - 1, 1);
    save(&rig, path, TEXT);
    rig_close(&rig);
}

static void second_run(const char *kv, int ranks, const char *grid, const char *path, float *out)
{
    Err err = {.text = ""};
    Rig rig;
    KvSnapshot *snapshot;
    int64_t n;
    rig_open(&rig, model_path, kv, ranks, grid);
    ASSERT_OK(kv_snapshot_open(&snapshot, path, &rig.source, &err));
    const int32_t *tokens = kv_snapshot_tokens(snapshot, &n);
    assert_int_equal(n, TEXT);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(tokens[i], token_at(i));
    ASSERT_OK(kv_snapshot_restore(snapshot, rig.decoder, rig.sequence, &err));
    assert_int_equal(decoder_length(rig.decoder, rig.sequence), TEXT - 1);
    kv_snapshot_close(snapshot);
    go_on(&rig, out);
    rig_close(&rig);
}

static void what_follows_is_the_same(void **state)
{
    (void)state;
    static const char *const types[] = {"float32", "bfloat16", "int8"};
    static const struct {
        int ranks;
        const char *grid;
    } grids[] = {{1, "auto"}, {2, "kvp=2"}, {3, "kvp=3"}, {4, "kvp=2,tpa=2,ep=2"}};
    float want[MORE * (V + 2)], got[MORE * (V + 2)];
    char path[256];
    snprintf(path, sizeof path, "%s", folder_path("text.kv"));
    for (int t = 0; t < 3; t++)
        for (int g = 0; g < 4; g++)
            for (int all = 0; all < 2; all++) {
                first_run(types[t], grids[g].ranks, grids[g].grid, all, path, want);
                second_run(types[t], grids[g].ranks, grids[g].grid, path, got);
                if (memcmp(want, got, sizeof want) != 0)
                    fail_msg("%s on %s is another text", types[t], grids[g].grid);
            }
}

/* A snapshot of three ranks on every other grid: sums are made in other orders. */
static void any_grid_goes_on(void **state)
{
    (void)state;
    static const char *const grids[] = {"auto", "kvp=2,tpa=1", "tpa=2", "kvp=4", "kvp=2,tpa=2"};
    static const int ranks[] = {1, 2, 2, 4, 4};
    float want[MORE * (V + 2)], got[MORE * (V + 2)];
    char path[256];
    snprintf(path, sizeof path, "%s", folder_path("text.kv"));
    first_run("float32", 3, "kvp=3", false, path, want);
    for (int g = 0; g < 5; g++) {
        second_run("float32", ranks[g], grids[g], path, got);
        for (int i = 0; i < MORE * (V + 2); i++)
            if (!(got[i] - want[i] < 1e-4f && want[i] - got[i] < 1e-4f))
                fail_msg("grid %s: %g instead of %g", grids[g], (double)got[i], (double)want[i]);
    }
}

/* ---- files that are none --------------------------------------------------------------------- */

static void refused(const char *path, const char *model, const char *kv, const char *why)
{
    Err err = {.text = ""};
    Rig rig;
    KvSnapshot *snapshot;
    rig_open(&rig, model, kv, 1, "auto");
    assert_int_equal(kv_snapshot_open(&snapshot, path, &rig.source, &err), STATUS_FAIL);
    assert_null(snapshot);
    if (!strstr(err.text, why) || !strstr(err.text, file_base_name(path)))
        fail_msg("'%s' does not speak of '%s'", err.text, why);
    rig_close(&rig);
}

/* Copies a snapshot without one dataset, which `shape` (absent: no) takes the place of. */
static const char *forged(const char *from, const char *leave_out, const Tensor *shape,
                          const void *data)
{
    Err err = {.text = ""};
    Container *file;
    ContainerWriter *writer;
    const char *path = folder_path("forged.kv");
    ASSERT_OK(container_open(&file, from, &err));
    ASSERT_OK(container_create(&writer, path, &err));
    for (int64_t i = 0; i < container_count(file); i++) {
        const char *name = container_entry(file, i)->path;
        if (strcmp(name, leave_out) != 0)
            ASSERT_OK(container_copy(writer, name, file, name, &err));
    }
    if (shape->n_dims > 0)
        ASSERT_OK(container_put(writer, leave_out, shape, data, &err));
    else if (data)
        ASSERT_OK(container_put_text(writer, leave_out, data, &err));
    ASSERT_OK(container_commit(writer, &err));
    container_close(file);
    return path;
}

static void other_files_are_refused(void **state)
{
    (void)state;
    float out[MORE * (V + 2)], zeros[64 * 64] = {0}, nan[2] = {0.5f, __builtin_nanf("")};
    int32_t tokens[TEXT] = {1, V};
    const Tensor none = {0};
    char path[256], cut[256];
    snprintf(path, sizeof path, "%s", folder_path("good.kv"));
    first_run("bfloat16", 1, "auto", false, path, out);
    refused(path, other_path, "bfloat16", "another model");
    refused(path, model_path, "float32", "give --kv bfloat16");
    refused(path, model_path, "int8", "give --kv bfloat16");
    refused(model_path, model_path, "bfloat16", "not a KV snapshot");
    refused(folder_path("absent.kv"), model_path, "bfloat16", "cannot open");
    StrBuf bytes = {0};
    Err err = {.text = ""};
    ASSERT_OK(file_read(path, 0, &bytes, &err));
    for (int64_t n = bytes.size - 1; n > 0; n = n * 2 / 3) {
        snprintf(cut, sizeof cut, "%s", folder_put("cut.kv", bytes.data, n));
        refused(cut, model_path, "bfloat16", "cut.kv");
    }
    strbuf_clear(&bytes);
    refused(forged(path, "/tokens", &none, NULL), model_path, "bfloat16", "/tokens");
    Tensor list = tensor_1d(NULL, DTYPE_I32, TEXT);
    refused(forged(path, "/tokens", &list, tokens), model_path, "bfloat16", "token 97");
    list = tensor_1d(NULL, DTYPE_I32, 2);
    tokens[1] = 2;
    refused(forged(path, "/tokens", &list, tokens), model_path, "bfloat16", "1 cached positions");
    list = tensor_1d(NULL, DTYPE_F32, 2);
    refused(forged(path, "/tokens", &list, zeros), model_path, "bfloat16", "no list of tokens");
    refused(forged(path, "/weights", &list, nan), model_path, "bfloat16", "no number");
    list = tensor_1d(NULL, DTYPE_F32, 3);
    refused(forged(path, "/weights", &list, zeros), model_path, "bfloat16", "/weights");
    refused(forged(path, "/kv/1/0/values", &none, NULL), model_path, "bfloat16", "/kv/1/0/values");
    list = tensor_2d(NULL, DTYPE_F32, 64, 64);
    refused(forged(path, "/kv/1/0/values", &list, zeros), model_path, "bfloat16", "shape or type");
    refused(forged(path, "/meta", &none, "{}"), model_path, "bfloat16", "format");
    refused(forged(path, "/meta", &none, "{\"format\": 1, \"kind\": \"kv\"}"), model_path,
            "bfloat16", "model");
}

/* Keys are rotated: a cache is of use where they are rotated alike. */
static void another_rotary_scaling_is_refused(void **state)
{
    (void)state;
    static const char *const kinds[] = {"model", "linear", "yarn", "ntk"};
    float want[MORE * (V + 2)], got[MORE * (V + 2)];
    char path[256];
    snprintf(path, sizeof path, "%s", folder_path("scaled.kv"));
    for (int saved = 0; saved < 4; saved++) {
        rope = (ContextExtension){words(kinds[saved]), saved ? 2.0 : 0.0, 0};
        first_run("float32", 1, "auto", false, path, want);
        second_run("float32", 1, "auto", path, got);
        assert_memory_equal(got, want, sizeof want);
        for (int loaded = 0; loaded < 4; loaded++) {
            rope = (ContextExtension){words(kinds[loaded]), loaded ? 2.0 : 0.0, 0};
            if (loaded != saved)
                refused(path, model_path, "float32", "another rotary scaling");
        }
        rope = (ContextExtension){words("yarn"), 2.5, 0};
        refused(path, model_path, "float32", "give the same --rope-scaling and --rope-factor");
        refused(path, other_path, "float32", "another model");
        rope = (ContextExtension){words("none"), 0.0, 0}; /* what the file says, said once more */
        if (saved == 0)
            second_run("float32", 1, "auto", path, got);
    }
    rope = (ContextExtension){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_follows_is_the_same),
        cmocka_unit_test(any_grid_goes_on),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(another_rotary_scaling_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, folder_tear_down);
}
