"""Whole-number arithmetic: how a network is stated, written as a graph, proved exact, and computed."""

from .base import LIMIT, LOGIT_BITS, Arithmetic, Inputs
from .bounds import Bounds, CostError, InexactError
from .onnx import OnnxWriter

__all__ = ["LIMIT", "LOGIT_BITS", "Arithmetic", "Bounds", "CostError", "InexactError", "Inputs", "OnnxWriter"]
