/* Model files of tiny ensembles, for tests of what opens files. */
#ifndef CAMBIUM_TESTS_SUPPORT_TINY_FILE_H
#define CAMBIUM_TESTS_SUPPORT_TINY_FILE_H

#include "core/model/ensemble.h"

/* Gives the table of a model the hash that a table file would have given it. */
void tiny_hash_table(Model *model);

/* Writes the ensemble (tables hashed, float32, a tokenizer of printable characters) to a file of
 * the test's folder and returns its path, valid as folder_path's. Aborts on failure. */
const char *tiny_file(const char *name, const Ensemble *ensemble);

#endif
