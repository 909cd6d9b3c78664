"""The benchmarks: the product and, where there is one, a baseline in turn, in the same run.

`python -m bench [BENCHMARK ...]`; what each measures is in `README.md` here. Absolute figures are
those of one machine on one day; the ratio to the baseline is what can be compared.
"""
