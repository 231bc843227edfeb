/* How vocabulary files write bytes. Byte-level ones use a printable alphabet (GPT-2's): printable
 * Latin-1 stands for itself, the other 68 bytes for U+0100 and on. Others name them <0xXX>. */
#ifndef CAMBIUM_CORE_TEXT_BYTE_ALPHABET_H
#define CAMBIUM_CORE_TEXT_BYTE_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"

/* Appends the bytes as characters of the alphabet. */
void byte_alphabet_write(StrBuf *out, const char *bytes, int64_t count);

/* Appends the bytes that the characters stand for; false, with part of them appended, when one is
 * not of the alphabet. */
bool byte_alphabet_read(StrBuf *out, const char *text, int64_t bytes);

/* The byte that the name <0xXX> (capital digits) stands for, or -1. */
int byte_token_value(const char *name, size_t bytes);

#endif
