"""Azure Data Factory on your machine: its REST API, and an interpreter of the pipelines in infra/adf."""
