/* TER, translation edit rate (Snover et al., 2006): insertions, deletions, substitutions and shifts
 * of runs of words that turn a hypothesis into a reference, per word of the reference. Computed as
 * sacrebleu 2.6.0 does, which follows Tercom: a greedy search for shifts, under its limits. */
#ifndef CAMBIUM_CORE_METRICS_TER_H
#define CAMBIUM_CORE_METRICS_TER_H

#include "core/metrics/mt_tokenize.h"

enum { TER_STATS = 2 };

/* stats (TER_STATS): edits to the reference that needs the fewest, and words of a reference, the
 * mean over the references. */
void ter_count(const TercomOptions *options, Segment hyp, const Segment *refs, int n_refs,
               double *stats);

/* In percent, and lower is better; `stats`: sums over segments. */
double ter_score(const double *stats);

/* Appends "TER|nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:2.6.0". */
void ter_signature(const TercomOptions *options, int n_refs, StrBuf *out);

#endif
