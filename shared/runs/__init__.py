"""A reaction's pipeline run: started once per attempt or adopted, followed to its end, bounded in time."""
