/* The scorer of continuations equals scoring every context and text from the start, one by one,
 * whatever prompts share; contexts and texts are cut apart as they should be. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "infer/eval/continuation.h"
#include "tests/support/assert_ok.h"
#include "tests/support/byte_vocabulary.h"
#include "tests/support/spec_builder.h"
#include "tests/support/tiny_model.h"

enum { V = 97, TRUNK = 37, MOST = 96 };

static Ensemble *ensemble_of(int64_t n, MergeRule rule)
{
    ModelConfig a = tiny_config(), b = tiny_config();
    b.n_layers = 3;
    Model *models[2] = {tiny_model(&a, DTYPE_F32, 5, 3)};
    if (n == 2)
        models[1] = tiny_model(&b, DTYPE_F32, 6, 3);
    Ensemble *ensemble = tiny_ensemble(models, n, rule);
    if (rule == MERGE_WEIGHTED) {
        ensemble->weights = xcalloc(2, sizeof *ensemble->weights);
        ensemble->weights[0] = 0.7f;
        ensemble->weights[1] = 0.3f;
    }
    return ensemble;
}

/* ---- the long way ---------------------------------------------------------------------------- */

static Decoder *alone_with(const Ensemble *ensemble)
{
    Err err;
    Decoder *decoder;
    DecoderOptions options = {.max_sequences = 1, .max_positions = 128, .chunk = 32};
    ASSERT_OK(decoder_new(&decoder, ensemble, &options, &err));
    assert_int_equal(decoder_open(decoder), 0);
    return decoder;
}

static double score_alone(Decoder *decoder, const Prompt *prompt, int64_t text)
{
    Err err;
    int64_t n = 0, T = prompt->texts[text].count;
    int32_t tokens[128];
    float logprobs[128];
    for (int64_t i = 0; i < prompt->context.count; i++)
        tokens[n++] = prompt->context.items[i];
    for (int64_t i = 0; i < T; i++)
        tokens[n++] = prompt->texts[text].items[i];
    decoder_reset(decoder, 0);
    DecodeItem item = {.sequence = 0, .tokens = tokens, .n_tokens = n};
    ASSERT_OK(decoder_score(decoder, &item, 1, (float *const[]){logprobs}, &err));
    double sum = 0.0;
    for (int64_t i = n - T; i < n; i++)
        sum += (double)logprobs[i];
    return sum;
}

/* The best token after what the sequence has and `item`. */
static int32_t best_alone(Decoder *decoder, const DecodeItem *item)
{
    Err err;
    float logits[V];
    int32_t best = 0;
    ASSERT_OK(decoder_step(decoder, item, 1, &err));
    Tensor row = decoder_logits(decoder);
    ASSERT_OK(device_download(tiny_device(), &row, logits, &err));
    for (int32_t v = 1; v < V; v++)
        best = logits[v] > logits[best] ? v : best;
    return best;
}

static bool greedy_alone(Decoder *decoder, const Prompt *prompt)
{
    bool same = true;
    decoder_reset(decoder, 0);
    DecodeItem item = {
        .sequence = 0, .tokens = prompt->context.items, .n_tokens = prompt->context.count};
    for (int64_t t = 0; t < prompt->texts[0].count && same; t++) {
        same = best_alone(decoder, &item) == prompt->texts[0].items[t];
        item.tokens = &prompt->texts[0].items[t];
        item.n_tokens = 1;
    }
    return same;
}

/* ---- prompts of all kinds -------------------------------------------------------------------- */

static void add_random(IdList *list, Rng *rng, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        id_list_add(list, (int32_t)rng_below(rng, V));
}

/* Prompt i asks what prompt j asks. */
static void repeat(Prompt *prompts, int64_t i, int64_t j)
{
    Prompt *p = &prompts[i];
    const Prompt *from = &prompts[j];
    prompt_clear(p);
    *p = (Prompt){.n_texts = from->n_texts, .greedy = from->greedy, .cut = from->cut};
    for (int64_t t = 0; t < from->context.count; t++)
        id_list_add(&p->context, from->context.items[t]);
    p->texts = xcalloc((size_t)p->n_texts, sizeof *p->texts);
    p->logprobs = xcalloc((size_t)p->n_texts, sizeof *p->logprobs);
    for (int64_t t = 0; t < p->n_texts; t++)
        for (int64_t k = 0; k < from->texts[t].count; k++)
            id_list_add(&p->texts[t], from->texts[t].items[k]);
}

