/* Copies of a folder of golden files in the test's own folder, for tests that alter them. */
#ifndef CAMBIUM_TESTS_SUPPORT_FOLDER_COPY_H
#define CAMBIUM_TESTS_SUPPORT_FOLDER_COPY_H

/* Makes `name` in the test's folder anew, with the files of `from`; returns its path, which is
 * valid until the next call. */
const char *folder_copy(const char *from, const char *name);

/* The path of a file in the copy; valid until the next call. */
const char *copy_path(const char *file);

/* Puts a member, written as it stands in JSON ("\"a\": NaN"), behind all others of an object's file
 * in the copy; makes the file when there is none. */
void copy_add_member(const char *file, const char *member);

/* Renames a file in the copy, or removes it when `to` is NULL. */
void copy_rename(const char *from, const char *to);

#endif
