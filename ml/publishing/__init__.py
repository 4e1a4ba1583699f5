"""Brings what stands in the YAML files into a workspace of Azure Machine Learning."""
