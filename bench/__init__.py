"""The benchmarks: each row measures the product and a baseline, in turn, in the same run.

`python -m bench [accept] [drain] [embedded]`. Absolute figures are those of one machine on one
day; the ratio to the baseline is what can be compared.
"""
