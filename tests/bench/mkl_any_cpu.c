/* Preloaded into PyTorch: MKL asks this before it takes its fastest kernels, and says no on the
 * processors of other makers. A tuned peer is the fair one. */
int mkl_serv_intel_cpu_true(void);

int mkl_serv_intel_cpu_true(void)
{
    return 1;
}
