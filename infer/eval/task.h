/* The tasks of `cambium eval`: where their files are, how they are asked, what counts as right. */
#ifndef CAMBIUM_INFER_EVAL_TASK_H
#define CAMBIUM_INFER_EVAL_TASK_H

#include "core/base/file.h"
#include "core/metrics/squad_score.h"
#include "infer/eval/choice_file.h"
#include "infer/eval/question.h"
#include "infer/eval/squad.h"

typedef enum TaskKind {
    TASK_BPB,       /* bits per byte of text */
    TASK_CHOICE,    /* the most probable of several answers */
    TASK_SQUAD,     /* a piece of the paragraph, written by greedy decoding */
    TASK_TRANSLATE, /* the same line in another language, written by greedy decoding */
    TASK_LAST_WORD, /* the only answer is what greedy decoding gives */
    TASK_PASSKEY,   /* the same, of prompts that are made for the model: a number in filler, */
    TASK_NEEDLE,    /* or in text */
} TaskKind;

typedef struct TaskRun TaskRun;
typedef struct TaskSettings TaskSettings;

/* Reads the questions of a run from the task's file at `path`, or from its folder. */
typedef Status ReadTask(TaskRun *run, const char *path, const TaskSettings *settings, Err *err);

typedef struct Task {
    const char *name; /* as lm-evaluation-harness calls it */
    TaskKind kind;
    ReadTask *read; /* NULL: questions are made from the text of --data, or from nothing */
    bool (*has_part)(const char *part); /* whether NAME_PART is a part of the task; NULL: it has
                                           none */
    const char *folder; /* below a --data folder, unless that itself holds the file */
    const char *file;   /* NULL: MMLU, whose folder is what is looked for. Of a translation: what
                           stands before the language */
    QuestionForm *form; /* of `file` */
    bool by_bytes;      /* answers differ in length: accuracy per byte is of interest, too */
    int64_t shots;      /* what is usual */
    const SquadForm *squad; /* of TASK_SQUAD: how it is asked, */
    SquadVersion version;   /* whether there are questions without an answer, */
    SquadRule rule;         /* and how answers are compared */
} Task;

/* A task that was asked for, and its questions. */
struct TaskRun {
    const Task *task;
    char *name; /* "mmlu", "mmlu_stem", "mmlu_author" */
    char *part; /* "stem", or the languages of a translation: "en-ru"; NULL: all */
    EvalProtocol protocol;
    int64_t source; /* which of --data holds it, or -1 */
    int64_t shots;
    QuestionGroups groups;
};

typedef struct TaskRuns {
    TaskRun *items;
    int64_t count, capacity;
} TaskRuns;

struct TaskSettings {
    const char *names;      /* comma-separated */
    const StringList *data; /* files and folders */
    const char *split;      /* of MMLU */
    int64_t shots;          /* below 0: what is usual */
    int64_t limit;          /* questions of each task or subject; 0: all */
    int64_t seed;           /* 0: the first questions are the shots, else drawn ones */
    EvalProtocol protocol;
};

/* Whether some questions have no answer. */
bool task_has_unanswerable(const Task *task);
/* Whether the only answer is judged by what greedy decoding gives. */
bool task_is_greedy(const Task *task);
/* Whether the questions are made for each model: prompts of so many of its tokens. */
bool task_is_made(const Task *task);
/* Whether the text of --data is used. */
bool task_wants_text(const Task *task);

/* The tasks named, with their questions where they come from files, the shots written into their
 * groups' prefixes. Shots of a task without solved examples are taken from its own questions, which
 * are then not asked. */
Status task_runs_read(TaskRuns *out, const TaskSettings *settings, Err *err);
void task_runs_clear(TaskRuns *runs);

/* What guessing gets right: the mean of 1 / choices over the questions; 0 for last words. */
double task_chance(const TaskRun *run);

#endif
