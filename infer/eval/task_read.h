/* The questions of a task from its files in the folders of --data, the solved examples in front. */
#ifndef CAMBIUM_INFER_EVAL_TASK_READ_H
#define CAMBIUM_INFER_EVAL_TASK_READ_H

#include "infer/eval/task.h"

/* Finds the file of a task that has one (its `read` is not NULL) and reads its questions. Errors
 * name the file, or what no folder holds; a task that has no question left to ask is refused. */
Status task_read(TaskRun *run, const TaskSettings *settings, Err *err);

/* What tasks have as `read`. */
ReadTask task_read_mmlu;        /* of a folder with dev, val and test */
ReadTask task_read_choices;     /* of JSONL in the task's form */
ReadTask task_read_squad;       /* of the official JSON */
ReadTask task_read_translation; /* of two texts whose lines belong together */

#endif
