"""A ResNet-50 kept from memorising a few thousand pages.

The source is the essay "Stochastic Depth — Training a Deep Network That's Sometimes Shallow".
"""