/* Every third prompt has letters, every seventh asks for the greedy text; most begin alike. */
static int64_t make_prompts(Prompt *prompts, int64_t n, bool alike, uint64_t seed)
{
    IdList trunk = {0};
    Rng rng;
    rng_init(&rng, seed, 0);
    add_random(&trunk, &rng, TRUNK);
    for (int64_t i = 0; i < n; i++) {
        Prompt *p = &prompts[i];
        bool greedy = i % 7 == 3;
        *p = (Prompt){.n_texts = greedy ? 1 : 2 + rng_below(&rng, 3), .greedy = greedy};
        p->cut = alike && i % 11 == 5; /* these begin with something else */
        if (alike && !p->cut)
            for (int t = 0; t < TRUNK; t++)
                id_list_add(&p->context, trunk.items[t]);
        add_random(&p->context, &rng, 1 + rng_below(&rng, 41));
        p->texts = xcalloc((size_t)p->n_texts, sizeof *p->texts);
        p->logprobs = xcalloc((size_t)p->n_texts, sizeof *p->logprobs);
        for (int64_t t = 0; t < p->n_texts; t++)
            add_random(&p->texts[t], &rng, i % 3 == 0 ? 1 : 1 + rng_below(&rng, 9));
    }
    id_list_clear(&trunk);
    return n;
}

static void clear_prompts(Prompt *prompts, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        prompt_clear(&prompts[i]);
}

typedef struct Heard {
    int64_t next, first;
} Heard;

static Status hear(void *context, int64_t first, int64_t count, Err *err)
{
    (void)err;
    Heard *heard = context;
    if (heard->next == 0)
        heard->first = heard->next = first;
    assert_int_equal(first, heard->next);
    heard->next += count;
    return STATUS_OK;
}

static void run(const Ensemble *ensemble, int64_t page_size, Prompt *prompts, int64_t n,
                int64_t from, Heard *heard)
{
    Err err;
    ScorerOptions options = {.kv_dtype = DTYPE_F32, .page_size = page_size};
    Scorer *scorer = scorer_new(ensemble, &options);
    ASSERT_OK(scorer_run(scorer, prompts, n, from, hear, heard, &err));
    assert_int_equal(heard->next, n);
    scorer_free(scorer);
}

static void equals_the_long_way(const Ensemble *ensemble, int64_t n, bool alike, int64_t page_size)
{
    Prompt prompts[MOST];
    Heard heard = {0};
    make_prompts(prompts, n, alike, (uint64_t)n);
    Decoder *alone = alone_with(ensemble);
    /* Some prompts are made to ask for what greedy decoding gives. */
    for (int64_t i = 3; i < n; i += 14) {
        const IdList *context = &prompts[i].context;
        decoder_reset(alone, 0);
        DecodeItem item = {.sequence = 0, .tokens = context->items, .n_tokens = context->count};
        prompts[i].texts[0].count = 1;
        prompts[i].texts[0].items[0] = best_alone(alone, &item);
    }
    run(ensemble, page_size, prompts, n, 0, &heard);
    int64_t greedy = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t t = 0; t < prompts[i].n_texts; t++) {
            double want = score_alone(alone, &prompts[i], t);
            if (!(fabs(prompts[i].logprobs[t] - want) <= 1e-4 * (1.0 + fabs(want))))
                fail_msg("prompt %d, text %d: %g instead of %g", (int)i, (int)t,
                         prompts[i].logprobs[t], want);
        }
        if (prompts[i].greedy) {
            assert_int_equal(prompts[i].is_greedy, greedy_alone(alone, &prompts[i]));
            greedy += prompts[i].is_greedy;
        }
    }
    assert_true(greedy > 0 || n < 4);
    decoder_free(alone);
    clear_prompts(prompts, n);
}

static void one_model_scores_as_alone(void **state)
{
    (void)state;
    Ensemble *ensemble = ensemble_of(1, MERGE_MEAN);
    equals_the_long_way(ensemble, 50, true, 0);
    equals_the_long_way(ensemble, 20, true, 5);
    equals_the_long_way(ensemble, 20, false, 0);
    equals_the_long_way(ensemble, 1, true, 0);
    equals_the_long_way(ensemble, 2, true, 64);
    ensemble_free(ensemble);
}

static void merged_models_score_as_alone(void **state)
{
    (void)state;
    static const MergeRule rules[] = {MERGE_MEAN, MERGE_WEIGHTED, MERGE_BAYES};
    for (int i = 0; i < 3; i++) {
        Ensemble *ensemble = ensemble_of(2, rules[i]);
        equals_the_long_way(ensemble, 24, true, 0);
        equals_the_long_way(ensemble, 12, false, 5);
        ensemble_free(ensemble);
    }
}

