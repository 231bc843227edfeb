#include "core/model/ensemble.h"

#include <stdlib.h>
#include <string.h>

static const char *const rule_names[] = {
    [MERGE_MEAN] = "mean",
    [MERGE_WEIGHTED] = "weighted",
    [MERGE_BAYES] = "bayes",
    [MERGE_ADAPTER] = "adapter",
};

void ensemble_free(Ensemble *ensemble)
{
    if (!ensemble)
        return;
    /* The first expert owns the table that the others read: it goes last. */
    for (int64_t i = ensemble->n_experts - 1; i >= 0; i--) {
        model_free(ensemble->experts[i]);
        free(ensemble->names[i]);
    }
    free(ensemble->experts);
    free(ensemble->names);
    free(ensemble->weights);
    free(ensemble->adapter.w1);
    free(ensemble->adapter.b1);
    free(ensemble->adapter.w2);
    free(ensemble->adapter.b2);
    free(ensemble);
}

int64_t ensemble_table_owner(const Ensemble *ensemble, int64_t expert)
{
    const Substrate *wanted = &ensemble->experts[expert]->substrate;
    for (int64_t owner = 0; owner < expert; owner++) {
        const Substrate *table = &ensemble->experts[owner]->substrate;
        bool equal = table->hash[0] && strcmp(table->hash, wanted->hash) == 0 &&
                     tensor_same_shape(&table->table, &wanted->table);
        if (equal || table->table.data == wanted->table.data)
            return owner;
    }
    return expert;
}

int64_t ensemble_context(const Ensemble *ensemble)
{
    int64_t least = INT64_MAX;
    for (int64_t e = 0; e < ensemble->n_experts; e++)
        if (ensemble->experts[e]->config.context < least)
            least = ensemble->experts[e]->config.context;
    return least;
}

const char *merge_rule_name(MergeRule rule)
{
    return rule_names[rule];
}

Status merge_rule_parse(const char *name, MergeRule *out, Err *err)
{
    for (int i = 0; i < (int)(sizeof rule_names / sizeof *rule_names); i++) {
        if (strcmp(rule_names[i], name) == 0) {
            *out = (MergeRule)i;
            return STATUS_OK;
        }
    }
    return err_set(err, "no merge rule '%s'; there are mean, weighted, bayes and adapter", name);
}
