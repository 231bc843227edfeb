#include "infer/eval/mmlu.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/utf8.h"
#include "infer/eval/csv.h"
#include "infer/eval/data_text.h"

static const struct {
    const char *category, *subject;
} subjects[] = {
    {"stem", "abstract_algebra"},
    {"other", "anatomy"},
    {"stem", "astronomy"},
    {"other", "business_ethics"},
    {"other", "clinical_knowledge"},
    {"stem", "college_biology"},
    {"stem", "college_chemistry"},
    {"stem", "college_computer_science"},
    {"stem", "college_mathematics"},
    {"other", "college_medicine"},
    {"stem", "college_physics"},
    {"stem", "computer_security"},
    {"stem", "conceptual_physics"},
    {"social_sciences", "econometrics"},
    {"stem", "electrical_engineering"},
    {"stem", "elementary_mathematics"},
    {"humanities", "formal_logic"},
    {"other", "global_facts"},
    {"stem", "high_school_biology"},
    {"stem", "high_school_chemistry"},
    {"stem", "high_school_computer_science"},
    {"humanities", "high_school_european_history"},
    {"social_sciences", "high_school_geography"},
    {"social_sciences", "high_school_government_and_politics"},
    {"social_sciences", "high_school_macroeconomics"},
    {"stem", "high_school_mathematics"},
    {"social_sciences", "high_school_microeconomics"},
    {"stem", "high_school_physics"},
    {"social_sciences", "high_school_psychology"},
    {"stem", "high_school_statistics"},
    {"humanities", "high_school_us_history"},
    {"humanities", "high_school_world_history"},
    {"other", "human_aging"},
    {"social_sciences", "human_sexuality"},
    {"humanities", "international_law"},
    {"humanities", "jurisprudence"},
    {"humanities", "logical_fallacies"},
    {"stem", "machine_learning"},
    {"other", "management"},
    {"other", "marketing"},
    {"other", "medical_genetics"},
    {"other", "miscellaneous"},
    {"humanities", "moral_disputes"},
    {"humanities", "moral_scenarios"},
    {"other", "nutrition"},
    {"humanities", "philosophy"},
    {"humanities", "prehistory"},
    {"other", "professional_accounting"},
    {"humanities", "professional_law"},
    {"other", "professional_medicine"},
    {"social_sciences", "professional_psychology"},
    {"social_sciences", "public_relations"},
    {"social_sciences", "security_studies"},
    {"social_sciences", "sociology"},
    {"social_sciences", "us_foreign_policy"},
    {"other", "virology"},
    {"humanities", "world_religions"},
};

enum { SUBJECTS = sizeof subjects / sizeof *subjects, FIELDS = 6, ANSWERS = 4 };

const char *mmlu_category(const char *subject)
{
    for (int i = 0; i < SUBJECTS; i++)
        if (strcmp(subjects[i].subject, subject) == 0)
            return subjects[i].category;
    return NULL;
}

bool mmlu_has_part(const char *name)
{
    for (int i = 0; i < SUBJECTS; i++)
        if (strcmp(subjects[i].subject, name) == 0 || strcmp(subjects[i].category, name) == 0)
            return true;
    return false;
}

/* The blanks around a question, which some files have, are no part of the prompt. */
static const char *trimmed(char *text)
{
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r\n", text[size - 1]))
        text[--size] = '\0';
    return text + strspn(text, " \t\r\n");
}

/* The question and its options, as the protocol has them. */
static void write_context(StrBuf *out, EvalProtocol protocol, const StringList *fields)
{
    bool author = protocol == PROTOCOL_AUTHOR;
    strbuf_printf(out, author ? "Question: %s\nOptions:" : "%s", trimmed(fields->items[0]));
    for (int i = 0; i < ANSWERS; i++)
        strbuf_printf(out, author ? " %c) %s" : "\n%c. %s", 'A' + i, fields->items[1 + i]);
    strbuf_puts(out, "\nAnswer:");
}

