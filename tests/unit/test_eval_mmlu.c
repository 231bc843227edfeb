/* MMLU's subjects are in the categories that its authors publish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "infer/eval/mmlu.h"

/* The fields that the authors' categories.py (github.com/hendrycks/test) gives the subjects, and
 * the category that it gives each field. */
static const struct {
    const char *category, *field, *subjects;
} published[] = {
    {"stem", "physics", "astronomy college_physics conceptual_physics high_school_physics"},
    {"stem", "chemistry", "college_chemistry high_school_chemistry"},
    {"stem", "biology", "college_biology high_school_biology"},
    {"stem", "computer science",
     "college_computer_science computer_security high_school_computer_science machine_learning"},
    {"stem", "math",
     "abstract_algebra college_mathematics elementary_mathematics high_school_mathematics "
     "high_school_statistics"},
    {"stem", "engineering", "electrical_engineering"},
    {"humanities", "history",
     "high_school_european_history high_school_us_history high_school_world_history prehistory"},
    {"humanities", "philosophy",
     "formal_logic logical_fallacies moral_disputes moral_scenarios philosophy world_religions"},
    {"humanities", "law", "international_law jurisprudence professional_law"},
    {"social_sciences", "politics",
     "high_school_government_and_politics public_relations security_studies us_foreign_policy"},
    {"social_sciences", "culture", "human_sexuality sociology"},
    {"social_sciences", "economics",
     "econometrics high_school_macroeconomics high_school_microeconomics"},
    {"social_sciences", "geography", "high_school_geography"},
    {"social_sciences", "psychology", "high_school_psychology professional_psychology"},
    {"other", "other", "global_facts miscellaneous professional_accounting"},
    {"other", "business", "business_ethics management marketing"},
    {"other", "health",
     "anatomy clinical_knowledge college_medicine human_aging medical_genetics nutrition "
     "professional_medicine virology"},
};

static void categories_are_the_published_ones(void **state)
{
    (void)state;
    static const struct {
        const char *category;
        int subjects;
    } counts[] = {{"stem", 18}, {"humanities", 13}, {"social_sciences", 12}, {"other", 14}};
    int seen[4] = {0};
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        char *list = xstrdup(published[i].subjects), *rest = list, *subject;
        while ((subject = strsep(&rest, " ")) != NULL) {
            const char *category = mmlu_category(subject);
            if (!category || strcmp(category, published[i].category) != 0)
                fail_msg("%s (%s) is %s, not %s", subject, published[i].field,
                         category ? category : "unknown", published[i].category);
            assert_true(mmlu_has_part(subject));
            for (int c = 0; c < 4; c++)
                seen[c] += strcmp(category, counts[c].category) == 0;
        }
        free(list);
    }
    for (int c = 0; c < 4; c++) {
        assert_int_equal(seen[c], counts[c].subjects);
        assert_true(mmlu_has_part(counts[c].category));
    }
    assert_null(mmlu_category("astrology"));
    assert_false(mmlu_has_part("astrology"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(categories_are_the_published_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
