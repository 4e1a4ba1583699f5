"""The machine learning: AML components and pipelines, their check, and sample data. Nothing of the app is imported."""
