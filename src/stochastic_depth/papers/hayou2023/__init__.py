"""Hayou & Yang 2023, Width and Depth Limits Commute in Residual Networks (ICML), with gates added.

The paper has no gates. Its limit with them, and the difference between gates per batch and per
sample, is derived in `theory.wide_limit`.
"""
