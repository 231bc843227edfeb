"""Writes eigen.txt: the eigenvalues, falling, of the matrices that tests/unit/test_eigen.c calls
`scattered`, from NumPy's LAPACK. Run by hand when that formula changes: python3 eigen.py > eigen.txt
"""
import numpy as np

for n in (3, 17, 65):
    i, j = np.indices((n, n))
    low, high = np.minimum(i, j), np.maximum(i, j)
    a = ((low * 7919 + high * 104729 + low * high * 31) % 1009) / 1009.0 - 0.5
    for value in np.linalg.eigvalsh(a)[::-1]:
        print(n, repr(float(value)))
