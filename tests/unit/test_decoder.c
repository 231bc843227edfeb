/* Decoding laws: one token at a time equals all at once, company changes nothing, scores are the
 * log-probabilities of the steps, and merged logits equal the rule applied to the parts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/decode/budget.h"
#include "core/decode/decoder.h"
#include "core/decode/generate.h"
#include "core/decode/score.h"
#include "tests/support/tiny_model.h"

enum { V = 97, LENGTH = 41 };

static int32_t text[3][LENGTH];

static int make_texts(void **state)
{
    (void)state;
    Rng rng;
    rng_init(&rng, 11, 0);
    for (int i = 0; i < 3; i++)
        for (int t = 0; t < LENGTH; t++)
            text[i][t] = (int32_t)rng_below(&rng, V);
    return 0;
}

static Ensemble *one_model(void)
{
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 5, 3);
    return tiny_ensemble(&model, 1, MERGE_MEAN);
}

static Ensemble *two_models(MergeRule rule)
{
    ModelConfig a = tiny_config(), b = tiny_config();
    b.n_layers = 3; /* experts may differ in depth */
    Model *models[2] = {tiny_model(&a, DTYPE_F32, 5, 3), tiny_model(&b, DTYPE_F32, 6, 3)};
    return tiny_ensemble(models, 2, rule);
}

