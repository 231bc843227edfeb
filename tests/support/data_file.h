/* Files under $TEST_DATA, which may be absent: a test that needs one skips with the reason. */
#ifndef CAMBIUM_TESTS_SUPPORT_DATA_FILE_H
#define CAMBIUM_TESTS_SUPPORT_DATA_FILE_H

/* The path of `name` below $TEST_DATA, or NULL after printing "SKIP: ..." when it is not there.
 * Lives in one of eight static buffers that are used in turn. */
const char *data_file(const char *name);

/* The same in silence, for a test that has data of its own and takes more where it is. */
const char *data_file_found(const char *name);

#endif
