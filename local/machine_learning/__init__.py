"""The imitated Machine Learning workspace: batch endpoints whose jobs really run their components."""

from local.machine_learning.components import ComponentError
from local.machine_learning.jobs import Data, Job, Literal, Status, StepRecord
from local.machine_learning.service import MachineLearning, Setup

__all__ = ["ComponentError", "Data", "Job", "Literal", "MachineLearning", "Setup", "Status", "StepRecord"]
