#include "infer/serve/metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/tensor/libraries.h"

enum { BUCKETS = 16, JOB_END_KINDS = JOB_FAILED + 1 };

typedef struct Histogram {
    int64_t counts[BUCKETS + 1]; /* the last: above all limits */
    double sum;
} Histogram;

static const double first_limits[BUCKETS] = {0.005, 0.01, 0.02, 0.05, 0.1, 0.2,  0.35, 0.5,
                                             0.75,  1.0,  1.5,  2.5,  5.0, 10.0, 30.0, 60.0};
static const double next_limits[BUCKETS] = {0.0005, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.02,
                                            0.03,   0.05,  0.075, 0.1,   0.2,   0.5,  1.0,   5.0};

struct Metrics {
    pthread_mutex_t lock;
    Load load;
    int64_t counts[COUNT_KINDS], ends[JOB_END_KINDS];
    Histogram first, next;
    /* Tokens per second: of the last whole window. */
    double window_started;
    int64_t window_tokens;
    double rate;
    const Backend *backend; /* NULL: not said */
    DType type;
};

static const double window_seconds = 1.0;

Metrics *metrics_new(void)
{
    Metrics *m = xcalloc(1, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    m->window_started = clock_seconds();
    return m;
}

void metrics_free(Metrics *m)
{
    if (!m)
        return;
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void metrics_device(Metrics *m, const Backend *backend, DType type)
{
    m->backend = backend;
    m->type = type;
}

void metrics_load(Metrics *m, const Load *load)
{
    pthread_mutex_lock(&m->lock);
    m->load = *load;
    pthread_mutex_unlock(&m->lock);
}

/* With the lock held. */
static void turn_window(Metrics *m)
{
    double now = clock_seconds(), seconds = now - m->window_started;
    if (seconds < window_seconds)
        return;
    m->rate = (double)m->window_tokens / seconds;
    m->window_tokens = 0;
    m->window_started = now;
}

void metrics_count(Metrics *m, Count what, int64_t n)
{
    pthread_mutex_lock(&m->lock);
    m->counts[what] += n;
    if (what == COUNT_GENERATED_TOKENS) {
        turn_window(m);
        m->window_tokens += n;
    }
    pthread_mutex_unlock(&m->lock);
}

static void add(Metrics *m, Histogram *histogram, const double *limits, double seconds)
{
    pthread_mutex_lock(&m->lock);
    int i = 0;
    while (i < BUCKETS && seconds > limits[i])
        i++;
    histogram->counts[i]++;
    histogram->sum += seconds;
    pthread_mutex_unlock(&m->lock);
}

void metrics_first_token(Metrics *m, double seconds)
{
    add(m, &m->first, first_limits, seconds);
}

void metrics_next_token(Metrics *m, double seconds)
{
    add(m, &m->next, next_limits, seconds);
}

void metrics_job_end(Metrics *m, JobEnd end)
{
    pthread_mutex_lock(&m->lock);
    m->ends[end]++;
    pthread_mutex_unlock(&m->lock);
}

static void print_head(StrBuf *out, const char *name, const char *type, const char *help)
{
    strbuf_printf(out, "# HELP cambium_%s %s\n# TYPE cambium_%s %s\n", name, help, name, type);
}

static void print_number(StrBuf *out, const char *name, const char *type, const char *help,
                         double value)
{
    print_head(out, name, type, help);
    strbuf_printf(out, "cambium_%s %.15g\n", name, value);
}

static void print_histogram(StrBuf *out, const char *name, const char *help,
                            const Histogram *histogram, const double *limits)
{
    print_head(out, name, "histogram", help);
    int64_t running = 0;
    for (int i = 0; i < BUCKETS; i++) {
        running += histogram->counts[i];
        strbuf_printf(out, "cambium_%s_bucket{le=\"%g\"} %lld\n", name, limits[i],
                      (long long)running);
    }
    running += histogram->counts[BUCKETS];
    strbuf_printf(out, "cambium_%s_bucket{le=\"+Inf\"} %lld\n", name, (long long)running);
    strbuf_printf(out, "cambium_%s_sum %.9g\ncambium_%s_count %lld\n", name, histogram->sum, name,
                  (long long)running);
}

/* A label's value, with what the format escapes. */
static void print_label(StrBuf *out, const char *name, const char *value)
{
    strbuf_printf(out, "%s=\"", name);
    for (const char *p = value; *p; p++) {
        if (*p == '"' || *p == '\\')
            strbuf_putc(out, '\\');
        strbuf_putc(out, *p == '\n' ? ' ' : *p);
    }
    strbuf_putc(out, '"');
}

/* Which libraries compute: one line for each kind of work, where one could be missing. */
static void print_workers(StrBuf *out, const Metrics *m)
{
    if (!m->backend || !m->backend->worker)
        return;
    print_head(out, "made_by_info", "gauge", "Who does a kind of work on the device.");
    for (int work = 0; work < WORK_KINDS; work++) {
        StrBuf text = {0};
        Worker worker;
        m->backend->worker((Work)work, m->type, &worker);
        worker_text(&worker, &text);
        strbuf_puts(out, "cambium_made_by_info{");
        print_label(out, "work", work_name((Work)work));
        strbuf_putc(out, ',');
        print_label(out, "by", text.data);
        strbuf_puts(out, "} 1\n");
        strbuf_clear(&text);
    }
}

/* Memory of the process that is in RAM, or 0 where the system does not say. */
static double resident_bytes(void)
{
    long long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0.0;
    if (fscanf(file, "%lld %lld", &all, &resident) != 2)
        resident = 0;
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

void metrics_print(Metrics *m, StrBuf *out)
{
    static const char *const ends[JOB_END_KINDS] = {"stop", "length", "cancelled", "timeout",
                                                    "failed"};
    static const struct {
        const char *name, *help;
    } counts[COUNT_KINDS] = {
        {"prompt_tokens_total", "Prompt tokens that were computed."},
        {"prefix_tokens_total", "Prompt tokens taken over from a sequence that began alike."},
        {"generated_tokens_total", "Tokens written."},
        {"steps_total", "Steps of the decoder."},
        {"preemptions_total", "Jobs put back because the KV cache was full."},
        {"refused_total", "Requests refused because the queue was full."},
        {"dropped_total", "Clients dropped because they did not read."},
    };
    pthread_mutex_lock(&m->lock);
    turn_window(m);
    Metrics now = *m;
    pthread_mutex_unlock(&m->lock);
    const Load *load = &now.load;
    print_number(out, "queue_length", "gauge", "Jobs that wait for a place.",
                 (double)load->waiting);
    print_number(out, "batch_size", "gauge", "Jobs that are decoded together.",
                 (double)load->running);
    print_number(out, "tokens_per_second", "gauge", "Tokens written in the last second.", now.rate);
    print_number(out, "kv_positions", "gauge", "Positions that the KV cache holds.",
                 (double)load->kv_total);
    print_number(out, "kv_positions_used", "gauge", "Positions in pages that are not free.",
                 (double)load->kv_used);
    print_number(out, "kv_positions_running", "gauge", "Positions in pages of running jobs.",
                 (double)load->kv_running);
    print_number(out, "resident_bytes", "gauge", "Memory of the process.", resident_bytes());
    print_workers(out, &now);
    for (int i = 0; i < COUNT_KINDS; i++)
        print_number(out, counts[i].name, "counter", counts[i].help, (double)now.counts[i]);
    print_head(out, "jobs_total", "counter", "Texts that ended, by how.");
    for (int i = 0; i < JOB_END_KINDS; i++)
        strbuf_printf(out, "cambium_jobs_total{end=\"%s\"} %lld\n", ends[i],
                      (long long)now.ends[i]);
    print_histogram(out, "time_to_first_token_seconds",
                    "From the request to the first token of a text.", &now.first, first_limits);
    print_histogram(out, "time_per_token_seconds", "Between two tokens of a text.", &now.next,
                    next_limits);
}
