"""`make demo`: a model goes live, scores, is found to drift, is replaced by a better one and not by a worse one."""

from local.demo.expectations import DemoFailed
from local.demo.places import shown
from local.demo.playing import run

__all__ = ["DemoFailed", "run", "shown"]
