/* Plug-ins: shared objects that lie beside the program and are opened when something in them is
 * wanted, so that the program starts at once and runs where their libraries are absent. A plug-in
 * stays open until the program ends: the C++ library that it brings keeps memory that unloading
 * would lose. */
#ifndef CAMBIUM_CORE_BASE_PLUGIN_H
#define CAMBIUM_CORE_BASE_PLUGIN_H

#include "core/base/err.h"

/* The address of `symbol` in the plug-in `file` ("cambium_cuda.so") of the program's own folder, or
 * NULL with the reason in `err`. */
void *plugin_symbol(const char *file, const char *symbol, Err *err);

#endif
