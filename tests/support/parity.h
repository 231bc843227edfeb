/* Operations against their plain-C reference.
 *
 * A case is a list of tensors with host contents and one call of an operation. parity_check runs
 * the call on the reference and on the backend under test (every instruction set with 1, 2 and 3
 * threads on the CPU), each on fresh copies, and demands: every tensor within the operation's
 * tolerance of the reference's (normalised mean square error; integers equal), the same bits for
 * every number of threads, and the guard words after every tensor untouched. Inputs are compared
 * too, so nothing writes to them unseen. TEST_BACKEND names another backend than "cpu", TEST_SEED
 * another seed. */
#ifndef CAMBIUM_TESTS_SUPPORT_PARITY_H
#define CAMBIUM_TESTS_SUPPORT_PARITY_H

#include "core/base/rng.h"
#include "core/tensor/backend.h"

enum { PARITY_TENSORS = 16 };

typedef struct ParityTensor {
    Tensor shape; /* data NULL */
    void *host;
    bool compared;
} ParityTensor;

typedef struct Parity {
    char label[160];
    uint64_t seed;
    Rng rng;
    int count;
    size_t offset; /* bytes that tensors lie behind an aligned address; set after parity_begin */
    ParityTensor items[PARITY_TENSORS];
} Parity;

/* Starts a case; the label and the seed are printed when it fails. */
void parity_begin(Parity *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void parity_end(Parity *p);

/* Each adds a tensor of the shape and type of `shape` and returns its index in the call's list. */
int parity_normal(Parity *p, Tensor shape, double mean, double deviation);
int parity_integers(Parity *p, Tensor shape, int64_t low, int64_t high); /* in [low, high) */
int parity_values(Parity *p, Tensor shape, const void *values);          /* copied */
int parity_output(Parity *p, Tensor shape);  /* NaN (or odd integers) until written */
int parity_scratch(Parity *p, Tensor shape); /* guarded, but its contents are not compared */

/* Enqueues the operation; `t` are the tensors of the case on the device. */
typedef void ParityCall(const Device *device, const Tensor *t, const void *context);

/* `op` names the row of the operation table whose tolerance for `dtype` holds. */
void parity_check(Parity *p, const char *op, DType dtype, ParityCall *call, const void *context);

/* Runs the call once on the reference and returns tensor `index` as malloc'ed host memory. */
void *parity_reference(Parity *p, ParityCall *call, const void *context, int index);

/* Finite differences: with loss = sum of forward's float32 tensor `out` times that tensor's
 * contents in `weights` (host, or NULL: ones), the gradient of float32 tensor `x` must agree with
 * `gradient` (host, as many elements as x) within a relative `tolerance` of its largest entry.
 * At most 40 entries, spread over x, are tried. */
typedef struct ParityGradient {
    int x, out;
    const float *weights;
    const float *gradient;
    double step, tolerance;
} ParityGradient;
void parity_gradient(Parity *p, ParityCall *forward, const void *context,
                     const ParityGradient *check);

/* The odd sizes at which kernels break. */
extern const int64_t parity_sizes[5];

#endif
