/* Blocks of GGML's quantised types as float32, one block at a time: what GGML's own dequantisation
 * gives, to the last bit. `from` need not be aligned. For core/io/block_type.c alone. */
#ifndef CAMBIUM_CORE_IO_BLOCK_UNPACK_H
#define CAMBIUM_CORE_IO_BLOCK_UNPACK_H

/* 32 numbers. */
void unpack_q4_0(const void *from, float *out);
void unpack_q4_1(const void *from, float *out);
void unpack_q5_0(const void *from, float *out);
void unpack_q5_1(const void *from, float *out);
void unpack_q8_0(const void *from, float *out);
void unpack_iq4_nl(const void *from, float *out);
void unpack_mxfp4(const void *from, float *out);

/* 256 numbers. */
void unpack_q2_k(const void *from, float *out);
void unpack_q3_k(const void *from, float *out);
void unpack_q4_k(const void *from, float *out);
void unpack_q5_k(const void *from, float *out);
void unpack_q6_k(const void *from, float *out);
void unpack_iq4_xs(const void *from, float *out);

#endif
