/* Which folders `hf_export` may write into. */
#ifndef CAMBIUM_CORE_IO_HF_FOLDER_H
#define CAMBIUM_CORE_IO_HF_FOLDER_H

#include "core/base/err.h"

/* Fails when the folder holds files of a model that this program did not export: they would be
 * replaced, or be mixed with the new ones. A folder that is not there, or has other files only, or
 * an earlier export, is fine. */
Status hf_folder_check(const char *folder, Err *err);

#endif