/* What follows an interruption has the bits of a whole run. */
static void going_on_gives_the_same_bits(void **state)
{
    (void)state;
    Ensemble *ensemble = ensemble_of(1, MERGE_MEAN);
    Prompt whole[MOST], rest[MOST];
    Heard heard = {0};
    make_prompts(whole, MOST, true, 9);
    make_prompts(rest, MOST, true, 9);
    run(ensemble, 0, whole, MOST, 0, &heard);
    heard = (Heard){0};
    run(ensemble, 0, rest, MOST, 50, &heard);
    assert_true(heard.first > 0 && heard.first <= 50);
    for (int64_t i = heard.first; i < MOST; i++) {
        assert_memory_equal(whole[i].logprobs, rest[i].logprobs,
                            (size_t)whole[i].n_texts * sizeof(double));
        assert_int_equal(whole[i].is_greedy, rest[i].is_greedy);
    }
    clear_prompts(whole, MOST);
    clear_prompts(rest, MOST);
    ensemble_free(ensemble);
}

static Status refuse(void *context, int64_t first, int64_t count, Err *err)
{
    (void)context, (void)count;
    return err_set(err, "batch %lld is not wanted", (long long)first);
}

/* What is the same scores the same, to the last bit: a choice that stands there twice, and a
 * question that is asked again, also when the run goes on from behind its first time. */
static void what_is_the_same_scores_the_same(void **state)
{
    (void)state;
    enum { N = 80 };
    Prompt prompts[N], again[N];
    Ensemble *ensemble = ensemble_of(1, MERGE_MEAN);
    Heard heard = {0}, later = {0};
    for (int round = 0; round < 2; round++) {
        Prompt *made = round ? again : prompts;
        make_prompts(made, N, true, 6);
        for (int i = 0; i < N; i += 9) { /* the last choice is the first */
            Prompt *p = &made[i];
            IdList *last = &p->texts[p->n_texts - 1];
            last->count = 0;
            for (int64_t k = 0; k < p->texts[0].count; k++)
                id_list_add(last, p->texts[0].items[k]);
        }
        for (int i = N - 1; i >= 40; i -= 3)
            repeat(made, i, i % 31);
    }
    run(ensemble, 0, prompts, N, 0, &heard);
    for (int i = 0; i < N; i += 9)
        assert_true(prompts[i].logprobs[0] == prompts[i].logprobs[prompts[i].n_texts - 1]);
    for (int i = N - 1; i >= 40; i -= 3) {
        const Prompt *p = &prompts[i], *first = &prompts[i % 31];
        for (int64_t t = 0; t < p->n_texts; t++)
            assert_true(p->logprobs[t] == first->logprobs[t] && p->logprobs[t] != 0.0);
        assert_int_equal(p->is_greedy, first->is_greedy);
    }
    run(ensemble, 0, again, N, 70, &later);
    assert_true(later.first > 0 && later.next == N);
    for (int64_t i = later.first; i < N; i++)
        for (int64_t t = 0; t < prompts[i].n_texts; t++)
            assert_true(prompts[i].logprobs[t] == again[i].logprobs[t]);
    clear_prompts(prompts, N);
    clear_prompts(again, N);
    ensemble_free(ensemble);
}

/* Alone in a batch, products of a few rows sum in another order: there too. */
static void what_is_alone_scores_as_in_company(void **state)
{
    (void)state;
    enum { N = 33, TEXTS = 66 };
    Prompt prompts[N], many = {.n_texts = TEXTS};
    Rng rng;
    Heard heard = {0}, other = {0};
    Ensemble *ensemble = ensemble_of(1, MERGE_MEAN);
    rng_init(&rng, 9, 0);
    for (int i = 0; i < N; i++) {
        Prompt *p = &prompts[i];
        *p = (Prompt){.n_texts = 2, .cut = true};
        add_random(&p->context, &rng, 2);
        p->texts = xcalloc(2, sizeof *p->texts);
        p->logprobs = xcalloc(2, sizeof *p->logprobs);
        add_random(&p->texts[0], &rng, 1);
        add_random(&p->texts[1], &rng, 2);
    }
    repeat(prompts, N - 1, 0);
    run(ensemble, 0, prompts, N, 0, &heard);
    for (int t = 0; t < 2; t++)
        assert_true(prompts[N - 1].logprobs[t] == prompts[0].logprobs[t]);
    add_random(&many.context, &rng, 1);
    many.texts = xcalloc(TEXTS, sizeof *many.texts);
    many.logprobs = xcalloc(TEXTS, sizeof *many.logprobs);
    for (int t = 0; t < TEXTS; t++)
        for (int k = 0; k < 2; k++)
            id_list_add(&many.texts[t], t == 0 || t == TEXTS - 1 ? 5 + k : t + k);
    run(ensemble, 0, &many, 1, 0, &other);
    assert_true(many.logprobs[0] == many.logprobs[TEXTS - 1]);
    prompt_clear(&many);
    clear_prompts(prompts, N);
    ensemble_free(ensemble);
}

