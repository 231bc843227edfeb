/* Bits per byte by position: every scored token counts in one place, where it stood in its window.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "infer/eval/bpb.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"
#include "tests/support/tiny_model.h"

static Tokenizer *characters(void)
{
    TokenizerSpec spec;
    Err err;
    spec_start(&spec);
    for (char c = ' '; c < ' ' + 90; c++)
        spec_text(&spec, (char[]){c, '\0'});
    spec.eos = spec_token(&spec, "<end>", 5, TOKEN_SPECIAL);
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    return tokenizer;
}

static void places_add_up(void **state)
{
    (void)state;
    Err err;
    BpbFile file;
    BpbPlaces places = {{0}, {0}};
    double logprobs[2], nats = 0.0;
    int64_t bytes = 0;
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 5, 3);
    Ensemble *ensemble = tiny_ensemble(&model, 1, MERGE_MEAN);
    Tokenizer *tokenizer = characters();
    StrBuf text = {0};
    for (int i = 0; i < 50; i++)
        strbuf_putc(&text, (char)('a' + i * 7 % 25));
    strbuf_puts(&text, "\fabc");
    ASSERT_OK(bpb_file_read(&file, folder_put("t.txt", text.data, text.size),
                            &(CorpusOptions){.field = "text"}, 0, tokenizer, &err));
    BpbOptions options = {.context = 16, .stride = 6, .kv_dtype = DTYPE_F32};
    ASSERT_OK(bpb_score(ensemble, tokenizer, &options, &file, logprobs, &places, &err));
    for (int place = 0; place < BPB_PLACES; place++) {
        nats += places.nats[place];
        bytes += places.bytes[place];
    }
    assert_true(fabs(nats + logprobs[0] + logprobs[1]) < 1e-9 * nats);
    /* The first window of 16 places 15 tokens behind the start token; the other 35 have 10 to 15
     * tokens before them. The short document: 1, 2 and 3. */
    static const int64_t want[] = {2, 4, 4, 8 + 35};
    for (int place = 0; place < 4; place++)
        assert_int_equal(places.bytes[place], want[place]);
    assert_int_equal(bytes, 53);
    assert_true(bpb_of_place(&places, 2) > 0.0);
    strbuf_clear(&text);
    bpb_file_clear(&file);
    tokenizer_free(tokenizer);
    ensemble_free(ensemble);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(places_add_up, folder_set_up, folder_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
