"""A ResNet-50 kept from learning a few thousand pages by heart.

The source is the essay "Stochastic Depth — Training a Deep Network That's Sometimes Shallow".
"""