static void a_scorer_serves_again_after_a_failure(void **state)
{
    (void)state;
    Err err;
    Ensemble *ensemble = ensemble_of(1, MERGE_MEAN);
    Prompt prompts[40];
    ScorerOptions options = {.kv_dtype = DTYPE_F32};
    Scorer *scorer = scorer_new(ensemble, &options);
    Decoder *alone = alone_with(ensemble);
    make_prompts(prompts, 40, true, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(scorer_run(scorer, prompts, 40, 0, refuse, NULL, &err), STATUS_FAIL);
        assert_string_equal(err.text, "batch 0 is not wanted");
        Heard heard = {0};
        ASSERT_OK(scorer_run(scorer, prompts, 40 - i, 0, hear, &heard, &err));
        assert_true(fabs(prompts[7].logprobs[0] - score_alone(alone, &prompts[7], 0)) < 1e-3);
    }
    decoder_free(alone);
    scorer_free(scorer);
    clear_prompts(prompts, 40);
    ensemble_free(ensemble);
}

/* ---- where contexts end ---------------------------------------------------------------------- */

/* Bytes, and the tokens " a", "ab" and ": " that reach over borders. */
static Tokenizer *borders(bool with_end)
{
    TokenizerSpec spec;
    Err err;
    spec_start(&spec);
    spec.byte_level = true;
    for (int c = 0; c < 128; c++)
        spec_token(&spec, (char[]){(char)c}, 1, TOKEN_TEXT);
    spec_merge(&spec, ' ', 'a');
    spec_merge(&spec, ':', ' ');
    if (with_end)
        spec.eos = spec_token(&spec, "<end>", 5, TOKEN_SPECIAL);
    spec.bare_start = !with_end;
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    return tokenizer;
}

static void assert_tokens(const Tokenizer *tokenizer, const IdList *list, const char *want)
{
    StrBuf text = {0};
    strbuf_puts(&text, "");
    for (int64_t i = 0; i < list->count; i++) {
        strbuf_puts(&text, i ? "|" : "");
        tokenizer_decode(tokenizer, &list->items[i], 1, true, &text);
    }
    assert_string_equal(text.data, want);
    strbuf_clear(&text);
}

static void texts_begin_where_contexts_end(void **state)
{
    (void)state;
    static const struct {
        const char *context, *text, *tokens, *text_tokens;
        bool end;
        int64_t limit;
    } cases[] = {
        {"Q", " a", "Q", " a", false, 9},
        {"Q ", "a", "Q", " a", false, 9}, /* the blank belongs to the text */
        {"Q \n", "a", "Q", " |\n|a", false, 9},
        {"Q:", " b", "Q|:", "b", false, 9}, /* the blank went into the context's last token */
        {"Q", " a", "<end>|Q", " a", true, 9},
        {"", "b", "<end>", "b", true, 9},
        {"WXYZ", " ab", "Z", " a|b", false, 2}, /* the last token is only predicted */
        {"WXYZ", " ab", "Y|Z", " a|b", false, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err;
        Prompt prompt;
        Tokenizer *tokenizer = borders(cases[i].end);
        PromptRule rule = {.tokenizer = tokenizer, .limit = cases[i].limit};
        ASSERT_OK(prompt_encode(&prompt, &rule, cases[i].context, &cases[i].text, 1, &err));
        assert_tokens(tokenizer, &prompt.context, cases[i].tokens);
        assert_tokens(tokenizer, &prompt.texts[0], cases[i].text_tokens);
        assert_int_equal(prompt.cut, cases[i].limit < 9);
        prompt_clear(&prompt);
        tokenizer_free(tokenizer);
    }
}

static void what_cannot_be_asked_is_told(void **state)
{
    (void)state;
    Err err;
    Prompt prompt;
    Tokenizer *tokenizer = borders(false);
    PromptRule rule = {.tokenizer = tokenizer, .limit = 3};
    const char *texts[] = {"abcdef", "\xD0\xB6", "a"};
    assert_int_equal(prompt_encode(&prompt, &rule, "Q", &texts[0], 1, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "the context is too short for its answer"));
    prompt_clear(&prompt);
    assert_int_equal(prompt_encode(&prompt, &rule, "Q", &texts[1], 1, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "no token for"));
    prompt_clear(&prompt);
    assert_int_equal(prompt_encode(&prompt, &rule, "", &texts[2], 1, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "could begin with"));
    prompt_clear(&prompt);
    tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_model_scores_as_alone),
        cmocka_unit_test(merged_models_score_as_alone),
        cmocka_unit_test(going_on_gives_the_same_bits),
        cmocka_unit_test(what_is_the_same_scores_the_same),
        cmocka_unit_test(what_is_alone_scores_as_in_company),
        cmocka_unit_test(a_scorer_serves_again_after_a_failure),
        cmocka_unit_test(texts_begin_where_contexts_end),
        cmocka_unit_test(what_cannot_be_asked_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
