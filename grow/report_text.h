/* The tables of a report as text. */
#ifndef CAMBIUM_GROW_REPORT_TEXT_H
#define CAMBIUM_GROW_REPORT_TEXT_H

#include <stdio.h>

#include "grow/report_data.h"

/* Every stage with its parameters and costs, then, for each text that several runs were validated
 * on, their bits per byte at equal cost. */
void report_text(const Report *report, FILE *out);

#endif
