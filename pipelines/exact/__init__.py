"""Forwards of diffusers' networks that give the stock result, within rounding, in a part of the memory.

Adapters around the stock modules and their weights: nothing is copied, subclassed or forked. Modules here import torch;
import them inside the function that computes.
"""
