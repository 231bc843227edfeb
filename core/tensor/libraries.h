/* Which libraries a device computes with: kinds of work that it leaves to one where it can, and
 * does by slower kernels of its own where it cannot. */
#ifndef CAMBIUM_CORE_TENSOR_LIBRARIES_H
#define CAMBIUM_CORE_TENSOR_LIBRARIES_H

#include "core/base/strbuf.h"
#include "core/tensor/backend.h"

/* "cuBLASLt 13.1.0"; "own kernels (cuDNN 9 was not found ...)"; both where the library refused some
 * of the work. Before any was done: what would do it. */
void worker_text(const Worker *worker, StrBuf *out);

/* The name of a kind of work: "products". */
const char *work_name(Work work);

/* Every kind's name and worker, as "products by cuBLASLt 13.1.0, attention by ..."; empty where the
 * backend's work depends on no library that may be missing. `type` is that of the tensors. */
void backend_workers_text(const Backend *backend, DType type, StrBuf *out);

/* Fails unless each library of a comma-separated list (--require; NULL: none) can be used, with
 * what would help; from then on work that one of them refuses fails instead of being done by own
 * kernels. */
Status backend_require(const Backend *backend, const char *list, Err *err);

/* device_open of --device and backend_require of --require; nothing is open on failure. */
Status device_open_requiring(Device *device, const char *name, const char *list, Err *err);

#endif