static Status add_row(QuestionList *out, const char *name, int64_t line, StringList *fields,
                      EvalProtocol protocol, Err *err)
{
    if (fields->count != FIELDS)
        return err_set(err,
                       "%s:%lld: %lld columns, where MMLU has 6 (question, four answers, the "
                       "right letter)",
                       name, (long long)line, (long long)fields->count);
    const char *answer = fields->items[FIELDS - 1];
    if (strlen(answer) != 1 || answer[0] < 'A' || answer[0] >= 'A' + ANSWERS)
        return err_set(err, "%s:%lld: the answer '%.20s' is none of A, B, C and D", name,
                       (long long)line, answer);
    StrBuf context = {0};
    write_context(&context, protocol, fields);
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)out->count + 1);
    Question *question = question_list_add(out, id, context.data);
    for (int i = 0; i < ANSWERS; i++)
        question_add_choice(question, (char[]){(char)('A' + i), '\0'});
    question->gold = answer[0] - 'A';
    strbuf_clear(&context);
    return STATUS_OK;
}

Status mmlu_parse(QuestionList *out, const char *name, const StrBuf *text, EvalProtocol protocol,
                  Err *err)
{
    CsvReader reader = {.name = name, .text = text->data, .size = text->size};
    StringList fields = {0};
    Status status;
    for (;;) {
        int64_t line = 0;
        bool found = false;
        status = csv_next(&reader, &fields, &line, &found, err);
        if (status != STATUS_OK || !found)
            break;
        status = add_row(out, name, line, &fields, protocol, err);
        if (status != STATUS_OK)
            break;
    }
    string_list_clear(&fields);
    return status;
}

static Status read_file(QuestionList *out, const char *path, EvalProtocol protocol, Err *err)
{
    StrBuf text = {0};
    Status status = data_text_read(path, &text, err);
    if (status == STATUS_OK)
        status = data_text_remedy(mmlu_parse(out, path, &text, protocol, err), err);
    strbuf_clear(&text);
    return status;
}

/* The subject of a file name, or NULL when it is not SUBJECT_SPLIT.csv; the caller frees. */
static char *subject_of(const char *path, const char *split)
{
    char *suffix = xasprintf("_%s.csv", split);
    const char *name = file_base_name(path);
    size_t size = strlen(name), end = strlen(suffix);
    bool fits = size > end && strcmp(name + size - end, suffix) == 0;
    free(suffix);
    return fits ? xstrndup(name, size - end) : NULL;
}

static bool is_wanted(const char *subject, const char *category, const char *part)
{
    return !part || strcmp(part, subject) == 0 || (category && strcmp(part, category) == 0);
}

static Status read_subject(QuestionGroups *out, const char *path, const char *subject,
                           EvalProtocol protocol, Err *err)
{
    QuestionGroup *group = question_groups_add(out, subject, mmlu_category(subject));
    if (protocol == PROTOCOL_AUTHOR)
        return read_file(&group->questions, path, protocol, err);
    char *spaced = xstrdup(subject);
    for (char *c = spaced; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    free(group->prefix);
    group->prefix = xasprintf(
        "The following are multiple choice questions (with answers) about %s.\n\n", spaced);
    free(spaced);
    return read_file(&group->questions, path, protocol, err);
}

Status mmlu_read(QuestionGroups *out, const char *folder, const char *split, const char *part,
                 EvalProtocol protocol, Err *err)
{
    char *path = file_join(folder, split);
    StringList files = {0};
    Status status = file_list(path, &files, err);
    for (int64_t i = 0; i < files.count && status == STATUS_OK; i++) {
        char *subject = subject_of(files.items[i], split);
        int64_t bytes = subject ? (int64_t)strlen(subject) : 0;
        if (subject && utf8_valid_prefix(subject, bytes) != bytes)
            status = err_set(err, "%s: the file's name is not UTF-8; rename it", files.items[i]);
        else if (subject && is_wanted(subject, mmlu_category(subject), part))
            status = read_subject(out, files.items[i], subject, protocol, err);
        free(subject);
    }
    if (status == STATUS_OK && out->count == 0)
        status = err_set(err, "%s holds no %s_%s.csv", path, part ? part : "SUBJECT", split);
    string_list_clear(&files);
    free(path);
    return status;
}

Status mmlu_read_shots(QuestionList *out, const char *folder, const char *subject, Err *err)
{
    char *path = xasprintf("%s/dev/%s_dev.csv", folder, subject);
    Status status = read_file(out, path, PROTOCOL_LOGPROB, err);
    free(path);
    return status;
}