static Decoder *decoder_for(const Ensemble *ensemble, int64_t chunk)
{
    DecoderOptions options = {
        .max_sequences = 3, .max_positions = 64, .page_size = 5, .chunk = chunk};
    Decoder *decoder;
    Err err = {.text = ""};
    if (decoder_new(&decoder, ensemble, &options, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return decoder;
}

static void step(Decoder *decoder, const DecodeItem *items, int64_t n)
{
    Err err = {.text = ""};
    if (decoder_step(decoder, items, n, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static void read_logits(const Decoder *decoder, float *out)
{
    Tensor logits = decoder_logits(decoder);
    Err err;
    assert_int_equal(device_download(tiny_device(), &logits, out, &err), STATUS_OK);
}

static void assert_near(const float *a, const float *b, int n, double limit)
{
    double top = 0.0, worst = 0.0;
    for (int i = 0; i < n; i++) {
        top = fmax(top, fabs((double)b[i]));
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        assert_false(isnan(a[i]));
    }
    if (worst > limit * top)
        fail_msg("differs by %g of %g", worst, top);
}

/* Logits after text 0, token by token. */
static void logits_slowly(const Ensemble *ensemble, float *out)
{
    Decoder *decoder = decoder_for(ensemble, 16);
    int64_t s = decoder_open(decoder);
    for (int t = 0; t < LENGTH; t++)
        step(decoder, &(DecodeItem){s, &text[0][t], 1}, 1);
    read_logits(decoder, out);
    decoder_free(decoder);
}

static void prompt_at_once_equals_token_by_token(void **state)
{
    (void)state;
    Ensemble *ensemble = one_model();
    float slow[V], fast[V];
    logits_slowly(ensemble, slow);
    for (int64_t chunk = 3; chunk <= 64; chunk += 13) {
        Decoder *decoder = decoder_for(ensemble, chunk);
        int64_t s = decoder_open(decoder);
        step(decoder, &(DecodeItem){s, text[0], LENGTH}, 1);
        read_logits(decoder, fast);
        assert_near(fast, slow, V, 1e-5);
        decoder_free(decoder);
    }
    ensemble_free(ensemble);
}

static void company_changes_nothing(void **state)
{
    (void)state;
    for (int rule = MERGE_MEAN; rule <= MERGE_BAYES; rule++) {
        Ensemble *ensemble = two_models((MergeRule)rule);
        Decoder *alone = decoder_for(ensemble, 16), *together = decoder_for(ensemble, 16);
        int64_t s = decoder_open(alone), a = decoder_open(together), b = decoder_open(together),
                c = decoder_open(together);
        float want[V], got[3 * V];
        step(alone, &(DecodeItem){s, text[0], LENGTH}, 1);
        DecodeItem first[] = {{b, text[1], 7}, {a, text[0], 13}};
        step(together, first, 2);
        DecodeItem second[] = {
            {c, text[2], 1}, {b, text[1] + 7, 1}, {a, text[0] + 13, LENGTH - 13}};
        step(together, second, 3);
        read_logits(alone, want);
        read_logits(together, got);
        assert_near(got + 2 * V, want, V, 1e-5);
        decoder_free(alone);
        decoder_free(together);
        ensemble_free(ensemble);
    }
}

/* log p of text 0 token by token, from the logits of each step. */
static void score_slowly(const Ensemble *ensemble, float *out)
{
    Decoder *decoder = decoder_for(ensemble, 16);
    int64_t s = decoder_open(decoder);
    out[0] = 0.0f;
    for (int t = 0; t + 1 < LENGTH; t++) {
        float logits[V];
        step(decoder, &(DecodeItem){s, &text[0][t], 1}, 1);
        read_logits(decoder, logits);
        double sum = 0.0;
        for (int v = 0; v < V; v++)
            sum += exp((double)logits[v]);
        out[t + 1] = (float)((double)logits[text[0][t + 1]] - log(sum));
    }
    decoder_free(decoder);
}

static void scores_are_the_logprobs_of_steps(void **state)
{
    (void)state;
    for (int experts = 1; experts <= 2; experts++)
        for (int rule = MERGE_MEAN; rule <= MERGE_BAYES; rule++) {
            Ensemble *ensemble = experts == 1 ? one_model() : two_models((MergeRule)rule);
            float want[LENGTH], got[LENGTH], *part[2] = {got, got + 9};
            score_slowly(ensemble, want);
            Decoder *decoder = decoder_for(ensemble, 7);
            int64_t s = decoder_open(decoder);
            Err err = {.text = ""};
            DecodeItem items[] = {{s, text[0], 9}, {s, text[0] + 9, LENGTH - 9}};
            for (int i = 0; i < 2; i++)
                assert_int_equal(decoder_score(decoder, &items[i], 1, &part[i], &err), STATUS_OK);
            assert_near(got, want, LENGTH, 1e-5);
            decoder_free(decoder);
            ensemble_free(ensemble);
        }
}

/* What could follow each token: the best of the logits of single steps, whatever the chunks and
 * pieces; and a token's own log p is exactly that of its place among the best. */
static void looks_are_the_best_of_steps(void **state)
{
    (void)state;
    enum { K = 7, CUT = 11 };
    for (int experts = 1; experts <= 2; experts++)
        for (int rule = MERGE_MEAN; rule <= MERGE_BAYES; rule++) {
            Ensemble *ensemble = experts == 1 ? one_model() : two_models((MergeRule)rule);
            float want[LENGTH], given[LENGTH] = {0}, logits[V];
            TopToken top[LENGTH * K];
            score_slowly(ensemble, want);
            Decoder *slow = decoder_for(ensemble, 16), *fast = decoder_for(ensemble, 6);
            int64_t a = decoder_open(slow), b = decoder_open(fast), other = decoder_open(fast);
            DecodeLook first = {text[0][CUT], K, top, given};
            DecodeLook second = {-1, K, top + CUT * K, given + CUT};
            DecodeItem items[] = {{other, text[1], 5}, {b, text[0], CUT}};
            Err err = {.text = ""};
            const DecodeLook *looks[] = {NULL, &first}, *last[] = {&second};
            assert_int_equal(decoder_look(fast, items, 2, looks, &err), STATUS_OK);
            DecodeItem rest = {b, text[0] + CUT, LENGTH - CUT};
            assert_int_equal(decoder_look(fast, &rest, 1, last, &err), STATUS_OK);
            for (int t = 0; t < LENGTH; t++) {
                step(slow, &(DecodeItem){a, &text[0][t], 1}, 1);
                read_logits(slow, logits);
                double sum = 0.0;
                for (int v = 0; v < V; v++)
                    sum += exp((double)logits[v]);
                for (int k = 0; k < K; k++) {
                    const TopToken *one = &top[t * K + k];
                    int better = 0;
                    for (int v = 0; v < V; v++)
                        better += logits[v] > logits[one->id] + 1e-5f;
                    assert_true(better <= k);
                    assert_true(fabs((double)logits[one->id] - log(sum) - (double)one->logprob) <
                                1e-4);
                    if (t + 1 < LENGTH && one->id == text[0][t + 1])
                        assert_true(one->logprob == given[t]);
                }
                if (t + 1 < LENGTH)
                    assert_true(fabsf(given[t] - want[t + 1]) < 1e-4f);
            }
            assert_true(given[LENGTH - 1] == 0.0f);
            decoder_free(slow);
            decoder_free(fast);
            ensemble_free(ensemble);
        }
}

static void merged_logits_follow_the_rules(void **state)
{
    (void)state;
    float parts[2][V], mixed[V], expected[V];
    Ensemble *ensemble = two_models(MERGE_MEAN);
    for (int e = 0; e < 2; e++) {
        Ensemble alone = {.n_experts = 1, .experts = ensemble->experts + e};
        logits_slowly(&alone, parts[e]);
    }
    logits_slowly(ensemble, mixed);
    for (int v = 0; v < V; v++)
        expected[v] = 0.5f * (parts[0][v] + parts[1][v]);
    assert_near(mixed, expected, V, 1e-5);

    float weights[2] = {0.25f, 0.75f};
    ensemble->rule = MERGE_WEIGHTED;
    ensemble->weights = weights;
    logits_slowly(ensemble, mixed);
    for (int v = 0; v < V; v++)
        expected[v] = 0.25f * parts[0][v] + 0.75f * parts[1][v];
    assert_near(mixed, expected, V, 1e-5);
    ensemble->weights = NULL;
    ensemble_free(ensemble);
}

/* w' proportional to w p(x), w = (1 - a) w' + a / N, in float64 from the experts' own scores. */
static void bayes_follows_its_formula(void **state)
{
    (void)state;
    Ensemble *ensemble = two_models(MERGE_BAYES);
    float logp[2][LENGTH], merged[LENGTH];
    for (int e = 0; e < 2; e++) {
        Ensemble alone = {.n_experts = 1, .experts = ensemble->experts + e};
        score_slowly(&alone, logp[e]);
    }
    score_slowly(ensemble, merged);
    double w[2] = {0.5, 0.5};
    for (int t = 1; t < LENGTH; t++) {
        double p[2] = {exp((double)logp[0][t]), exp((double)logp[1][t])};
        double p_mix = w[0] * p[0] + w[1] * p[1];
        assert_true(fabs(log(p_mix) - (double)merged[t]) < 1e-4);
        for (int e = 0; e < 2; e++)
            w[e] = 0.99 * w[e] * p[e] / p_mix + 0.01 / 2.0;
    }
    ensemble_free(ensemble);
}

static void a_model_merged_with_itself_is_itself(void **state)
{
    (void)state;
    ModelConfig config = tiny_config();
    Ensemble *alone = one_model();
    float want[V], got[V], want_scores[LENGTH], got_scores[LENGTH];
    logits_slowly(alone, want);
    score_slowly(alone, want_scores);
    for (int rule = MERGE_MEAN; rule <= MERGE_BAYES; rule++) {
        Model *models[2] = {tiny_model(&config, DTYPE_F32, 5, 3),
                            tiny_model(&config, DTYPE_F32, 5, 3)};
        Ensemble *twice = tiny_ensemble(models, 2, (MergeRule)rule);
        logits_slowly(twice, got);
        if (rule != MERGE_BAYES)
            assert_near(got, want, V, 1e-6);
        score_slowly(twice, got_scores);
        assert_near(got_scores, want_scores, LENGTH, 1e-6);
        ensemble_free(twice);
    }
    ensemble_free(alone);
}

static void a_full_cache_refuses_and_changes_nothing(void **state)
{
    (void)state;
    Ensemble *ensemble = two_models(MERGE_BAYES);
    DecoderOptions options = {
        .max_sequences = 2, .max_positions = 64, .kv_positions = 40, .page_size = 5};
    Decoder *decoder;
    Err err = {.text = ""};
    assert_int_equal(decoder_new(&decoder, ensemble, &options, &err), STATUS_OK);
    int64_t a = decoder_open(decoder), b = decoder_open(decoder);
    step(decoder, &(DecodeItem){a, text[0], 21}, 1);
    DecodeItem both[] = {{a, text[0] + 21, 1}, {b, text[1], 30}};
    assert_int_equal(decoder_step(decoder, both, 2, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "KV cache is full"));
    assert_int_equal(decoder_length(decoder, a), 21);
    assert_int_equal(decoder_length(decoder, b), 0);
    both[1].n_tokens = 15;
    step(decoder, both, 2);
    decoder_close(decoder, a);
    step(decoder, &(DecodeItem){b, text[1] + 15, 20}, 1);
    decoder_free(decoder);
    ensemble_free(ensemble);
}

/* A sequence that took over another's pages goes on as if it had read the text itself, whatever
 * becomes of the other; a page is free when the last one lets it go. */
static void a_shared_prefix_is_as_good_as_ones_own(void **state)
{
    (void)state;
    enum { SAME = 23, MORE = 7 };
    int32_t other[SAME + MORE];
    memcpy(other, text[0], SAME * sizeof *other);
    memcpy(other + SAME, text[1], MORE * sizeof *other);
    for (int rule = MERGE_MEAN; rule <= MERGE_BAYES; rule++) {
        Ensemble *ensemble = rule == MERGE_WEIGHTED ? one_model() : two_models((MergeRule)rule);
        Decoder *alone = decoder_for(ensemble, 16), *decoder = decoder_for(ensemble, 16);
        int64_t s = decoder_open(alone), a = decoder_open(decoder), b = decoder_open(decoder);
        float want[V], got[2 * V];
        step(alone, &(DecodeItem){s, other, SAME + MORE}, 1);
        read_logits(alone, want);
        step(decoder, &(DecodeItem){a, text[0], LENGTH}, 1);
        int64_t all = decoder_free_positions(alone) + 30;
        assert_int_equal(decoder_free_positions(decoder), all - 45);
        assert_int_equal(decoder_share(decoder, b, a, 5), 0);
        assert_int_equal(decoder_share(decoder, b, a, SAME), 20);
        assert_int_equal(decoder_length(decoder, b), 20);
        assert_int_equal(decoder_free_positions(decoder), all - 45);
        /* Of a sequence that shares itself, and of one whose donor is gone. */
        int64_t c = decoder_open(decoder);
        assert_int_equal(decoder_share(decoder, c, b, 20), 15);
        decoder_close(decoder, a);
        assert_int_equal(decoder_free_positions(decoder), all - 20);
        DecodeItem both[] = {{b, other + 20, SAME + MORE - 20}, {c, other + 15, 3}};
        step(decoder, both, 2);
        read_logits(decoder, got);
        assert_near(got, want, V, 1e-5);
        assert_near(decoder_weights(decoder, b), decoder_weights(alone, s),
                    (int)ensemble->n_experts, 1e-5);
        for (int t = 18; t < SAME + MORE; t++)
            step(decoder, &(DecodeItem){c, other + t, 1}, 1);
        read_logits(decoder, got);
        assert_near(got, want, V, 1e-5);
        decoder_close(decoder, b);
        decoder_close(decoder, c);
        assert_int_equal(decoder_free_positions(decoder), all);
        decoder_free(alone);
        decoder_free(decoder);
        ensemble_free(ensemble);
    }
}

/* Strided windows: every token counts once, with the context that the stride promises. */
static void documents_are_scored_in_windows(void **state)
{
    (void)state;
    Ensemble *ensemble = one_model();
    ScoreOptions options = {.context = 12, .stride = 5, .start = 1};
    ScoreDocument documents[] = {{text[0], LENGTH, 0}, {text[1], 3, 0}, {text[2], 11, 0}};
    Decoder *decoder = decoder_for(ensemble, 40);
    Err err = {.text = ""};
    assert_int_equal(score_documents(decoder, 3, &options, documents, 3, NULL, NULL, &err),
                     STATUS_OK);
    for (int d = 0; d < 3; d++) {
        double want = 0.0;
        int64_t scored = 0, n = documents[d].n_tokens;
        while (scored < n) {
            int64_t end = scored ? scored + 5 : 11;
            end = end < n ? end : n;
            int32_t window[12];
            float logprobs[12], *rows[1] = {logprobs};
            int64_t begin = end - 12 < -1 ? -1 : end - 12, count = end - begin;
            for (int64_t p = begin; p < end; p++)
                window[p - begin] = p < 0 ? 1 : documents[d].tokens[p];
            int64_t s = decoder_open(decoder);
            assert_int_equal(decoder_score(decoder, &(DecodeItem){s, window, count}, 1, rows, &err),
                             STATUS_OK);
            decoder_close(decoder, s);
            for (int64_t p = scored; p < end; p++)
                want += (double)logprobs[p - begin];
            scored = end;
        }
        assert_true(fabs(want - documents[d].logprob) < 1e-4);
    }
    decoder_free(decoder);
    ensemble_free(ensemble);
}

static void generations_do_not_know_their_neighbours(void **state)
{
    (void)state;
    Ensemble *ensemble = two_models(MERGE_BAYES);
    Sampling sampling = sampling_default();
    sampling.seed = 9;
    sampling.repetition_penalty = 1.1;
    Generation many[5] = {0}, few[5] = {0};
    int32_t two[] = {2, 11};
    const IdList ends = {two, 2, 2};
    for (int i = 0; i < 5; i++)
        few[i] = many[i] = (Generation){
            .prompt = text[i % 3], .n_prompt = 3 + i, .max_tokens = 5 + 4 * i, .ends = &ends};
    Err err = {.text = ""};
    Decoder *wide = decoder_for(ensemble, 16), *narrow = decoder_for(ensemble, 16);
    assert_int_equal(generate(wide, 3, &sampling, many, 5, NULL, NULL, &err), STATUS_OK);
    assert_int_equal(generate(narrow, 1, &sampling, few, 5, NULL, NULL, &err), STATUS_OK);
    for (int i = 0; i < 5; i++) {
        assert_true(many[i].output.count > 0 || many[i].ended);
        assert_int_equal(many[i].output.count, few[i].output.count);
        assert_memory_equal(many[i].output.items, few[i].output.items,
                            (size_t)few[i].output.count * sizeof(int32_t));
        id_list_clear(&many[i].output);
        id_list_clear(&few[i].output);
    }
    decoder_free(wide);
    decoder_free(narrow);
    ensemble_free(ensemble);
}

/* To the byte, and before anything is allocated: the second one would not fit any machine. */
static void a_context_beyond_the_memory_is_refused(void **state)
{
    (void)state;
    Ensemble *ensemble = one_model();
    Decoder *decoder;
    Err err = {.text = ""};
    MemoryBudget budget = {.bytes_weights = 1e6, .ranks = 3, .asked = true};
    DecoderOptions options = {.max_sequences = 2, .max_positions = 512, .budget = &budget};
    double need = 3.0 * (double)decoder_bytes(ensemble, &options) + 1e6;
    budget.bytes = need;
    assert_int_equal(decoder_new(&decoder, ensemble, &options, &err), STATUS_OK);
    decoder_free(decoder);
    budget.bytes = need - 1.0;
    assert_int_equal(decoder_new(&decoder, ensemble, &options, &err), STATUS_FAIL);
    assert_null(decoder);
    assert_non_null(strstr(err.text, "512 tokens of context for 2 sequences do not fit"));
    assert_non_null(strstr(err.text, "--memory allows"));
    assert_non_null(strstr(err.text, "--kv int8"));
    options.max_positions = INT32_MAX;
    options.max_sequences = 4096;
    budget.asked = false;
    assert_int_equal(decoder_new(&decoder, ensemble, &options, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "free here are"));
    assert_int_equal(budget_check_weights(&budget, &err), STATUS_OK);
    budget.bytes = 1e6 - 1.0;
    assert_int_equal(budget_check_weights(&budget, &err), STATUS_FAIL);
    budget.bytes = 0.0; /* not known */
    assert_int_equal(budget_check_weights(&budget, &err), STATUS_OK);
    assert_true(isinf(budget_room(&budget, 1)));
    ensemble_free(ensemble);
}

/* What the device takes for itself (workspaces, scratch) is counted: where the memory is as large
 * as the decoder says, it runs. On the emulated GPU, whose memory has any size. */
static void a_decoder_that_fits_can_run(void **state)
{
    (void)state;
    Ensemble *ensemble = two_models(MERGE_BAYES);
    const Device *device = tiny_device();
    DecoderOptions options = {.max_sequences = 2, .max_positions = 64, .chunk = 32};
    size_t free_bytes, total;
    char text_size[32];
    Err err;
    if (!device->ops->memory || !strstr(device->ops->description(), "emulated")) {
        ensemble_free(ensemble);
        skip();
    }
    device->ops->memory(&free_bytes, &total);
    snprintf(text_size, sizeof text_size, "%zu",
             total - free_bytes + decoder_bytes(ensemble, &options));
    setenv("CAMBIUM_EMULATE_MEMORY", text_size, 1);
    MemoryBudget budget = {.bytes = device_free_bytes(device), .ranks = 1};
    options.budget = &budget;
    Decoder *decoder;
    assert_int_equal(decoder_new(&decoder, ensemble, &options, &err), STATUS_OK);
    int64_t a = decoder_open(decoder), b = decoder_open(decoder);
    float score[LENGTH], *scores[] = {score};
    step(decoder, (DecodeItem[]){{a, text[0], LENGTH - 2}, {b, text[1], 5}}, 2);
    step(decoder, (DecodeItem[]){{a, &text[0][LENGTH - 2], 1}, {b, &text[1][5], 1}}, 2);
    step(decoder, &(DecodeItem){a, &text[0][LENGTH - 1], 1}, 1);
    if (decoder_score(decoder, &(DecodeItem){b, text[2], LENGTH}, 1, scores, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    decoder_free(decoder);
    unsetenv("CAMBIUM_EMULATE_MEMORY");
    ensemble_free(ensemble);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompt_at_once_equals_token_by_token),
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(scores_are_the_logprobs_of_steps),
        cmocka_unit_test(looks_are_the_best_of_steps),
        cmocka_unit_test(merged_logits_follow_the_rules),
        cmocka_unit_test(bayes_follows_its_formula),
        cmocka_unit_test(a_model_merged_with_itself_is_itself),
        cmocka_unit_test(a_full_cache_refuses_and_changes_nothing),
        cmocka_unit_test(a_shared_prefix_is_as_good_as_ones_own),
        cmocka_unit_test(documents_are_scored_in_windows),
        cmocka_unit_test(generations_do_not_know_their_neighbours),
        cmocka_unit_test(a_context_beyond_the_memory_is_refused),
        cmocka_unit_test(a_decoder_that_fits_can_run),
    };
    return cmocka_run_group_tests(tests, make_texts, NULL);
}
