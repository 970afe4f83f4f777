"""Layer dropout that rises with depth and falls with time, and what is left of a network cut short.

The paper is Elhoushi et al. 2026, "Don't Drop Dropout" (arXiv 2609.05275). Its networks are out of
reach here; what is compared is the published replication on two small data sets
(github.com/yaroslavvb/gradient-dissent, docs/depth-robustness/report.md, revision e7157265).
"""
