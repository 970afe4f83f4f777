"""Huang, Sun, Liu, Sedra, Weinberger 2016, "Deep Networks with Stochastic Depth"."""
