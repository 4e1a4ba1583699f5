"""The imitated Machine Learning workspace: its jobs really run, its models are really served."""

from local.machine_learning.batch.batch import DATASTORE
from local.machine_learning.batch.components import ComponentError
from local.machine_learning.batch.records import Data, Job, Literal, Status, StepRecord
from local.machine_learning.monitoring.definitions import Monitor, MonitorError
from local.machine_learning.monitoring.evaluation import Metric
from local.machine_learning.monitoring.runs import MonitorRun
from local.machine_learning.registry.assets import Model
from local.machine_learning.registry.codes import Uploads
from local.machine_learning.service import MachineLearning
from local.machine_learning.setup import Setup

__all__ = [
    "DATASTORE",
    "ComponentError",
    "Data",
    "Job",
    "Literal",
    "MachineLearning",
    "Metric",
    "Model",
    "Monitor",
    "MonitorError",
    "MonitorRun",
    "Setup",
    "Status",
    "StepRecord",
    "Uploads",
]
